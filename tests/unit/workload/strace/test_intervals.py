"""Sets of ranges against sets of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmsim.workload.strace.intervals import Intervals

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 40)), max_size=30)


@given(STEPS, st.integers(0, 40), st.integers(0, 40))
def test_intervals_are_sets(steps: list[tuple[bool, int, int]], start: int, end: int) -> None:
    ranges, numbers = Intervals(), set[int]()
    for added, first, last in steps:
        (ranges.add if added else ranges.remove)(first, last)
        (numbers.update if added else numbers.difference_update)(range(first, last))
    asked = set(range(start, end))
    assert {n for a, b in ranges.parts(0, 50) for n in range(a, b)} == numbers
    assert {n for a, b in ranges.missing(start, end) for n in range(a, b)} == asked - numbers
    assert ranges.overlaps(start, end) == bool(asked & numbers)
    joined = ranges.parts(0, 50)
    assert all(b < c for (_, b), (c, _) in zip(joined, joined[1:], strict=False))
