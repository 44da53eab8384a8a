"""How much shrinkers scan and free, against a naive twin of do_shrink_slab (v4.4 and v6.1) over Python lists."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from two_zones import make_kernel

from vmsim.arch.rules import rules_of
from vmsim.mm import shrinker, workingset
from vmsim.mm.boot import add_zone, finish_boot
from vmsim.mm.super import fill_super
from vmsim.struct import pages as p
from vmsim.struct import slab as sl
from vmsim.struct.jit import entry
from vmsim.struct.kernel import G_PAGE_SHIFT, G_TASK_PAGES, SC_NR_FRAMES, SYS_VFS_CACHE_PRESSURE, Kernel, table_rows
from vmsim.struct.reclaim import N_SHADOW_NODES
from vmsim.struct.vmstat import NR_LRU_BASE, NR_SLAB_RECLAIMABLE, SLABS_SCANNED

BATCH = 1024  # of a superblock's shrinker
FRAMES = 2048


@entry
def shrink_super(k, scanned, eligible, priority):
    return shrinker.do_shrink_slab(k, sl.SHRINKER_SUPER, scanned, eligible, priority)


@entry
def count_shadow_nodes(k):
    return workingset.count_shadow_nodes(k)


@entry
def drop_slab(k):
    shrinker.drop_slab(k)


def kernel_with(version: str, dentries: int, inodes: int = 0, pressure: int = 100) -> Kernel:
    """A kernel with unused dentries and inodes, in pages of its own."""
    rows = table_rows(FRAMES, cpus=1, tasks=2, pcache=1, code=1, patterns=1, pattern_table=1, unused_objects=dentries + inodes)
    kernel = Kernel(rows)
    kernel.sc[SC_NR_FRAMES] = FRAMES
    kernel.geo[G_PAGE_SHIFT], kernel.geo[G_TASK_PAGES] = 12, 1 << 35
    add_zone(kernel.k, 1, FRAMES, FRAMES - 1)
    for rule, holds in enumerate(rules_of(version)):
        kernel.rule[rule] = holds
    finish_boot(kernel.k)
    kernel.sysctl[SYS_VFS_CACHE_PRESSURE] = pressure
    assert fill_super(kernel.k, 0, dentries, inodes)
    return kernel


@dataclass
class Twin:
    """A superblock's lists, the oldest first: of a dentry (used since the last look, has an inode), of an inode whether it was used."""

    later: bool
    pressure: int
    dentries: list[tuple[bool, bool]]
    inodes: list[bool] = field(default_factory=list)
    deferred: int = 0
    scanned: int = 0

    def scan(self, count: int) -> int:
        """super_cache_scan: each list gets its share of `count`, and one more; an inode that a dentry held is on its list at once."""
        total = len(self.dentries) + len(self.inodes) + 1
        shares = [count * len(self.dentries) // total + 1, count * len(self.inodes) // total + 1]
        freed = 0
        for _ in range(shares[0]):
            if not self.dentries:
                break
            used, has_inode = self.dentries.pop(0)
            if used:
                self.dentries.append((False, has_inode))
                if len(self.dentries) == 1:
                    break
                continue
            freed += 1
            if has_inode:
                self.inodes.append(not self.later)
        for _ in range(shares[1]):
            if not self.inodes:
                break
            if self.inodes.pop(0):
                self.inodes.append(False)
                if len(self.inodes) == 1:
                    break
                continue
            freed += 1
        return freed

    def shrink(self, scanned: int, eligible: int, priority: int) -> int:
        """do_shrink_slab with two seeks."""
        freeable = (len(self.dentries) + len(self.inodes)) * self.pressure // 100
        if not freeable:
            return 0
        if self.later:
            delta = 4 * (freeable >> priority) // 2
            todo = min((self.deferred >> priority) + delta, 2 * freeable)
        else:
            delta = 4 * scanned // 2 * freeable // (eligible + 1)
            todo = self.deferred + delta
            if delta < freeable // 4:
                todo = min(todo, freeable // 2)
            todo = min(todo, 2 * freeable)
        freed = done = 0
        while todo - done >= BATCH or todo - done >= freeable:
            count = min(BATCH, todo - done)
            freed += self.scan(count)
            done += count
        self.scanned += done
        self.deferred = min(max(self.deferred + delta - done, 0), 2 * freeable) if self.later else todo - done
        return freed


def filled(version: str, dentries: int, inodes: int, pressure: int = 100) -> Twin:
    """What `kernel_with` makes: on 4.4 each object was used once; dentries hold inodes while there are some, the latest ones."""
    used = version == "4.4"
    held = min(dentries, inodes)
    return Twin(not used, pressure, [(used, i >= dentries - held) for i in range(dentries)], [used] * (inodes - held))


_calls = st.lists(st.tuples(st.integers(1, 4000), st.integers(0, 4000), st.integers(0, 12)), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    version=st.sampled_from(["4.4", "6.1"]), dentries=st.integers(0, 6000), inodes=st.integers(0, 3000),
    pressure=st.sampled_from([0, 1, 50, 100, 101, 200, 1000]), calls=_calls,
)  # fmt: skip
def test_scans_and_frees_as_do_shrink_slab(
    version: str, dentries: int, inodes: int, pressure: int, calls: list[tuple[int, int, int]]
) -> None:
    kernel = kernel_with(version, dentries, inodes, pressure)
    twin = filled(version, dentries, inodes, pressure)
    for scanned, eligible, priority in calls:
        assert shrink_super(kernel.k, scanned, eligible, priority) == twin.shrink(scanned, eligible, priority)
        assert kernel.nr_deferred[sl.SHRINKER_SUPER] == twin.deferred
        assert kernel.vmstat[SLABS_SCANNED] == twin.scanned
        assert kernel.sb[[sl.SB_DENTRIES, sl.SB_INODES]].tolist() == [len(twin.dentries), len(twin.inodes)]


def test_a_tenth_of_the_pages_scanned_is_a_fifth_of_the_objects() -> None:
    """4.4: twice the share, as an object needs two seeks; what is less than a batch waits for the next time."""
    kernel = kernel_with("4.4", 20_000)
    shrink_super(kernel.k, 100, 999, 12)
    assert kernel.vmstat[SLABS_SCANNED] == 4000 // BATCH * BATCH
    assert kernel.nr_deferred[sl.SHRINKER_SUPER] == 4000 % BATCH
    shrink_super(kernel.k, 100, 999, 12)
    again = 4000 % BATCH + 4000  # all had been used once, so none was freed
    assert kernel.vmstat[SLABS_SCANNED] == 4000 // BATCH * BATCH + again // BATCH * BATCH


def test_later_the_priority_says_how_much() -> None:
    """6.1: at priority 3 a quarter of the objects, whatever was scanned of the lists."""
    for scanned in (1, 5000):
        kernel = kernel_with("6.1", 20_000)
        shrink_super(kernel.k, scanned, 5000, 3)
        assert kernel.vmstat[SLABS_SCANNED] == 20_000 // 4 // BATCH * BATCH


@settings(max_examples=100, deadline=None)
@given(version=st.sampled_from(["4.4", "6.1"]), dentries=st.integers(0, 6000), inodes=st.integers(0, 6000))
def test_drop_slab_ends_with_a_round_that_frees_hardly_anything(version: str, dentries: int, inodes: int) -> None:
    """Rounds as if all pages had been scanned go on while one frees more than 10 objects (6.1: while freed >> shift++ > 1)."""
    kernel, twin = kernel_with(version, dentries, inodes), filled(version, dentries, inodes)
    drop_slab(kernel.k)
    shift = 0
    freed = twin.shrink(1000, 1000, 0)
    while freed > 10 if version == "4.4" else freed >> shift > 1:
        freed = twin.shrink(1000, 1000, 0)
        shift += 1
    assert kernel.sb[[sl.SB_DENTRIES, sl.SB_INODES]].tolist() == [len(twin.dentries), len(twin.inodes)]


@settings(max_examples=100, deadline=None)
@given(listed=st.integers(0, 300), present=st.tuples(st.integers(0, 3000), st.integers(0, 3000)))
def test_nodes_of_shadows_may_be_as_many_as_a_16th_of_the_pages(listed: int, present: tuple[int, int]) -> None:
    kernel = make_kernel("4.4")
    kernel.zone[:2, p.Z_PRESENT] = present
    kernel.node[N_SHADOW_NODES] = listed
    assert count_shadow_nodes(kernel.k) == max(0, listed - sum(present) // 16)


@settings(max_examples=100, deadline=None)
@given(listed=st.integers(0, 300), lists=st.lists(st.integers(0, 500), min_size=5, max_size=5), slab=st.integers(0, 500))
def test_later_an_eighth_of_the_pages_on_lists_and_in_slabs(listed: int, lists: list[int], slab: int) -> None:
    kernel = make_kernel("6.1")
    kernel.node[N_SHADOW_NODES] = listed
    kernel.vmstat[NR_LRU_BASE : NR_LRU_BASE + 5] = lists
    kernel.vmstat[NR_SLAB_RECLAIMABLE] = slab
    assert count_shadow_nodes(kernel.k) == max(0, listed - (sum(lists) + slab) // 8)


@pytest.mark.parametrize(("dentries", "inodes", "pages"), [(21, 0, 1), (22, 0, 2), (2100, 300, 100 + 80), (0, 31, 16)])
def test_objects_to_a_page(dentries: int, inodes: int, pages: int) -> None:
    """/proc/slabinfo on x86-64: 21 dentries to a page, 30 ext4 inodes to eight pages."""
    assert kernel_with("4.4", dentries, inodes).vmstat[NR_SLAB_RECLAIMABLE] == pages
