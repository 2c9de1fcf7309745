"""From a shop's log to models, scores, plan and report, and what each step leaves behind."""

import dataclasses
import html
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crm_ml
from crm_ml import scoring
from crm_ml.cli import main
from crm_ml.cli.app import app
from crm_ml.cli.options import console
from crm_ml.cli.tables import print_trained
from crm_ml.errors import ModelError, SchemaError, TooEarlyError
from crm_ml.registry import PendingRun, default_store, load_bundle

AS_OF = "2024-11-01"
MONEY = {"annual_discount_rate": 0.1, "margin": 0.3}
OFFERS = [crm_ml.Offer("coupon", cost=1, save_rate=0.05), crm_ml.Offer("call", cost=6, save_rate=0.2)]


@pytest.fixture(scope="module")
def shop():
    return crm_ml.simulate(700, days=330, seed=5)


@pytest.fixture(scope="module")
def log(shop):
    return crm_ml.CustomerLog(shop.transactions, shop.interactions, n_buckets=3)


@pytest.fixture(scope="module")
def job(log, tmp_path_factory):
    steps = []
    made = crm_ml.run_main_job(
        log,
        as_of=AS_OF,
        offers=OFFERS,
        budget=200,
        directory=tmp_path_factory.mktemp("job") / "models",
        title="A <shop>",
        currency="$",
        on_step=steps.append,
        **MONEY,
    )
    assert steps[-1] == "write scores, plan, segments and report"
    return made


@pytest.fixture(scope="module")
def folder(job):
    return job.report_path.parent


def test_every_predictor_is_judged_at_every_cutoff(job):
    churn = job.assessment.churn.metrics
    assert churn.groupby("predictor").size().tolist() == [3, 3, 3, 3]
    assert (churn["cutoff"] + pd.Timedelta(days=30) <= pd.Timestamp(AS_OF, tz="UTC")).all()
    assert job.assessment.value.metrics["predictor"].tolist() == [
        scoring.assessment.VALUE_MODEL,
        scoring.assessment.CHALLENGER,
        scoring.assessment.BLEND,
        "lifetimes",
        "spend rate so far",
    ]
    assert job.assessment.fitted_until == pd.Timestamp("2024-08-01", tz="UTC")


def test_our_bg_nbd_and_lifetimes_find_the_same_maximum(job, log):
    until = job.assessment.fitted_until
    actual, theirs = (job.assessment.value.predictions[name].droplevel("cutoff") for name in ("actual", "lifetimes"))
    ours = crm_ml.CLVModel(process="BetaGeo", level=None).fit(log, as_of=until)
    forecast = ours.forecast(log, as_of=until, horizon_days=92).loc[actual.index]
    assert (forecast - actual).abs().mean() == pytest.approx((theirs - actual).abs().mean(), rel=1e-3)


def test_scores_cover_everyone_who_bought_before(job, shop):
    bought = shop.transactions[(shop.transactions["timestamp"] < pd.Timestamp(AS_OF, tz="UTC"))]
    assert job.scores.index.tolist() == sorted(bought.loc[bought["amount"] >= 0, "customer_id"].unique())
    assert job.scores["churn_probability"].between(0, 1).all()
    assert (job.scores["clv_lower"] <= job.scores["clv_upper"]).all()
    written = pd.read_parquet(job.scores_path)
    pd.testing.assert_frame_equal(written[job.scores.columns], job.scores)
    pd.testing.assert_series_equal(written["segment"], job.base.segments.latest["segment"])


def test_the_plan_keeps_to_the_budget_and_its_bound(job):
    assert job.plan.spend <= job.plan.budget
    assert job.plan.expected_gain <= job.plan.upper_bound
    rules = job.plan.comparison()
    assert rules.index[0] == "plan"
    assert (rules["expected_gain"] <= job.plan.upper_bound).all()
    pd.testing.assert_frame_equal(pd.read_parquet(job.plan_path), job.plan.assignments)


