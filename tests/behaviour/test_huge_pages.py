"""Transparent huge pages of anonymous memory, as mm/huge_memory.c of v4.4 has them: 2 MiB in one entry on x86-64."""

from __future__ import annotations

from typing import Any

import pytest
from scenario import PAGE, ROOT, Outcome, mmap, phase, run, sweep

from vmsim.hw.tlb import TS_WALK_REFS, TS_WALKS
from vmsim.struct.kernel import SC_TOTALRAM

HUGE = 512  # pages
PRIVATE = ["MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_FIXED"]
BASE = 0x1000_0000  # a multiple of 2 MiB


def area(pages: int, start: int = BASE, **given: Any) -> dict[str, Any]:
    """A mapping at `start`."""
    return mmap(pages * PAGE, addr=start, **({"flags": PRIVATE, "prot": ["PROT_READ", "PROT_WRITE"]} | given))


def always(*steps: Any, **given: Any) -> Outcome:
    """Run steps with huge pages everywhere, on a machine large enough for the kernel to leave all of them on."""
    settings = {"ram": "1 GiB", "transparent_hugepage": "always", "image": "none", "capabilities": ROOT}
    return run(steps, **(settings | given))


def shown(out: Outcome, name: str, key: str) -> int:
    """A number of a /proc text that the program showed last."""
    text = [text for text in out.built.shown if text.file == name][-1].text
    return sum(int(line.split()[1]) for line in text.splitlines() if line.split()[0].rstrip(":") == key)


def test_a_write_maps_two_mebibytes_at_once() -> None:
    """Whole aligned pieces of the mapping are one fault and one entry each; its ragged ends are base pages (recorded: 551 of 20,480)."""
    out = always(area(20480, BASE + 19 * PAGE), sweep(count=20480, op="write"))
    assert out.vmstat("pgfault") == 39 + HUGE == 551
    assert out.vmstat("thp_fault_alloc") == out.vmstat("nr_anon_transparent_hugepages") == 39
    assert out.vmstat("nr_anon_pages") == 20480
    # 41 last-level tables, of which 39 are kept in reserve, and those above: one for 1 GiB, one for 512 GiB, and the top
    assert out.vmstat("nr_page_table_pages") == 41 + 3


@pytest.mark.parametrize(("mode", "advice", "huge"), [
    ("always", None, 2), ("always", "NOHUGEPAGE", 0), ("madvise", None, 0), ("madvise", "HUGEPAGE", 2), ("never", "HUGEPAGE", 0),
])  # fmt: skip
def test_who_gets_huge_pages(mode: str, advice: str | None, huge: int) -> None:
    """transparent_hugepage_enabled: `always` but where NOHUGEPAGE was advised, `madvise` only where HUGEPAGE was."""
    advise = [{"madvise": {"addr": "m", "length": 2 * HUGE * PAGE, "advice": advice}}] if advice else []
    out = always(area(2 * HUGE), *advise, sweep(count=2 * HUGE, op="write"), transparent_hugepage=mode)
    assert out.vmstat("thp_fault_alloc") == huge
    assert out.vmstat("pgfault") == huge + (2 - huge) * HUGE


def test_prctl_turns_them_off() -> None:
    """PR_SET_THP_DISABLE marks every later mapping of the process (mm->def_flags of v4.4)."""
    out = always({"prctl": {"option": "PR_SET_THP_DISABLE", "value": 1}}, area(HUGE), sweep(count=HUGE, op="write"))
    assert out.vmstat("thp_fault_alloc") == 0


def test_a_read_maps_the_huge_zero_page() -> None:
    """One page of zeroes for all readers, in nobody's RSS; a write then takes a huge page of its own."""
    out = always(area(2 * HUGE), sweep(count=2 * HUGE), phase("write", sweep(count=1, op="write")))
    assert out.vmstat("thp_zero_page_alloc") == 1
    assert out.vmstat("pgfault") == 2 + 1
    assert out.vmstat("thp_fault_alloc") == out.vmstat("nr_anon_transparent_hugepages") == 1
    assert out.vmstat("nr_anon_pages") == HUGE


