"""The compiled loops of the CLV models, which may call the functions of `elementary` and `searching`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import crm_ml.compiled
from crm_ml.clv.compiled import elementary, searching

__all__ = ["MANY_ROWS", "compiled", "plain"]

MANY_ROWS = 50_000
"""Rows from which the compiled loops are used; compiling them takes seconds once, loading them a tenth of one."""

Array = NDArray[np.float64]


def compiled(loop: Callable[..., Any], *, sums: bool = False) -> Callable[..., Any]:
    """Return a loop as machine code; see `crm_ml.compiled.compiled`.

    It computes to the last bit what the same operations on arrays do. That of `elementary` does so even
    where ``sums`` may be added up in any order.
    """
    _register()
    return crm_ml.compiled.compiled(loop, sums=sums)


def plain(*columns: Array) -> list[Array]:
    """Return columns as every compiled loop expects what it reads: in one piece, and not to be written to.

    Examples
    --------
    >>> plain(np.zeros((3, 2))[:, 0])[0].flags.writeable
    False
    """
    views = [np.ascontiguousarray(column, dtype=float).view() for column in columns]
    for view in views:
        view.flags.writeable = False
    return views


@cache
def _register() -> None:
    for module, inlined in ((elementary, True), (searching, False)):
        for name in module.__all__:
            if callable(function := getattr(module, name)):
                crm_ml.compiled.callable_within_loops(function, inlined=inlined)
