"""Who is in which arm of an experiment, and what the experiment can find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.columns import check_key
from crm_ml.decisions.draws import salted_draws
from crm_ml.decisions.experiments.planning import Baseline, minimum_detectable_effect
from crm_ml.decisions.experiments.shares import check_shares, cut_at_shares, cut_strata
from crm_ml.errors import SchemaError, missing_column

__all__ = ["ExperimentDesign", "design_experiment"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class ExperimentDesign:
    """An experiment before its start.

    Attributes
    ----------
    arm : Series
        Categorical, indexed by customer as the customers given: the arm of each.
    shares : dict of arm to share
        As given, the control among them: the ``expected_shares`` of `read_experiment`.
    control : str
    salt : str
    sizes : Series
        Customers in each arm.
    balance : DataFrame
        Customers in each arm by stratum; one row, "all", without strata.
    minimum_detectable_effects : DataFrame
        One row per outcome planned for and arm: ``metric``, ``arm``, ``baseline``, ``effect`` (the least increase
        found with `power`, in the unit of the outcome) and ``relative_effect`` (over the baseline).
    significance_level, power : float
        Of the minimum detectable effects.
    """

    arm: pd.Series[str]
    shares: dict[str, float]
    control: str
    salt: str
    sizes: pd.Series[int]
    balance: pd.DataFrame
    minimum_detectable_effects: pd.DataFrame
    significance_level: float
    power: float

    def summary(self) -> str:
        """Return the design in a few lines of text."""
        strata = f", {len(self.balance):,} strata" if len(self.balance) > 1 else ""
        lines = [f"{len(self.arm):,} customers{strata}, salt {self.salt!r}, control {self.control!r}"]
        lines += [f"  {arm}: {size:,} customers, share {self.shares[str(arm)]:.1%}" for arm, size in self.sizes.items()]
        found = f"is found with probability {self.power:.0%} at {self.significance_level:.0%}"
        lines += [
            f"  {row.metric}, {row.arm}: an increase of {row.effect:.4g} on {row.baseline:.4g} "
            f"({row.relative_effect:+.1%}) {found}"
            for row in self.minimum_detectable_effects.itertuples()
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{arm}={size:,}" for arm, size in self.sizes.items())
        return f"ExperimentDesign({sizes}, salt={self.salt!r})"


def design_experiment(
    customers: pd.DataFrame,
    arms: Mapping[str, float],
    *,
    salt: str,
    control: str = "control",
    stratify_by: str | Sequence[str] = (),
    baselines: Mapping[str, Baseline] | None = None,
    significance_level: float = 0.05,
    power: float = 0.8,
) -> ExperimentDesign:
    """Assign customers to arms by a salted hash of their identifiers.

    Neither the order of rows nor the run changes an assignment; another salt gives one that is independent of it.
    Without strata a customer's arm depends on nobody else, so that customers who come later can be assigned by the
    same call. With strata it depends on who is there: assign all at once.

    Parameters
    ----------
    customers : DataFrame
        One row per customer, indexed by customer_id.
    arms : mapping of arm to share
        Shares above 0 that sum to 1, the control among them.
    salt : str
        Name of the experiment, never used before.
    control : str
        The arm that the others are compared with.
    stratify_by : str or sequence of str
        Columns within whose combinations every arm gets its share to within one customer. A missing value is a value.
    baselines : mapping of outcome to Baseline, optional
        What is known of outcomes, for the minimum detectable effects.
    significance_level, power : float
        See `crm_ml.decisions.experiments.minimum_detectable_effect`.

    Returns
    -------
    ExperimentDesign

    Raises
    ------
    SchemaError
        If the index is no key, a column is missing, or there are too few customers for an arm to have any.
    CrmError
        If a setting is outside its domain.

    Examples
    --------
    >>> customers = pd.DataFrame({"segment": ["loyal"] * 60 + ["at risk"] * 41},
    ...                          index=pd.RangeIndex(101, name="customer_id"))
    >>> design = design_experiment(customers, {"control": 0.5, "coupon": 0.5}, salt="spring", stratify_by="segment",
    ...                            baselines={"retained": Baseline(0.6)})
    >>> design.balance.to_dict("index")
    {'at risk': {'control': 21, 'coupon': 20}, 'loyal': {'control': 30, 'coupon': 30}}
    >>> print(design.summary())
    101 customers, 2 strata, salt 'spring', control 'control'
      control: 51 customers, share 50.0%
      coupon: 50 customers, share 50.0%
      retained, coupon: an increase of 0.241 on 0.6 (+40.2%) is found with probability 80% at 5%
    """
    check_shares(arms, control=control)
    check_key(customers, "customers")
    columns = [stratify_by] if isinstance(stratify_by, str) else list(stratify_by)
    names, shares = list(arms), np.array(list(arms.values()), dtype=np.float64)
    strata, keys, codes = _assigned(customers, columns, shares, salt=salt)
    counts = np.bincount(strata * len(names) + codes, minlength=len(keys) * len(names)).reshape(-1, len(names))
    balance = pd.DataFrame(counts, index=keys, columns=pd.Index(names, name="arm"))
    sizes = balance.sum()
    _check_sizes(sizes)
    detectable = {
        metric: minimum_detectable_effect(
            baseline, len(customers), arms, control=control, significance_level=significance_level, power=power
        )
        for metric, baseline in (baselines or {}).items()
    }
    return ExperimentDesign(
        arm=pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(names)), index=customers.index, name="arm"),
        shares=dict(arms),
        control=control,
        salt=salt,
        sizes=sizes,
        balance=balance,
        minimum_detectable_effects=_effects_table(detectable, baselines or {}),
        significance_level=significance_level,
        power=power,
    )


def _assigned(
    customers: pd.DataFrame, columns: list[str], shares: Floats, *, salt: str
) -> tuple[Integers, pd.Index, Integers]:
    """Return each customer's stratum, what the strata are, and each customer's arm."""
    draws = salted_draws(customers.index, salt=salt)
    if not columns:
        everyone = np.zeros(len(customers), dtype=np.int64)
        return everyone, pd.Index(["all"], name="stratum"), cut_at_shares(draws, shares)
    for column in columns:
        if column not in customers.columns:
            remedy = "Join it, or stratify by others."
            raise SchemaError(missing_column(column, map(str, customers.columns), what="customers", remedy=remedy))
    numbers = customers.groupby(columns, dropna=False, observed=True).ngroup()
    strata: Integers = np.asarray(numbers, dtype=np.int64)
    firsts = customers[columns].iloc[np.unique(strata, return_index=True)[1]]
    keys: pd.Index = pd.MultiIndex.from_frame(firsts) if len(columns) > 1 else pd.Index(firsts[columns[0]])
    labels = pd.Index(["\x1f".join(map(str, key)) for key in firsts.itertuples(index=False)], dtype="str")
    offsets = salted_draws(labels, salt=f"strata of {salt}")
    return strata, keys, cut_strata(draws, strata, offsets, shares)


def _check_sizes(sizes: pd.Series[int]) -> None:
    if empty := [str(arm) for arm in sizes.index[sizes == 0]]:
        raise SchemaError(
            f"Every arm must have customers; {empty} got none of {sizes.sum():,}.\n"
            "Give more customers, larger shares or fewer arms."
        )


def _effects_table(detectable: Mapping[str, pd.Series[float]], baselines: Mapping[str, Baseline]) -> pd.DataFrame:
    rows = [
        (metric, arm, baselines[metric].mean, effect, effect / baselines[metric].mean)
        for metric, effects in detectable.items()
        for arm, effect in effects.items()
    ]
    return pd.DataFrame(rows, columns=["metric", "arm", "baseline", "effect", "relative_effect"])
