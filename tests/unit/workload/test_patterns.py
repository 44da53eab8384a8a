"""Access sequences, against a plain-Python generator that is itself held against recordings of real kernels'
programs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenario import PAGE, mmap, start

from vmsim.machine.build import Built
from vmsim.struct.files import PAT_HASH, PAT_STATE
from vmsim.struct.jit import entry
from vmsim.workload import patterns

MASK = (1 << 64) - 1
SEED = 88172645463325252
FNV_PRIME = 1099511628211
FNV_OFFSET = 14695981039346656037
HOT_FRACTION, HOT_PROBABILITY, THETA = 0.1, 0.9, 0.99


@entry
def draw(k, pat, base, tid, count):
    patterns.draw_accesses(k, pat, base, k.abuf[tid], 0, count)


class XorShift:
    """Marsaglia's xorshift64 with shifts 13, 7, 17, over Python's integers."""

    def __init__(self, state: int) -> None:
        self.state = state

    def next(self) -> int:
        x = self.state
        x ^= x << 13 & MASK
        x ^= x >> 7
        x ^= x << 17 & MASK
        self.state = x
        return x

    def u01(self) -> float:
        return (self.next() >> 11) * 2.0**-53


def sequence(kind: str, pages: int, writes: float, stride: int = 1, state: int = SEED) -> Iterator[tuple[int, int]]:
    """(page, write) of the recorded program's patterns, by floating point as in C."""
    random = XorShift(state)
    cumulative: list[float] = []
    order: list[int] = []
    if kind == "zipf":
        total = 0.0
        for rank in range(1, pages + 1):
            total += rank**-THETA
            cumulative.append(total)
        cumulative = [value / total for value in cumulative]
        order = list(range(pages))
        for i in range(pages - 1, 0, -1):
            j = random.next() % (i + 1)
            order[i], order[j] = order[j], order[i]
    hot = pages // 10
    i = 0
    while True:
        if kind == "uniform":
            page = random.next() % pages
        elif kind == "zipf":
            page = order[min(pages - 1, bisect_left(cumulative, random.u01()))]
        elif kind == "hotcold":
            page = random.next() % hot if random.u01() < HOT_PROBABILITY else hot + random.next() % (pages - hot)
        else:
            page = i * (stride if kind == "stride" else 1) % pages
        write = int(random.u01() < writes) if 0 < writes < 1 else int(writes)
        yield page, write
        i += 1


def fnv1a(accesses: Iterator[tuple[int, int]]) -> str:
    """FNV-1a over words 2*page + write."""
    h = FNV_OFFSET
    for page, write in accesses:
        h = (h ^ (2 * page + write)) * FNV_PRIME & MASK
    return f"{h:016x}"


# seq_hash of programs that ran on a 4.4.1 kernel: pattern, pages, accesses, write fraction, stride.
RECORDED = {
    ("sequential", 1, 1, 0.0, 1): "af63bd4c8601b7df",
    ("sequential", 20_000, 100, 0.0, 1): "0ce1bbe02489886d",
    ("stride", 100_000, 1500, 0.0, 2): "c715e14e5abb8ee5",
    ("stride", 100_000, 1500, 0.0, 33): "91c8faaf59976e5d",
    ("uniform", 100_000, 5000, 0.0, 1): "016a20b2dc5340ed",
}
RECORDED_LONG = {
    ("sequential", 31_486, 200_000, 0.5, 1): "dbfb68d91ea437b1",
    ("uniform", 31_486, 200_000, 0.5, 1): "e97de5eacdaf086d",
    ("zipf", 31_486, 200_000, 0.5, 1): "6a55b2ddc244261b",
    ("hotcold", 31_486, 200_000, 0.5, 1): "cf6c4d93442146e0",
}


@pytest.mark.parametrize("what", [*RECORDED, *RECORDED_LONG])
def test_plain_generator_repeats_the_recordings(what: tuple[str, int, int, float, int]) -> None:
    """The twin of this file is right: its hashes are those recorded on a 4.4.1 kernel."""
    kind, pages, count, writes, stride = what
    assert fnv1a(islice(sequence(kind, pages, writes, stride), count)) == (RECORDED | RECORDED_LONG)[what]


def make(size: int, writes: float = 0.0, **pattern: Any) -> Built:
    """A machine with one pattern over a region of `size` pages."""
    access = {"region": "m", "pattern": pattern, "count": 1, **({"write_fraction": writes} if writes else {})}
    return start([mmap(size * PAGE), {"access": access}], image="none")


def drawn(built: Built, count: int, base: int = 0) -> list[tuple[int, int]]:
    """The next accesses, 500 at a time."""
    found: list[int] = []
    while count > 0:
        some = min(count, 500)
        draw(built.kernel.k, 1, base, 1, some)
        found += built.kernel.abuf[1, :some].tolist()
        count -= some
    return [(word >> 1, word & 1) for word in found]


def seq_hash(built: Built) -> str:
    return f"{int(built.kernel.pattern[1, PAT_HASH]) & MASK:016x}"


