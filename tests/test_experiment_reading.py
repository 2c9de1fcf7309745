"""Reading an experiment: other people's numbers, false alarms, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from experiment_trials import METRICS, alarms, buyers, compared, moments_of
from scipy import stats
from scipy.optimize import brentq
from statsmodels.stats.multitest import multipletests

from crm_ml.decisions.experiments import read_experiment, sample_ratio
from crm_ml.decisions.experiments.comparison import compare, ratio_interval
from crm_ml.decisions.experiments.intervals import FixedSample
from crm_ml.decisions.experiments.moments import grouped_moments
from crm_ml.errors import CrmError, SampleRatioError, SchemaError

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
EFFECT = ["effect", "lower", "upper", "p_value"]


def waves() -> pd.DataFrame:
    """600 customers without chance, a third of them treated: y follows x and arm."""
    i = np.arange(600)
    x = 20 + 10 * np.sin(i * 0.7) + 5 * np.cos(i * 1.3)
    arm = np.where(i % 3 == 0, 1, 0)
    y = 0.8 * x + 6 * np.sin(i * 2.1) + 2.5 * arm + arm * np.cos(i * 0.9)
    return pd.DataFrame({"arm": np.where(arm, "coupon", "control"), "y": y, "x": x, "z": np.sin(i * 1.9) + y / 9})


THIRDS = {"control": 2 / 3, "coupon": 1 / 3}


def read_waves(**settings):
    return read_experiment(waves(), metrics=["y"], expected_shares=THIRDS, **settings)


def shop(count: int = 3_000, *, arms: tuple[str, ...] = ("control", "coupon", "call"), seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    columns = [*METRICS, "pre_purchases", "pre_spend"]
    frame = pd.DataFrame(buyers(rng, (count,)), columns=columns)
    return frame.assign(
        arm=np.resize(arms, count),
        channel=rng.choice(["shop", "web"], count),
        age=rng.choice([20, 40, 60], count),
    )


def test_the_difference_is_that_of_tea_tasting():
    # tea-tasting 1.14.0: tt.Mean("y"), analyzed on the frame of waves()
    row = read_waves().effects.iloc[0]
    np.testing.assert_allclose(
        row[[*EFFECT, "control_mean", "arm_mean"]].to_numpy(float),
        [
            7.787829416614494,
            6.60239138739379,
            8.973267445835198,
            1.515029277909527e-32,
            14.262259603743464,
            22.05008902035796,
        ],
        rtol=1e-11,
    )
    assert row["variance_ratio"] == 1.0


def test_the_adjusted_difference_is_near_that_of_tea_tasting():
    # tea-tasting 1.14.0: tt.Mean("y", "x"), whose slope is that of both arms pooled and whose variance leaves
    # the slope's degree of freedom uncounted
    row = read_waves(covariates=["x"]).effects.iloc[0]
    np.testing.assert_allclose(row["effect"], 7.781795405021681, rtol=1e-6)
    np.testing.assert_allclose(row["upper"] - row["lower"], 8.27683659946067 - 7.286754210582691, rtol=1e-3)


@pytest.mark.parametrize("covariates", [["x"], ["x", "z"]])
def test_the_adjusted_effect_is_that_of_weighted_least_squares(covariates):
    frame = waves()
    treated = (frame["arm"] == "coupon").to_numpy()
    n = np.where(treated, treated.sum(), (~treated).sum())
    design = np.column_stack([np.ones(len(frame)), treated, frame[covariates]])
    fitted = sm.WLS(frame["y"], design, weights=1.0 / (n * (n - 1))).fit()
    row = read_waves(covariates=covariates).effects.iloc[0]
    np.testing.assert_allclose(row["effect"], fitted.params.iloc[1], rtol=1e-10)


def test_the_adjusted_standard_error_is_that_of_lin():
    frame = shop(4_000, arms=("control", "coupon"))
    treated = (frame["arm"] == "coupon").to_numpy(float)
    centred = (frame[["pre_purchases", "pre_spend"]] - frame[["pre_purchases", "pre_spend"]].mean()).to_numpy()
    design = np.column_stack([np.ones(len(frame)), treated, centred, treated[:, None] * centred])
    fitted = sm.OLS(frame["spend"], design).fit(cov_type="HC2")
    row = read_experiment(frame, metrics=["spend"], covariates=["pre_purchases", "pre_spend"]).effects.iloc[0]
    np.testing.assert_allclose(row["effect"], fitted.params.iloc[1], atol=0.05 * fitted.bse.iloc[1])
    np.testing.assert_allclose(row["standard_error"], fitted.bse.iloc[1], rtol=0.01)


def test_scale_shift_and_order_of_covariates_change_nothing():
    frame = shop().assign(cents=lambda x: 1e5 * x["pre_spend"] + 1e8, twice=lambda x: 2 * x["pre_spend"])
    expected = read_experiment(frame, covariates=["pre_spend", "pre_purchases"]).effects
    for covariates in (["pre_purchases", "cents"], ["pre_purchases", "pre_spend"]):
        found = read_experiment(frame.sample(frac=1, random_state=1), covariates=covariates).effects
        pd.testing.assert_frame_equal(found, expected, rtol=1e-8)
    redundant = read_experiment(frame, covariates=["pre_spend", "pre_purchases", "twice"]).effects
    np.testing.assert_allclose(redundant["effect"], expected["effect"], rtol=1e-8)


def test_moments_are_those_of_numpy():
    rng = np.random.default_rng(0)
    values, groups = rng.normal(1e6, 1.0, (500, 3)), rng.integers(0, 4, 500)
    found = grouped_moments(values, groups, n_groups=5)
    for group in range(4):
        own = values[groups == group]
        np.testing.assert_allclose(found.mean[group], own.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(found.covariance[group], np.cov(own.T), rtol=1e-8, atol=1e-10)
    assert found.count[4] == 0
    assert np.isnan(found.mean[4]).all()


def test_fieller_holds_the_ratios_that_a_t_test_does_not_reject():
    frame = waves()
    row = read_waves().effects.iloc[0]
    treated, control = (frame.loc[frame["arm"] == arm, "y"] for arm in ("coupon", "control"))
    reach = (row["upper"] - row["effect"]) / row["standard_error"]

    def beyond(ratio: float) -> float:
        error = math.sqrt(treated.var() / len(treated) + ratio**2 * control.var() / len(control))
        return abs(treated.mean() - ratio * control.mean()) / error - reach

    ends = [brentq(beyond, 1.0, 1.546), brentq(beyond, 1.547, 3.0)]
    np.testing.assert_allclose(row[["relative_lower", "relative_upper"]].to_numpy(float), np.array(ends) - 1)


def test_relative_effects_hold_the_truth_with_strong_covariates():
    rng, n_trials, n = np.random.default_rng(4), 4_000, 300
    sides = []
    for factor, size in ((1.3, n), (1.0, 2 * n)):
        before = rng.gamma(2.0, 10.0, (n_trials, size))
        sides.append(moments_of(np.stack([factor * (before + rng.gamma(1.0, 5.0, before.shape)), before], axis=-1)))
    found = compare(*sides)
    reach = FixedSample(found.degrees_of_freedom).reach(0.05)
    ratio, lower, upper = ratio_interval(found, reach=reach)
    held = np.mean((lower <= 1.3) & (upper >= 1.3))
    assert abs(held - 0.95) < 3 * math.sqrt(0.95 * 0.05 / n_trials)
    assert abs(ratio.mean() - 1.3) < 0.01
    held = np.mean(np.abs(found.effect - 0.3 * 25) <= reach * found.standard_error)
    assert abs(held - 0.95) < 3 * math.sqrt(0.95 * 0.05 / n_trials)


def test_a_ratio_over_nothing_has_no_interval():
    frame = pd.DataFrame({"arm": ["control", "coupon"] * 50, "y": np.tile([1.0, 1.0, -1.0, 2.0], 25)})
    row = read_experiment(frame, metrics=["y"]).effects.iloc[0]
    assert (row["relative_lower"], row["relative_upper"]) == (-np.inf, np.inf)
    assert np.isnan(row["relative_effect"])


def test_of_what_never_happened_nothing_is_known():
    frame = shop(200, arms=("control", "coupon")).assign(bought=0.0)
    row = read_experiment(frame, metrics=["bought"]).effects.iloc[0]
    assert row["effect"] == 0
    assert row[["standard_error", "lower", "upper", "p_value", "adjusted_p_value", "adjusted_lower"]].isna().all()


def test_false_alarms_are_as_many_as_promised():
    rang: dict[tuple[str, bool], list[bool]] = {}
    for part in range(10):
        rng = np.random.default_rng([5, part])
        arm, control = (moments_of(buyers(rng, (100, n))) for n in (800, 1_600))
        for metric in METRICS:
            for adjusted in (False, True):
                rang.setdefault((metric, adjusted), []).extend(
                    alarms(compared(arm, control, metric, adjusted=adjusted))
                )
    assert {key: np.mean(each) for key, each in rang.items() if not 0.035 <= np.mean(each) <= 0.065} == {}


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.9])
def test_a_covariate_leaves_one_less_its_squared_correlation(rho):
    rng = np.random.default_rng(6)
    frames = rng.standard_normal((2, 100_000))
    frame = pd.DataFrame({"x": frames[0], "y": rho * frames[0] + math.sqrt(1 - rho**2) * frames[1]})
    frame["arm"] = np.resize(["control", "coupon"], len(frame))
    row = read_experiment(frame, metrics=["y"], covariates=["x"]).effects.iloc[0]
    assert row["variance_ratio"] == pytest.approx(1 - rho**2, rel=0.05)
    plain = read_experiment(frame, metrics=["y"]).effects.iloc[0]
    assert row["variance_ratio"] == pytest.approx((row["standard_error"] / plain["standard_error"]) ** 2, rel=1e-9)


def test_the_family_is_all_rows_of_a_metric():
    frame = shop()
    lifted = frame["spend"] + 6.0 * (frame["arm"] == "coupon") * (frame["age"] > 20)
    frame = frame.assign(spend=lifted, retained=frame["retained"] + 0.15 * (frame["arm"] == "call"))
    effects = read_experiment(frame, metrics=["spend", "retained"], segments=["channel", "age"]).effects
    alone = (effects["lower"] > 0) | (effects["upper"] < 0)
    assert (alone & (effects["p_value"] * 12 > 0.05)).any()
    assert effects.groupby("metric").size().tolist() == [12, 12]
    for _, rows in effects.groupby("metric"):
        holm = multipletests(rows["p_value"], method="holm")[1]
        np.testing.assert_allclose(rows["adjusted_p_value"], holm, rtol=1e-12)
        excludes = (rows["adjusted_lower"] > 0) | (rows["adjusted_upper"] < 0)
        assert (excludes == (rows["p_value"] * 12 < 0.05)).all()


def test_several_arms_and_segments_raise_few_false_alarms():
    rang = []
    for seed in range(250):
        effects = read_experiment(shop(1_200, seed=1_000 + seed), metrics=["purchases"], segments="channel").effects
        rang.append((effects["adjusted_p_value"] < 0.05).any())
    assert np.mean(rang) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 250)


def test_segments_are_read_as_if_they_were_alone():
    frame = shop()
    effects = read_experiment(frame, metrics=["spend"], covariates=["pre_spend"], segments=["channel"]).effects
    web = frame[frame["channel"] == "web"]
    shares = (web["arm"].value_counts() / len(web)).to_dict()
    alone = read_experiment(web, metrics=["spend"], covariates=["pre_spend"], expected_shares=shares).effects
    columns = ["arm", "customers", "control_customers", "effect", "standard_error", "p_value", "variance_ratio"]
    found = effects[(effects["by"] == "channel") & (effects["segment"] == "web")]
    pd.testing.assert_frame_equal(found[columns].reset_index(drop=True), alone[columns])


def test_a_mismatch_is_not_read():
    frame = pd.DataFrame({"arm": ["gate_30"] * 44_700 + ["gate_40"] * 45_489, "retained": 1.0})
    with pytest.raises(SampleRatioError, match=r"gate_40 45,489 where 45,094\.5 were expected; p = 0\.0086") as caught:
        read_experiment(frame, control="gate_30", metrics=["retained"])
    assert isinstance(caught.value, CrmError)
    shares = {"gate_30": 0.495, "gate_40": 0.505}
    assert (
        read_experiment(frame, control="gate_30", metrics=["retained"], expected_shares=shares).sample_ratio.p_value
        > 0.5
    )


def test_the_check_of_sizes_is_a_chi_square_test():
    off = 45_489 - 45_094.5
    by_hand = math.erfc(math.sqrt(2 * off**2 / 45_094.5 / 2))
    found = sample_ratio({"a": 44_700, "b": 45_489}, {"a": 0.5, "b": 0.5})
    assert found.p_value == pytest.approx(by_hand, rel=1e-12)
    assert found.sizes.to_dict("index")["a"] == {"observed": 44_700, "expected": 45_094.5}
    gone = sample_ratio({"a": 100}, {"a": 0.5, "b": 0.5})
    assert gone.p_value < 1e-20


def test_cookie_cats_is_refused():
    if not (SHARED / "cookie_cats.parquet").exists():
        pytest.skip("the Cookie Cats data do not travel with the project")
    players = pd.read_parquet(SHARED / "cookie_cats.parquet").set_index("userid")
    with pytest.raises(SampleRatioError, match="gate_30 44,700"):
        read_experiment(players, arm="test_version", control="gate_30", metrics=["retention_7"])


def test_hillstrom_is_read():
    if not (SHARED / "hillstrom_a.parquet").exists():
        pytest.skip("Hillstrom's data do not travel with the project")
    mailed = pd.read_parquet(SHARED / "hillstrom_a.parquet").set_index("customer_id")
    reading = read_experiment(
        mailed, arm="segment", control="No E-Mail", metrics=["visit", "spend"], segments="channel"
    )
    rows = reading.effects.set_index(["metric", "segment", "arm"])
    for metric in ("visit", "spend"):
        men, nobody = (mailed.loc[mailed["segment"] == arm, metric] for arm in ("Mens E-Mail", "No E-Mail"))
        welch = stats.ttest_ind(men, nobody, equal_var=False)
        row = rows.loc[(metric, "all", "Mens E-Mail")]
        np.testing.assert_allclose(row["p_value"], welch.pvalue, rtol=1e-9)
        np.testing.assert_allclose(row[["lower", "upper"]].to_numpy(float), welch.confidence_interval(), rtol=1e-9)
    assert reading.sample_ratio.p_value > 0.05


def test_an_effect_and_a_save_rate_are_given_with_their_intervals():
    retained = {"control": (600, 1_000), "coupon": (660, 1_000)}
    frame = pd.DataFrame(
        [(arm, float(i < kept)) for arm, (kept, size) in retained.items() for i in range(size)],
        columns=["arm", "retained"],
    )
    reading = read_experiment(frame, metrics=["retained"])
    effect = reading.effect("retained", "coupon")
    assert effect.estimate == pytest.approx(0.06)
    error = math.sqrt((0.6 * 0.4 + 0.66 * 0.34) / 999)
    assert effect.standard_error == pytest.approx(error)
    assert (effect.lower, effect.upper) == pytest.approx((0.06 - 1.6456 * error, 0.06 + 1.6456 * error), rel=1e-4)
    saved = reading.save_rate("coupon")
    assert saved.estimate == pytest.approx(1 - 340 / 400)
    # Katz (1978): the interval of a ratio of rates on the log scale, which Fieller's is near at such counts
    on_log = math.sqrt(1 / 340 - 1 / 1_000 + 1 / 400 - 1 / 1_000)
    katz = [1 - 0.85 * math.exp(sign * 1.6449 * on_log) for sign in (1, -1)]
    assert (saved.lower, saved.upper) == pytest.approx(katz, abs=0.002)
    assert saved.standard_error == pytest.approx(0.85 * on_log, rel=1e-3)


def test_the_reading_says_what_it_is():
    reading = read_experiment(shop(), covariates=["pre_spend"], segments="channel")
    text = reading.summary()
    assert "control 1,000, call 1,000, coupon 1,000; as designed (p = 1)" in text
    assert "adjusted by pre_spend; 95% intervals and p corrected for all rows of a metric" in text
    assert len(text.splitlines()) == 2 + len(reading.effects) == 2 + 3 * 2 * 3
    assert repr(reading) == (
        "ExperimentReading(customers=3,000, arms=['control', 'call', 'coupon'], "
        "metrics=['retained', 'purchases', 'spend'])"
    )


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"metrics": ["profit"]}, SchemaError, "outcomes need a column `profit`"),
        ({"covariates": ["spend"]}, CrmError, "lists of different columns"),
        ({"metrics": "spend"}, CrmError, "lists of different columns"),
        ({"metrics": []}, CrmError, "at least one of them a metric"),
        ({"control": "nobody"}, SchemaError, "must hold the control 'nobody'"),
        ({"arm": "group"}, SchemaError, "column `group`"),
        ({"segments": "region"}, SchemaError, "column `region`"),
        ({"segments": "rare"}, SchemaError, "arm 'control' of `rare` a has 1"),
        ({"segments": "gaps"}, SchemaError, "`gaps` must name a group for every customer; 1 of 3,000"),
        ({"metrics": ["gap"]}, SchemaError, "`gap` must be finite. 1 of 3,000"),
        ({"significance_level": 0.0}, CrmError, "`significance_level` must lie between 0 and 1; got 0.0"),
        ({"significance_level": 1.0}, CrmError, "`significance_level` must lie between 0 and 1; got 1.0"),
        ({"planned_customers": 0}, CrmError, "`planned_customers` must be positive"),
        ({"expected_shares": {"control": 1.0}}, CrmError, "`expected_shares` must map two arms or more"),
        ({"expected_shares": {"control": 0.5, "coupon": 0.5}}, SchemaError, r"\['call'\] have none"),
    ],
)
def test_what_cannot_be_read_is_refused(settings, error, match):
    frame = shop().assign(rare="b", gaps="a", gap=1.0)
    frame.loc[0, ["rare", "gaps", "gap"]] = ["a", None, np.nan]
    with pytest.raises(error, match=match):
        read_experiment(frame, **settings)


def test_customers_are_counted_once():
    frame = shop()
    with pytest.raises(SchemaError, match="every customer once"):
        read_experiment(pd.concat([frame, frame]))
    with pytest.raises(SchemaError, match="has a column of that name"):
        read_experiment(frame.assign(customer_id=1))


def test_what_was_not_read_is_not_given():
    reading = read_experiment(shop(), metrics=["purchases"])
    with pytest.raises(SchemaError, match=r"metric 'retained' and arm 'coupon'; it has metrics \['purchases'\]"):
        reading.save_rate("coupon")
    with pytest.raises(SchemaError, match="arm 'control'"):
        reading.effect("purchases", "control")
    with pytest.raises(CrmError, match="A save rate needs a rate"):
        reading.save_rate("coupon", metric="purchases")
    for level in (0.0, 1.0):
        with pytest.raises(CrmError, match="`level` must lie between 0 and 1"):
            reading.effect("purchases", "coupon", level=level)
