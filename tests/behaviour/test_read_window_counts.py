"""read(2) of a cold file leaves as many pages in the page cache as a real 4.4.1 kernel left.

Numbers: recordings of a virtual machine of 512 MiB, `e_misc_512M` (program `ra via=read`, read-ahead 128 KiB): what mincore
counted afterwards of the first `pages` pages of the file.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenario import PAGE, Outcome, run

from vmsim.struct.files import FI_CACHE, FI_NRPAGES

BIG = {"big": {"size": "1100 MiB", "fs": "ext2"}}
SEED = 88172645463325252
SEQUENTIAL = {"type": "sequential"}
RANDOM = {"type": "uniform", "generator": "xorshift64", "state": SEED}


def preads(pages: int, count: int, pattern: dict[str, Any], *before: dict[str, Any], chunk: int = 1) -> Outcome:
    draw = {"draw": {"region": 0, "length": pages * PAGE, "pattern": pattern, "as": "at"}}
    read = {"pread": {"file": "big", "length": chunk * PAGE, "offset": "at"}}
    return run([*before, {"loop": {"count": count, "steps": [draw, read]}}], files=BIG, ram="512 MiB", image="none")


def resident(outcome: Outcome, pages: int) -> int:
    kernel = outcome.built.kernel
    first = int(kernel.file[outcome.built.file_ids["big"], FI_CACHE])
    return int((kernel.pcache[first : first + pages] > 0).sum())


def advise(advice: str) -> dict[str, Any]:
    return {"fadvise": {"file": "big", "advice": advice}}


@pytest.mark.parametrize(("count", "cached", "kib"), [(1, 4, 16), (2, 12, 48), (5, 28, 116), (100, 156, 628)])
def test_first_pages(count: int, cached: int, kib: int) -> None:
    """4, then 8, 16, 32, 32... pages more."""
    outcome = preads(20000, count, SEQUENTIAL)
    assert (resident(outcome, 20000), outcome.vmstat("pgpgin")) == (cached, kib)


@pytest.mark.parametrize(("stride", "cached", "kib"), [(2, 3036, 12160), (8, 1503, 6064), (33, 1503, 6212), (64, 1503, 6392)])
def test_strides(stride: int, cached: int, kib: int) -> None:
    outcome = preads(100_000, 1500, {"type": "stride", "stride": stride})
    assert (resident(outcome, 100_000), outcome.vmstat("pgpgin")) == (cached, kib)


def test_random() -> None:
    """Single pages, but for where page 0 or a neighbour of the page before was hit."""
    outcome = preads(100_000, 5000, RANDOM)
    assert (resident(outcome, 100_000), outcome.vmstat("pgpgin")) == (4891, 19960)
    outcome = preads(100_000, 5000, RANDOM, advise("RANDOM"))
    assert (resident(outcome, 100_000), outcome.vmstat("pgpgin")) == (4868, 19868)


@pytest.mark.parametrize(
    ("advice", "chunk", "kib"), [("NORMAL", 1, 80324), ("RANDOM", 1, 80084), ("SEQUENTIAL", 1, 80452), ("NORMAL", 16, 80212)]
)
def test_whole_file(advice: str, chunk: int, kib: int) -> None:
    """20,000 pages in order; 84 KiB of what comes in are 21 blocks that ext2 keeps the places of the others in."""
    pattern = SEQUENTIAL if chunk == 1 else {"type": "stride", "stride": chunk}
    outcome = preads(20_000, 20_000 // chunk, pattern, advise(advice), chunk=chunk)
    assert outcome.vmstat("pgpgin") == kib
    assert int(outcome.built.kernel.file[outcome.built.file_ids["big"], FI_NRPAGES]) * 4 == kib - 84


def test_position_and_end_of_file() -> None:
    """read moves the position, pread doesn't; at the end there is less, then nothing."""
    steps = [
        {"read": {"file": "f", "length": 3000, "as": "a"}},
        {"pread": {"file": "f", "length": 5000, "offset": 9000, "as": "b"}},
        {"read": {"file": "f", "length": 8000, "as": "c"}},
        {"read": {"file": "f", "length": 8000, "as": "d"}},
        {"lseek": {"file": "f", "offset": -10, "whence": "SEEK_END", "as": "e"}},
        {"read": {"file": "f", "length": 8000, "as": "g"}},
        {"pread": {"file": "f", "length": 1, "offset": -1, "expect": "EINVAL"}},
    ]
    outcome = run(steps, files={"f": {"size": 10_000}})
    assert [outcome.register(name) for name in "abcdeg"] == [3000, 1000, 7000, 0, 9990, 10]


@pytest.mark.parametrize(
    ("pages", "count", "pattern", "advice", "majflt", "kib"),
    [
        (20_000, 100, SEQUENTIAL, "NORMAL", 1, 644),
        (100_000, 1500, {"type": "stride", "stride": 33}, "NORMAL", 1500, 192_140),
        (100_000, 1500, {"type": "stride", "stride": 64}, "NORMAL", 1500, 192_380),
        (100_000, 5000, RANDOM, "NORMAL", 2624, 297_608),
        (100_000, 5000, RANDOM, "RANDOM", 4868, 19_868),
        (100_000, 5000, RANDOM, "SEQUENTIAL", 2787, 272_564),
    ],
)
def test_mapped_file(pages: int, count: int, pattern: dict[str, Any], advice: str, majflt: int, kib: int) -> None:
    """The same through a mapping (`ra via=mmap`): read-around of 32 pages, none for MADV_RANDOM."""
    steps = [
        {"mmap": {"length": pages * PAGE, "file": "big", "prot": ["READ"], "as": "m"}},
        {"madvise": {"addr": "m", "length": pages * PAGE, "advice": advice}},
        {"access": {"region": "m", "pattern": pattern, "count": count}},
    ]
    outcome = run(steps, files=BIG, ram="512 MiB", image="none")
    assert (outcome.task(7), outcome.vmstat("pgpgin")) == (majflt, kib)
