"""What the churn model rests on: folds without the future, trees in stages, calibration, intervals, the process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

import crm_ml
from crm_ml.churn.calibration import METHODS, choose_calibration, fit_calibration
from crm_ml.churn.horizons import Horizons
from crm_ml.churn.process import HISTORY, fit_processes, process_feature, silence_log_odds
from crm_ml.churn.training import rehearsal
from crm_ml.churn.training.panel import TrainingPanel
from crm_ml.churn.training.rehearsal import Fold, TrainingRows, held_out_folds, rehearse, tune
from crm_ml.churn.training.window import PARAMETERS, fit_window
from crm_ml.churn.venn_abers import fit_venn_abers
from crm_ml.clv import ModifiedBetaGeoModel, rfm_summary
from crm_ml.clv.processes import bg_nbd
from crm_ml.errors import SchemaError
from crm_ml.evaluation import TrainingDesign
from crm_ml.events.clock import DAY, moment, stamp
from crm_ml.features import PersonalHorizon
from crm_ml.features.feature_set import FeatureSet
from crm_ml.features.trees import growing_trees, train_trees, tree_margins


def rows(seed: int = 0, *, n: int = 3_000, cutoffs: int = 8, step: int = 15, horizon: int = 30) -> TrainingRows:
    draw = np.random.default_rng(seed)
    at = np.sort(draw.integers(0, cutoffs, n)) * step * DAY
    matrix = draw.normal(size=(n, 4)).astype(np.float32)
    silent = (draw.random(n) < expit(matrix[:, 0] - 0.5)).astype(float)
    return TrainingRows(matrix, silent, draw.integers(0, n // 3, n), at, at + horizon * DAY)


def test_what_is_held_out_lies_after_all_that_is_trained_on() -> None:
    draw = np.random.default_rng(5)
    seen = 0
    for seed in range(200):
        found = rows(seed, n=600, cutoffs=int(draw.integers(1, 9)), step=int(draw.integers(5, 40)))
        ends = found.cutoff + draw.integers(1, 60, len(found.cutoff)) * DAY
        found = TrainingRows(found.matrix, found.silent, found.customer, found.cutoff, ends)
        folds, held = held_out_folds(found)
        for fold in folds:
            assert set(fold.train) & set(fold.held_out) == set()
            if held == "latest windows, purged":
                assert len(np.unique(found.cutoff[fold.held_out])) == 1
                cutoff = found.cutoff[fold.held_out].min()
                assert found.label_end[fold.train].max() <= cutoff
                assert len(fold.train) == (found.label_end <= cutoff).sum()
                seen += 1
            else:
                assert set(found.customer[fold.train]) & set(found.customer[fold.held_out]) == set()
    assert seen > 200


def test_the_latest_windows_are_held_out_until_they_hold_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows()
    folds, _ = held_out_folds(found)
    held = [found.cutoff[fold.held_out][0] // DAY for fold in folds]
    assert held == [105, 90, 75, 60]
    monkeypatch.setattr(rehearsal, "ENOUGH_ROWS", len(folds[0].held_out) + 1)
    assert len(held_out_folds(found)[0]) == 2


def test_of_very_many_customers_a_share_stands_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows(n=4_000)
    whole, _ = held_out_folds(found)
    train, held_out = len(whole[0].train), len(whole[0].held_out)
    monkeypatch.setattr(rehearsal, "MOST_TRAINED", train)
    monkeypatch.setattr(rehearsal, "MOST_HELD_OUT", held_out)
    assert [len(part) for part in held_out_folds(found)[0][0]] == [train, held_out]
    monkeypatch.setattr(rehearsal, "MOST_TRAINED", train - 1)
    monkeypatch.setattr(rehearsal, "MOST_HELD_OUT", held_out // 3)
    fold = held_out_folds(found)[0][0]
    assert set(fold.train) == {at for at in whole[0].train if found.customer[at] % 2 == 0}
    assert len(fold.held_out) == pytest.approx(held_out / 4, rel=0.2)
    assert len(set(found.customer[fold.held_out] % 4)) == 1


def test_a_window_is_held_out_if_there_are_ten_of_either_outcome_to_judge_by() -> None:
    found = rows(n=600)
    last, early = found.cutoff == found.cutoff.max(), found.label_end <= found.cutoff.max()
    for rare in (1.0, 0.0):
        for some in (last, early):
            for count, held_out in ((10, True), (9, False)):
                silent = found.silent.copy()
                silent[some] = np.where(np.arange(some.sum()) < count, rare, 1 - rare)
                changed = TrainingRows(found.matrix, silent, found.customer, found.cutoff, found.label_end)
                folds, _ = held_out_folds(changed)
                assert (found.cutoff.max() in {found.cutoff[fold.held_out][0] for fold in folds}) is held_out


def test_trees_on_one_outcome_are_nearly_sure() -> None:
    found = rows(n=200)
    for target in (np.ones(200), np.zeros(200)):
        grow = growing_trees(found.matrix, target, parameters=PARAMETERS, seed=0)
        for rounds in (2, 4, 6):
            trees = train_trees(found.matrix, target, parameters=PARAMETERS, rounds=rounds, seed=0)
            margins = grow(2, found.matrix)
            assert margins == pytest.approx(tree_margins(trees, found.matrix), abs=1e-5)
            # 1 - 1e-6 in single precision is 6 % of that 1e-6 off
            assert margins == pytest.approx(np.where(target, 1, -1) * logit(1 - 1e-6), abs=0.1)


def young(n: int, customers: Any) -> TrainingRows:
    found = rows(n=n, cutoffs=2)
    return TrainingRows(found.matrix, found.silent, customers, found.cutoff, found.label_end)


def test_held_out_customers_are_a_share_too_where_they_are_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    found = young(3_000, np.arange(3_000) % 1_000)
    monkeypatch.setattr(rehearsal, "MOST_TRAINED", 600)
    folds, _ = held_out_folds(found)
    assert len(folds) == 5
    for fold in folds:
        assert len(fold.train) == 480
        assert len(fold.held_out) == 120


@pytest.mark.parametrize(("customers", "folds"), [((0, 5), 2), ((3, 8, 13), 3), ((1, 2, 3, 4, 6, 11), 5)])
def test_a_handful_of_customers_is_shared_out(customers: tuple[int, ...], folds: int) -> None:
    found = young(12, np.resize(customers, 12))
    made, held = held_out_folds(found)
    assert held == "customers, in the same windows"
    assert len(made) == folds
    assert sorted(np.concatenate([fold.held_out for fold in made])) == list(range(12))
    for fold in made:
        assert sorted([*fold.train, *fold.held_out]) == list(range(12))
        assert not set(found.customer[fold.train]) & set(found.customer[fold.held_out])


@pytest.mark.parametrize(("cutoffs", "held"), [(8, "latest windows, purged"), (2, "customers, in the same windows")])
def test_bounds_come_from_everyone_held_out_at_the_latest_cutoff(
    cutoffs: int, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "MOST_ROUNDS", 25)
    found = rows(n=600, cutoffs=cutoffs)
    fitted, held_out = fit_window(
        found, directions=[1, 0, 0, 0], calibration="isotonic", process_column=False, tuning_seconds=None, seed=3
    )
    assert fitted.facts["held_out"] == held
    assert fitted.booster.num_boosted_rounds() == fitted.facts["rounds"] == 25
    parameters = PARAMETERS | {"monotone_constraints": "(1,0,0,0)"}
    tried = rehearse(found, held_out_folds(found)[0], parameters=parameters, seed=3)
    latest = np.isin(tried.held_out, np.flatnonzero(found.cutoff == found.cutoff.max()))
    assert latest.sum() == (found.cutoff == found.cutoff.max()).sum()
    probability = fitted.calibration(tried.log_odds, tried.log_odds)
    assert fitted.interval == fit_venn_abers(probability[latest], found.silent[tried.held_out][latest])
    np.testing.assert_array_equal(held_out.probability, probability)
    np.testing.assert_array_equal(held_out.cutoff, found.cutoff[tried.held_out])


@pytest.mark.parametrize("cutoffs", [8, 2])
def test_a_rehearsal_is_training_on_each_fold(cutoffs: int) -> None:
    found = rows(cutoffs=cutoffs)
    folds, held = held_out_folds(found)
    assert held == ("latest windows, purged" if cutoffs == 8 else "customers, in the same windows")
    parameters = PARAMETERS | {"monotone_constraints": "(1,0,0,0)"}
    tried = rehearse(found, folds, parameters=parameters, seed=3)
    for number, fold in enumerate(folds):
        trees = rehearsal_trees(found, fold.train, parameters, tried.rounds)
        assert tried.log_odds[tried.fold == number] == pytest.approx(trees(fold.held_out), abs=1e-5)
        assert (tried.held_out[tried.fold == number] == fold.held_out).all()
    p, silent = expit(tried.log_odds), found.silent[tried.held_out]
    assert tried.log_loss == pytest.approx(-np.mean(silent * np.log(p) + (1 - silent) * np.log(1 - p)))


@pytest.mark.parametrize("strength", [0.0, 1.0, 3.0])
def test_trees_are_as_many_as_usual_unless_others_are_clearly_better(strength: float) -> None:
    found = rows()
    draw = np.random.default_rng(1)
    risk = strength * np.where(found.matrix[:, 0] > 0, found.matrix[:, 1], found.matrix[:, 2] * found.matrix[:, 3])
    silent = (draw.random(len(risk)) < expit(risk)).astype(float)
    found = TrainingRows(found.matrix, silent, found.customer, found.cutoff, found.label_end)
    folds, _ = held_out_folds(found)
    parameters = PARAMETERS | {"monotone_constraints": "(0,0,0,0)"}
    tried = rehearse(found, folds, parameters=parameters, seed=3)
    losses = {}
    grown = [rehearsal_trees(found, fold.train, parameters, 400) for fold in folds]
    for rounds in range(25, 401, 25):
        odds = np.concatenate([trees(f.held_out, rounds) for trees, f in zip(grown, folds, strict=True)])
        p = expit(odds.astype(float))
        losses[rounds] = -np.log(np.where(silent[tried.held_out] == 1, p, 1 - p))
        if rounds >= 200 and rounds - min(losses, key=lambda known: losses[known].mean()) >= 100:
            break
    best = min(losses, key=lambda known: losses[known].mean())
    gain = losses[200] - losses[best]
    clearly = gain.mean() > 2 * gain.std() / np.sqrt(len(gain))
    assert tried.rounds == (best if clearly else 200)


@pytest.mark.parametrize(
    ("worse_for", "rounds", "looks"),
    [(0, 400, 16), (3, 400, 16), (4, 225, 13), (20, 200, 12)],
)
def test_growing_goes_on_past_a_short_rise_and_no_further(
    worse_for: int, rounds: int, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss falls until 225 trees (or 200), is worse for some looks and then lower than ever."""
    falling = 8 if worse_for == 20 else 9
    script = [*np.linspace(0, 1, falling), *[0.5] * worse_for, *np.linspace(1.1, 2, 20)]
    grown = []

    def scripted(matrix: Any, target: Any, **_: Any) -> Any:
        def grow(more: int, rows: Any) -> Any:
            grown.append(more)
            return np.repeat(script[len(grown) - 1], len(rows))

        return grow

    monkeypatch.setattr(rehearsal, "growing_trees", scripted)
    found = rows(n=600)
    found = TrainingRows(found.matrix, np.ones(600), found.customer, found.cutoff, found.label_end)
    fold = Fold(np.arange(300), np.arange(300, 600))
    tried = rehearse(found, [fold], parameters={}, seed=0)
    assert tried.rounds == rounds
    assert grown == [25] * looks
    assert tried.log_odds.tolist() == [script[rounds // 25 - 1]] * 300


def test_what_can_only_raise_the_risk_does_not_lower_it_even_on_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "MOST_ROUNDS", 50)
    found = rows()
    noise = (np.random.default_rng(2).random(len(found.silent)) < 0.5).astype(float)
    found = TrainingRows(found.matrix, noise, found.customer, found.cutoff, found.label_end)
    fitted, _ = fit_window(
        found, directions=[1, -1, 0, 0], calibration=None, process_column=False, tuning_seconds=None, seed=3
    )
    for column, direction in enumerate((1, -1, 0, 0)):
        moved = np.repeat(found.matrix[:100, None], 40, axis=1)
        moved[:, :, column] = np.linspace(-2, 2, 40)
        risk = tree_margins(fitted.booster, moved.reshape(-1, 4)).reshape(100, -1)
        assert bool((np.diff(risk) < 0).any()) is (direction <= 0)
        assert bool((np.diff(risk) > 0).any()) is (direction >= 0)
    assert process_feature(30).churn == 1


def rehearsal_trees(found: TrainingRows, train: Any, parameters: Any, rounds: int) -> Any:
    """Train with XGBoost's own loop on the same bins."""
    import xgboost

    target = found.silent[train]
    data = xgboost.QuantileDMatrix(found.matrix[train], label=target)
    settings = {**parameters, "seed": 3, "seed_per_iteration": True, "nthread": 1, "base_score": float(target.mean())}
    booster = xgboost.train(settings, data, num_boost_round=rounds)
    return lambda at, first=rounds: booster.predict(
        xgboost.DMatrix(found.matrix[at]), output_margin=True, iteration_range=(0, first)
    )


def test_tuning_finds_what_is_plainly_better(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10))
    monkeypatch.setattr(rehearsal, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    found = rows(n=2_000)
    folds, _ = held_out_folds(found)
    poor = PARAMETERS | {"max_depth": 1, "reg_lambda": 1e6}
    before = rehearse(found, folds, parameters=poor, seed=0).log_loss
    best = tune(found, folds, parameters=poor, seed=0, seconds=3)
    assert rehearse(found, folds, parameters=best, seed=0).log_loss < before


def test_of_the_parameters_tried_in_time_the_best_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    losses, tried, clock = iter([0.5, 0.6, 0.3, 0.4, 0.1]), [], iter(range(10))

    def scripted(*_: Any, parameters: Any, **__: Any) -> Any:
        tried.append(parameters)
        return SimpleNamespace(log_loss=next(losses))

    monkeypatch.setattr(rehearsal, "rehearse", scripted)
    monkeypatch.setattr(rehearsal, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    best = tune(rows(n=10), [], parameters=PARAMETERS, seed=0, seconds=4)
    assert len(tried) == 4
    assert best == tried[2] != tried[3]
    assert best["eta"] == PARAMETERS["eta"]


def distorted(seed: int, *, n: int, level: float = -0.7, slope: float = 1.6) -> tuple[Any, Any]:
    draw = np.random.default_rng(seed)
    odds = logit(draw.uniform(0.02, 0.98, n))
    return odds, (draw.random(n) < expit(level + slope * odds)).astype(float)


def test_a_line_is_that_of_maximum_likelihood_once_customers_outweigh_the_prior() -> None:
    odds, left = distorted(1, n=400_000)
    level, slope, same, _ = fit_calibration("sigmoid", odds, odds, left).weights
    peer = LogisticRegression(C=np.inf, tol=1e-10).fit(odds[:, None], left)
    assert slope == same
    # the prior weighs 100 against some 30,000 of information: 0.6 too far from it, the slope gives way by 0.002
    assert level == pytest.approx(peer.intercept_[0], abs=5e-3)
    assert slope == pytest.approx(peer.coef_[0, 0], abs=5e-3)
    probability = fit_calibration("beta", odds, odds, left)(odds, odds)
    features = np.column_stack([np.log(expit(odds)), -np.log(expit(-odds))])
    beta = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(features, left).predict_proba(features)[:, 1]
    assert np.abs(probability - beta).max() < 2e-3


@pytest.mark.parametrize("method", ["sigmoid", "beta", "blend"])
def test_few_customers_move_a_line_little(method: Any) -> None:
    odds, left = distorted(2, n=30)
    found = fit_calibration(method, odds, -odds, left)
    assert np.abs(np.array(found.weights[:2]) - [0, 1]).max() < 0.15
    assert min(found.weights[1:]) >= 0


def test_a_blend_takes_from_the_process_what_it_knows() -> None:
    draw = np.random.default_rng(4)
    odds, process = draw.normal(size=(2, 100_000))
    left = (draw.random(100_000) < expit(0.6 * odds + 0.5 * process)).astype(float)
    level, slope, _, of_process = fit_calibration("blend", odds, process, left).weights
    assert (level, slope, of_process) == pytest.approx((0.0, 0.6, 0.5), abs=0.03)


def test_a_blend_needs_the_process_to_be_fitted_and_does_without_to_predict() -> None:
    odds, left = distorted(4, n=400)
    process = 2 * left - odds
    found, known = fit_calibration("blend", odds, process, left), process.copy()
    process[[3, 5]] = np.nan
    with pytest.raises(SchemaError, match=r"A blend needs the purchase process .*; 2 of 400 have none"):
        fit_calibration("blend", odds, process, left)
    probability = found(odds, process)
    assert probability[[3, 5]] == pytest.approx(expit(odds[[3, 5]]))
    assert (np.delete(probability, [3, 5]) == np.delete(found(odds, known), [3, 5])).all()
    assert found.weights[3] > 0


def test_isotonic_steps_are_scikit_learns() -> None:
    odds, left = distorted(3, n=2_000)
    found = fit_calibration("isotonic", odds, odds, left)
    peer = IsotonicRegression(y_min=1e-4, y_max=1 - 1e-4).fit(odds, left)
    assert found(odds, odds) == pytest.approx(peer.predict(odds))
    assert found(np.array([-50.0, 50.0]), np.zeros(2)).tolist() == [peer.y_min, found.steps[-1]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_calibration_keeps_the_order(method: Any, sign: int) -> None:
    odds, left = distorted(6, n=5_000)
    found = fit_calibration(method, sign * odds, sign * odds, left)
    grid = np.linspace(-12, 12, 400)
    probability = found(grid, np.zeros(400))
    assert (np.diff(probability) >= 0).all()
    assert ((probability > 0) & (probability < 1)).all()


@pytest.mark.parametrize(
    ("level", "slope", "of_process", "chosen"),
    [(0.0, 1.0, 0.0, {"none"}), (-0.7, 1.6, 0.0, {"sigmoid", "beta"}), (0.0, 0.5, 0.8, {"blend"})],
)
def test_the_calibration_is_chosen_by_windows_it_has_not_seen(
    level: float, slope: float, of_process: float, chosen: set[str]
) -> None:
    draw = np.random.default_rng(9)
    odds, process = draw.normal(size=(2, 6_000))
    left = (draw.random(6_000) < expit(level + slope * odds + of_process * process)).astype(float)
    found, losses = choose_calibration(odds, process, left, np.arange(6_000) % 3)
    assert found.method in chosen
    assert set(losses) == {"none", "sigmoid", "beta", "blend"}
    without, losses = choose_calibration(odds, np.full(6_000, np.nan), left, np.zeros(6_000))
    assert without.method != "blend"
    assert "blend" not in losses


def test_chance_does_not_make_a_calibration() -> None:
    chosen, lowest = [], []
    for seed in range(10):
        odds, left = distorted(seed, n=400, level=0.0, slope=1.0)
        found, losses = choose_calibration(odds, odds, left, np.arange(400) % 3)
        chosen.append(found.method)
        lowest.append(min(losses, key=lambda method: losses[method]))
    assert lowest.count("none") < 7
    assert chosen.count("none") > 8


def test_a_calibration_is_fitted_on_all_that_was_held_out() -> None:
    odds, left = distorted(8, n=2_000)
    found, _ = choose_calibration(odds, np.full(2_000, np.nan), left, np.arange(2_000) % 3)
    assert found == fit_calibration(found.method, odds, odds, left)
    assert found.method != "none"


def test_losses_are_those_of_windows_left_out() -> None:
    odds, left = distorted(7, n=900)
    window = np.arange(900) % 3
    _, losses = choose_calibration(odds, odds, left, window)
    found = []
    for held in range(3):
        peer = fit_calibration("sigmoid", odds[window != held], odds[window != held], left[window != held])
        p = peer(odds[window == held], odds[window == held])
        found.append(-np.log(np.where(left[window == held] == 1, p, 1 - p)))
    assert losses["sigmoid"] == pytest.approx(np.concatenate(found).mean())


def test_isotonic_steps_are_thought_of_where_there_are_many() -> None:
    draw = np.random.default_rng(10)
    odds = draw.normal(size=40_000)
    left = (draw.random(40_000) < np.where(odds > 0, 0.8, 0.1)).astype(float)
    found, _ = choose_calibration(odds, np.full(40_000, np.nan), left, np.arange(40_000) % 2)
    assert found.method == "isotonic"
    for n, thought_of in ((9_999, False), (10_000, True)):
        _, losses = choose_calibration(odds[:n], odds[:n], left[:n], np.zeros(n))
        assert ("isotonic" in losses) is thought_of


def test_venn_abers_is_isotonic_regression_with_one_customer_more() -> None:
    draw = np.random.default_rng(12)
    score = draw.random(120).round(2)
    left = (draw.random(120) < score).astype(float)
    lower, upper = fit_venn_abers(score, left)(np.unique(score))
    for at, s in enumerate(np.unique(score)):
        for outcome, bound in ((0.0, lower[at]), (1.0, upper[at])):
            peer = IsotonicRegression().fit(np.append(score, s), np.append(left, outcome))
            assert bound == pytest.approx(peer.predict([s])[0])


def test_one_venn_abers_bound_is_calibrated_whatever_the_scores_are_worth() -> None:
    """The bound that goes by the outcome to come, upper where it is 1, averages to it (Vovk et al. 2015, theorem 1)."""
    draw = np.random.default_rng(13)
    surprise, width = [], []
    for customers in np.repeat([40, 400], 300):
        score = draw.random(customers + 20).round(2)
        left = (draw.random(len(score)) < score**3).astype(float)
        lower, upper = fit_venn_abers(score[:customers], left[:customers])(score[customers:])
        assert (lower <= upper).all()
        surprise.append(left[customers:] - np.where(left[customers:] == 1, upper, lower))
        width.append((upper - lower).mean())
    away = np.concatenate(surprise)
    assert abs(away.mean()) < 3 * away.std() / np.sqrt(len(away))
    assert np.mean(width[:300]) > 3 * np.mean(width[300:])


def test_the_process_is_that_of_the_summary() -> None:
    log, day = crm_ml.load_sample(), "2017-08-01"
    early, late = fit_processes(log, [moment("2017-05-01"), moment(day)])
    summary = rfm_summary(log, as_of=day)
    fitted = ModifiedBetaGeoModel().fit(summary)
    assert early is not None
    assert late is not None
    assert dict(late.params_) == pytest.approx(dict(fitted.params_), rel=1e-9)
    assert dict(early.params_) != pytest.approx(dict(fitted.params_), rel=1e-2)
    history = crm_ml.build_features(log, as_of=day)[list(HISTORY)].to_numpy(np.float32)
    silent = {days: fitted.probability_no_purchase(summary, days).to_numpy() for days in (30, 90)}
    assert expit(silence_log_odds(late, history, 0, 30)) == pytest.approx(silent[30], rel=1e-6)
    assert expit(silence_log_odds(late, history, 30, 90)) == pytest.approx(silent[90] / silent[30], rel=1e-6)
    own = np.where(np.arange(len(history)) % 2, 30.0, 90.0)
    each = np.where(np.arange(len(history)) % 2, silent[30], silent[90])
    assert expit(silence_log_odds(late, history, 0, own)) == pytest.approx(each, rel=1e-6)


def test_the_process_is_never_quite_sure() -> None:
    (process,) = fit_processes(crm_ml.load_sample(), [moment("2017-08-01")])
    assert process is not None
    history = np.array([[2_000, 300, 400], [300, 0.1, 301], [0, 0.1, 0.1], [0, 4_000, 4_000]], dtype=np.float32)
    for begin, end in ((0, 1e-3), (0, 30), (300, 600)):
        odds = silence_log_odds(process, history, begin, end)
        assert (np.abs(odds) <= logit(1 - 1e-9) * (1 + 1e-6)).all()


@pytest.mark.parametrize(
    "horizons", [Horizons((20.0, 50.0)), Horizons.of(PersonalHorizon(shortest_days=5, longest_days=50))]
)
def test_each_cutoff_has_the_process_known_by_then(horizons: Horizons) -> None:
    log, as_of = crm_ml.load_sample(), "2017-09-01"
    design = TrainingDesign(horizon_days=horizons.first, n_cutoffs=4, step_days=30, lookback_days=None)
    features = FeatureSet.settle(horizons.with_feature(list(HISTORY)), log, first_cutoff="2017-05-01")
    panel = TrainingPanel(log, as_of=as_of, design=design, horizons=horizons, features=features)
    for number, end in enumerate(horizons.ends):
        found = panel.rows(number)
        assert len(np.unique(found.cutoff)) >= 3
        for cutoff in np.unique(found.cutoff):
            summary = rfm_summary(log, as_of=stamp(cutoff))
            fitted = ModifiedBetaGeoModel().fit(summary)
            here = found.cutoff == cutoff
            own = found.matrix[here, -2].astype(float) if horizons.personal else end
            silent = bg_nbd.probability_no_purchase(
                own, *summary[["frequency", "recency", "T"]].to_numpy(float).T, modified=True, **fitted.params_
            )
            if begin := horizons.begin(number):
                panel_rows = crm_ml.build_panel(log, cutoffs=[stamp(cutoff)], horizon_days=begin, features=())
                at_risk = panel_rows["churned"].to_numpy() == 1
                silent = (silent / fitted.probability_no_purchase(summary, begin).to_numpy())[at_risk]
            assert expit(found.matrix[here, -1]) == pytest.approx(silent, rel=1e-4)
    assert panel.process is not None
    now = ModifiedBetaGeoModel().fit(rfm_summary(log, as_of=as_of))
    assert dict(panel.process.params_) == pytest.approx(dict(now.params_), rel=1e-9)


@pytest.mark.parametrize("missing", HISTORY)
def test_a_process_needs_all_of_its_history(missing: str) -> None:
    log, as_of = crm_ml.load_sample(), "2017-09-01"
    features = FeatureSet.settle([name for name in HISTORY if name != missing], log, first_cutoff="2017-05-01")
    design = TrainingDesign(n_cutoffs=1)
    panel = TrainingPanel(log, as_of=as_of, design=design, horizons=Horizons.of(30), features=features)
    assert panel.process is None
    assert panel.rows(0).matrix.shape[1] == 2


def test_too_few_purchases_make_no_process() -> None:
    once = pd.DataFrame({"customer_id": ["a", "b"], "timestamp": ["2024-01-01", "2024-01-02"], "amount": 1.0})
    assert fit_processes(crm_ml.CustomerLog(once), [moment("2024-02-01")]) == [None]
