"""A census of pages in one pass and constant memory: how many there are, how often each is touched, and working sets
over time.

Pages stand in a hash table, exactly, up to `EXACT_PAGES`. When more come, the table keeps every second page by its hash
value, then every fourth, and so on, and what is counted stands for as many as were left out: "adaptive sampling",
Philippe Flajolet, Computing 43 (1990). Half a million pages or more are in the sample then, so that the standard error
of the number of pages is about 0.15 %.

The working set W(t, τ) is the set of pages touched in the last τ accesses (Peter Denning, CACM 11, 1968). Time is cut
in windows; a page counts in a window when it was last touched in an earlier one. How far back that one lies, as the
highest bit in which the two windows' numbers differ, tells whether the page is also new in windows of 2, 4, 8 ... times
the length; so all are counted at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmsim.struct.jit import compiled, entry

EXACT_PAGES = 1 << 20
"""Pages that are counted exactly: 4 GiB of 4 KiB pages. The table then takes 64 MiB."""
ROWS = 128
"""Points of the working set over time, at most; when they are full, neighbours are merged, so there are at least
half as many."""
_LEVELS = 64
_FIRST_EVER = _LEVELS - 1
_SMALLEST_TABLE = 1 << 12

Table = NDArray[np.int64]
Touches = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]

_KEY, _COUNT, _LAST, _KINDS = range(4)
"""Columns of the table: the page; its touches (0: the slot is free); its last window; bits of the operations that
touched it."""
_USED, _WINDOW, _IN_WINDOW = range(3)
"""The scan's state: used slots; number of the window; accesses in it so far."""


@compiled
def page_hash(page: int) -> int:
    """46 mixed bits of a page number; no product needs more than 63 bits."""
    mixed = (
        (page & 0x7FFFFFFF) * 0x9E3779B1 ^ ((page >> 31) & 0x7FFFFFFF) * 0x85EBCA6B ^ ((page >> 62) & 3) * 0x27D4EB2F
    )
    mixed ^= mixed >> 32
    return ((mixed & 0x7FFFFFFF) * 0xC2B2AE35 ^ mixed >> 15) >> 16 & 0x3FFFFFFFFFFF


@compiled
def slot_of(table: Table, page: int, hashed: int) -> int:
    """The slot of a page, or the free one where it belongs (linear probing; the table is at most half full)."""
    last = len(table) - 1
    slot = hashed & last
    while table[slot, _COUNT] != 0 and table[slot, _KEY] != page:
        slot = (slot + 1) & last
    return slot


@entry
def move_pages(old: Table, new: Table, sampled: int) -> int:
    """Put into the new table those pages of the old one whose hash has no bit of `sampled`. Returns their number."""
    used = 0
    for i in range(len(old)):
        if old[i, _COUNT] != 0:
            hashed = page_hash(int(old[i, _KEY]))
            if hashed >> 23 & sampled == 0:
                slot = slot_of(new, old[i, _KEY], hashed)
                for column in range(4):
                    new[slot, column] = old[i, column]
                used += 1
    return used


@entry
def scan_pages(start: int, touches: Touches, table: Table, rows: Table, state: Table, plan: Table) -> int:
    """Count the accesses from `start` on. Returns the number of the first one not counted: less than all if the
    table or the rows are full. `touches` is (first page, last page, operation); `plan` is (length of a window,
    windows in a row as a shift, sampled)."""
    first, last, op = touches
    window_length, shift, sampled = int(plan[0]), int(plan[1]), int(plan[2])
    used, window, in_window = int(state[_USED]), int(state[_WINDOW]), int(state[_IN_WINDOW])
    limit = len(table) // 2
    recent_page, recent_slot = -1, -1
    i = start
    while i < len(first):
        if in_window == window_length:
            window += 1
            in_window = 0
            recent_slot = -1
        begin = int(first[i])
        span = int(last[i]) - begin + 1
        if used + span > limit or window >> shift >= len(rows):
            break
        in_window += 1
        kind = 1 << op[i]
        if span == 1 and begin == recent_page and recent_slot >= 0:
            table[recent_slot, _COUNT] += 1
            table[recent_slot, _KINDS] |= kind
            i += 1
            continue
        for page in range(begin, begin + span):
            hashed = page_hash(page)
            if hashed >> 23 & sampled:
                continue
            slot = slot_of(table, page, hashed)
            level = _FIRST_EVER
            if table[slot, _COUNT] == 0:
                used += 1
                table[slot, _KEY] = page
            elif table[slot, _LAST] == window:
                level = -1
            else:
                apart = int(table[slot, _LAST]) ^ window
                level = 0
                while apart > 1:
                    apart >>= 1
                    level += 1
            if level >= 0:
                rows[window >> shift, level] += sampled + 1
                table[slot, _LAST] = window
            table[slot, _COUNT] += 1
            table[slot, _KINDS] |= kind
            recent_page, recent_slot = page, slot
        i += 1
    state[_USED] = used
    state[_WINDOW] = window
    state[_IN_WINDOW] = in_window
    return i