def test_a_small_machine_has_no_huge_zero_page() -> None:
    """Below 512 MiB the kernel boots with everything off, use_zero_page as well; writing `always` later brings back only the pages."""
    out = always(area(HUGE), sweep(count=HUGE), ram="256 MiB")
    assert out.vmstat("thp_zero_page_alloc") == 0
    assert out.vmstat("thp_fault_alloc") == 1


def test_fork_shares_and_a_write_copies_all_of_it() -> None:
    """Each of the two processes has the page in its RSS; the first write copies 2 MiB, the last owner then takes its page over."""
    child = [sweep(count=1, op="write"), {"sleep": "1 ms"}]
    after = phase("after", sweep(count=HUGE, op="write"))
    out = always(area(HUGE), sweep(count=1, op="write"), {"fork": {"steps": child}}, {"wait": {}}, after)
    assert out.vmstat("thp_fault_alloc") == 2
    assert out.vmstat("nr_anon_pages") == HUGE  # the child's copy went with it
    assert out.phase("after").counters["ru_minflt"] == 1
    assert out.phase("after").counters.get("pgalloc_dma32", 0) == 0


def test_unmapping_a_part_splits_it() -> None:
    """munmap of half a huge page leaves base pages; of a whole one, nothing to split (zap_huge_pmd)."""
    half = {"munmap": {"addr": BASE + HUGE // 2 * PAGE, "length": HUGE // 2 * PAGE}}
    out = always(area(2 * HUGE), sweep(count=2 * HUGE, op="write"), half, {"show": ["meminfo", "smaps"]})
    assert out.vmstat("thp_split") == 1
    assert out.vmstat("nr_anon_transparent_hugepages") == 1
    assert out.vmstat("nr_anon_pages") == HUGE + HUGE // 2
    assert shown(out, "meminfo", "AnonHugePages") == shown(out, "smaps", "AnonHugePages") == 2048
    assert shown(out, "smaps", "Rss") == 2048 + 1024
    whole = {"munmap": {"addr": BASE, "length": HUGE * PAGE}}
    out = always(area(2 * HUGE), sweep(count=2 * HUGE, op="write"), whole)
    assert out.vmstat("thp_split") == 0
    assert out.vmstat("nr_anon_pages") == HUGE


@pytest.mark.parametrize(("step", "splits"), [
    ({"mprotect": {"addr": "m", "length": HUGE * PAGE, "prot": ["PROT_READ"]}}, 0),
    ({"mprotect": {"addr": "m", "length": PAGE, "prot": ["PROT_READ"]}}, 1),
    ({"madvise": {"addr": "m", "length": HUGE * PAGE, "advice": "DONTNEED"}}, 0),
    ({"madvise": {"addr": "m + 4 KiB", "length": HUGE * PAGE, "advice": "DONTNEED"}}, 2),
    ({"mlock": {"addr": "m", "length": 2 * HUGE * PAGE}}, 0),
    ({"mlock": {"addr": "m", "length": (HUGE + 1) * PAGE}}, 1),
    ({"mremap": {"addr": "m", "old_length": HUGE * PAGE, "new_length": HUGE * PAGE, "flags": ["MAYMOVE", "FIXED"],
                 "new_addr": BASE + 64 * HUGE * PAGE}}, 0),
    ({"mremap": {"addr": "m", "old_length": HUGE * PAGE, "new_length": HUGE * PAGE, "flags": ["MAYMOVE", "FIXED"],
                 "new_addr": BASE + 64 * HUGE * PAGE + PAGE}}, 1),
])  # fmt: skip
def test_what_splits(step: dict[str, Any], splits: int) -> None:
    """A huge page stays whole where a call is about all of it, and is split where it is about a part (vma_adjust_trans_huge)."""
    out = always(area(2 * HUGE), sweep(count=2 * HUGE, op="write"), step)
    assert out.vmstat("thp_split") == splits


def test_a_locked_huge_page_counts_for_all_of_its_pages() -> None:
    """NR_MLOCK and the unevictable list count 512; unlocking gives them back."""
    lock = {"mlock": {"addr": "m", "length": HUGE * PAGE}}
    out = always(area(HUGE), lock)
    assert out.vmstat("nr_mlock") == out.vmstat("nr_unevictable") == HUGE
    assert out.vmstat("unevictable_pgs_mlocked") == 1
    out = always(area(HUGE), lock, {"munlock": {"addr": "m", "length": HUGE * PAGE}})
    assert out.vmstat("nr_mlock") == out.vmstat("nr_unevictable") == 0


def test_swapping_splits_first() -> None:
    """add_to_swap of v4.4 takes single pages: what is swapped out was split, and comes back as base pages."""
    swap = {"device": "sda", "size": "256 MiB"}
    out = always(
        area(64 * HUGE), sweep(count=64 * HUGE, op="write"), sweep(count=64 * HUGE), ram="128 MiB", swap=swap, sysctl={"vm.swappiness": 100}
    )
    assert out.vmstat("pswpout") > 0
    assert out.vmstat("thp_split") >= out.vmstat("pswpout") / HUGE / 2
    assert out.vmstat("nr_anon_transparent_hugepages") == out.vmstat("thp_fault_alloc") - out.vmstat("thp_split")


def in_pieces(*steps: Any) -> Outcome:
    """128 MiB of RAM of which a program has written 28,000 base pages; then `steps`."""
    base = [area(28000), {"madvise": {"addr": "m", "length": 28000 * PAGE, "advice": "NOHUGEPAGE"}}, sweep(count=28000, op="write")]
    return always(*base, *steps, ram="128 MiB", sysctl={"vm.overcommit_memory": 1, "vm.min_free_kbytes": 512})


def test_without_a_free_block_it_falls_back() -> None:
    """Memory in pieces: every other page of a region is freed, and no 2 MiB are left in one piece."""
    holes = {"madvise": {"addr": f"m + i * {2 * PAGE}", "length": PAGE, "advice": "DONTNEED"}}
    loop = {"loop": {"count": 14000, "as": "i", "steps": [holes]}}
    out = in_pieces(loop, mmap(10 * HUGE * PAGE, "h", addr=BASE * 16, flags=PRIVATE), sweep("h", 10 * HUGE, op="write"))
    free = out.built.kernel.sc[SC_TOTALRAM] - 28000  # what was in one piece when the holes were made
    assert out.vmstat("thp_fault_alloc") <= free // HUGE
    assert out.vmstat("thp_fault_alloc") + out.vmstat("thp_fault_fallback") == 10
    assert out.vmstat("thp_fault_fallback") > 0
    assert out.vmstat("nr_anon_pages") == 14000 + 10 * HUGE


def test_freed_pieces_merge_again() -> None:
    """Once all pages of a block are free, in whatever order they went, it can be a huge page again."""
    free = [{"munmap": {"addr": "m + 4 KiB", "length": 27000 * PAGE}}, {"munmap": {"addr": "m", "length": 28000 * PAGE}}]
    out = in_pieces(*free, mmap(40 * HUGE * PAGE, "h", addr=BASE * 16, flags=PRIVATE), sweep("h", 40 * HUGE, op="write"))
    assert out.vmstat("thp_fault_alloc") == 40


def test_a_walk_reads_one_table_less_and_the_tlb_reaches_further() -> None:
    """A huge page is one translation: 64 entries of the first level hold 128 MiB of them; a walk ends a level earlier."""
    reads = {"access": {"region": "m", "pattern": {"type": "uniform"}, "count": 20000}}
    huge = always(area(32 * HUGE), sweep(count=32 * HUGE, op="write"), reads)
    small = always(area(32 * HUGE), sweep(count=32 * HUGE, op="write"), reads, transparent_hugepage="never")
    walks, refs = (int(huge.built.kernel.tlb_stat[0, column]) for column in (TS_WALKS, TS_WALK_REFS))
    assert walks == 32
    assert 32 <= refs <= 32 + 2  # the walk caches spare all but the last, once the tables above were read
    assert small.built.kernel.tlb_stat[0, TS_WALKS] > 32 * HUGE + 15000  # and 1,088 base pages are all that both levels hold


def test_time_is_accounted_for() -> None:
    """Zeroing a huge page takes as long as zeroing its base pages one by one, and a copy likewise."""
    huge = always(area(4 * HUGE), sweep(count=4 * HUGE, op="write"))
    small = always(area(4 * HUGE), sweep(count=4 * HUGE, op="write"), transparent_hugepage="never")
    assert huge.ledger("zero") == small.ledger("zero") > 0
    assert huge.ledger("fault") < small.ledger("fault") / 20