def pattern_of(kind: str, stride: int, **more: Any) -> dict[str, Any]:
    extra = {"stride": {"stride": stride}, "zipf": {"theta": THETA}}.get(kind, {})
    return {"type": kind, "generator": "xorshift64", **extra, **more}


@pytest.mark.parametrize("what", RECORDED)
def test_recorded_sequences(what: tuple[str, int, int, float, int]) -> None:
    """seq_hash as recorded on a 4.4.1 kernel: the same accesses in the same order."""
    kind, pages, count, writes, stride = what
    built = make(pages, writes, **pattern_of(kind, stride))
    drawn(built, count)
    assert seq_hash(built) == RECORDED[what]


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["sequential", "stride", "uniform", "zipf", "hotcold"]), pages=st.integers(10, 300),
    writes=st.sampled_from([0.0, 1.0, 0.5, 0.3, 0.999]), stride=st.integers(1, 500),
    state=st.one_of(st.just(SEED), st.integers(1, MASK)), base=st.sampled_from([0, 1 << 35]),
)  # fmt: skip
def test_against_the_plain_generator(kind: str, pages: int, writes: float, stride: int, state: int, base: int) -> None:
    """Pages, writes and hash of any pattern of any size from any state, wherever the region lies."""
    built = make(pages, writes, **pattern_of(kind, stride, state=state))
    expected = list(islice(sequence(kind, pages, writes, stride, state), 120))
    assert drawn(built, 120, base) == [(base + page, write) for page, write in expected]
    assert seq_hash(built) == fnv1a(iter(expected))


def test_state_is_that_of_marsaglia() -> None:
    """xorshift64 from 88172645463325252: its first numbers by the definition in Xorshift RNGs (2003), over Python's
    integers.
    """
    built = make(1 << 20, **pattern_of("uniform", 1))
    random = XorShift(SEED)
    for _ in range(20):
        drawn(built, 1)
        assert int(built.kernel.pattern[1, PAT_STATE]) & MASK == random.next()


def test_replay_repeats_its_pages() -> None:
    built = make(8, type="replay", pages=[5, 0, 7])
    assert drawn(built, 7) == [(5, 0), (0, 0), (7, 0), (5, 0), (0, 0), (7, 0), (5, 0)]


def test_graph_walks_stay_near() -> None:
    """With locality 1 and no restarts a step leads at most 64 pages away, and each node has at most `degree`
    neighbours.
    """
    built = make(500, type="graph", degree=3, locality=1.0, restart=0.0)
    walk = [page for page, _ in drawn(built, 1500)]
    assert max(abs(a - b) for a, b in zip(walk, walk[1:], strict=False)) <= 64
    neighbours: dict[int, set[int]] = {}
    for a, b in zip(walk, walk[1:], strict=False):
        neighbours.setdefault(a, set()).add(b)
    assert max(map(len, neighbours.values())) <= 3
    assert all(0 <= page < 500 for page in walk)


@pytest.mark.parametrize("pages", [1, 7, 1000])
def test_default_generator_covers_the_region_evenly(pages: int) -> None:
    """Uniform draws: each page within 6 standard deviations of its share (binomial), none outside."""
    count = 3000
    found = [page for page, _ in drawn(make(pages, type="uniform"), count)]
    share = count / pages
    deviation = (share * (1 - 1 / pages)) ** 0.5
    assert set(found) <= set(range(pages))
    assert all(abs(found.count(page) - share) <= 6 * deviation + 1 for page in range(pages))


def test_streams_differ_by_seed_and_task() -> None:
    """The same seed gives the same sequence; another seed, or another task of one run, another one."""

    def first(seed: int, which: int) -> list[int]:
        program = [mmap(1 << 24), {"access": {"region": "m", "pattern": {"type": "uniform"}, "count": 1}}]
        built = start(tasks=[{"name": "a", "count": 2, "image": "none", "program": program}], seed=seed)
        draw(built.kernel.k, which, 0, 1, 10)
        return built.kernel.abuf[1, :10].tolist()

    assert first(1, 1) == first(1, 1)
    assert len({tuple(first(seed, which)) for seed in (1, 2) for which in (1, 2)}) == 4


@pytest.mark.parametrize(
    ("pages", "fraction", "probability", "expected"),
    [(1, 0.1, 0.9, {0}), (8, 0.1, 1.0, {0}), (8, 0.1, 0.0, set(range(1, 8))), (8, 1.0, 0.0, set(range(8))), (8, 0.5, 1.0, set(range(4)))],
)
def test_hot_and_cold_parts_of_small_regions(pages: int, fraction: float, probability: float, expected: set[int]) -> None:
    """The hot part has at least one page, and where it is all there is no other to draw from."""
    pattern = {"type": "hotcold", "hot_fraction": fraction, "hot_probability": probability}
    steps = [mmap(pages * PAGE), {"access": {"region": "m", "pattern": pattern, "count": 1}}]
    built = start(steps, image="none")
    draw(built.kernel.k, 1, 0, 1, 200)
    assert {int(access) >> 1 for access in built.kernel.abuf[1][:200]} == expected
