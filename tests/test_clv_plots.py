"""The displays of the purchase process draw what their frames say, and leave matplotlib's global state alone."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.dates import date2num

from crm_ml.errors import SchemaError
from crm_ml.plots import (
    AliveHistoryDisplay,
    CustomersDisplay,
    DistributionDisplay,
    HoldoutDisplay,
    MatrixDisplay,
    draw_svg,
)

GROUPS = pd.DataFrame(
    {"customers": [1411, 439, 64], "actual": [0.24, 0.7, 6.4], "expected": [0.23, 0.52, 6.2]}, index=["0", "1", "2+"]
)
CUSTOMERS = pd.DataFrame({"actual": [1411, 439, 64], "expected": [1407.7, 460.3, 146.0]}, index=["0", "1", "2+"])
MATRIX = pd.DataFrame([[1.0, np.nan, np.nan], [np.nan, 0.2, 0.1], [np.nan, 0.6, 0.9]])
HISTORY = pd.DataFrame(
    {"purchased": [True, False, True, False], "probability_alive": [1.0, 1.0, 0.75, 0.74]},
    index=pd.date_range("1997-01-10", periods=4, tz="UTC", name="day"),
)
BINS = pd.DataFrame(
    {"above": [0.0, 5.0, 10.0], "up_to": [5.0, 10.0, np.inf], "actual": [12, 5, 2], "expected": [11.0, 6.5, 1.2]}
)

DISPLAYS = {
    "customers": lambda: CustomersDisplay(CUSTOMERS),
    "holdout": lambda: HoldoutDisplay(GROUPS, period="39 weeks"),
    "matrix": lambda: MatrixDisplay(MATRIX, quantity="P(alive)", time_unit="weeks", share=True),
    "history": lambda: AliveHistoryDisplay(HISTORY),
    "distribution": lambda: DistributionDisplay(BINS, quantity="mean spend", counted="customers", currency="$"),
}


def labelled(ax, label):
    (line,) = (line for line in ax.lines if line.get_label() == label)
    return line


@pytest.mark.parametrize("name", DISPLAYS)
def test_drawing_twice_gives_the_same_bytes(name):
    first, second = (draw_svg(DISPLAYS[name](), name=name, description="a figure") for _ in range(2))
    assert first == second


def test_customers_are_two_bars_a_group():
    ax = CustomersDisplay(CUSTOMERS).plot().ax_
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == [*CUSTOMERS["actual"], *CUSTOMERS["expected"]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1", "2+"]


def test_holdout_draws_both_means_and_names_the_groups():
    ax = HoldoutDisplay(GROUPS, period="39 weeks").plot().ax_
    np.testing.assert_array_equal(labelled(ax, "actual").get_ydata(), GROUPS["actual"])
    np.testing.assert_array_equal(labelled(ax, "expected").get_ydata(), GROUPS["expected"])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0\n1,411", "1\n439", "2+\n64"]
    assert ax.get_ylabel() == "mean purchases in the next 39 weeks"


def test_matrix_puts_the_latest_recency_on_top_and_blanks_what_cannot_be():
    ax = MatrixDisplay(MATRIX, quantity="P(alive)", time_unit="weeks", share=True).plot().ax_
    (image,) = ax.images
    assert image.get_extent() == [-0.5, 2.5, -0.5, 2.5]
    assert image.origin == "lower"
    assert image.get_clim() == (0, 1)
    drawn = image.get_array()
    np.testing.assert_array_equal(np.ma.filled(drawn, np.nan), MATRIX.to_numpy())
    assert image.to_rgba(drawn)[0, 1, 3] == 0  # transparent
    assert ax.get_ylabel() == "weeks from first to last purchase"
    (bar,) = ax.child_axes
    assert bar.get_ylabel() == "P(alive)"


def test_matrix_of_numbers_is_shaded_up_to_its_own_largest():
    display = MatrixDisplay(MATRIX * 5, quantity="purchases", time_unit="days").plot()
    assert display.ax_.images[0].get_clim() == (0, 5)


def test_history_draws_the_path_and_every_purchase():
    ax = AliveHistoryDisplay(HISTORY).plot().ax_
    np.testing.assert_array_equal(labelled(ax, "P(alive)").get_ydata(), HISTORY["probability_alive"])
    (purchases,) = ax.collections
    at = [segment[0, 0] for segment in purchases.get_segments()]
    assert at == date2num(HISTORY.index[HISTORY["purchased"]]).tolist()


def test_distribution_draws_closed_bins_and_writes_the_open_one():
    ax = DistributionDisplay(BINS, quantity="mean spend", counted="customers", currency="$").plot().ax_
    assert [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in ax.patches] == [(0, 5, 12), (5, 5, 5)]
    np.testing.assert_array_equal(labelled(ax, "expected").get_xydata(), [[2.5, 11.0], [7.5, 6.5]])
    assert [text.get_text() for text in ax.texts] == ["beyond $10: actual 2, expected 1"]
    assert ax.get_xlim() == (0, 10)


def test_distribution_without_an_open_bin_writes_nothing():
    ax = DistributionDisplay(BINS.iloc[:2], quantity="mean spend", counted="customers").plot().ax_
    assert [bar.get_height() for bar in ax.patches] == [12, 5]
    assert list(ax.texts) == []


def test_actual_and_expected_do_not_share_a_look():
    ax = HoldoutDisplay(GROUPS, period="39 weeks").plot().ax_
    actual, expected = labelled(ax, "actual"), labelled(ax, "expected")
    assert to_hex(actual.get_color()) != to_hex(expected.get_color())
    assert actual.get_marker() != expected.get_marker()


@pytest.mark.parametrize(
    ("make", "missing"),
    [
        (lambda: CustomersDisplay(CUSTOMERS[["actual"]]), "expected"),
        (lambda: HoldoutDisplay(GROUPS[["actual", "expected"]], period="a year"), "customers"),
        (lambda: AliveHistoryDisplay(HISTORY[["purchased"]]), "probability_alive"),
        (lambda: DistributionDisplay(BINS.drop(columns="up_to"), quantity="days", counted="gaps"), "up_to"),
    ],
)
def test_a_missing_column_is_named(make, missing):
    with pytest.raises(SchemaError, match=f"need a column `{missing}`"):
        make()
