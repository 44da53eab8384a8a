"""TLB reach and strides against formulas."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from mmu_rig import Rig, small_profile, switch_mm

from vmsim.arch.profile import Profile, get_profile
from vmsim.hw.tlb import TS_L1_HITS, TS_L2_HITS, TS_WALK_REFS, TS_WALKS
from vmsim.struct.pages import PTE_DIRTY, PTE_PRESENT, PTE_SHIFT, PTE_WRITE, PTE_YOUNG

READY = PTE_PRESENT | PTE_YOUNG | PTE_WRITE | PTE_DIRTY | 1 << PTE_SHIFT
SMALL = small_profile(l1=(8, 4), l2=(64, 8), walk_cache=(4, 2))


def _rig(profile: Profile, pages: range) -> Rig:
    rig = Rig(profile)
    switch_mm(rig.k, 0, 1)
    rig.map(1, dict.fromkeys(pages, READY))
    return rig


def _counts(rig: Rig, vpns: Iterable[int]) -> tuple[int, int, int]:
    """Hits in L1, hits in L2 and walks of these accesses."""
    before = [rig.stat(c) for c in (TS_L1_HITS, TS_L2_HITS, TS_WALKS)]
    rig.run([(int(vpn), 0) for vpn in vpns])
    l1, l2, walks = (rig.stat(c) - b for c, b in zip((TS_L1_HITS, TS_L2_HITS, TS_WALKS), before, strict=True))
    return l1, l2, walks


@pytest.mark.parametrize("name", ["x86_64", "arm", "s390x", "aarch64"])
def test_working_set_within_reach_always_hits(name: str) -> None:
    """As many consecutive pages as L1 has entries: after the first pass every access hits L1, in any order."""
    profile = get_profile(name)
    pages = range(profile.l1.entries)
    rig = _rig(profile, pages)
    assert _counts(rig, pages) == (0, 0, len(pages))
    assert _counts(rig, np.random.default_rng(1).integers(0, len(pages), 500)) == (500, 0, 0)


def test_working_set_within_the_second_levels_reach_never_walks() -> None:
    pages = range(SMALL.l2.entries)
    rig = _rig(SMALL, pages)
    assert _counts(rig, pages) == (0, 0, 64)
    l1, l2, walks = _counts(rig, np.random.default_rng(1).integers(0, 64, 2000))
    assert (l1 + l2, walks) == (2000, 0)


def test_cyclic_sweep_one_page_beyond_a_set_never_hits() -> None:
    """w + 1 pages of one set of w ways, in turn:

    oldest-first replacement (as LRU) throws out the one that comes next.
    """
    pages = range(0, 9 * 8, 8)
    rig = _rig(SMALL, pages)
    assert _counts(rig, list(pages) * 10) == (0, 0, 90)


@pytest.mark.parametrize("pages", [128, 256, 512])
def test_uniform_accesses_hit_in_proportion_to_entries(pages: int) -> None:
    """Independent uniform accesses to N pages find the E that a full TLB holds with probability E/N, whatever is
    replaced.

    Every set then sees a uniform draw from its N/S pages and holds w of them, so the ratio is w/(N/S) = E/N exactly.
    Allowed are 10 standard deviations of a binomial: neighbouring accesses are correlated.
    """
    rig = _rig(SMALL, range(pages))
    draws = np.random.default_rng(pages).integers(0, pages, 8000)
    _counts(rig, draws[:1000])
    l1, _, walks = _counts(rig, draws[1000:])
    for hits, entries in ((l1, 8), (7000 - walks, 64)):
        p = entries / pages
        assert abs(hits / 7000 - p) < 10 * (p * (1 - p) / 7000) ** 0.5


def test_sequential_pages_walk_once_each_and_read_one_table() -> None:
    """Page after page, each touched 4 times:

    1 walk and 3 hits a page; the walk caches leave one reference, but 4 at first and 2 in a new table.
    """
    rig = _rig(get_profile("x86_64"), range(1024))
    assert _counts(rig, np.repeat(np.arange(1024), 4)) == (3 * 1024, 0, 1024)
    assert rig.stat(TS_WALK_REFS) == 1024 + 3 + 1


@pytest.mark.parametrize(("stride", "hits"), [(1, True), (2, True), (4, False), (8, False)])
def test_stride_shrinks_the_reach_by_itself(stride: int, hits: bool) -> None:
    """E/2 = 32 pages at a power-of-two stride use S/stride of the 8 sets:

    they fit up to stride 2 and thrash from stride 4 on.
    """
    pages = range(0, 32 * stride, stride)
    rig = _rig(SMALL, pages)
    _counts(rig, pages)
    l1, l2, walks = _counts(rig, list(pages) * 5)
    assert (l1 + l2, walks) == ((160, 0) if hits else (0, 160))


def test_larger_pages_reach_further() -> None:
    """A sweep over 4 MiB, by 4 KiB steps: pages of 64 KiB take 64 walks where pages of 4 KiB take 1024."""
    walks = []
    for page_size in (4096, 65536):
        rig = Rig(get_profile("aarch64"), page_size=page_size)
        switch_mm(rig.k, 0, 1)
        vpns = [address // page_size for address in range(0, 4 << 20, 4096)]
        rig.map(1, dict.fromkeys(vpns, READY))
        rig.run([(vpn, 0) for vpn in vpns])
        walks.append(rig.stat(TS_WALKS))
    assert walks == [1024, 64]
