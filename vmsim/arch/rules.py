"""Where kernel versions answer differently: each difference one named rule, with the versions it holds in and its source.

`k.rule[R_X]` is 1 where the rule holds. A kernel's rules follow from its version; an experiment can switch single rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vmsim.errors import VmsimError, unknown_name
from vmsim.struct.rules import RULE_NAMES

VERSIONS = ("4.3", "4.4", "6.1", "6.18")


@dataclass(frozen=True)
class Rule:
    """One difference between kernel versions: in `since` <= version < `until` it holds."""

    name: str
    since: str
    until: str | None
    what: str
    source: str

    def holds(self, version: str) -> bool:
        """Whether the rule holds in a kernel of this version (one of VERSIONS)."""
        order = VERSIONS.index(version)
        return VERSIONS.index(self.since) <= order and (self.until is None or order < VERSIONS.index(self.until))


RULES = (
    Rule("mlock2", "4.4", None, "mlock2 and MCL_ONFAULT exist", "a8ca5d0ecbdd, b0f205c2a308 (4.4)"),
    Rule("onfault_alone", "4.4", "6.1", "mlockall(MCL_ONFAULT) alone succeeds and unlocks everything", "mlock.c of v4.4: mlockall; EINVAL since 5.x"),
    Rule("mlock_overlap_counts", "4.3", "6.1", "the RLIMIT_MEMLOCK test counts pages that are locked already", "mlock.c of v4.4: do_mlock; count_mm_mlocked_page_nr since 4.9"),
    Rule("relock_counts_twice", "4.3", "6.1", "changing only the on-fault bit adds the pages to locked_vm again", "mlock.c of v4.4: mlock_fixup"),
    Rule("onfault_walks_pages", "4.4", "6.1", "locking on fault walks the range page by page to lock what is present", "gup.c of v4.4: populate_vma_page_range"),
    Rule("madv_free", "6.1", None, "madvise(MADV_FREE) exists", "4.5"),
    Rule("stack_guard_inside", "4.3", "6.1", "one guard page inside a growing-down VMA; later a gap of 256 pages below it", "memory.c of v4.4: check_stack_guard_page; 1be7107fbe18 (4.12)"),
    Rule("nohugepage_flag", "4.3", "6.1", "PR_SET_THP_DISABLE puts VM_NOHUGEPAGE into every new VMA", "mm.h of v4.4: mm->def_flags"),
    Rule("mremap_many", "6.18", None, "mremap can move a range of several VMAs", "6.17"),
    Rule("mremap_old_len_zero_private", "4.3", "6.1", "mremap with old length 0 duplicates a private mapping too", "mremap.c of v4.4: vma_to_resize"),
    Rule("mmap_splits_before_limits", "6.18", None, "a MAP_FIXED mmap that fails its limits has already split the VMAs in its way", "mm/vma.c since 6.12"),
    Rule("mmap_offset_limit", "6.1", None, "mmap with an offset beyond the file-size limit gives EOVERFLOW", "mmap.c since 4.12: file_mmap_ok"),
    Rule("mlock_is_page_cache", "6.1", None, "a file page faulted into a locked VMA is mlocked at the fault", "mlock_vma_folio since 5.18"),
    Rule("retry_is_major", "6.1", None, "a fault that waited counts as major in rusage", "mm_account_fault since 5.9"),
    Rule("rlimit_data_private", "6.1", None, "RLIMIT_DATA limits all private writable mappings", "4.6"),
    Rule("mremap_looks_first", "6.1", None, "mremap of an unmapped address is EFAULT, whatever the lengths and before anything is unmapped", "mremap.c since 5.15: vma_lookup"),
    Rule("mremap_checks_first", "6.18", None, "mremap to a fixed address checks the source before it unmaps the target", "mremap.c since 6.17: check_prep_vma"),
    Rule("mremap_length_limit", "6.18", None, "mremap to a length beyond TASK_SIZE is EINVAL", "mremap.c since 6.17: check_mremap_params"),
    Rule("mremap_expansion_merges", "6.1", None, "a mapping that mremap grows in place merges with the next one", "mremap.c of v6.1: the extension goes through vma_merge"),
    Rule("mprotect_restores_write", "6.1", None, "mprotect makes exclusive anonymous pages writable at once", "mprotect.c of v6.1: can_change_pte_writable"),
    Rule("mprotect_uncharges", "6.18", None, "mprotect to read-only gives the commit charge of an untouched mapping back", "mprotect.c: mprotect_fixup"),
    Rule("merge_unfaulted_neighbour", "6.18", None, "a written-to mapping merges with a neighbour that was never written to", "vma.c since 6.16: is_mergeable_anon_vma"),
    Rule("mmap_extends_next_first", "6.1", "6.18", "a new mapping that fits its next neighbour takes over that one's anon_vma before the previous one is looked at", "mmap.c of v6.1: mmap_region"),
    Rule("lockonfault_mnemonic", "6.18", None, "smaps names VM_LOCKONFAULT lf; before it shows ??", "fs/proc/task_mmu.c: show_smap_vma_flags"),
    Rule("overcommit_guess_total", "6.1", None, "heuristic overcommit refuses only what exceeds all of memory and swap", "util.c since 5.2: __vm_enough_memory"),
    Rule("mprotect_restores_clean", "6.18", None, "mprotect makes them writable even if they are clean", "mprotect.c since 6.2: can_change_private_pte_writable"),
    Rule("watermark_scale", "6.1", None, "the gaps between a zone's watermarks are at least watermark_scale_factor / 10,000 of it", "795ae7a0de6b (4.6): __setup_per_zone_wmarks"),
    Rule("pcp_high_is_low_wmark", "6.1", None, "the CPUs' free lists of a zone hold as much as its low watermark together", "b92ca18e8ca5 (5.14): zone_highsize"),
    Rule("khugepaged_last", "6.1", None, "khugepaged's recommended min_free_kbytes stays in force; before, the boot overwrites it", "page_alloc.c: init_per_zone_wmark_min is a postcore_initcall since 4.8; bd3400ea173f (5.13)"),
    Rule("madv_wipeonfork", "6.1", None, "madvise(MADV_WIPEONFORK, MADV_KEEPONFORK) exist", "d2cd9ede6e19 (4.14)"),
    Rule("madv_cold", "6.1", None, "madvise(MADV_COLD, MADV_PAGEOUT) exist", "9c276cc65a58, 1a4e58cce84e (5.4)"),
    Rule("madv_populate", "6.1", None, "madvise(MADV_POPULATE_READ, MADV_POPULATE_WRITE) exist", "4ca9b3859dac (5.14)"),
    Rule("madv_dontneed_locked", "6.1", None, "madvise(MADV_DONTNEED_LOCKED) exists", "9457056ac426 (5.18)"),
    Rule("hugepage_refuses_shared", "4.3", "6.1", "madvise(MADV_HUGEPAGE, MADV_NOHUGEPAGE) of a shared or special mapping is EINVAL", "huge_memory.c of v4.4: hugepage_madvise"),
    Rule("hugepage_twice_fails", "4.3", "4.4", "madvise(MADV_HUGEPAGE) of a mapping that has the flag already is EINVAL; MADV_NOHUGEPAGE likewise", "huge_memory.c of v4.3: hugepage_madvise"),
    Rule("remove_needs_maywrite", "6.18", None, "madvise(MADV_REMOVE) asks whether the mapping could become writable; before, whether it is", "e8e17ee90eaf (6.7): vma_is_shared_maywrite"),
    Rule("memory_failure", "4.3", "6.18", "MADV_HWPOISON and MADV_SOFT_OFFLINE exist (CONFIG_MEMORY_FAILURE)", "configuration: on in most distributions' kernels, off in the 6.18 kernel that was recorded"),
    Rule("map_fixed_noreplace", "6.1", None, "MAP_FIXED_NOREPLACE is known: EEXIST where something is mapped", "a4ff8e8620d3 (4.17)"),
    Rule("map_shared_validate", "6.1", None, "MAP_SHARED_VALIDATE is known: EOPNOTSUPP for unknown flags", "1c9725974074 (4.15)"),
    Rule("mremap_dontunmap", "6.1", None, "mremap(MREMAP_DONTUNMAP) leaves the old mapping, empty", "e346b3813067 (5.7), a4609387859f (5.13)"),
    Rule("dontunmap_counts_locked", "6.18", None, "MREMAP_DONTUNMAP of a locked mapping adds its pages to locked_vm though the old one loses its lock", "mremap.c since 6.17: vrm_stat_account; seen on 6.18"),
    Rule("memfd_exec_flags", "6.18", None, "memfd_create knows MFD_NOEXEC_SEAL and MFD_EXEC", "105ff5339f49 (6.3)"),
    Rule("brk_keeps_stack_gap", "6.1", None, "brk keeps the stack guard gap below a growing-down mapping free", "1be7107fbe18 (4.12)"),
    Rule("proc_hugetlb_lines", "4.4", None, "smaps and status show hugetlb pages (Shared_Hugetlb, Private_Hugetlb, HugetlbPages)", "25ee01a2fca0, 5d317b2b6536 (4.4)"),
    Rule("proc_lines_6_1", "6.1", None, "/proc shows what came from 4.5 to 6.1: RssAnon, RssFile and RssShmem, LazyFree, Pss_Dirty, THPeligible, KReclaimable, Percpu, the node's counters in zoneinfo", "fs/proc/task_mmu.c, fs/proc/meminfo.c, mm/vmstat.c of v6.1"),
    Rule("proc_lines_6_18", "6.18", None, "/proc shows what came from 6.2 to 6.18: KSM in smaps, SecPageTables, Balloon, promo and the pagesets' bounds in zoneinfo", "the /proc of the 6.18 kernel that was recorded"),
    Rule("fair_zones", "4.3", "6.1", "zones of a node take turns in proportion to their size; later the highest one is filled first", "page_alloc.c of v4.4: zone_local, NR_ALLOC_BATCH; e6cbd7f2efb4 (4.8)"),
    Rule("node_lru", "6.1", None, "the LRU lists are the node's; before each zone has its own", "599d0c954f91 (4.8)"),
    Rule("new_anon_inactive", "6.1", None, "new anonymous pages start on the inactive list", "b518154e59aa (5.9)"),
    Rule("anon_refaults", "6.1", None, "anonymous pages leave shadows, so that their refaults are detected", "170b04b7ae49, aae466b0052e (5.9)"),
    Rule("anon_second_chance", "6.1", None, "an inactive anonymous page that was used once stays inactive, as file pages do; before it is activated", "b518154e59aa (5.9): page_check_references"),
    Rule("map_stack_nohugepage", "6.18", None, "MAP_STACK puts VM_NOHUGEPAGE into the mapping; before it does nothing", "c4608d1bf7c6 (6.7); seen on 6.18"),
    Rule("oom_root_bonus", "4.3", "6.1", "a task with CAP_SYS_ADMIN scores 3 % less for the OOM killer", "oom_kill.c of v4.4: oom_badness; d46078b28889 (4.17)"),
    Rule("oom_child_first", "4.3", "6.1", "a child with memory of its own is killed in place of the chosen task", "oom_kill.c of v4.4: oom_kill_process; bbbe48029720 (5.2)"),
    Rule("oom_badness_exact", "6.1", None, "badness counts all page tables and may fall below 0, the last of equals dies, and oom_score is (1000 + score) * 2 / 3", "af5b0f6a09e4 (4.15), 9066e5cfb73c (5.9)"),
    Rule("oom_report_6_1", "6.1", None, "the OOM report has the node's counters, the oom-kill line and one line of the kill", "70cb6d267790 (5.4), ef8444ea01d7 (5.0); a recorded report of 6.1.177"),
    Rule("oom_report_6_18", "6.18", None, "the OOM report's task table divides rss by kind", "oom_kill.c since 6.8: dump_task"),
    Rule("mmap_io_retries", "6.1", None, "a fault that starts a read of a mapped file, ahead or not, lets go of the address space and begins again", "6b4c9f446981 (5.1): maybe_unlock_mmap_for_io"),
    Rule("lru_costs", "6.1", None, "anonymous and file pages are reclaimed by what that costs: pages written, and pages of the working set that come back; active lists shrink where inactive ones are short or pages refault", "2a2e48854d70 (4.9), 1431d4d11abb, 96f8bf4fb1dd, 314b57fb0460 (5.8), b910718a948a (5.9)"),
    Rule("writeback_activates", "6.1", None, "dirty and written pages that reclaim meets become active until they are clean", "c55e8d035b28, 4eda48235011 (4.12)"),
    Rule("reclaim_aims", "6.1", None, "a pass over the lists ends as soon as enough is reclaimed, in proportion again after each round", "f53af4285d77 (6.0): shrink_lruvec"),
    Rule("scanned_once", "6.1", None, "mapped and swap-cached pages count once as scanned, not twice", "9092c71bb724 (4.16)"),
    Rule("file_inactive_ratio", "6.1", None, "the inactive file list may be as short as the anonymous one on a large machine", "59dc76b0d4df (4.7): inactive_list_is_low"),
    Rule("pcp_reclaim", "6.1", None, "while kswapd works the CPUs' lists keep at most four batches, and give back twice as much each time nothing was taken", "c49c2c47dae1, 3b12e7e97938 (5.14)"),
    Rule("pagevec_fills", "6.1", None, "a pagevec holds 15 pages and is emptied by the one that fills it; before, 14, and by the next one", "include/linux/pagevec.h since 4.15; 8f182270dfec (4.8): __lru_cache_add"),
    Rule("exclusive_reuse", "6.1", None, "a write to a swapped-in page that no other process can share leaves it in the swap cache", "6c287605fd56, 1493a1913e34 (5.19)"),
    Rule("vma_swap_readahead", "6.1", None, "where no swap area is on a rotating disk, pages are read ahead that lie around the fault in its mapping; before, and else, around its slot", "ec560175c0b6 (4.14): swap_vma_readahead"),
    Rule("swap_ra_new", "6.1", None, "only pages that read-ahead has read count as hits when they are used", "cbc65df240c1 (4.14)"),
    Rule("files_aligned", "6.1", None, "large mappings of files on disks begin where huge pages could map them", "1854bc6e2420 (5.18): thp_get_unmapped_area of ext4 and xfs"),
    Rule("lru_gen", "6.18", "6.18", "the multi-generational LRU is on: a setting (`lru_gen`) of kernels since 6.1, off by itself", "ac35a4902374, 018ee47f1489, bd74fdaea146 (6.1)"),
    Rule("swap_priority_from_2", "6.1", None, "swap areas that are given no priority get -2, -3, ...; before, -1, -2, ...", "a2468cc9bfdf (4.14): least_priority"),
    Rule("psi", "6.1", None, "/proc/pressure tells of stalls for CPU, memory and I/O", "eb414681d5a0 (4.20)"),
    Rule("reclaim_retries", "6.1", None, "the OOM killer comes after 16 tries in a row that reclaimed nothing, or when no zone could meet its minimum with all reclaimable pages free; before, once every zone was scanned six times over", "0a0337e0d1d1 (4.7): should_reclaim_retry; 69392a403f49, 1b4e3f26f9f7 (5.16): skip_throttle_noprogress"),
    Rule("throttle_vm_writeout", "4.3", "6.1", "after each pass over a zone's lists a reclaimer sleeps as long as more pages are being written than a tenth above the dirty limit", "page-writeback.c of v4.4: throttle_vm_writeout; v4.8 has it, v4.10 has not"),
    Rule("lazy_tlb_skipped", "6.1", None, "a CPU that only keeps an address space loaded is not interrupted to flush it", "145f573b89a6 (4.20): arch/x86/mm/tlb.c, tlb_is_not_lazy"),
    Rule("plug_holds_one", "4.3", "6.1", "a task holds back one request only for a device of several hardware queues, where others hold 16", "block/blk-mq.c of v4.4: blk_mq_make_request; commit_rqs since 5.0"),
    Rule("plug_holds_32", "6.1", None, "a task holds back 32 requests", "ba0ffdd8ce48 (5.16): BLK_MAX_REQUEST_COUNT"),
    Rule("readahead_io_pages", "6.1", None, "a read, or a request to read ahead, of more than the read-ahead window reads as much as one request of the device holds (1280 KiB)", "9491ae4aade6 (4.10): ondemand_readahead, force_page_cache_readahead"),
    Rule("readahead_whole_window", "6.1", None, "a first window that would come upon its own mark is as large as the window may be, marked in its middle; before, the next window is added to it", "dc30b96ab6d5 (4.19): ondemand_readahead"),
    Rule("readahead_keeps_size", "6.1", None, "the next window of a stream is never smaller than the last", "158cdce87c8c (6.13), in updates of 6.1; recorded of 6.1.176"),
    Rule("readahead_looks_short", "6.1", None, "read-ahead looks one page less far for the end of what is cached: where a whole window is, it goes on at its last page", "0d3f92966629 (4.20): page_cache_next_miss, page_cache_prev_miss"),
    Rule("read_moves_position", "6.1", None, "a read looks sequential where it or the last one stopped, or one page further; before, at the last page of the last read or the next", "filemap.c since 5.11: ra->prev_pos moves with each page that is copied"),
    Rule("fault_around_forgives", "6.1", None, "a fault that maps pages around it forgives a miss for each that is cached; before, for each that it maps", "7267ec008b5c (4.8): filemap_map_pages"),
    Rule("readahead_is_preempted", "6.1", None, "on one CPU kswapd runs as soon as a page that is read ahead has woken it, before the next is allocated", "page_alloc.c: might_alloc is a point of preemption with PREEMPT_VOLUNTARY, as distributions have it"),
    Rule("isolated_waits_once", "6.1", None, "a task that finds too many pages isolated by other reclaimers waits once, 20 ms, and passes over the list; before, 100 ms at a time until they are back", "vmscan.c: shrink_inactive_list since 4.14; reclaim_throttle since 5.16"),
    Rule("slab_by_priority", "6.1", None, "slab caches are scanned by reclaim's priority, and what was put off likewise; before, in proportion to the pages scanned of those on the lists", "9092c71bb724 (4.16), 18bb473e5031 (5.13): do_shrink_slab"),
    Rule("shadow_nodes_halve", "6.1", None, "of the page cache's nodes that hold only shadows there may be an eighth of the pages on lists and in slabs, and half of what is beyond that goes at a time; before, a 16th of all pages, and the excess is scanned as other slabs are", "4b85afbdacd2 (4.20): zero-seek shrinkers; workingset.c of v6.1: count_shadow_nodes"),
    Rule("used_once_goes", "6.1", None, "dentries and inodes that were used once are freed when the shrinker comes to them; before, it passes over each once", "dcache.c of v6.1: retain_dentry, inode.c of v4.19: inode_lru_list_add; before, dput and iput_final mark each as referenced"),
    Rule("drop_slab_doubles", "6.1", None, "drop_caches goes on while a round frees more than 1 slab object, then 3, 7, 15, ...; before, more than 10", "vmscan.c of v6.1: drop_slab_node"),
    Rule("swappiness_200", "6.1", None, "vm.swappiness may be up to 200; before, up to 100", "c843966c556d (5.8)"),
)  # fmt: skip


def model_version(version: str) -> str:
    """The modelled version that a kernel's release name stands for: '4.4.1' is 4.4. Raises VmsimError."""
    for known in sorted(VERSIONS, key=len, reverse=True):
        if version == known or version.startswith((known + ".", known + "-")):
            return known
    raise VmsimError(unknown_name("kernel version", version, VERSIONS))


def nearest_version(release: str) -> str:
    """The modelled version that comes nearest to a kernel's release: the same, else the last one before it, else the first."""
    numbers = [int(number) for number in re.findall(r"\d+", release)[:2]]
    older = [known for known in VERSIONS if [int(number) for number in known.split(".")] <= numbers]
    return older[-1] if older else VERSIONS[0]


def rules_of(version: str, switched: Mapping[str, bool] | None = None) -> list[int]:
    """The rule column of a kernel: 1 where a rule holds, by version and then as `switched` says."""
    known = model_version(version)
    column = [1 if rule.holds(known) else 0 for rule in RULES]
    for name, value in (switched or {}).items():
        if name not in RULE_NAMES:
            raise VmsimError(unknown_name("kernel rule", name, RULE_NAMES))
        column[RULE_NAMES.index(name)] = 1 if value else 0
    return column
