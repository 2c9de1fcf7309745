"""A hash of identifiers that no version, machine or batch changes: SplitMix64's finaliser over words of eight bytes.

The finaliser is that of Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators",
in Stafford's variant 13. Equal text gives equal hashes; whoever needs to be sure of the reverse compares the text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crm_ml.compiled import compiled
from crm_ml.events.partition.texts import text_parts

__all__ = ["Hashes", "hash_integers", "hash_texts", "mixed"]

Hashes = npt.NDArray[np.uint64]


def mixed(h: Any) -> Any:
    """Return a word whose every bit depends on every bit of `h`; one to one.

    >>> hex(mixed(np.array([1], dtype=np.uint64))[0])
    '0x5692161d100b05e5'
    """
    h = h ^ (h >> np.uint64(30))
    h = h * np.uint64(0xBF58476D1CE4E5B9)
    h = h ^ (h >> np.uint64(27))
    h = h * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def hash_texts(texts: pa.Array) -> Hashes:
    """Return the hash of each text of an Arrow array, 0 where there is none.

    >>> [hex(found) for found in hash_texts(pa.array(["ann", None]))]
    ['0xd1a44133f01b6650', '0x0']
    """
    begins, content = text_parts(texts)
    words = np.zeros(len(content) // 8 + 2, dtype=np.uint64)
    words.view(np.uint8)[: len(content)] = content
    hashes: Hashes = np.empty(len(texts), dtype=np.uint64)
    compiled(_hash_texts, calls=(mixed,))(begins, words, hashes)
    if texts.null_count:
        hashes[texts.is_null().to_numpy(zero_copy_only=False)] = 0
    return hashes


def hash_integers(values: npt.NDArray[np.int64]) -> Hashes:
    """Return the hash of each number's decimal text.

    >>> bool(hash_integers(np.array([-17]))[0] == hash_texts(pa.array(["-17"]))[0])
    True
    """
    hashes: Hashes = np.empty(len(values), dtype=np.uint64)
    compiled(_hash_integers, calls=(mixed,))(values, _FOUR_DIGITS, hashes)
    return hashes


def _hash_texts(begins: Any, words: Any, hashes: Any) -> None:
    for row in range(len(hashes)):
        begin, end = begins[row], begins[row + 1]
        h = mixed(np.uint64(end - begin + 1))
        while begin < end:
            at, shift = begin >> 3, np.uint64((begin & 7) * 8)
            word = words[at] >> shift
            if shift > 0:
                word |= words[at + 1] << (np.uint64(64) - shift)
            if end - begin < 8:
                word &= (np.uint64(1) << np.uint64(8 * (end - begin))) - np.uint64(1)
            h = mixed(h ^ word)
            begin += 8
        hashes[row] = h


def _hash_integers(values: Any, four_digits: Any, hashes: Any) -> None:
    """Make each number's decimal text in words of eight bytes, eight digits at a time, and mix them."""
    words = np.empty(3, dtype=np.uint64)
    ten_8 = np.uint64(100_000_000)
    for row in range(len(values)):
        sign = 1 if values[row] < 0 else 0
        rest = np.uint64(-values[row]) if sign else np.uint64(values[row])
        digits, power = 1, np.uint64(10)
        while digits < 19 and rest >= power:
            digits += 1
            power *= np.uint64(10)
        words[0] = np.uint64(45 * sign)
        words[1] = words[2] = np.uint64(0)
        at = sign
        for group in range((digits - 1) // 8, -1, -1):
            divisor = np.uint64(1) if group == 0 else (ten_8 if group == 1 else ten_8 * ten_8)
            eight = rest // divisor
            rest -= eight * divisor
            upper = eight // np.uint64(10_000)
            text = four_digits[upper] | four_digits[eight - upper * np.uint64(10_000)] << np.uint64(32)
            length = digits - 8 * group if group == (digits - 1) // 8 else 8
            text >>= np.uint64(8 * (8 - length))
            word, shift = at >> 3, np.uint64(8 * (at & 7))
            words[word] |= text << shift
            if (at & 7) + length > 8:
                words[word + 1] |= text >> (np.uint64(64) - shift)
            at += length
        h = mixed(np.uint64(at + 1))
        for word in range((at + 7) >> 3):
            h = mixed(h ^ words[word])
        hashes[row] = h


_FOUR_DIGITS = np.array(
    [int.from_bytes(f"{number:04}".encode(), "little") for number in range(10_000)], dtype=np.uint64
)
