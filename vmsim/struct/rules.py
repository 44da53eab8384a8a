"""The names of the rules in which kernel versions differ, in the order of `rule`; what each says stands in vmsim/arch/rules.py."""

RULE_NAMES = (
    "mlock2",
    "onfault_alone",
    "mlock_overlap_counts",
    "relock_counts_twice",
    "onfault_walks_pages",
    "madv_free",
    "stack_guard_inside",
    "nohugepage_flag",
    "mremap_many",
    "mremap_old_len_zero_private",
    "mmap_splits_before_limits",
    "mmap_offset_limit",
    "mlock_is_page_cache",
    "retry_is_major",
    "rlimit_data_private",
    "mremap_looks_first",
    "mremap_checks_first",
    "mremap_length_limit",
    "mremap_expansion_merges",
    "mprotect_restores_write",
    "mprotect_uncharges",
    "merge_unfaulted_neighbour",
    "mmap_extends_next_first",
    "lockonfault_mnemonic",
    "overcommit_guess_total",
    "mprotect_restores_clean",
    "watermark_scale",
    "pcp_high_is_low_wmark",
    "khugepaged_last",
    "madv_wipeonfork",
    "madv_cold",
    "madv_populate",
    "madv_dontneed_locked",
    "hugepage_refuses_shared",
    "hugepage_twice_fails",
    "remove_needs_maywrite",
    "memory_failure",
    "map_fixed_noreplace",
    "map_shared_validate",
    "mremap_dontunmap",
    "dontunmap_counts_locked",
    "memfd_exec_flags",
    "brk_keeps_stack_gap",
    "proc_hugetlb_lines",
    "proc_lines_6_1",
    "proc_lines_6_18",
    "fair_zones",
    "node_lru",
    "new_anon_inactive",
    "anon_refaults",
    "anon_second_chance",
    "map_stack_nohugepage",
    "oom_root_bonus",
    "oom_child_first",
    "oom_badness_exact",
    "oom_report_6_1",
    "oom_report_6_18",
    "mmap_io_retries",
    "lru_costs",
    "writeback_activates",
    "reclaim_aims",
    "scanned_once",
    "file_inactive_ratio",
    "pcp_reclaim",
    "pagevec_fills",
    "exclusive_reuse",
    "vma_swap_readahead", "swap_ra_new",
    "files_aligned",
    "lru_gen",
    "swap_priority_from_2",
    "psi",
    "reclaim_retries",
    "throttle_vm_writeout",
    "lazy_tlb_skipped",
    "plug_holds_one", "plug_holds_32",
    "readahead_io_pages", "readahead_whole_window", "readahead_keeps_size", "readahead_looks_short",
    "read_moves_position", "fault_around_forgives", "readahead_is_preempted",
    "isolated_waits_once",
    "slab_by_priority", "shadow_nodes_halve", "used_once_goes", "drop_slab_doubles", "swappiness_200",
)


def _index(name: str) -> int:
    return RULE_NAMES.index(name)


