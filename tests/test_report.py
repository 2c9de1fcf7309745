"""The report is one safe, valid, self-contained and reproducible page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from crm_ml.decisions.lifecycle import LIFECYCLE_STAGES
from crm_ml.decisions.segments import flows, migration
from crm_ml.errors import CrmError, SchemaError
from crm_ml.report import Headline, Note, PlanSummary, ReportContent, write_report
from crm_ml.report.numbers import write_column, write_money
from crm_ml.report.tables import backtest_table, table

HOSTILE = "<script>alert('x')</script>"
VOID = {"meta", "br", "hr", "img", "link", "input"}
SECTIONS = (
    "overview", "segments", "health", "concentration", "accuracy", "judged", "drift", "contacts", "plan", "data",
    "method",
)  # fmt: skip

BACKTEST = pd.DataFrame(
    {
        "predictor": ["churn model", "recency", "churn model", "recency"],
        "cutoff": pd.to_datetime(["2017-08-01", "2017-08-01", "2017-09-01", "2017-09-01"]),
        "customers": [900, 900, 951, 951],
        "auc": [0.8, 0.7, 0.84, 0.72],
        "brier": [0.16, 0.2, 0.18, 0.16],
    }
)


class Page(HTMLParser):
    """Elements with their attributes and the text of the page; fails where tags are not balanced."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.headings: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data.strip())
            if self.open and re.fullmatch("h[1-6]", self.open[-1]):
                self.headings.append((self.open[-1], data.strip()))

    def having(self, attribute: str) -> list[str]:
        return [str(attrs[attribute]) for _, attrs in self.elements if attribute in attrs]


JUDGED = pd.DataFrame(
    {
        "prediction": ["churn", "churn", "clv"],
        "as_of": pd.to_datetime(["2017-09-01", "2017-09-02", "2017-08-01"], utc=True),
        "horizon_days": [30.0, 30.0, 60.0],
        "customers": [2000, 2100, 2200],
        "predicted": [0.25, 0.24, float("nan")],
        "churned": [0.22, 0.26, float("nan")],
        "auc": [0.81, 0.8, float("nan")],
        "expected_spend": [float("nan"), float("nan"), 50_000.0],
        "spend": [float("nan"), float("nan"), 40_000.0],
        "spend_ratio": [float("nan"), float("nan"), 1.25],
    }
)
DRIFT = pd.DataFrame(
    {
        "psi": [0.02, 1.5],
        "psi_limit": [0.25, 0.25],
        "missing_then": [0.0, 0.0],
        "missing_now": [0.0, 0.0],
        "shifted": [False, True],
        "why": ["", "above 900 for 88.0%, in training for 10.0%"],
    },
    index=pd.Index(["recency_days", "spend_30d"], name="column"),
)
KIND = pd.CategoricalDtype(["loyal", HOSTILE], ordered=True)
MONTHS = pd.DatetimeIndex(["2017-09-01", "2017-10-01"], tz="UTC", name="cutoff")
HISTORY = pd.DataFrame([["loyal", HOSTILE], [HOSTILE, HOSTILE], [None, "loyal"]], columns=MONTHS).astype(KIND)
HEALTH = pd.DataFrame(
    {
        "month": MONTHS[[0, 0, 1, 1, 1, 1]],
        "segment": ["all", "all", "all", "all", "loyal", HOSTILE],
        "metric": ["revenue", "repurchase_rate", "revenue", "repurchase_rate", "revenue", "revenue"],
        "value": [3100.0, float("nan"), 2900.0, 0.4123, 1900.0, 1000.0],
        "change": [float("nan"), float("nan"), -200.0, float("nan"), 1.0, 1.0],
        "change_share": [float("nan"), float("nan"), -0.0645, float("nan"), 0.1, 0.1],
    }
)


