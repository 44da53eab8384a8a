"""Slab caches give up memory when the LRU lists do.   do_shrink_slab, shadow nodes, vm.vfs_cache_pressure, drop_caches of v4.4 and v6.1."""

from __future__ import annotations

import re

import pytest
from scenario import Outcome, mmap, run, start, sweep

from vmsim.errors import VmsimError
from vmsim.struct import slab as sl
from vmsim.struct.reclaim import N_SHADOW_NODES

VERSIONS = ["4.4", "6.1"]
DENTRIES = 21 * 1000  # pages of 4 KiB: 1,000
INODES = 30 * 50  # 400


def unused(outcome: Outcome) -> int:
    """Dentries and inodes that are left on their lists."""
    return int(outcome.built.kernel.sb[[sl.SB_DENTRIES, sl.SB_INODES]].sum())


def filling(pages: int, **given: object) -> Outcome:
    """A machine of 16 MiB without swap, a third of it slab, whose program writes so many pages."""
    slab = {"dentries": DENTRIES, "inodes": INODES}
    steps = [mmap(pages * 4096), sweep(count=pages, op="write")]
    return run(steps, ram="16 MiB", image="none", slab=slab, **{"sysctl": {}, **given})


@pytest.mark.parametrize("version", VERSIONS)
def test_memory_that_slab_gives_up_spares_the_program(version: str) -> None:
    """Where no unused object may go (vm.vfs_cache_pressure 0) the same program ends in an OOM kill."""
    spared = filling(2800, version=version)
    assert spared.exit() == "done"
    assert spared.vmstat("slabs_scanned") > 0
    killed = filling(2800, version=version, sysctl={"vm.vfs_cache_pressure": 0})
    assert killed.exit() == "SIGKILL"
    assert (killed.vmstat("slabs_scanned"), unused(killed)) == (0, DENTRIES)


@pytest.mark.parametrize("version", VERSIONS)
def test_memory_that_is_enough_leaves_slab_alone(version: str) -> None:
    outcome = filling(100, version=version)
    assert (outcome.vmstat("slabs_scanned"), outcome.vmstat("nr_slab_reclaimable")) == (0, 1400)


def test_the_greater_vfs_cache_pressure_the_fewer_are_left() -> None:
    """A file of four times the memory is read on 4.4, where the share of the lists that is scanned decides."""
    left = []
    for pressure in (0, 50, 100, 200):
        outcome = run(
            [{"pread": {"file": "f", "offset": 0, "length": "64 MiB"}}], ram="16 MiB", image="none",
            files={"f": {"size": "64 MiB", "device": "sda"}}, slab={"dentries": DENTRIES, "inodes": INODES},
            sysctl={"vm.vfs_cache_pressure": pressure},
        )  # fmt: skip
        left.append(unused(outcome))
    assert left[0] == DENTRIES
    assert left == sorted(left, reverse=True)
    assert left[1] > left[3]


def dropping(version: str, value: int) -> Outcome:
    """What drop_caches leaves, as /proc/meminfo shows it."""
    steps = [{"sysctl": {"name": "vm.drop_caches", "value": value}}, {"show": ["meminfo"]}]
    return run(steps, image="none", version=version, slab={"dentries": DENTRIES, "inodes": INODES})


def slab_kib(outcome: Outcome) -> int:
    """SReclaimable."""
    return int(re.findall(r"^SReclaimable: +(\d+) kB$", outcome.built.shown[0].text, re.M)[0])


@pytest.mark.parametrize("version", VERSIONS)
def test_meminfo_shows_slab_and_drop_caches_2_empties_it(version: str) -> None:
    """Slabs are what /proc/slabinfo says of objects to a slab; drop_caches 1 leaves them (fs/drop_caches.c)."""
    before, after = dropping(version, 1), dropping(version, 2)
    assert (slab_kib(before), before.vmstat("drop_slab"), unused(before)) == (5600, 0, DENTRIES)
    assert unused(after) <= 10
    assert slab_kib(after) <= 4 * (1 + 8)
    assert after.vmstat("drop_slab") == 1
    assert 4 * (after.free_pages - before.free_pages) == slab_kib(before) - slab_kib(after)
    assert after.ledger("syscall") > before.ledger("syscall")


@pytest.mark.parametrize("version", VERSIONS)
def test_shadows_of_a_long_stream_do_not_fill_memory(version: str) -> None:
    """Each 64 pages of a file of 64 times the memory have a node.

    Of 1,024 pages of memory there may be 64 nodes of shadows, later at most 128, and of what is beyond half is scanned if that is a batch
    of 128.
    """
    outcome = run(
        [{"pread": {"file": "f", "offset": 0, "length": "256 MiB"}}], ram="4 MiB", image="none", version=version,
        files={"f": {"size": "256 MiB", "device": "sda"}},
    )  # fmt: skip
    gone = outcome.vmstat("workingset_nodereclaim")
    assert outcome.built.kernel.node[N_SHADOW_NODES] <= (64 if version == "4.4" else 128) + 2 * 128
    assert outcome.built.kernel.slab[sl.SLAB_NODES, sl.SL_OBJECTS] == 1024 - gone


def test_a_slab_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(VmsimError, match="kernel slab: 1000000 dentries and 0 inodes do not fit in 16 MiB of memory"):
        start(ram="16 MiB", slab={"dentries": 1_000_000})
