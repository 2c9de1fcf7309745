"""Buckets: every customer in exactly one, by a hash that never changes, sorted, whole, in order."""

from __future__ import annotations

import threading
import time

import numpy as np
import pandas as pd
import pytest
from histories import COLLIDING, awkward_shop

from crm_ml import CustomerLog
from crm_ml.events import Bucket
from crm_ml.events.bucket import merge_lines

CUTOFF = pd.Timestamp("2024-03-01")


def shop(*, n_buckets: int, threads: int = 2) -> CustomerLog:
    return CustomerLog(*awkward_shop(4, cutoff=CUTOFF, n_customers=120), n_buckets=n_buckets, threads=threads)


def mixed(h: int) -> int:
    """The finaliser of SplitMix64, by the integers of Python."""
    h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    h = (h ^ h >> 27) * 0x94D049BB133111EB % 2**64
    return h ^ h >> 31


def hash_of(customer_id: str) -> int:
    content = customer_id.encode()
    h = mixed(len(content) + 1)
    for at in range(0, len(content), 8):
        h = mixed(h ^ int.from_bytes(content[at : at + 8], "little"))
    return h


def bucket_of(customer_id: str, n_buckets: int) -> int:
    """The upper twelve bits of the hash name one of 4,096 cells; buckets are cells in a row."""
    cell = hash_of(customer_id) >> 52
    return next(number for number in range(n_buckets) if cell < (number + 1) * 4096 // n_buckets)


@pytest.mark.parametrize(("n_buckets", "threads"), [(1, 1), (1, 2), (7, 1), (7, 2), (300, 2)])
def test_every_customer_is_in_the_bucket_of_the_hash_and_nowhere_else(n_buckets: int, threads: int) -> None:
    bought, acted = awkward_shop(4, cutoff=CUTOFF, n_customers=120)
    log = CustomerLog(bought, acted, n_buckets=n_buckets, threads=threads)
    found = list(log.map(lambda bucket: bucket.customer_id.tolist()))
    customers = sorted({*bought["customer_id"], *acted["customer_id"]})
    assert found == [[c for c in customers if bucket_of(c, n_buckets) == number] for number in range(n_buckets)]


@pytest.mark.parametrize("n_buckets", [1, 5])
def test_events_are_sorted_and_none_is_lost(n_buckets: int) -> None:
    log = shop(n_buckets=n_buckets)

    def check(bucket: Bucket) -> tuple[int, float]:
        for table in (bucket.transactions, bucket.interactions):
            assert table.offsets[0] == 0
            assert table.offsets[-1] == len(table.time)
            assert len(table.offsets) == len(bucket.customer_id) + 1
            for begin, end in zip(table.offsets, table.offsets[1:], strict=False):
                assert (np.diff(table.time[begin:end]) >= 0).all()
        assert bucket.event_types == log.event_types
        return len(bucket.interactions.time), float(bucket.transactions.amount.sum())

    counted = list(log.map(check))
    bought, acted = awkward_shop(4, cutoff=CUTOFF, n_customers=120)
    assert sum(count for count, _ in counted) == len(acted)
    assert sum(total for _, total in counted) == pytest.approx(bought["amount"].sum(), rel=1e-12)


def test_a_customer_is_the_same_in_every_cut() -> None:
    def unrolled(bucket: Bucket) -> dict[str, bytes]:
        money, acts = bucket.transactions, bucket.interactions
        parts: dict[str, bytes] = {}
        for at, name in enumerate(bucket.customer_id):
            m, a = slice(*money.offsets[at : at + 2]), slice(*acts.offsets[at : at + 2])
            columns = (
                money.time[m],
                money.amount[m],
                money.is_purchase[m],
                acts.time[a],
                acts.event_type[a],
                acts.value[a],
            )
            parts[name] = b"|".join(np.ascontiguousarray(column).tobytes() for column in columns)
        return parts

    whole, *others = (
        {name: part for parts in shop(n_buckets=n, threads=threads).map(unrolled) for name, part in parts.items()}
        for n, threads in ((1, 1), (3, 2), (50, 2))
    )
    assert len(whole) > 90
    assert others == [whole, whole]


@pytest.mark.parametrize(("n_buckets", "threads"), [(1, 1), (6, 1), (6, 2)])
def test_an_exception_in_a_kernel_reaches_the_caller(n_buckets: int, threads: int) -> None:
    def kernel(bucket: Bucket) -> None:
        raise ZeroDivisionError(f"in a bucket of {len(bucket.customer_id)}")

    with pytest.raises(ZeroDivisionError, match="in a bucket of"):
        list(shop(n_buckets=n_buckets, threads=threads).map(kernel))


def test_results_come_in_order_however_long_each_takes() -> None:
    log = shop(n_buckets=8)
    order = [bucket[0] for bucket in log.map(lambda bucket: bucket.customer_id)]
    waits = {name: 0.04 if at % 3 == 0 else 0.0 for at, name in enumerate(order)}

    def slow(bucket: Bucket) -> str:
        time.sleep(waits[bucket.customer_id[0]])
        return str(bucket.customer_id[0])

    assert list(log.map(slow)) == order


def test_no_more_buckets_are_under_way_than_threads() -> None:
    log = shop(n_buckets=12)
    begun, lock = [0], threading.Lock()

    def kernel(_: Bucket) -> None:
        with lock:
            begun[0] += 1

    results = log.map(kernel)
    next(results)
    time.sleep(0.1)
    assert begun[0] <= 3
    results.close()  # type: ignore[attr-defined]  # an iterator by name, a generator by nature


def test_lines_merge_within_their_customer_order_and_moment_only() -> None:
    merged = merge_lines(
        np.array([0, 4, 6, 6]),
        np.array([5, 5, 5, 9, 5, 5]),
        np.array([1.0, -3.0, 4.0, 2.0, -1.0, 0.0]),
        np.array([1, 1, 2, 1, 1, 3], dtype=np.uint64),
    )
    assert merged.offsets.tolist() == [0, 3, 5, 5]
    assert merged.amount.tolist() == [-2.0, 4.0, 2.0, -1.0, 0.0]
    assert merged.is_purchase.tolist() == [False, True, True, False, True]


def test_events_before_a_moment_keep_their_customers() -> None:
    for bucket in shop(n_buckets=3).map(lambda bucket: bucket):
        for events in (bucket.lines, bucket.transactions, bucket.interactions):
            middle = int(np.median(events.time))
            early = events.before(middle)
            assert early.time.tolist() == events.time[events.time < middle].tolist()
            assert len(early.offsets) == len(bucket.customer_id) + 1
            for begin, end, first, last in zip(
                early.offsets, early.offsets[1:], events.offsets, events.offsets[1:], strict=False
            ):
                assert end - begin == (events.time[first:last] < middle).sum()
            assert events.before(0).offsets.tolist() == [0] * (len(bucket.customer_id) + 1)


def test_identifiers_with_the_same_hash_stay_apart() -> None:
    assert hash_of(COLLIDING[0]) == hash_of(COLLIDING[1])
    bought = pd.DataFrame({"customer_id": [*COLLIDING, COLLIDING[0]], "timestamp": "2024-01-01", "amount": [1.0, 2, 4]})
    acted = pd.DataFrame({"customer_id": [COLLIDING[1]], "timestamp": "2024-01-01", "event_type": "view"})
    (bucket,) = CustomerLog(bought, acted, n_buckets=1).map(lambda bucket: bucket)
    assert bucket.customer_id.tolist() == sorted(COLLIDING)
    assert bucket.transactions.amount.tolist() == [2.0, 1.0, 4.0]
    assert bucket.interactions.offsets.tolist() == [0, 1, 1]


def test_whole_numbers_and_their_text_are_the_same_customers() -> None:
    numbers = [0, 7, -7, 99_999_999, 100_000_000, 10**16, 10**16 - 1, -(10**17), 2**63 - 1, -(2**63)]
    shop = pd.DataFrame({"customer_id": numbers, "timestamp": "2024-01-01", "amount": np.arange(10.0)})
    texts = shop.assign(customer_id=[str(number) for number in numbers])
    acted = texts.assign(event_type="view")[["customer_id", "timestamp", "event_type"]]
    ours = [list(CustomerLog(given, n_buckets=9).map(unrolled)) for given in (shop, texts)]
    assert ours[0] == ours[1]
    assert [len(part) for part in ours[0]] == [
        len({n for n in texts["customer_id"] if bucket_of(n, 9) == b}) for b in range(9)
    ]
    mixed_log = CustomerLog(shop, acted)
    assert mixed_log.n_customers == 10
    assert all(len(bucket.interactions.time) == 10 for bucket in mixed_log.map(lambda bucket: bucket))


def unrolled(bucket: Bucket) -> list[tuple[str, float]]:
    return [*zip(bucket.customer_id.tolist(), bucket.transactions.amount.tolist(), strict=True)]