@pytest.fixture(scope="module")
def content():
    rng = np.random.default_rng(7)
    share = np.linspace(0, 1, 11)
    weeks = pd.date_range("2017-06-05", periods=16, freq="W-MON")
    return ReportContent(
        title="Tea & Co",
        as_of="1 October 2017",
        made_by="crm_ml 0.1.0",
        period="2 January 2016 – 30 September 2017",
        currency="$",
        headlines=[Headline(label="Customers", value="24,931", note="with a purchase")],
        changes=["Revenue fell from $3,100 to $2,900 (usual change −$12 ± $40)", HOSTILE],
        data_counts=pd.DataFrame(
            {"rows": [201455, 24931], "first": [pd.Timestamp("2016-01-02"), pd.NaT]},
            index=["transactions", "customers"],
        ),
        dropped=pd.DataFrame({"rows": [31]}, index=["`amount` was not finite"]),
        fingerprint="sha256:9c1185a5",
        backtest=BACKTEST,
        gains=pd.DataFrame({"predictor": "churn model", "contacted_share": share, "captured_share": share**0.5}),
        judged=JUDGED,
        drift=DRIFT,
        calibration=pd.DataFrame(
            {
                "predicted": [0.4, 0.8],
                "observed": [0.42, 0.79],
                "lower": [0.38, 0.75],
                "upper": [0.46, 0.83],
                "customers": [120, 300],
            }
        ),
        tracking=pd.DataFrame({"actual": rng.poisson(40, 16), "expected": 40.0}, index=weeks),
        train_end=weeks[10],
        clv_holdout=pd.DataFrame({"mae": [38.2, 39.9], "gini": [0.51, 0.5]}, index=["BG/NBD", "lifetimes"]),
        segments=pd.DataFrame({"customers": [10, 30], "spend": [6000.5, 200.0]}, index=["loyal", "new"]),
        flows=flows(HISTORY),
        migration=migration(HISTORY),
        lifecycle=pd.DataFrame({stage: [3, 4] for stage in LIFECYCLE_STAGES}, index=HISTORY.columns),
        health=HEALTH,
        cohorts=pd.DataFrame(
            {"cohort": HISTORY.columns[[0, 0, 1]], "age": [0, 1, 0], "customers": 3, "share": [1, 0.5, 1]}
        ),
        concentration=pd.DataFrame({"customer_share": share, "value_share": 1 - (1 - share) ** 3}),
        contacts=pd.DataFrame(
            {
                "offer": ["coupon10", "call"],
                "cost": [10.0, 25.0],
                "churn_probability": [0.876, 0.5],
                "clv": [310.0, 95.5],
                "expected_gain": [11.7, -0.25],
                "contact_on": pd.to_datetime(["2017-10-04", None], utc=True),
                "reason": ["waits 3 × the usual 9 days", None],
            },
            index=pd.Index([HOSTILE, "C2"], name="customer_id"),
        ),
        plan=PlanSummary(
            budget=50_000,
            spend=49_990,
            expected_gain=50_288,
            upper_bound=50_301.5,
            gap=0.000268,
            contacts=3120,
            value_basis={"coupon10": "assumed", "call": "experiment"},
        ),
        comparison=pd.DataFrame(
            {"expected_gain": [50_288.0, -120.0], "spend": [49_990.0, 50_000.0]}, index=["plan", "top value"]
        ),
        frontier=pd.DataFrame({"budget": [0.0, 50_000.0, 1e5], "expected_gain": [0.0, 50_288.0, 6e4]}),
        notes=[Note(term="Horizon", text="30 days.")],
    )


