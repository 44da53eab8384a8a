"""Since 4.14 swap is read ahead by address where no area is on a rotating disk (mm/swap_state.c of v6.1: swap_vma_readahead).

A naive twin keeps sets of pages and follows the text of swap_ra_info and __swapin_nr_pages; page by page, it must have the same faults.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from scenario import PAGE, Outcome, run

PAGES = 1024
TABLE = 512
BASE = 0x7E00_0000_0000  # as high as mmap puts mappings by itself: page numbers of 35 bits


@dataclass
class Twin:
    """One VMA that begins at a table's first page, all of it in swap."""

    cluster: int
    cached: set[int] = field(default_factory=set)
    mapped: set[int] = field(default_factory=set)
    ahead: set[int] = field(default_factory=set)
    address: int = 0
    window: int = 0
    hits: int = 4
    major: int = 0
    read: int = 0

    def touch(self, page: int) -> None:
        if page in self.mapped:
            return
        if page in self.cached:
            if page in self.ahead:
                self.ahead.remove(page)
                self.hits = min(self.hits + 1, 63)
            self.address = page
        else:
            self.major += 1
            for near in self.around(page):
                if near not in self.mapped and near not in self.cached:
                    self.cached.add(near)
                    self.read += 1
                    if near != page:
                        self.ahead.add(near)
        self.cached.discard(page)
        self.mapped.add(page)

    def around(self, page: int) -> range:
        most = 1 << min(self.cluster, 5)
        if most == 1:
            return range(page, page + 1)
        pages = self.hits + 2
        if pages == 2:
            pages = 2 if abs(page - self.address) == 1 else 1
        else:
            pages = max(4, 1 << (pages - 1).bit_length())
        pages = max(min(pages, most), self.window // 2)
        before, self.address, self.window, self.hits = self.address, page, pages, 0
        first = page if page == before + 1 else page - pages + 1 if before == page + 1 else page - (pages - 1) // 2
        table = page // TABLE * TABLE
        return range(max(first, 0, table), min(first + pages, PAGES, table + TABLE))


def swapped(pages: list[int], cluster: int, device: str = "nvme", **more: Any) -> Outcome:
    """Written, paged out, and touched again in this order."""
    region = {"addr": BASE, "length": PAGES * PAGE}
    touches = [step for page in pages for step in ({"touch": {"addr": BASE + page * PAGE}}, {"sleep": "20 ms"})]
    steps: list[dict[str, Any]] = [
        {"mmap": {**region, "as": "m", "flags": ["PRIVATE", "ANONYMOUS", "FIXED"]}},
        {"access": {"region": "m", "pattern": {"type": "sequential"}, "count": PAGES, "op": "write"}},
        {"madvise": {**region, "advice": "PAGEOUT"}}, {"sleep": "5 s"},
        {"mmap": {"length": "90 MiB", "as": "hog"}},  # what waits in the swap cache goes, too
        {"access": {"region": "hog", "pattern": {"type": "sequential"}, "count": 90 * 256, "op": "write"}},
        {"munmap": {"addr": "hog", "length": "90 MiB"}}, {"sleep": "5 s"},
        {"phase": {"name": "touch", "steps": touches}},
    ]  # fmt: skip
    return run(
        steps, version="6.1", swap={"device": "sda", "size": "256 MiB"}, devices={"sda": {"type": device}}, image="none",
        sysctl={"vm.page-cluster": cluster}, ram="64 MiB", **more,
    )  # fmt: skip


def _orders() -> dict[str, list[int]]:
    dice = random.Random(3)
    jumps = [page for start in dice.sample(range(0, PAGES - 8), 12) for page in range(start, start + dice.randint(1, 8))]
    return {
        "forwards": list(range(470, 560)), "backwards": list(range(560, 470, -1)), "every third": list(range(0, 240, 3)),
        "anywhere": dice.sample(range(PAGES), 80), "runs": jumps, "the ends": [0, 1, 2, 1023, 1022, 1021, 511, 512, 513],
    }  # fmt: skip


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("cluster", [0, 1, 3, 5])
@pytest.mark.parametrize("order", _orders())
def test_the_same_faults_as_the_twin(order: str, cluster: int) -> None:
    pages = _orders()[order]
    outcome = swapped(pages, cluster)
    twin = Twin(cluster)
    for page in pages:
        twin.touch(page)
    counters = outcome.phase("touch").counters
    assert counters["ru_majflt"] == twin.major
    assert outcome.vmstat("pswpin") == twin.read


def test_rotating_disks_and_older_kernels_read_around_the_slot() -> None:
    """The first fault of a VMA finds 4 hits remembered and reads 8 pages; an area of swap has none, and reads one."""
    assert swapped([700], 3).vmstat("pswpin") == 8
    assert swapped([700], 3, device="hdd").vmstat("pswpin") == 1
    assert swapped([700], 3, rules={"vma_swap_readahead": False}).vmstat("pswpin") == 1
