"""The sample that travels with the library: a year of baskets at a grocer, dunnhumby's Complete Journey."""

from __future__ import annotations

from pathlib import Path

from crm_ml.errors import SchemaError
from crm_ml.events.log import CustomerLog

__all__ = ["load_sample"]


def load_sample() -> CustomerLog:
    """Return the sample log: 155,848 baskets of 2,469 households in 2017, with campaign contacts and coupons.

    Amounts are US dollars. Source and licence (CC0) are in ``data/sample/README.md``.

    Examples
    --------
    >>> load_sample().n_customers
    2469
    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "sample_data", here.parents[2] / "data" / "sample"):
        if (folder / "transactions.parquet").exists():
            return CustomerLog(folder / "transactions.parquet", folder / "interactions.parquet")
    raise SchemaError("The sample must lie inside the installed package; it is missing.\nInstall the package again.")