def test_object_bundle_and_address_give_the_same_scores(job, log, folder):
    store = default_store(folder)
    for source in (job.trained.churn, job.trained.churn_bundle, "models:/churn@champion", "models:/churn/1"):
        found = crm_ml.predict_churn(log, source, as_of=AS_OF, store=store)
        pd.testing.assert_frame_equal(found, job.scores[found.columns])
    for source in (job.trained.clv, job.trained.clv_bundle, "models:/clv@champion"):
        found = crm_ml.predict_clv(log, source, as_of=AS_OF, store=store, **MONEY)
        pd.testing.assert_frame_equal(found, job.scores[found.columns])


def test_a_model_of_the_other_kind_is_refused(job, log):
    with pytest.raises(ModelError, match="must be of kind 'churn'"):
        crm_ml.predict_churn(log, job.trained.clv_bundle, as_of=AS_OF)


def test_a_stranger_loads_the_champions(job, log, folder, tmp_path):
    features = crm_ml.build_features(log, as_of=AS_OF, features=job.trained.churn.feature_set).head(20)
    features.to_parquet(tmp_path / "features.parquet")
    program = (
        "import mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model('models:/churn@champion')\n"
        "model.predict(pd.read_parquet('features.parquet')).to_parquet('found.parquet')\n"
    )
    environment = {key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH", "LANG")}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        env=environment
        | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder.resolve()}/mlflow.db",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "HOME": str(tmp_path),
        },
    )
    found = pd.read_parquet(tmp_path / "found.parquet")
    expected = job.scores.loc[features.index, "churn_probability"]
    np.testing.assert_allclose(found["churn_probability"], expected, rtol=0, atol=1e-12)


def test_bundles_carry_evidence_and_no_customer(job, shop):
    ids = set(shop.customers.index)
    for path in (job.trained.churn_bundle, job.trained.clv_bundle):
        bundle = load_bundle(path)
        assert bundle.metadata["data_fingerprint"]["as_of"].startswith(AS_OF)
        assert bundle.metadata["backtest"]
        window = bundle.metadata["training_window"]
        assert window == {
            "first": shop.transactions["timestamp"].min().isoformat(),
            "before": f"{AS_OF}T00:00:00+00:00",
        }
        words = {
            word for file in path.rglob("*.json") for word in re.findall(r"[\w-]+", file.read_text(encoding="utf-8"))
        }
        assert not ids & words


def test_the_report_shows_every_part(job):
    page = job.report_path.read_text(encoding="utf-8")
    assert "A &lt;shop&gt;" in page
    parts = ("What changed most", "Segments and flows", "Health", "Value concentration", "How right the models were")
    for part in (*parts, "Who to contact and why", "The plan"):
        assert part in page
    assert page.count('<svg class="plot"') == 13
    assert scoring.assessment.CHURN_MODEL in page


def test_the_page_tells_whom_to_contact_when_and_why(job, log):
    page = html.unescape(job.report_path.read_text(encoding="utf-8"))
    first = job.plan.contacts.nlargest(1, "expected_gain").index
    features = crm_ml.build_features(log, as_of=AS_OF, features=job.trained.churn.feature_set).loc[first]
    (reason,) = job.trained.churn.explain(features, top=1)["text"]
    contact_on = job.scores.loc[first[0], "contact_on"]
    row = page[page.index(f'<th scope="row">{first[0]}</th>') :]
    assert f">{contact_on:%Y-%m-%d}</td>" in row[: row.index("</tr>")]
    assert f">{reason}</td>" in row[: row.index("</tr>")]


def test_the_same_moment_twice_gives_the_same_page(job, log, tmp_path):
    policy = crm_ml.SegmentPolicy.from_toml(job.policy_path.read_text(encoding="utf-8"))
    base = crm_ml.customer_base(log, as_of=AS_OF, policy=policy)
    for name in ("once.html", "twice.html"):
        scoring.write_review(
            tmp_path / name,
            log=log,
            assessment=job.assessment,
            base=base,
            churn=job.trained.churn,
            scores=job.scores,
            plan=job.plan,
            title="A <shop>",
            currency="$",
            value_horizon_days=365,
        )
        assert (tmp_path / name).read_bytes() == job.report_path.read_bytes()


