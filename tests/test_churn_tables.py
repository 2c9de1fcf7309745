"""What the churn benchmark concludes from differences."""

import pandas as pd
import pytest
from benchmarks.churn_tables import leads, verdict

BETTER = {"auc": 1, "average_precision": 1, "brier": -1, "log_loss": -1, "lift_10": 1}  # more, or less


def compared(measure: str, *rows: tuple[str, float, float, float]) -> pd.DataFrame:
    """Rival minus model, as `Backtest.compare` gives it, with the model best by every other measure."""
    best = [
        (rival, other, *sorted((-0.3 * sign, -0.1 * sign)), -0.2 * sign)
        for rival, *_ in rows
        for other, sign in BETTER.items()
        if other != measure
    ]
    own = [(rival, measure, lower, upper, difference) for rival, lower, upper, difference in rows]
    return pd.DataFrame([*best, *own], columns=["predictor", "measure", "lower", "upper", "difference"])


def said(measure: str, *rows: tuple[str, float, float, float]) -> str:
    """What the verdict says of one measure, and that it says best of all others."""
    words = dict(zip(BETTER, verdict(leads(compared(measure, *rows))).rstrip(".").split("; "), strict=True))
    assert all(word.endswith(" best") for other, word in words.items() if other != measure)
    return words[measure]


def test_the_model_leads_by_what_its_rival_trails_by() -> None:
    found = leads(compared("auc", ("old", -0.25, -0.05, -0.1))).set_index("measure").loc["auc"]
    assert (found["difference"], found["lower"], found["upper"]) == (0.1, 0.05, 0.25)


@pytest.mark.parametrize(("measure", "sign"), BETTER.items())
def test_better_means_more_of_some_measures_and_less_of_others(measure: str, sign: int) -> None:
    worse, better = ((-0.2, -0.1, -0.15), (0.1, 0.2, 0.15))[::sign]
    assert said(measure, ("old", *worse)).endswith(" best")
    assert said(measure, ("old", *better)).endswith(" beaten by old")


@pytest.mark.parametrize(("lower", "upper"), [(-0.1, 0.1), (0.0, 0.2), (-0.2, 0.0), (0.0, 0.0), (1e-16, 2e-16)])
def test_an_interval_that_holds_0_is_a_tie(lower: float, upper: float) -> None:
    assert said("auc", ("old", lower, upper, (lower + upper) / 2)).endswith(" tied with old")


def test_a_single_rival_that_is_better_beats_the_model_whatever_the_others() -> None:
    rivals = [("old", -0.2, -0.1, -0.15), ("close", -0.1, 0.1, 0.0), ("new", 0.1, 0.2, 0.15)]
    assert said("auc", *rivals) == "AUC beaten by new"
    assert said("auc", *rivals[:2]) == "AUC tied with close"
    assert said("auc", rivals[0]) == "AUC best"
