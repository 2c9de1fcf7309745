"""How far experiments can be trusted: false alarms, with daily looks too, covariates, power, coverage; real ones.

Prints tables; run from the repository's root with ``PYTHONPATH=.:tests python tests/benchmarks/experiments.py``, with
the folder of ``hillstrom_a.parquet`` and ``cookie_cats.parquet`` as argument where it is not ``../shared/data``.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from experiment_trials import (
    METRICS,
    alarms,
    bought_by_day,
    buyers,
    compared,
    moments_of,
    moments_so_far,
    sequential_alarms,
)
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

from crm_ml.decisions.experiments import (
    Baseline,
    minimum_detectable_effect,
    read_experiment,
    sample_ratio,
    sample_size,
)
from crm_ml.decisions.experiments.comparison import compare, ratio_interval
from crm_ml.decisions.experiments.intervals import FixedSample
from crm_ml.decisions.experiments.moments import Moments
from crm_ml.errors import SampleRatioError

TRIALS, AT_A_TIME = 1_000, 50
SIZES = ((2_000, 2_000), (500, 3_500))
RATIO_TRIALS, RATIO_CUSTOMERS = 20_000, 500
HALVES = {"control": 0.5, "coupon": 0.5}


def chunks(at_a_time: int = AT_A_TIME) -> Iterator[tuple[int, np.random.Generator]]:
    """Yield the trials in parts, each with its generator."""
    for part in range(TRIALS // at_a_time):
        yield at_a_time, np.random.default_rng([7, part])


def false_alarms() -> Iterator[dict[str, Any]]:
    """A/A experiments read once."""
    for sizes in SIZES:
        found: dict[tuple[str, bool], list[Any]] = {}
        for trials, rng in chunks():
            arm, control = (moments_of(buyers(rng, (trials, n))) for n in sizes)
            for metric, adjusted in itertools.product(METRICS, (False, True)):
                rang = alarms(compared(arm, control, metric, adjusted=adjusted))
                found.setdefault((metric, adjusted), []).append(rang)
        for (metric, adjusted), rang in found.items():
            yield {
                "customers": " + ".join(map(str, sizes)),
                "metric": metric,
                "covariates": "yes" if adjusted else "no",
                "false alarms": f"{np.mean(rang):.1%}",
            }


def entering(rng: np.random.Generator, trials: int, n_days: int) -> tuple[Moments, Moments]:
    """Customers enter daily, 40 an arm, each with a window of outcomes that has ended."""
    arm, control = (moments_so_far(buyers(rng, (trials, 40 * n_days)), per_look=40) for _ in range(2))
    return arm, control


def growing(rng: np.random.Generator, trials: int, n_days: int) -> tuple[Moments, Moments]:
    """1,000 customers an arm from the first day on, whose windows grow."""
    arm, control = (
        moments_of(np.swapaxes(bought_by_day(rng, (trials, 1_000), n_days=n_days), -2, -3)) for _ in range(2)
    )
    return arm, control


def peeking() -> Iterator[dict[str, Any]]:
    """A/A experiments read every day: the share in which any day raises an alarm."""
    worlds: dict[str, Callable[..., tuple[Moments, Moments]]] = {"entering": entering, "growing": growing}
    for (name, world), n_days in itertools.product(worlds.items(), (28, 90)):
        found: dict[tuple[str, bool], list[tuple[Any, ...]]] = {}
        for trials, rng in chunks(at_a_time=10):
            arm, control = world(rng, trials, n_days)
            for metric, adjusted in itertools.product(METRICS, (False, True)):
                beside = compared(arm, control, metric, adjusted=adjusted)
                ways = [sequential_alarms(beside, planned=planned) for planned in (2_000, 10_000)]
                rang = tuple(way.any(axis=-1) for way in (alarms(beside), *ways))
                found.setdefault((metric, adjusted), []).append(rang)
        for (metric, adjusted), rang in found.items():
            once, near, default = (np.concatenate(each) for each in zip(*rang, strict=True))
            yield {
                "customers": name,
                "days": n_days,
                "metric": metric,
                "covariates": "yes" if adjusted else "no",
                "t-test, any day": f"{once.mean():.1%}",
                "always valid, planned 2,000": f"{near.mean():.1%}",
                "planned 10,000": f"{default.mean():.1%}",
            }


def covariates() -> Iterator[dict[str, Any]]:
    """What a covariate leaves of the variance: as told, as found over trials, and 1 − ρ²."""
    for rho in (0.3, 0.5, 0.7, 0.9):
        rng = np.random.default_rng([8, int(rho * 10)])
        told, plain, adjusted = [], [], []
        for _ in range(RATIO_TRIALS // AT_A_TIME // 4):
            drawn = []
            for _ in range(2):
                x, noise = rng.standard_normal((2, 4 * AT_A_TIME, RATIO_CUSTOMERS))
                drawn.append(moments_of(np.stack([rho * x + np.sqrt(1 - rho**2) * noise, x], axis=-1)))
            both = compare(*drawn)
            told.append(both.variance_ratio)
            adjusted.append(both.effect)
            plain.append(compare(*(one.columns([0]) for one in drawn)).effect)
        yield {
            "rho": rho,
            "1 − ρ²": f"{1 - rho**2:.4f}",
            "variance_ratio, mean": f"{np.mean(told):.4f}",
            "5 % to 95 %": " to ".join(f"{x:.3f}" for x in np.quantile(told, [0.05, 0.95])),
            "over trials": f"{np.var(adjusted) / np.var(plain):.4f}",
        }


def of_rates(rng: np.random.Generator, n: int, rate: float, trials: int) -> Moments:
    """Moments of a rate, from its count."""
    found = rng.binomial(n, rate, trials) / n
    spread = found * (1 - found) * n / (n - 1)
    return Moments(np.full(trials, float(n)), found[:, None], spread[:, None, None])


def power() -> Iterator[dict[str, Any]]:
    """Experiments of the size planned for 80 %: how many find the effect."""
    rng = np.random.default_rng(9)
    skewed = {"control": 0.2, "coupon": 0.8}
    for rate, effect, arms in (
        (0.60, 0.02, HALVES),
        (0.60, 0.10, HALVES),
        (0.05, 0.02, HALVES),
        (0.05, 0.02, skewed),
        (0.05, 0.02, {"control": 0.8, "coupon": 0.2}),
        (0.02, -0.01, skewed),
    ):
        n = sample_size(Baseline(rate), effect, arms)
        sides = ((arms["coupon"], rate + effect), (arms["control"], rate))
        arcsine = NormalIndPower().solve_power(
            abs(proportion_effectsize(rate + effect, rate)),
            alpha=0.05,
            power=0.8,
            ratio=arms["control"] / arms["coupon"],
        )
        by_arcsine = round(arcsine / arms["coupon"])
        drawn, beside = (
            [of_rates(rng, round(size * share), p, 20_000) for share, p in sides] for size in (n, by_arcsine)
        )
        yield (
            {"outcome": f"rate {rate} {effect:+}", "shares": list(arms.values()), "customers": n}
            | _found(*drawn)
            | {"by Cohen's h": f"{by_arcsine}: {_found(*beside)['found']}"}
        )
    for arms in (HALVES, skewed):
        everyone = buyers(rng, (1_000_000,))
        spend, before = everyone[:, 2], everyone[:, 4]
        baseline = Baseline(
            spend.mean(), standard_deviation=spend.std(), covariate_correlation=np.corrcoef(spend, before)[0, 1]
        )
        n = sample_size(baseline, 5.0, arms)
        drawn = []
        for effect, share in ((5.0, arms["coupon"]), (0.0, arms["control"])):
            parts = [buyers(rng, (AT_A_TIME, round(n * share)))[..., [2, 4]] for _ in range(TRIALS // AT_A_TIME)]
            drawn.append(moments_of(np.concatenate(parts) + np.array([effect, 0.0])))
        yield (
            {"outcome": "spend +5, covariate", "shares": list(arms.values()), "customers": n}
            | _found(*drawn)
            | {"by Cohen's h": ""}
        )


def _found(arm: Moments, control: Moments) -> dict[str, Any]:
    return {"planned": "80 %", "found": f"{np.mean(alarms(compare(arm, control))):.1%}"}


def coverage() -> Iterator[dict[str, Any]]:
    """How often 95 % intervals of small rates hold the truth."""
    rng = np.random.default_rng(10)
    for n, control, arm in (
        (200, 0.02, 0.02),
        (500, 0.02, 0.03),
        (1_000, 0.02, 0.03),
        (200, 0.3, 0.2),
        (200, 0.6, 0.7),
    ):
        found = compare(of_rates(rng, n, arm, 100_000), of_rates(rng, n, control, 100_000))
        reach = FixedSample(found.degrees_of_freedom).reach(0.05)
        off = np.abs(found.effect - (arm - control)) <= reach * found.standard_error
        _, lower, upper = ratio_interval(found, reach=reach)
        _, low, high = ratio_interval(found, reach=reach, complement=True)
        yield {
            "customers an arm": n,
            "rates": f"{control}, {arm}",
            "events expected": f"{n * control:.0f}, {n * arm:.0f}",
            "difference": f"{off.mean():.1%}",
            "ratio": f"{_held(arm / control, lower, upper):.1%}",
            "ratio of the complements": f"{_held((1 - arm) / (1 - control), low, high):.1%}",
        }


def _held(truth: float, lower: Any, upper: Any) -> float:
    return float(np.mean((lower <= truth) & (truth <= upper)))


def ratios() -> Iterator[dict[str, Any]]:
    """How often the check of sizes blocks: a sound experiment, and one that loses customers of an arm."""
    rng = np.random.default_rng(11)
    for lost, planned in itertools.product((0.0, 0.01, 0.02), (None, 10_000.0)):
        blocked = 0
        for _ in range(TRIALS):
            daily = rng.binomial(400, 0.5, 60)
            arms = {"control": daily, "coupon": rng.binomial(400 - daily, 1 - lost)}
            looks = [60] if planned is None else range(1, 61)
            counts = [{arm: int(each[:look].sum()) for arm, each in arms.items()} for look in looks]
            blocked += any(sample_ratio(count, HALVES, planned_customers=planned).p_value < 0.01 for count in counts)
        read = "once, after 24,000" if planned is None else "daily, 400 a day, 60 days"
        yield {"lost from one arm": f"{lost:.0%}", "read": read, "blocked": f"{blocked / TRIALS:.1%}"}


def hillstrom(folder: Path) -> Iterator[dict[str, Any]]:
    """A real e-mail experiment: what the e-mails changed, over all customers and by how recently they bought."""
    customers = pd.read_parquet(folder / "hillstrom_a.parquet").set_index("customer_id")
    months = pd.cut(customers["recency"], [0, 4, 8, 12], labels=["1-4", "5-8", "9-12"]).astype(str)
    reading = read_experiment(
        customers.assign(months_since_purchase=months),
        arm="segment",
        control="No E-Mail",
        metrics=["visit", "conversion", "spend"],
        covariates=["recency", "history", "mens", "womens", "newbie"],
        segments=["months_since_purchase", "channel"],
    )
    for row in reading.effects.itertuples():
        yield {
            "metric": row.metric,
            "customers": "all" if row.by == "all" else f"{row.by} {row.segment}",
            "arm": row.arm,
            "n": row.customers,
            "control": f"{row.control_mean:.4f}",
            "effect": f"{row.effect:+.4f}",
            "95 %": f"{row.lower:.4f} to {row.upper:.4f}",
            "corrected": f"{row.adjusted_lower:.4f} to {row.adjusted_upper:.4f}",
            "p, Holm": f"{row.adjusted_p_value:.2g}",
            "variance left": f"{row.variance_ratio:.3f}",
        }


def cookie_cats(folder: Path) -> str:
    """A real mismatch: the message with which the reading is refused."""
    players = pd.read_parquet(folder / "cookie_cats.parquet").set_index("userid")
    try:
        read_experiment(players, arm="test_version", control="gate_30", metrics=["retention_1", "retention_7"])
    except SampleRatioError as error:
        return f"{error}\n"
    return "read, though it must not be\n"


def planned() -> Iterator[dict[str, Any]]:
    """The least effect on retention of 60 % that some sizes find."""
    for n in (2_000, 20_000, 200_000):
        for rho in (0.0, 0.5):
            baseline = Baseline(0.60, covariate_correlation=rho)
            effect = minimum_detectable_effect(baseline, n, HALVES)["coupon"]
            yield {"customers": n, "correlation": rho, "least effect": f"{effect:.4f}"}


def printed(title: str, rows: Iterator[dict[str, Any]]) -> None:
    """Print a Markdown table as its rows come."""
    for at, row in enumerate(rows):
        if at == 0:
            sys.stdout.write(f"\n{title}\n\n| {' | '.join(row)} |\n|{'---|' * len(row)}\n")
        sys.stdout.write(f"| {' | '.join(map(str, row.values()))} |\n")
        sys.stdout.flush()


def main() -> None:
    """Print the tables, the real experiments only where they are."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    printed(f"A/A, {TRIALS:,} experiments, read once at 5 %", false_alarms())
    printed(f"A/A, {TRIALS:,} experiments, read every day at 5 %", peeking())
    printed(f"One covariate, {RATIO_TRIALS:,} experiments of {RATIO_CUSTOMERS} customers an arm", covariates())
    printed("Least effects found with 80 %", planned())
    printed("Experiments of the size planned", power())
    printed("Coverage of 95 % intervals of small rates", coverage())
    printed("Check of sizes, blocked at 1 %", ratios())
    if (folder / "hillstrom_a.parquet").exists():
        printed("Hillstrom's e-mails", hillstrom(folder))
    if (folder / "cookie_cats.parquet").exists():
        sys.stdout.write(f"\nCookie Cats\n\n{cookie_cats(folder)}")


if __name__ == "__main__":
    main()
