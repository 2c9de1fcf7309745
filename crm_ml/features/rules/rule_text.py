"""Rules as TOML, to be kept beside a shop's other settings and changed by hand."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any

from crm_ml.errors import SchemaError
from crm_ml.features.rules.rules import BOUNDS, AllOf, AnyOf, Rule, Threshold

__all__ = ["quoted", "rule_from_table", "rule_from_toml", "rule_to_toml"]

GROUPS: Mapping[str, type[AllOf] | type[AnyOf]] = {"all_of": AllOf, "any_of": AnyOf}
INDENT = "    "


def rule_from_toml(text: str) -> Rule:
    """Return the rule that a TOML text describes.

    A rule is a table with ``feature``, ``operator`` and one of ``value``, ``quantile`` and ``mean``, or one with a list
    of rules under ``all_of`` or ``any_of``. This one fires for those who wait longer than they use to and either look
    less or are among the tenth longest silent::

        # agreed with the CRM team in March
        all_of = [
            { feature = "interval_stretch", operator = ">=", value = 0.30 },
            { any_of = [
                { feature = "interaction_decline", operator = "<=", value = -0.50 },
                { feature = "recency_days", operator = ">=", quantile = 0.9 },
            ] },
        ]

    Raises
    ------
    SchemaError
        The text is not TOML, or a table is not a rule; the message says which.

    Examples
    --------
    >>> rule_from_toml('feature = "recency_days"' + chr(10) + 'operator = ">="' + chr(10) + 'value = 60')
    Threshold(feature='recency_days', operator='>=', value=60.0, quantile=None, mean=None)
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SchemaError(f"A rule must be TOML: {error}.\nSee `rule_from_toml` for an example.") from error
    return rule_from_table(table, place="")


def rule_to_toml(rule: Rule) -> str:
    """Return a rule as the TOML text that `rule_from_toml` reads.

    Examples
    --------
    >>> from crm_ml.features.rules.rules import any_of
    >>> print(rule_to_toml(any_of(Threshold("recency_days", ">=", 60), Threshold("view_decline", "<=", quantile=0.1))))
    any_of = [
        { feature = "recency_days", operator = ">=", value = 60.0 },
        { feature = "view_decline", operator = "<=", quantile = 0.1 },
    ]
    <BLANKLINE>
    """
    return "".join(f"{entry}\n" for entry in _entries(rule, INDENT))


def _entries(rule: Rule, indent: str) -> list[str]:
    """Return the ``key = value`` pairs of a rule's table; rules within it stand at an indent."""
    if isinstance(rule, Threshold):
        bounds = [(name, getattr(rule, name)) for name in BOUNDS]
        texts = [("feature", rule.feature), ("operator", rule.operator)]
        return [f"{key} = {quoted(text)}" for key, text in texts] + [
            f"{name} = {bound!r}" for name, bound in bounds if bound is not None
        ]
    name = next(name for name, group in GROUPS.items() if isinstance(rule, group))
    rows = [f"{indent}{{ {', '.join(_entries(part, indent + INDENT))} }},\n" for part in rule.rules]
    return [f"{name} = [\n{''.join(rows)}{indent.removesuffix(INDENT)}]"]


def quoted(text: str) -> str:
    r"""Return a text as TOML writes it between quotation marks.

    >>> print(quoted('a 5" screen'))
    "a 5\" screen"
    """
    # JSON leaves DEL as it is, which TOML does not allow; all else that JSON escapes TOML escapes alike
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def rule_from_table(table: Any, *, place: str) -> Rule:
    """Return the rule that a table of a TOML text describes; `place` says which, or is empty for the whole text."""
    keys = set(table) if isinstance(table, Mapping) else set()
    for name, group in GROUPS.items():
        if keys == {name} and isinstance(table[name], list) and table[name]:
            within = f"{place}." if place else ""
            parts = enumerate(table[name])
            return group(tuple(rule_from_table(part, place=f"{within}{name}[{at}]") for at, part in parts))
    if not any(keys == {"feature", "operator", bound} for bound in BOUNDS):
        found = sorted(keys) if isinstance(table, Mapping) else table
        raise SchemaError(
            "A rule must have `feature`, `operator` and one of `value`, `quantile` and `mean`, or a list of rules as "
            f"`all_of` or `any_of`, and nothing else; {place or 'the text'} has {found!r}.\n"
            "Correct it; see `rule_from_toml` for an example."
        )
    try:
        return Threshold(table["feature"], table["operator"], **{name: table[name] for name in BOUNDS if name in table})
    except SchemaError as error:
        raise SchemaError(f"{place or 'The text'} is not a rule: {error}\nCorrect it.") from error
