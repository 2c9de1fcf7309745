"""Compilation on demand: numba is imported when a loop is first asked for, and not before."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["callable_within_loops", "compiled"]

_SUMMED = {"contract", "reassoc", "nsz", "arcp"}


@cache
def compiled(
    loop: Callable[..., Any], *, sums: bool = False, calls: tuple[Callable[..., Any], ...] = ()
) -> Callable[..., Any]:
    """Return a loop as machine code, kept on disk beside its source where that can be written.

    Arithmetic stays IEEE's: no operation is fused or reordered. The interpreter's lock is let go while it runs.

    Parameters
    ----------
    loop : callable
        Written in the part of Python that numba compiles.
    sums : bool, default False
        Whether the loop's own operations may be fused and reordered.
    calls : tuple of callable
        Functions that the loop calls, which become part of it.

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

    for function in calls:
        callable_within_loops(function, inlined=True)
    # a check for division by zero would keep loops from being vectorised
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True, "fastmath": _SUMMED if sums else False}
    try:
        machine_code: Callable[..., Any] = njit(loop, cache=True, **options)
    except RuntimeError:  # nowhere to keep it
        machine_code = njit(loop, **options)
    return machine_code


@cache
def callable_within_loops(function: Callable[..., Any], *, inlined: bool = False) -> None:
    """Let compiled loops call a function.

    Parameters
    ----------
    inlined : bool, default False
        Whether it becomes part of every loop that calls it.
    """
    from numba.extending import register_jitable

    register_jitable(error_model="numpy", forceinline=inlined, fastmath=False)(function)
