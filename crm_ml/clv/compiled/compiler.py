"""Compilation on demand: numba is imported when there is enough work to repay it, and not before."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crm_ml.clv.compiled import elementary, searching

__all__ = ["MANY_ROWS", "compiled", "plain"]

MANY_ROWS = 50_000
"""Rows from which the compiled loops are used; compiling them takes seconds once, loading them a tenth of one."""

Array = NDArray[np.float64]

_SUMMED = {"contract", "reassoc", "nsz", "arcp"}


@cache
def compiled(loop: Callable[..., Any], *, sums: bool = False) -> Callable[..., Any]:
    """Return a loop as machine code, kept on disk beside its source where that can be written.

    Arithmetic stays IEEE's: no operation is fused or reordered, so that the loop computes to the last bit what
    the same operations on arrays do. That of `elementary` does so even where ``sums`` may be added up in any order.

    Parameters
    ----------
    loop : callable
        Written in the part of Python that numba compiles; may call the functions of `elementary`.
    sums : bool, default False
        Whether the loop's own operations may be fused and reordered.

    Arrays should be what they always are, contiguous and writeable, as each new kind is compiled anew.

    Examples
    --------
    >>> def count(values):
    ...     return len(values)
    >>> compiled(count)(np.zeros(3))
    3
    """
    from numba import njit

    _register()
    # a check for division by zero would keep loops from being vectorised
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": _SUMMED if sums else False}
    try:
        machine_code: Callable[..., Any] = njit(loop, cache=True, **options)
    except RuntimeError:  # nowhere to keep it
        machine_code = njit(loop, **options)
    return machine_code


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
    from numba.extending import register_jitable

    for module, forced in ((elementary, True), (searching, False)):
        for name in module.__all__:
            if callable(function := getattr(module, name)):
                register_jitable(error_model="numpy", forceinline=forced, fastmath=False)(function)
