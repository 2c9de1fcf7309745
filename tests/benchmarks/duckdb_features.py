"""The default features and the labels once more, in DuckDB's SQL: one query per cutoff over two Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

DAY = 86_400_000_000
BATCH = 200_000

EVENTS = """
CREATE VIEW money AS SELECT customer_id, epoch_us(timestamp) AS t, amount FROM '{folder}/transactions.parquet';
CREATE VIEW acts AS SELECT customer_id, epoch_us(timestamp) AS t, event_type FROM '{folder}/interactions.parquet'
"""

FEATURES = """
WITH spent AS (
    SELECT customer_id, max(t) FILTER (amount >= 0) AS last, min(t) FILTER (amount >= 0) AS first,
        sum(amount) AS spend, sum(greatest(amount, 0)) AS paid, {rfm}
    FROM money WHERE t < {cutoff} GROUP BY customer_id HAVING bool_or(amount >= 0)),
days AS (
    SELECT customer_id, t // {day} AS day, min(t) AS t
    FROM money WHERE t < {cutoff} AND amount >= 0 GROUP BY customer_id, day),
gaps AS (
    SELECT customer_id, t, day - lag(day) OVER ordered AS gap, row_number() OVER ordered AS number,
        count(*) OVER customer AS n_days, max(t) OVER customer AS last
    FROM days
    WINDOW ordered AS (PARTITION BY customer_id ORDER BY day), customer AS (PARTITION BY customer_id)),
population AS (SELECT ln(median(least(gap, 3650))) AS prior FROM gaps WHERE number = n_days AND gap IS NOT NULL),
intervals AS (
    SELECT customer_id, count(gap) AS n, least(count(gap), 3) AS n_recent, coalesce(sum(ln(gap)), 0) AS total,
        coalesce(sum(ln(gap)) FILTER (number > n_days - 3), 0) AS recent,
        ({cutoff} - max(t)) / {day} AS waiting,
        count(*) FILTER (gap > ({cutoff} - last) / {day}) AS longer,
        coalesce(n * covar_pop(ln(gap), number), 0) / (n * (n * n - 1.0) / 12 + 1) AS gap_trend,
        sqrt(coalesce(n * var_pop(ln(gap)), 0) / (n + 1)) AS gap_spread
    FROM gaps GROUP BY customer_id),
usual AS (
    SELECT *, exp((total + 2 * prior) / (n + 2)) AS usual_gap_days,
        (total - recent + 2 * prior) / (n - n_recent + 2) AS base, (recent + 2 * base) / (n_recent + 2) AS recent_mean
    FROM intervals CROSS JOIN population),
by_kind AS (
    SELECT customer_id, event_type AS kind, count(*) FILTER (t >= {cutoff} - 30 * {day}) AS recent,
        count(*) FILTER (t < {cutoff} - 30 * {day} AND t >= {cutoff} - 120 * {day}) AS earlier,
        sum(pow(2, -({cutoff} - t) / {day} / 30)) AS decayed, max(t) AS last
    FROM acts WHERE t < {cutoff} GROUP BY customer_id, event_type),
acted AS (SELECT customer_id, {pivoted} FROM by_kind GROUP BY customer_id)
SELECT customer_id, ({cutoff} - spent.last) / {day} AS recency_days, ({cutoff} - first) / {day} AS tenure_days,
    n::DOUBLE AS frequency, spend / (n + 1) AS monetary, spend,
    CASE WHEN paid > 0 THEN (paid - spend) / paid END AS returned_share, {rfm_names},
    n::DOUBLE AS gaps, usual_gap_days, waiting / usual_gap_days - 1 AS interval_stretch,
    exp(recent_mean - base) - 1 AS last_gaps_stretch, gap_trend, gap_spread,
    (longer + 0.5) / (n + 1) AS longer_gaps_share, {decline}
FROM spent JOIN usual USING (customer_id) LEFT JOIN acted USING (customer_id)
"""

PANEL = """
WITH features AS ({features}),
ahead AS (
    SELECT customer_id, count(DISTINCT t // {day}) FILTER (amount >= 0) AS bought, sum(amount) AS spent
    FROM money WHERE t >= {cutoff} AND t < {cutoff} + {horizon} GROUP BY customer_id)
SELECT make_timestamp({cutoff}) AT TIME ZONE 'UTC' AS cutoff, features.*, {horizon} / {day} AS horizon_days,
    make_timestamp({cutoff} + {horizon}) AT TIME ZONE 'UTC' AS label_end,
    coalesce(bought, 0)::DOUBLE AS purchase_days_ahead, coalesce(spent, 0) AS spend_ahead,
    (coalesce(bought, 0) = 0)::DOUBLE AS churned
FROM features LEFT JOIN ahead USING (customer_id)
"""

WINDOW_SUMS = """count(*) FILTER (amount >= 0 AND t >= {{cutoff}} - {w} * {{day}})::DOUBLE AS orders_{w}d,
sum(CASE WHEN t >= {{cutoff}} - {w} * {{day}} THEN amount ELSE 0 END) AS spend_{w}d"""
DECAYED_ORDERS = "sum(pow(2, -({{cutoff}} - t) / {{day}} / {h})) FILTER (amount >= 0) AS orders_decayed_{h}d"
PIVOTED = "max({name}) FILTER (kind = '{kind}') AS {kind}_{name}"
DECLINE = """coalesce({kind}_recent, 0)::DOUBLE AS {kind}_30d,
coalesce({kind}_recent, 0) / ((coalesce({kind}_earlier, 0) + 1) / 4) - 1 AS {kind}_decline,
coalesce({kind}_decayed, 0) AS {kind}_decayed, ({{cutoff}} - {kind}_last) / {{day}} AS days_since_{kind}"""


def features_sql(kinds: Sequence[str], cutoff: int) -> str:
    """Return the query for the features as of a cutoff."""
    windows, half_lives = (30, 90, 365), (14, 60)
    moment = {"cutoff": cutoff, "day": DAY}
    names = [f"{what}_{w}d" for w in windows for what in ("orders", "spend")]
    rfm = [WINDOW_SUMS.format(w=w) for w in windows] + [DECAYED_ORDERS.format(h=h) for h in half_lives]
    states = ("recent", "earlier", "decayed", "last")
    return FEATURES.format(
        rfm=", ".join(rfm).format(**moment),
        rfm_names=", ".join(names + [f"orders_decayed_{h}d" for h in half_lives]),
        pivoted=", ".join(PIVOTED.format(kind=kind, name=name) for kind in kinds for name in states),
        decline=", ".join(DECLINE.format(kind=kind) for kind in kinds).format(**moment),
        **moment,
    )


def connect(folder: Path, *, threads: int) -> duckdb.DuckDBPyConnection:
    """Return a database that sees a shop's files."""
    connection = duckdb.connect(config={"threads": threads})
    connection.execute(EVENTS.format(folder=folder))
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def sql_features(
    connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[int], *, horizon_days: int | None
) -> Iterator[pa.RecordBatch]:
    """Yield the features at each cutoff, with labels where a horizon is given."""
    found = f"SELECT DISTINCT event_type FROM acts WHERE t < {cutoffs[0]} ORDER BY event_type"
    kinds = [kind for (kind,) in connection.execute(found).fetchall()]
    for cutoff in cutoffs:
        query = features_sql(kinds, cutoff)
        if horizon_days is not None:
            query = PANEL.format(features=query, cutoff=cutoff, day=DAY, horizon=horizon_days * DAY)
        yield from connection.sql(query).to_arrow_reader(BATCH)
