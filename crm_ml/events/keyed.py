"""Stand-in until merged."""

import hashlib

import pyarrow as pa


def keyed_ids(ids, key):
    return pa.array([hashlib.blake2b(str(i).encode(), key=key, digest_size=16).hexdigest() for i in ids], pa.string())
