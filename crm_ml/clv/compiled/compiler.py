"""Compilation on demand: numba is imported when there is enough work to repay it, and not before."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from crm_ml.clv.compiled import elementary, searching

__all__ = ["MANY_ROWS", "compiled"]

MANY_ROWS = 50_000
"""Rows from which the compiled loops are used; compiling them takes seconds once, loading them a tenth of one."""


@cache
def compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    """Return a loop as machine code, kept on disk beside its source where that can be written.

    Arithmetic stays IEEE's: no operation is fused or reordered, so that the loop computes to the last bit what
    the same operations on arrays do.

    Parameters
    ----------
    loop : callable
        Written in the part of Python that numba compiles; may call the functions of `elementary`.

    Arrays should be what they always are, contiguous and writeable, as each new kind is compiled anew.

    Examples
    --------
    >>> import numpy as np
    >>> def count(values):
    ...     return len(values)
    >>> compiled(count)(np.zeros(3))
    3
    """
    from numba import njit
    from numba.extending import register_jitable

    # a check for division by zero would keep loops from being vectorised
    for module, inline in ((elementary, "always"), (searching, "never")):
        for name in module.__all__:
            if callable(function := getattr(module, name)):
                register_jitable(error_model="numpy", inline=inline)(function)
    try:
        machine_code: Callable[..., Any] = njit(loop, cache=True, error_model="numpy")
    except RuntimeError:  # nowhere to keep it
        machine_code = njit(loop, error_model="numpy")
    return machine_code