def test_training_again_makes_version_2_the_challenger(job, log, folder):
    trained = scoring.train(log, job.assessment, directory=folder, **MONEY)
    assert (trained.churn_run.version, trained.churn_run.alias) == (2, "challenger")
    for alias in ("champion", "challenger"):
        again = crm_ml.predict_churn(log, f"models:/churn@{alias}", as_of=AS_OF, store=default_store(folder))
        pd.testing.assert_series_equal(again["churn_probability"], job.scores["churn_probability"])
    for name, first_day in (("churn", "2024-12-01"), ("clv", "2025-02-01")):
        with pytest.raises(TooEarlyError, match=f"Judge from {first_day} "):
            scoring.promote(log, name, as_of="2024-11-20", store=default_store(folder))


def test_what_is_not_in_mlflow_yet_is_printed(job, folder, capsys):
    kept = PendingRun(folder / "pending" / "20241101T000000.000000Z-9f2c", "no answer")
    print_trained(console, dataclasses.replace(job.trained, clv_run=kept))
    printed = capsys.readouterr().out
    assert f"churn   models:/churn@champion is version 1; bundle {folder / 'churn'}" in printed
    assert f"clv     not in MLflow yet, kept in {kept.dossier}: crm-ml sync records it" in printed


def test_without_a_model_the_default_is_fitted_and_said_so(log, caplog):
    with caplog.at_level(logging.WARNING, logger="crm_ml"):
        crm_ml.predict_clv(log, as_of=AS_OF, **MONEY)
    assert "No model given" in caplog.text


def test_nobody_before_as_of_is_said(job, log):
    with pytest.raises(SchemaError, match=r"Scores need a purchase before `as_of` 2023"):
        crm_ml.predict_churn(log, job.trained.churn, as_of="2023-01-01")


def test_a_log_too_short_to_judge_is_refused(log):
    with pytest.raises(SchemaError, match="A backtest needs"):
        scoring.assess(log, as_of="2024-05-01")


@pytest.fixture
def files(shop, tmp_path):
    shop.transactions.rename(columns={"customer_id": "who"}).to_csv(tmp_path / "orders.csv", index=False)
    shop.interactions.rename(columns={"customer_id": "who"}).to_parquet(tmp_path / "events.parquet")
    log = ["--transactions", str(tmp_path / "orders.csv"), "--interactions", str(tmp_path / "events.parquet")]
    return [*log, "--column", "who=customer_id", "--as-of", AS_OF, "--margin", "0.3", "--annual-discount-rate", "0.1"]


def test_the_command_trains_scores_and_reports(files, job, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(scoring, "assess", lambda *_, **__: job.assessment)  # of the same log at the same moment
    models = ["--directory", str(tmp_path / "models")]
    app(["train", *files, *models], standalone_mode=False)
    assert "models:/churn@champion is version 1" in capsys.readouterr().out
    both = ["--model", "models:/churn@champion", "--model", "models:/clv@champion"]
    app(["score", *files, *models, *both, "--out", str(tmp_path / "scores")], standalone_mode=False)
    found = scoring.read_scores(tmp_path / "scores")
    np.testing.assert_allclose(found["churn_probability"], job.scores["churn_probability"], rtol=0, atol=1e-12)
    page = tmp_path / "report.html"
    plan = ["--offer", "coupon:1:0.05", "--offer", "call:6:0.2", "--budget", "200"]
    segments = ["--segments", str(job.policy_path), "--runs", str(tmp_path / "scores")]
    app(["report", *files, *models, *plan, *segments, "--out", str(page)], standalone_mode=False)
    told = page.read_text(encoding="utf-8")
    assert "Who to contact and why" in told
    assert f"Of policy {job.base.segments.policy.version_}" in told


def test_the_command_ends_bad_input_with_its_message(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["crm-ml", "score", *files, "--out", "x", "--model", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="4"):
        main()
    assert "ModelError" in capsys.readouterr().err


def test_every_command_has_help(capsys):
    for command in ("demo", "train", "score", "report", "promote", "rollback", "sync"):
        app([command, "--help"], standalone_mode=False)
        assert Path(__file__).name not in capsys.readouterr().out
