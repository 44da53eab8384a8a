"""Buckets: they tile the numbers without gaps, and are 1/128 of their value wide at most."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmu_rig import hist_bucket

from vmsim.struct.histogram import bucket_bounds
from vmsim.struct.kernel import HIST_BUCKETS


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, (1 << 49) - 1))
def test_value_lies_in_its_bucket(ns: int) -> None:
    low, high = bucket_bounds(int(hist_bucket(ns)))
    assert low <= ns < high
    assert (high - low) * 128 <= max(low, 128)


def test_buckets_tile() -> None:
    assert bucket_bounds(0)[0] == 0
    assert all(bucket_bounds(b)[1] == bucket_bounds(b + 1)[0] for b in range(HIST_BUCKETS - 1))


def test_longest_latencies_share_the_last_bucket() -> None:
    assert hist_bucket((1 << 62) + 1) == HIST_BUCKETS - 1


@pytest.mark.parametrize("bucket", [-1, HIST_BUCKETS])
def test_bucket_outside(bucket: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        bucket_bounds(bucket)
