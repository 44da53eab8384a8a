"""The names of the modelled costs, in nanoseconds; what each is, its default and its source stand in vmsim/spec/costs.py."""

COST_NAMES = (
    "user_access", "tlb_l2_hit", "walk_cached_ref", "walk_memory_ref", "trap", "fault_base", "zero_page", "copy_page", "map_page",
    "alloc_page", "free_page", "lru_add", "mlock_page", "munlock_page", "unmap_page", "syscall_entry", "mlock_drain", "mlock_drain_work",
    "vma_tree_level", "vma_cached_level", "vma_cached_levels", "vma_change", "pte_change", "tlb_flush_page", "tlb_flush_full", "ipi", "ipi_received", "signal_deliver", "sigreturn",
    "context_switch", "page_cache_lookup", "page_cache_add", "io_submit", "io_merge", "io_issue", "io_complete", "mmap_base", "munmap_base", "populate_page", "populate_skip",
    "fork_base", "exec_base", "reclaim_page", "rmap_walk",
    "file_page", "dirty_page", "writeback_page", "slab_object",
)  # fmt: skip
NR_COSTS = len(COST_NAMES)


def _index(name: str) -> int:
    return COST_NAMES.index(name)


C_USER_ACCESS = _index("user_access")
C_TLB_L2_HIT = _index("tlb_l2_hit")
C_WALK_CACHED_REF = _index("walk_cached_ref")
C_WALK_MEMORY_REF = _index("walk_memory_ref")
C_TRAP = _index("trap")
C_FAULT_BASE = _index("fault_base")
C_ZERO_PAGE = _index("zero_page")
C_COPY_PAGE = _index("copy_page")
C_MAP_PAGE = _index("map_page")
C_ALLOC_PAGE = _index("alloc_page")
C_FREE_PAGE = _index("free_page")
C_LRU_ADD = _index("lru_add")
C_MLOCK_PAGE = _index("mlock_page")
C_MUNLOCK_PAGE = _index("munlock_page")
C_UNMAP_PAGE = _index("unmap_page")
C_SYSCALL_ENTRY = _index("syscall_entry")
C_MLOCK_DRAIN = _index("mlock_drain")
C_MLOCK_DRAIN_WORK = _index("mlock_drain_work")
C_VMA_TREE_LEVEL = _index("vma_tree_level")
C_VMA_CACHED_LEVEL = _index("vma_cached_level")
C_VMA_CACHED_LEVELS = _index("vma_cached_levels")
C_VMA_CHANGE = _index("vma_change")
C_PTE_CHANGE = _index("pte_change")
C_TLB_FLUSH_PAGE = _index("tlb_flush_page")
C_TLB_FLUSH_FULL = _index("tlb_flush_full")
C_IPI = _index("ipi")
C_IPI_RECEIVED = _index("ipi_received")
C_SIGNAL_DELIVER = _index("signal_deliver")
C_SIGRETURN = _index("sigreturn")
C_CONTEXT_SWITCH = _index("context_switch")
C_PAGE_CACHE_LOOKUP = _index("page_cache_lookup")
C_PAGE_CACHE_ADD = _index("page_cache_add")
C_IO_SUBMIT = _index("io_submit")
C_IO_MERGE = _index("io_merge")
C_IO_ISSUE = _index("io_issue")
C_IO_COMPLETE = _index("io_complete")
C_MMAP_BASE = _index("mmap_base")
C_MUNMAP_BASE = _index("munmap_base")
C_POPULATE_PAGE = _index("populate_page")
C_POPULATE_SKIP = _index("populate_skip")
C_FORK_BASE = _index("fork_base")
C_EXEC_BASE = _index("exec_base")
C_RECLAIM_PAGE = _index("reclaim_page")
C_RMAP_WALK = _index("rmap_walk")
C_FILE_PAGE = _index("file_page")
C_DIRTY_PAGE = _index("dirty_page")
C_WRITEBACK_PAGE = _index("writeback_page")
C_SLAB_OBJECT = _index("slab_object")