R_MLOCK2 = _index("mlock2")
R_ONFAULT_ALONE = _index("onfault_alone")
R_MLOCK_OVERLAP_COUNTS = _index("mlock_overlap_counts")
R_RELOCK_COUNTS_TWICE = _index("relock_counts_twice")
R_ONFAULT_WALKS_PAGES = _index("onfault_walks_pages")
R_MADV_FREE = _index("madv_free")
R_STACK_GUARD_INSIDE = _index("stack_guard_inside")
R_NOHUGEPAGE_FLAG = _index("nohugepage_flag")
R_MREMAP_MANY = _index("mremap_many")
R_MREMAP_OLD_LEN_ZERO_PRIVATE = _index("mremap_old_len_zero_private")
R_MMAP_SPLITS_BEFORE_LIMITS = _index("mmap_splits_before_limits")
R_MMAP_OFFSET_LIMIT = _index("mmap_offset_limit")
R_MLOCK_IS_PAGE_CACHE = _index("mlock_is_page_cache")
R_RETRY_IS_MAJOR = _index("retry_is_major")
R_RLIMIT_DATA_PRIVATE = _index("rlimit_data_private")
R_MREMAP_LOOKS_FIRST = _index("mremap_looks_first")
R_MREMAP_CHECKS_FIRST = _index("mremap_checks_first")
R_MREMAP_LENGTH_LIMIT = _index("mremap_length_limit")
R_MREMAP_EXPANSION_MERGES = _index("mremap_expansion_merges")
R_MPROTECT_RESTORES_WRITE = _index("mprotect_restores_write")
R_MPROTECT_UNCHARGES = _index("mprotect_uncharges")
R_MERGE_UNFAULTED_NEIGHBOUR = _index("merge_unfaulted_neighbour")
R_MMAP_EXTENDS_NEXT_FIRST = _index("mmap_extends_next_first")
R_LOCKONFAULT_MNEMONIC = _index("lockonfault_mnemonic")
R_OVERCOMMIT_GUESS_TOTAL = _index("overcommit_guess_total")
R_MPROTECT_RESTORES_CLEAN = _index("mprotect_restores_clean")
R_WATERMARK_SCALE = _index("watermark_scale")
R_PCP_HIGH_IS_LOW_WMARK = _index("pcp_high_is_low_wmark")
R_KHUGEPAGED_LAST = _index("khugepaged_last")
R_MADV_WIPEONFORK = _index("madv_wipeonfork")
R_MADV_COLD = _index("madv_cold")
R_MADV_POPULATE = _index("madv_populate")
R_MADV_DONTNEED_LOCKED = _index("madv_dontneed_locked")
R_HUGEPAGE_REFUSES_SHARED = _index("hugepage_refuses_shared")
R_HUGEPAGE_TWICE_FAILS = _index("hugepage_twice_fails")
R_REMOVE_NEEDS_MAYWRITE = _index("remove_needs_maywrite")
R_MEMORY_FAILURE = _index("memory_failure")
R_MAP_FIXED_NOREPLACE = _index("map_fixed_noreplace")
R_MAP_SHARED_VALIDATE = _index("map_shared_validate")
R_MREMAP_DONTUNMAP = _index("mremap_dontunmap")
R_DONTUNMAP_COUNTS_LOCKED = _index("dontunmap_counts_locked")
R_MEMFD_EXEC_FLAGS = _index("memfd_exec_flags")
R_BRK_KEEPS_STACK_GAP = _index("brk_keeps_stack_gap")
R_PROC_HUGETLB_LINES = _index("proc_hugetlb_lines")
R_PROC_LINES_6_1 = _index("proc_lines_6_1")
R_PROC_LINES_6_18 = _index("proc_lines_6_18")
R_FAIR_ZONES = _index("fair_zones")
R_NODE_LRU = _index("node_lru")
R_NEW_ANON_INACTIVE = _index("new_anon_inactive")
R_ANON_REFAULTS = _index("anon_refaults")
R_ANON_SECOND_CHANCE = _index("anon_second_chance")
R_MAP_STACK_NOHUGEPAGE = _index("map_stack_nohugepage")
R_OOM_ROOT_BONUS = _index("oom_root_bonus")
R_OOM_CHILD_FIRST = _index("oom_child_first")
R_OOM_BADNESS_EXACT = _index("oom_badness_exact")
R_OOM_REPORT_6_1 = _index("oom_report_6_1")
R_OOM_REPORT_6_18 = _index("oom_report_6_18")
R_MMAP_IO_RETRIES = _index("mmap_io_retries")
R_LRU_COSTS = _index("lru_costs")
R_WRITEBACK_ACTIVATES = _index("writeback_activates")
R_RECLAIM_AIMS = _index("reclaim_aims")
R_SCANNED_ONCE = _index("scanned_once")
R_FILE_INACTIVE_RATIO = _index("file_inactive_ratio")
R_PCP_RECLAIM = _index("pcp_reclaim")
R_PAGEVEC_FILLS = _index("pagevec_fills")
R_EXCLUSIVE_REUSE = _index("exclusive_reuse")
R_VMA_SWAP_READAHEAD = _index("vma_swap_readahead")
R_SWAP_RA_NEW = _index("swap_ra_new")
R_FILES_ALIGNED = _index("files_aligned")
R_LRU_GEN = _index("lru_gen")
R_SWAP_PRIORITY_FROM_2 = _index("swap_priority_from_2")
R_PSI = _index("psi")
R_RECLAIM_RETRIES = _index("reclaim_retries")
R_THROTTLE_VM_WRITEOUT = _index("throttle_vm_writeout")
R_LAZY_TLB_SKIPPED = _index("lazy_tlb_skipped")
R_PLUG_HOLDS_ONE = _index("plug_holds_one")
R_PLUG_HOLDS_32 = _index("plug_holds_32")
R_READAHEAD_IO_PAGES = _index("readahead_io_pages")
R_READAHEAD_WHOLE_WINDOW = _index("readahead_whole_window")
R_READAHEAD_KEEPS_SIZE = _index("readahead_keeps_size")
R_READAHEAD_LOOKS_SHORT = _index("readahead_looks_short")
R_READ_MOVES_POSITION = _index("read_moves_position")
R_READAHEAD_IS_PREEMPTED = _index("readahead_is_preempted")
R_FAULT_AROUND_FORGIVES = _index("fault_around_forgives")
R_ISOLATED_WAITS_ONCE = _index("isolated_waits_once")
R_SLAB_BY_PRIORITY = _index("slab_by_priority")
R_SHADOW_NODES_HALVE = _index("shadow_nodes_halve")
R_USED_ONCE_GOES = _index("used_once_goes")
R_DROP_SLAB_DOUBLES = _index("drop_slab_doubles")
R_SWAPPINESS_200 = _index("swappiness_200")