@pytest.fixture(scope="module")
def text(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    assert write_report(content, path) == path
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_every_section_is_there_in_order_and_linked(page):
    ids = [attrs["id"] for tag, attrs in page.elements if tag == "section"]
    assert ids == [f"{name}-section" for name in SECTIONS]
    assert [link for link in page.having("href") if link.endswith("-section")] == [f"#{name}" for name in ids]


@pytest.mark.parametrize(
    ("section", "fields"),
    [
        (None, []),
        ("overview", ["headlines"]),
        ("overview", ["changes"]),
        ("data", ["dropped"]),
        ("data", ["fingerprint"]),
        ("accuracy", ["clv_holdout"]),
        ("accuracy", ["calibration"]),
        ("judged", ["judged"]),
        ("drift", ["drift"]),
        ("segments", ["segments"]),
        ("segments", ["flows"]),
        ("segments", ["migration"]),
        ("segments", ["lifecycle"]),
        ("health", ["health"]),
        ("health", ["cohorts"]),
        ("concentration", ["concentration"]),
        ("contacts", ["contacts"]),
        ("plan", ["plan"]),
    ],
)
def test_a_section_without_content_is_left_out(content, tmp_path, section, fields):
    bare = ReportContent(title="Tea", as_of="today", made_by="crm_ml", period="2017", currency="$")
    given = replace(bare, **{field: getattr(content, field) for field in fields})
    page = Page(write_report(given, tmp_path / "report.html").read_text(encoding="utf-8"))
    ids = [attrs["id"] for tag, attrs in page.elements if tag == "section"]
    assert ids == [f"{name}-section" for name in SECTIONS if name in (section, "method")]


def test_past_predictions_stand_beside_what_came_the_latest_first(text):
    told = text[text.index("Past predictions, judged</h2>") :]
    assert re.search(r"2017-09-02</th>\s*<td[^>]*>30</td>\s*<td[^>]*>2,100</td>\s*<td[^>]*>24.0%</td>", told)
    assert told.index(">2017-09-02</th>") < told.index(">2017-09-01</th>")
    assert re.search(r"\$50,000</td>\s*<td[^>]*>\$40,000</td>\s*<td[^>]*>125.0%</td>", told)


def test_what_shifted_is_told_first_with_the_remedy(text):
    told = text[text.index("Drift</h2>") :]
    assert "1 of 2 shifted. Check the data feeds first; if they are right, retrain." in told
    assert told.index(">Spend 30d</th>") < told.index(">Recency days</th>")
    assert "above 900 for 88.0%, in training for 10.0%" in told


def test_headings_start_at_one_and_skip_no_level(page):
    levels = [int(tag[1]) for tag, _ in page.headings]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_figure_is_described_and_captioned(page):
    drawings = [attrs for tag, attrs in page.elements if tag == "svg"]
    assert len(drawings) == 13
    assert all(attrs["role"] == "img" and len(str(attrs["aria-label"])) > 40 for attrs in drawings)
    assert len([tag for tag, _ in page.elements if tag == "figcaption"]) == 13


def test_a_hostile_customer_id_is_shown_as_text(page):
    assert HOSTILE in page.texts
    assert "script" not in [tag for tag, _ in page.elements]


def test_nothing_comes_from_another_host(text, page):
    assert not re.search(r"(?i)https?:|//[a-z]|@import|url\((?!#)", text)
    assert page.having("src") == []
    assert all(link.startswith("#") for link in page.having("href"))


def test_figures_hold_shapes_and_no_pictures_that_the_page_would_not_show(page):
    assert not [tag for tag, _ in page.elements if tag in ("image", "img")]


def test_health_is_told_by_month_and_by_segment(text):
    assert re.search(r"2017-10</th>\s*<td[^>]*>41.2%</td>\s*<td[^>]*>\$2,900</td>", text)
    assert re.search(r"2017-09</th>\s*<td[^>]*>–</td>\s*<td[^>]*>\$3,100</td>", text)
    assert text.index(">2017-10</th>") < text.index(">2017-09</th>")
    by_segment = text[text.index("The last month by segment") :]
    assert by_segment.index(">loyal</th>") < by_segment.index("&lt;script&gt;")
    assert "In the last step 1 of 2 customers changed segment; 1 arrived." in text
    assert "50% of customers bought in the month after that of their first purchase." in text


def test_ids_are_unique_and_every_reference_resolves(text, page):
    ids = page.having("id")
    assert len(ids) == len(set(ids))
    named = [link.removeprefix("#") for link in page.having("href")] + page.having("aria-labelledby")
    assert set(named + re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)


def test_equal_content_gives_equal_bytes_and_a_small_page(content, text, tmp_path):
    again = write_report(content, tmp_path / "report.html").read_bytes()
    assert again == text.encode()
    assert len(again) < 500_000


def test_language_and_escaped_title(text, page):
    assert ("html", {"lang": "en"}) in page.elements
    assert "<h1>Tea &amp; Co</h1>" in text


def test_numbers_read_as_the_shop_writes_them(page):
    for shown in ("201,455", "$6,000", "87.6%", "−$0.25", "0.03%", "−$120", "$49,990", "2016-01-02"):
        assert shown in page.texts


def test_the_basis_of_each_offer_is_spelled_out(text):
    assert "The effect of “coupon10” is assumed:" in text
    assert "The effect of “call” is measured against a randomised control group." in text


def test_a_failed_report_leaves_the_old_one(content, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")
    broken = replace(content, gains=content.gains.drop(columns="captured_share"))
    with pytest.raises(SchemaError, match="gains curves need a column `captured_share`"):
        write_report(broken, path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_rename_leaves_no_unfinished_file(tmp_path):
    (tmp_path / "report.html").mkdir()
    bare = ReportContent(title="Tea", as_of="today", made_by="crm_ml", period="2017", currency="$")
    with pytest.raises(OSError, match=r"report\.html"):
        write_report(bare, tmp_path / "report.html")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(("given", "needed"), [("tracking", "train_end"), ("frontier", "plan")])
def test_content_that_needs_more_says_so(content, given, needed):
    with pytest.raises(CrmError, match=f"`{given}` needs `{needed}`"):
        replace(content, **{needed: None})


def test_a_plan_with_an_unknown_basis_is_refused(content):
    with pytest.raises(CrmError, match="`value_basis` must be 'assumed', 'estimated' or 'experiment'"):
        replace(content.plan, value_basis={"coupon10": "uplift"})


def test_backtest_table_puts_means_first_and_marks_the_best():
    made = backtest_table(BACKTEST, caption="Backtest", currency="$")
    assert [group.heading for group in made.groups] == [
        "Mean over 2 cutoffs",
        "Cutoff 2017-09-01",
        "Cutoff 2017-08-01",
    ]
    means, latest, _ = made.groups
    # (900 + 951) / 2 = 925.5, (0.8 + 0.84) / 2 = 0.82, (0.16 + 0.18) / 2 = 0.17, and so on
    assert [[cell.text for cell in row] for row in means.rows] == [
        ["churn model", "926", "0.820", "0.170"],
        ["recency", "926", "0.710", "0.180"],
    ]
    assert [[cell.best for cell in row] for row in latest.rows] == [
        [False, False, True, False],
        [False, False, False, True],
    ]


def test_backtest_table_of_one_cutoff_has_no_mean():
    one = BACKTEST[BACKTEST["cutoff"] == "2017-09-01"]
    assert [group.heading for group in backtest_table(one, caption="", currency="").groups] == ["Cutoff 2017-09-01"]


def test_values_that_read_the_same_are_equally_best():
    close = BACKTEST.assign(auc=[0.80001, 0.80002, 0.7, 0.7])
    latest, earlier = backtest_table(close, caption="", currency="").groups[1:]
    assert [row[2].best for row in earlier.rows] == [True, True]
    assert [row[2].best for row in latest.rows] == [True, True]


def test_a_metric_nobody_could_compute_has_no_best():
    made = backtest_table(BACKTEST.assign(auc=float("nan")), caption="", currency="")
    assert [[row[2].text, row[2].best] for group in made.groups for row in group.rows] == [["–", False]] * 6


def test_an_unknown_column_is_spelled_out_and_kept():
    made = table(pd.DataFrame({"days_since_visit": [3]}, index=["C1"]), caption="", index="Id", currency="$")
    assert [column.label for column in made.columns] == ["Id", "Days since visit"]
    assert [cell.text for cell in made.groups[0].rows[0]] == ["C1", "3"]


@pytest.mark.parametrize(
    ("values", "kind", "written"),
    [
        ([999.994, -0.004], "money", ["$999.99", "$0.00"]),
        ([1000, 0.4], "money", ["$1,000", "$0"]),
        ([None, pd.NA, pd.NaT, float("nan")], "number", ["–"] * 4),
        ([0.0123, 0.5], "number", ["0.012", "0.500"]),
        ([-0.00004, -0.01], "share", ["0.0%", "−1.0%"]),
        ([1234567], "count", ["1,234,567"]),
        ([pd.Timestamp("2017-09-01 13:00")], "date", ["2017-09-01"]),
    ],
)
def test_a_column_is_written_by_its_kind(values, kind, written):
    assert write_column(values, kind, currency="$") == written


def test_money_without_a_currency_is_a_bare_number():
    assert write_money(12.5, currency="") == "12.50"
