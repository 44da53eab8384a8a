"""Read-ahead windows: the vectors of the notes (E.2, E.3), a naive twin of the decision, and counts of a real 4.4.1
kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shell import Shell

from vmsim.mm import readahead
from vmsim.struct import files as f
from vmsim.struct.jit import entry
from vmsim.struct.pages import P_FLAGS, PG_READAHEAD

PAGE = 4096
MAX = 32  # 128 KiB, the default of a block device
MAP_PRIVATE = 2


@entry
def init_window(request, limit):
    return readahead.init_window(request, limit)


@entry
def next_window(size, limit):
    return readahead.next_window(size, limit)


@entry
def ondemand(k, tid, file, offset, request, hit_marker):
    return readahead.ondemand_readahead(k, tid, file, offset, request, hit_marker, 0)


@pytest.mark.parametrize(
    ("request_pages", "size"),
    [(1, 4), (2, 4), (3, 8), (4, 8), (5, 16), (8, 16), (9, 32), (16, 32), (32, 32), (100, 32)],
)
def test_first_window(request_pages: int, size: int) -> None:
    """E.2: n = pow2ceil(req); n <= max/32: 4n; n <= max/4: 2n; else max.   With max = 32."""
    assert init_window(request_pages, MAX) == size


@pytest.mark.parametrize(("size", "following"), [(1, 4), (2, 4), (4, 8), (8, 16), (16, 32), (32, 32), (64, 32)])
def test_next_window(size: int, following: int) -> None:
    """E.2: cur < max/16: 4 cur, else 2 cur, at most max.   With max = 32."""
    assert next_window(size, MAX) == following


class Reader:
    """read(2) of a file page by page as do_generic_file_read does it, without its copying; reads are complete at
    once.
    """

    def __init__(self, pages: int) -> None:
        files = {"data": {"size": pages * PAGE}, "next": {"size": 64 * PAGE, "cached": "all"}}
        self.shell = Shell(files=files, ram="64 MiB")
        self.file = self.shell.built.file_ids["data"]
        self.row = self.shell.kernel.file[self.file]
        self.windows: list[tuple[int, int, int]] = []

    def window(self) -> tuple[int, int, int]:
        return tuple(self.row[[f.FI_RA_START, f.FI_RA_SIZE, f.FI_RA_ASYNC]].tolist())

    def read(self, first: int, pages: int) -> None:
        kernel = self.shell.kernel
        for page in range(first, first + pages):
            slot = self.row[f.FI_CACHE] + page
            for hit in (0, 1):
                pfn = int(kernel.pcache[slot])
                if hit == 0 and pfn <= 0:
                    self.decide(page, first + pages - page, 0)
                elif hit == 1 and kernel.frame[pfn, P_FLAGS] & PG_READAHEAD:
                    kernel.frame[pfn, P_FLAGS] &= ~PG_READAHEAD
                    self.decide(page, first + pages - page, 1)
        self.row[f.FI_PREV_POS] = (first + pages - 1) * PAGE

    def decide(self, page: int, request: int, hit: int) -> None:
        before = self.window()
        ondemand(self.shell.kernel.k, 1, self.file, page, request, hit)
        self.shell.complete_reads()
        if self.window() != before:
            self.windows.append(self.window())


@pytest.mark.parametrize(
    ("request_pages", "windows"),
    [
        (1, [(0, 4, 3), (4, 8, 8), (12, 16, 16), (28, 32, 32), (60, 32, 32)]),
        (4, [(0, 8, 4), (8, 16, 16), (24, 32, 32)]),
        (8, [(0, 16, 8), (16, 32, 32)]),
        (16, [(0, 32, 16), (32, 32, 32)]),
        (32, [(0, 64, 32), (64, 32, 32)]),  # the notes' (32, 32, 32) for the second contradicts their own rule 2
    ],
)
def test_sequential_vectors(request_pages: int, windows: list[tuple[int, int, int]]) -> None:
    """E.2, L.11: (start, size, async) of a file read from its start in requests of so many pages."""
    reader = Reader(400)
    for first in range(0, 200, request_pages):
        reader.read(first, request_pages)
    assert reader.windows[: len(windows)] == windows


@pytest.mark.parametrize(("pages", "cached"), [(1, 4), (2, 12), (5, 28), (100, 156)])
def test_read_as_recorded(pages: int, cached: int) -> None:
    """Recorded on a 4.4.1 kernel: pages of a file in the cache after read(2) of its first pages, one by one."""
    reader = Reader(400)
    for page in range(pages):
        reader.read(page, 1)
    assert reader.shell.cached("data") == list(range(cached))


@pytest.mark.parametrize(("pages", "cached"), [(1, 32), (100, 160)])
def test_mmap_as_recorded(pages: int, cached: int) -> None:
    """Recorded on a 4.4.1 kernel: pages of a file in the cache after its first pages were touched through mmap."""
    shell = Shell(files={"data": {"size": 400 * PAGE}})
    address = shell.call("mmap", 0, 400 * PAGE, 1, MAP_PRIVATE, shell.fd("data"), 0)
    for page in range(pages):
        assert shell.touch(address + page * PAGE) == 0
    assert shell.cached("data") == list(range(cached))
    shell.verify()


def test_random_mmap_as_recorded() -> None:
    """Recorded on a 4.4.1 kernel: 5,000 random pages of 100,000 take 2,624 major faults, where 2,376 were read by
    others' windows.

    Which page comes when is the recorded xorshift64 sequence (its hash is tested in test_patterns), here as a plain
    generator.
    """
    shell = Shell(files={"data": {"size": 100_000 * PAGE}}, ram="512 MiB")
    address = shell.call("mmap", 0, 100_000 * PAGE, 1, MAP_PRIVATE, shell.fd("data"), 0)
    state, mask = 88172645463325252, (1 << 64) - 1
    for _ in range(5000):
        state ^= state << 13 & mask
        state ^= state >> 7
        state ^= state << 17 & mask
        shell.touch(address + state % 100_000 * PAGE)
    assert shell.faults()[1] == pytest.approx(2624, rel=0.01)
    assert shell.vmstat("pgpgin") == pytest.approx(297e6 / 1024, rel=0.06)


def _read_around(shell: Shell, pages: list[int]) -> list[int]:
    """How many pages each touch of a cold mapping reads."""
    address = shell.call("mmap", 0, 8192 * PAGE, 1, MAP_PRIVATE, shell.fd("data"), 0)
    grown = []
    for page in pages:
        before = shell.vmstat("nr_file_pages")
        shell.touch(address + page * PAGE)
        grown.append(shell.vmstat("nr_file_pages") - before)
    return grown


def test_read_around_surrounds_the_fault() -> None:
    """E.3: from 16 pages before to 15 after, the page 8 before the end marked; at the file's start the window
    begins at 0.
    """
    shell = Shell(files={"data": {"size": 8192 * PAGE}})
    assert _read_around(shell, [1000, 5]) == [32, 32]
    assert shell.cached("data") == [*range(32), *range(984, 1016)]
    row = shell.kernel.file[shell.built.file_ids["data"]]
    marked = [
        page
        for page in shell.cached("data")
        if shell.kernel.frame[shell.kernel.pcache[row[f.FI_CACHE] + page], P_FLAGS] & PG_READAHEAD
    ]
    assert marked == [24, 1008]


def test_read_around_stops_at_the_end_of_the_file() -> None:
    shell = Shell(files={"data": {"size": 8192 * PAGE}})
    assert _read_around(shell, [8191, 8170]) == [17, 21]
    assert shell.cached("data") == list(range(8154, 8192))


def test_a_hundred_misses_end_read_around() -> None:
    """E.3: mmap_miss > 100 (MMAP_LOTSAMISS): the 101st miss in a row reads one page. Without fault-around, which
    forgives misses.
    """
    shell = Shell(files={"data": {"size": 8192 * PAGE}}, fault_around_bytes=PAGE, ram="64 MiB")
    assert _read_around(shell, [64 * i + 32 for i in range(103)]) == [32] * 100 + [1] * 3


def test_hits_forgive_misses() -> None:
    """E.3: a fault on a cached page takes one off mmap_miss, so that the 101st miss reads around again."""
    shell = Shell(files={"data": {"size": 8192 * PAGE}}, fault_around_bytes=PAGE, ram="64 MiB")
    misses = [64 * i + 32 for i in range(100)]
    assert _read_around(shell, [*misses, 33, 64 * 101 + 32, 64 * 103 + 32])[-3:] == [0, 32, 1]


@dataclass
class TwinWindow:
    """The decision of E.2, from its seven rules, over a set of cached pages."""

    cached: set[int]
    start: int = 0
    size: int = 0
    ahead: int = 0

    def decide(self, offset: int, request: int, previous: int, hit: bool) -> tuple[int, int] | None:
        """The pages [first, end) to read, None for nothing."""
        n = 1
        while n < request:
            n *= 2
        first = 4 * n if n <= MAX // 32 else 2 * n if n <= MAX // 4 else MAX
        initial = (offset, first, first - request if first > request else first)
        if offset == 0:
            window = initial
        elif offset in (self.start + self.size - self.ahead, self.start + self.size):
            size = self._next(self.size)
            window = (self.start + self.size, size, size)
        elif hit:
            holes = [page for page in range(offset + 1, offset + MAX + 1) if page not in self.cached]
            if not holes:
                return None
            size = self._next(holes[0] - offset + request)
            window = (holes[0], size, size)
        elif request > MAX or offset - previous in (0, 1):
            window = initial
        else:
            history = 0
            while history < MAX and offset - 1 - history >= 0 and offset - 1 - history in self.cached:
                history += 1
            if history <= request:
                return offset, offset + request
            twice = 2 if history >= offset else 1
            window = (offset, min(history * twice + request, MAX), 1)
        self.start, self.size, self.ahead = window
        if offset == self.start and self.size == self.ahead:
            self.ahead = self._next(self.size)
            self.size += self.ahead
        return self.start, self.start + self.size

    @staticmethod
    def _next(size: int) -> int:
        return min(4 * size if size < MAX // 16 else 2 * size, MAX)


_calls = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 199), st.sampled_from(["follow", "end", "marker", "next"])),
        st.integers(1, 40),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(calls=_calls)
def test_decision_against_the_twin(calls: list[tuple[int | str, int, bool]]) -> None:
    """Any misses and marker hits: the same window as the rules give, and the same pages in the cache."""
    reader = Reader(200)
    twin = TwinWindow(set())
    previous = -1
    for place, request, hit in calls:
        places = {
            "follow": previous + 1,
            "end": twin.start + twin.size,
            "marker": twin.start + twin.size - twin.ahead,
            "next": previous,
        }
        offset = places[place] if isinstance(place, str) else place
        if not 0 <= offset < 200:
            continue
        reader.row[f.FI_PREV_POS] = previous * PAGE if previous >= 0 else -1
        reader.decide(offset, request, int(hit))
        pages = twin.decide(offset, request, previous, hit)
        if pages:
            twin.cached |= set(range(*pages)) & set(range(200))
        assert reader.window() == (twin.start, twin.size, twin.ahead)
        assert reader.shell.cached("data") == sorted(twin.cached)
        previous = offset + request - 1