class PageCensus:
    """Counts pages as they come. `window` is the number of accesses of a working set's window; None lets it grow
    with the trace."""

    def __init__(self, window: int | None = None, exact_pages: int = EXACT_PAGES) -> None:
        self._fixed_window = window is not None
        self._largest = 2 * exact_pages
        self._table = np.zeros((min(_SMALLEST_TABLE, self._largest), 4), np.int64)
        self._rows = np.zeros((ROWS, _LEVELS), np.int64)
        self._state = np.zeros(3, np.int64)
        self._plan = np.array([window or 1, 0, 0], np.int64)
        self.accesses = 0

    def add(self, first: NDArray[np.int64], last: NDArray[np.int64], op: NDArray[np.int8]) -> None:
        """Count accesses, each of the pages from `first` to `last`."""
        done = 0
        while done < len(first):
            done = scan_pages(done, (first, last, op), self._table, self._rows, self._state, self._plan)
            if done == len(first):
                break
            if int(self._state[_WINDOW]) >> int(self._plan[1]) >= ROWS:
                self._merge_rows()
            else:
                self._make_room(int(last[done] - first[done]) + 1)
        self.accesses += len(first)

    def _make_room(self, wanted: int) -> None:
        """A larger table, or a sparser sample in one as large as may be."""
        while self._state[_USED] + wanted > len(self._table) // 2:
            if len(self._table) < self._largest:
                table = np.zeros((min(4 * len(self._table), self._largest), 4), np.int64)
            else:
                self._plan[2] = 2 * self._plan[2] + 1
                table = np.zeros_like(self._table)
            self._state[_USED] = move_pages(self._table, table, int(self._plan[2]))
            self._table = table

    def _merge_rows(self) -> None:
        """Let each row stand for twice as many accesses; the window too, unless its length was asked for."""
        merged = np.zeros_like(self._rows)
        merged[: ROWS // 2] = self._rows[0::2] + self._rows[1::2]
        if self._fixed_window:
            self._plan[1] += 1
        else:
            self._plan[0] *= 2
            self._state[_WINDOW] >>= 1
            self._table[:, _LAST] >>= 1
            merged[:, : _FIRST_EVER - 1] = merged[:, 1:_FIRST_EVER]
            merged[:, _FIRST_EVER - 1] = 0
        self._rows = merged

    @property
    def sampling(self) -> int:
        """Of how many pages one is counted: 1 as long as the census is exact."""
        return int(self._plan[2]) + 1

    @property
    def footprint(self) -> int:
        """How many different pages were touched."""
        return int(self._state[_USED]) * self.sampling

    @property
    def window(self) -> int:
        """Accesses of a window."""
        return int(self._plan[0])

    def working_sets(self) -> list[tuple[int, int, float]]:
        """Over time: the first access (from 0), the number of accesses, and the mean number of pages in the windows
        among them."""
        shift = int(self._plan[1])
        step = self.window << shift
        points = []
        for row, start in enumerate(range(0, self.accesses, step)):
            accesses = min(step, self.accesses - start)
            windows = -(-accesses // self.window)
            points.append((start, accesses, float(self._rows[row].sum() / windows)))
        return points

    def mean_by_window(self) -> list[tuple[int, float]]:
        """Denning's curve: the mean number of pages touched in windows of the window's length times 1, 2, 4, ...
        accesses."""
        totals = self._rows.sum(axis=0)
        curve, level = [], 0
        while level == 0 or self.window << level < 2 * self.accesses:
            windows = -(-self.accesses // (self.window << level))
            curve.append((self.window << level, float(totals[level:].sum() / max(windows, 1))))
            level += 1
        return curve

    def pages(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The pages counted, in order; their touches; and a bit for each operation that touched them. All are a
        sample if it is one."""
        rows: NDArray[Any] = self._table[self._table[:, _COUNT] > 0]
        rows = rows[np.argsort(rows[:, _KEY])]
        return rows[:, _KEY], rows[:, _COUNT], rows[:, _KINDS]
