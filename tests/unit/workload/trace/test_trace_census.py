"""The census of pages against counting with sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmsim.workload.trace.census import PageCensus

Accesses = Sequence[tuple[int, int]]
"""First page of each access and how many pages it touches."""


def counted(census: PageCensus, accesses: Accesses, cut: int = 97) -> PageCensus:
    """The census after these accesses, given in pieces."""
    for start in range(0, len(accesses), cut):
        piece = accesses[start : start + cut]
        first = np.array([page for page, _ in piece], np.int64)
        last = np.array([page + count - 1 for page, count in piece], np.int64)
        census.add(first, last, np.array([page % 4 for page, _ in piece], np.int8))
    return census


def sets_of(accesses: Accesses, window: int) -> list[int]:
    """How many pages each window of accesses touches."""
    touched = [range(page, page + count) for page, count in accesses]
    return [len(set().union(*touched[start : start + window])) for start in range(0, len(touched), window)]


pages = st.lists(
    st.tuples(st.integers(-(2**63), 2**63 - 10) | st.integers(0, 40), st.integers(1, 3)), min_size=1, max_size=1500
)


@given(accesses=pages)
@settings(max_examples=30, deadline=None)
def test_windows_that_grow_with_the_trace(accesses: Accesses) -> None:
    census = counted(PageCensus(), accesses)
    points = census.working_sets()
    assert [size for _, _, size in points] == sets_of(accesses, census.window)
    assert len(points) <= 128
    assert len(accesses) < 128 or len(points) > 63
    assert sum(length for _, length, _ in points) == len(accesses)
    assert census.footprint == sets_of(accesses, len(accesses))[0]


@given(accesses=pages, window=st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_windows_of_a_given_length(accesses: Accesses, window: int) -> None:
    census = counted(PageCensus(window), accesses)
    assert census.window == window
    sizes = sets_of(accesses, window)
    for start, length, mean in census.working_sets():
        inside = sizes[start // window : -(-(start + length) // window)]
        assert mean == pytest.approx(sum(inside) / len(inside))


@given(accesses=pages, window=st.integers(1, 20) | st.none())
@settings(max_examples=30, deadline=None)
def test_mean_by_window_is_the_mean_of_sets_of_that_length(accesses: Accesses, window: int | None) -> None:
    census = counted(PageCensus(window), accesses)
    for length, mean in census.mean_by_window():
        sizes = sets_of(accesses, length)
        assert mean == pytest.approx(sum(sizes) / len(sizes))


def test_pages_with_their_touches_and_operations() -> None:
    census = counted(PageCensus(), [(5, 2), (5, 1), (7, 1), (2, 1), (5, 1)])
    numbers, touches, kinds = census.pages()
    # An access of page p is of operation p % 4: page 6 was only touched from page 5, by operation 1.
    assert list(zip(numbers.tolist(), touches.tolist(), kinds.tolist(), strict=True)) == [
        (2, 1, 4),
        (5, 3, 2),
        (6, 1, 2),
        (7, 1, 8),
    ]


@pytest.mark.parametrize("dense", [True, False])
def test_beyond_its_bound_the_census_estimates(dense: bool) -> None:
    # 40,000 pages in a table of 1,024: one page in 64 or 128 is counted, at least 256 pages, so one standard deviation
    # is at most 1 / sqrt(256) = 6 %.
    rng = np.random.default_rng(1)
    numbers = np.arange(40_000) if dense else np.unique(rng.integers(0, 2**52, 40_000))
    census = PageCensus(exact_pages=1024)
    for _ in range(2):
        for piece in np.array_split(rng.permutation(numbers), 7):
            census.add(piece, piece, np.zeros(len(piece), np.int8))
    assert census.sampling in (64, 128)
    assert census.footprint == pytest.approx(len(numbers), rel=0.2)
    # Each page once, and then each page once again: a window holds about as many pages as accesses.
    sizes = np.array([size for _, _, size in census.working_sets()])
    assert sizes.mean() == pytest.approx(census.window, rel=0.2)


def test_up_to_its_bound_the_census_is_exact() -> None:
    numbers = np.arange(1024, dtype=np.int64)
    census = PageCensus(exact_pages=1024)
    census.add(numbers, numbers, np.zeros(1024, np.int8))
    assert (census.footprint, census.sampling) == (1024, 1)
    census.add(numbers[:1] - 1, numbers[:1] - 1, np.zeros(1, np.int8))
    assert census.sampling == 2
