"""A page that read(2) reads ahead reclaims for itself: one round, until 32 pages are free (__GFP_NORETRY; try_to_free_pages)."""

from __future__ import annotations

import pytest
from scenario import mmap, phase, run, sweep

PAGES = 3000
SLOW = {"reclaim_page": "30 us", "rmap_walk": "15 us", "io_submit": "100 us"}  # kswapd on the other CPU can't keep up


@pytest.mark.parametrize(("cpus", "seed"), [(2, 1), (2, 2), (1, 1)])
def test_each_stall_frees_32_pages_though_most_are_dirty(cpus: int, seed: int) -> None:
    """Reads of single pages at random beside writes to memory that is swapped out: a round waits for the device rather than end early."""
    draw = {"region": 0, "length": PAGES * 4096, "pattern": {"type": "uniform"}, "as": "piece"}
    write = {"region": "m", "pattern": {"type": "uniform"}, "count": 1, "op": "write"}
    each = [{"draw": draw}, {"pread": {"file": "f", "length": 4096, "offset": "piece"}}, {"access": write}]
    outcome = run(
        [mmap("12 MiB"), sweep(count=3072, op="write"), phase("run", {"loop": {"count": PAGES, "as": "round", "steps": each}})],
        seed=seed, ram="16 MiB", image="none", version="6.1", cpus=cpus, costs=SLOW,
        sysctl={"vm.swappiness": 200, "vm.overcommit_memory": 1, "vm.page-cluster": 0},
        swap={"device": "sda", "size": "64 MiB"}, files={"f": {"size": PAGES * 4096, "device": "sda"}},
    )  # fmt: skip
    counters = outcome.phase("run").counters
    assert counters["pswpout"] > 1000
    assert counters["allocstall"] > (4 if cpus > 1 else 0)
    assert counters["pgsteal_direct_dma"] >= 32 * counters["allocstall"]
