"""Customer identifiers replaced by pseudonyms that only the holder of a key can compute."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crm_ml.errors import SchemaError

__all__ = ["keyed_ids", "read_id_key"]

LEAST, MOST = 16, 64
"""Bytes of a key; BLAKE2b takes no longer one."""

SIZE = 16
"""Bytes of a hash: two of 1 billion customers share one with a probability below 2e-21."""

KEY, KEY_FILE = "CRM_ML_ID_KEY", "CRM_ML_ID_KEY_FILE"


def keyed_ids(ids: pa.Array | pa.ChunkedArray | Sequence[Any], key: bytes) -> pa.Array:
    """Return for each identifier its keyed hash: BLAKE2b (RFC 7693) of the text in UTF-8, 16 bytes, as hex.

    The same identifier under the same key gives the same pseudonym, on every machine and in every version, so that
    runs can be compared and joined. Whoever has no key can neither go back to an identifier nor try out candidates.
    Whoever has the key can try them out, and whoever holds enough of a customer's history can recognise it without:
    this is a pseudonym, not anonymity, and remains personal data. It hides identifiers only, no amounts or dates.
    With another key all pseudonyms change.

    Parameters
    ----------
    ids : identifiers; numbers are hashed as their text. About 2 seconds per million different ones.
    key : 16 to 64 random bytes, such as ``secrets.token_bytes(32)``.

    Returns
    -------
    Array of strings
        32 characters each; null where the identifier is.

    Raises
    ------
    SchemaError
        The key is too short or too long.

    Examples
    --------
    >>> keyed_ids(["ann", "bob", "ann"], b"not random, 16 b")[0].as_py()
    '84f21a66df8a941646e2ca50b627cf39'
    """
    _check(key)
    texts = pc.cast(ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(ids), pa.string())
    coded = (texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts).dictionary_encode()
    blank = hashlib.blake2b(digest_size=SIZE, key=key)

    def hashed(text: bytes) -> bytes:
        one = blank.copy()
        one.update(text)
        return one.digest()

    digests = b"".join(map(hashed, coded.dictionary.cast(pa.binary()).to_pylist()))
    begins = np.arange(len(coded.dictionary) + 1, dtype=np.int32) * (2 * SIZE)
    content = pa.py_buffer(digests.hex().encode())
    names = pa.StringArray.from_buffers(len(coded.dictionary), pa.py_buffer(begins), content)
    return names.take(coded.indices)


def read_id_key() -> bytes:
    """Return the key that the environment gives: CRM_ML_ID_KEY is it, CRM_ML_ID_KEY_FILE names a file that holds it.

    A variable counts as its bytes in UTF-8, a file without the newline at its end. There is no option for it: every
    process of a machine may see the others' command lines.

    Raises
    ------
    SchemaError
        Neither or both are set, the file cannot be read, or the key is too short or too long.
    """
    text, file = os.environ.get(KEY), os.environ.get(KEY_FILE)
    if bool(text) == bool(file):
        raise _bad_key(f"is not given, or twice: {KEY} and {KEY_FILE} are {'both' if text else 'not'} set")
    try:
        key = text.encode() if text else Path(str(file)).read_bytes().rstrip(b"\r\n")
    except (OSError, UnicodeEncodeError) as error:
        raise _bad_key(f"cannot be read: {type(error).__name__}") from None
    _check(key)
    return key


def _check(key: bytes) -> None:
    if not LEAST <= len(key) <= MOST:
        raise _bad_key(f"has {len(key):,} bytes")


def _bad_key(found: str) -> SchemaError:
    return SchemaError(
        f"The key that hides customer identifiers must have {LEAST} to {MOST} bytes; it {found}.\n"
        f"Make one with secrets.token_hex(32), and set {KEY}, or {KEY_FILE} to a file only the job can read."
    )
