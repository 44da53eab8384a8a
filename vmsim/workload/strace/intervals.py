"""Sets of pages as disjoint ranges, in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Intervals:
    """A set of whole numbers, kept as disjoint, not adjoining ranges [start, end)."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def copy(self) -> Intervals:
        """The same set, apart from this one."""
        other = Intervals()
        other._starts, other._ends = self._starts.copy(), self._ends.copy()
        return other

    def __bool__(self) -> bool:
        return bool(self._starts)

    def add(self, start: int, end: int) -> None:
        """Put [start, end) in."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def remove(self, start: int, end: int) -> None:
        """Take [start, end) out."""
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        if first >= last or start >= end:
            return
        pieces = [(self._starts[first], start), (end, self._ends[last - 1])]
        kept = [(a, b) for a, b in pieces if a < b]
        self._starts[first:last] = [a for a, _ in kept]
        self._ends[first:last] = [b for _, b in kept]

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any of [start, end) is in the set."""
        first = bisect_right(self._ends, start)
        return first < len(self._starts) and self._starts[first] < end and start < end

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of [start, end) that are not in the set."""
        found = []
        at = start
        first = bisect_right(self._ends, start)
        while at < end and first < len(self._starts) and self._starts[first] < end:
            if at < self._starts[first]:
                found.append((at, self._starts[first]))
            at = self._ends[first]
            first += 1
        if at < end:
            found.append((at, end))
        return found

    def parts(self, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of [start, end) that are in the set."""
        found = []
        first = bisect_right(self._ends, start)
        while first < len(self._starts) and self._starts[first] < end:
            found.append((max(start, self._starts[first]), min(end, self._ends[first])))
            first += 1
        return found
