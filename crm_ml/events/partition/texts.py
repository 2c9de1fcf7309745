"""Texts as their bytes: where each begins, and the bytes of all."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crm_ml.compiled import compiled

__all__ = ["bytes_of", "text_parts"]

Int = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def text_parts(texts: pa.Array) -> tuple[Int, Bytes]:
    """Return where each text of an Arrow array begins, with the end of the last, and the bytes of all.

    >>> begins, content = text_parts(pa.array(["ann", "bob"]))
    >>> begins.tolist(), content[:6].tobytes()
    ([0, 3, 6], b'annbob')
    >>> text_parts(pa.array(["ann", "bob", "eve"], pa.large_string())[1:])[0].tolist()  # the cast moves the offset
    [3, 6, 9]
    """
    cast = texts.cast(pa.string())
    _, places, content = cast.buffers()
    begins = np.frombuffer(places, dtype=np.int32)[cast.offset : cast.offset + len(cast) + 1].astype(np.int64)
    held = np.zeros(0, dtype=np.uint8) if content is None else np.frombuffer(content, dtype=np.uint8)
    return begins, held


def bytes_of(begins: Int, content: Bytes, rows: Int) -> Bytes:
    """Return the bytes of some texts, one after the other.

    >>> bytes_of(*text_parts(pa.array(["ann", "bob"])), np.array([1, 1, 0])).tobytes()
    b'bobbobann'
    """
    taken = np.empty(int((begins[rows + 1] - begins[rows]).sum()), dtype=np.uint8)
    compiled(_take)(begins, content, rows, taken)
    return taken


def _take(begins: Any, content: Any, rows: Any, taken: Any) -> None:
    at = 0
    for row in rows:
        for byte in range(begins[row], begins[row + 1]):
            taken[at] = content[byte]
            at += 1
