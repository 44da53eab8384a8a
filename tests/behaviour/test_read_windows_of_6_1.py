"""Read-ahead of 6.1 leaves as many pages in the page cache as a real kernel did.

Numbers: Debian's 6.1.176 in a virtual machine of 512 MiB (TCG; ext2, read-ahead 128 KiB), a cold file: what mincore counted of it after
reads of `chunk` pages, and the faults that getrusage counted after accesses to a mapping. Each rule by itself is switched back to show
that the number hangs on it.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenario import PAGE, Outcome, run

from vmsim.struct.files import FI_CACHE
from vmsim.struct.tasks import T_MAJ_FLT

BIG = {"big": {"size": "1100 MiB", "fs": "ext2"}}
SEED = 88172645463325252
RANDOM = {"type": "uniform", "generator": "xorshift64", "state": SEED}


def stride(pages: int) -> dict[str, Any]:
    return {"type": "stride", "stride": pages}


def start(program: list[dict[str, Any]], **switched: bool) -> Outcome:
    return run(program, version="6.1", rules=switched, files=BIG, ram="512 MiB", image="none")


def preads(pages: int, count: int, chunk: int, pattern: dict[str, Any], *before: dict[str, Any], **switched: bool) -> int:
    """Pages in the cache after reads at a pattern of places."""
    draw = {"draw": {"region": 0, "length": pages * PAGE, "pattern": pattern, "as": "at"}}
    read = {"pread": {"file": "big", "length": chunk * PAGE, "offset": "at"}}
    return resident(start([*before, {"loop": {"count": count, "steps": [draw, read]}}], **switched), pages)


def maps(pages: int, count: int, pattern: dict[str, Any], *advice: str, **switched: bool) -> tuple[int, int]:
    """Pages in the cache and major faults after accesses to a mapping."""
    length = pages * PAGE
    mapping = {"length": length, "prot": ["PROT_READ"], "file": "big", "flags": ["MAP_PRIVATE"], "as": "m"}
    program: list[dict[str, Any]] = [{"mmap": mapping}]
    program += [{"madvise": {"addr": "m", "length": length, "advice": each}} for each in advice]
    outcome = start([*program, {"access": {"region": "m", "length": length, "pattern": pattern, "count": count}}], **switched)
    return resident(outcome, pages), int(outcome.task(T_MAJ_FLT))


def resident(outcome: Outcome, pages: int = 100_000) -> int:
    kernel = outcome.built.kernel
    first = int(kernel.file[outcome.built.file_ids["big"], FI_CACHE])
    return int((kernel.pcache[first : first + pages] > 0).sum())


@pytest.mark.parametrize(("count", "cached"), [(1, 960), (2, 1600), (3, 1920), (4, 2560), (10, 5440)])
def test_large_reads_read_as_much_as_a_request_holds(count: int, cached: int) -> None:
    """Reads of 500 pages, one after the other: 320 pages at a time (1280 KiB), however little of a read is left."""
    assert preads(100_000, count, 500, stride(500)) == cached
    if count > 1:
        assert preads(100_000, count, 500, stride(500), readahead_keeps_size=False) < cached
    assert preads(100_000, count, 500, stride(500), readahead_io_pages=False) < cached


def test_a_read_is_sequential_where_the_last_one_ended() -> None:
    """Every second page looks sequential, as the position lies a page further than before; random reads do where they leave the cache."""
    assert preads(100_000, 1000, 1, stride(2)) == 2044
    assert preads(20_000, 3000, 5, RANDOM) == 12954
    assert preads(20_000, 3000, 5, RANDOM, read_moves_position=False) != 12954


def test_willneed_reads_as_much_as_a_request_holds() -> None:
    assert resident(start([{"fadvise": {"file": "big", "advice": "WILLNEED"}}])) == 320
    assert resident(start([{"fadvise": {"file": "big", "advice": "WILLNEED"}}], readahead_io_pages=False)) == 32
    assert maps(30_000, 1000, RANDOM, "WILLNEED") == (18575, 641)


@pytest.mark.slow_without_jit
def test_random_faults() -> None:
    """A marked page before a whole window of cached ones reads on at its last page, which was not so before 4.20."""
    assert maps(100_000, 5000, RANDOM) == (74426, 2706)
    assert maps(100_000, 5000, RANDOM, readahead_looks_short=False) != (74426, 2706)


def test_faults_on_a_mapping_to_be_read_in_order() -> None:
    """20,000 pages after MADV_SEQUENTIAL: a fault waits for pages 0 and 16, and for the first of each window of 32."""
    assert maps(20_000, 20_000, {"type": "sequential"}, "SEQUENTIAL")[1] == 626
    assert maps(20_000, 20_000, {"type": "sequential"}, "SEQUENTIAL", readahead_whole_window=False)[1] < 626
