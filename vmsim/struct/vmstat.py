"""The counters of /proc/vmstat as indexes of `vmstat`, in the kernel's order (mm/vmstat.c of v4.4: vmstat_text); then later ones."""

VMSTAT_NAMES: tuple[str, ...] = (
    "nr_free_pages", "nr_alloc_batch", "nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file", "nr_unevictable",
    "nr_mlock", "nr_anon_pages", "nr_mapped", "nr_file_pages", "nr_dirty", "nr_writeback", "nr_slab_reclaimable",
    "nr_slab_unreclaimable", "nr_page_table_pages", "nr_kernel_stack", "nr_unstable", "nr_bounce", "nr_vmscan_write",
    "nr_vmscan_immediate_reclaim", "nr_writeback_temp", "nr_isolated_anon", "nr_isolated_file", "nr_shmem", "nr_dirtied",
    "nr_written", "nr_pages_scanned", "workingset_refault", "workingset_activate", "workingset_nodereclaim",
    "nr_anon_transparent_hugepages", "nr_free_cma", "nr_dirty_threshold", "nr_dirty_background_threshold",
    "pgpgin", "pgpgout", "pswpin", "pswpout", "pgalloc_dma", "pgalloc_dma32", "pgalloc_normal", "pgalloc_movable", "pgfree",
    "pgactivate", "pgdeactivate", "pgfault", "pgmajfault", "pgrefill_dma", "pgrefill_dma32", "pgrefill_normal", "pgrefill_movable",
    "pgsteal_kswapd_dma", "pgsteal_kswapd_dma32", "pgsteal_kswapd_normal", "pgsteal_kswapd_movable", "pgsteal_direct_dma",
    "pgsteal_direct_dma32", "pgsteal_direct_normal", "pgsteal_direct_movable", "pgscan_kswapd_dma", "pgscan_kswapd_dma32",
    "pgscan_kswapd_normal", "pgscan_kswapd_movable", "pgscan_direct_dma", "pgscan_direct_dma32", "pgscan_direct_normal",
    "pgscan_direct_movable", "pgscan_direct_throttle", "pginodesteal", "slabs_scanned", "kswapd_inodesteal",
    "kswapd_low_wmark_hit_quickly", "kswapd_high_wmark_hit_quickly", "pageoutrun", "allocstall", "pgrotated", "drop_pagecache",
    "drop_slab", "pgmigrate_success", "pgmigrate_fail", "compact_migrate_scanned", "compact_free_scanned", "compact_isolated",
    "compact_stall", "compact_fail", "compact_success", "unevictable_pgs_culled", "unevictable_pgs_scanned",
    "unevictable_pgs_rescued", "unevictable_pgs_mlocked", "unevictable_pgs_munlocked", "unevictable_pgs_cleared",
    "unevictable_pgs_stranded", "thp_fault_alloc", "thp_fault_fallback", "thp_collapse_alloc", "thp_collapse_alloc_failed",
    "thp_split", "thp_zero_page_alloc", "thp_zero_page_alloc_failed",
)  # fmt: skip
NR_VMSTAT_4_4 = len(VMSTAT_NAMES)
VMSTAT_NAMES += (  # counters that came later; workingset_refault and _activate are those of files then
    "pglazyfree", "pglazyfreed", "workingset_refault_anon", "workingset_activate_anon", "workingset_restore_anon",
    "workingset_restore_file", "pgscan_anon", "pgscan_file", "pgsteal_anon", "pgsteal_file", "swap_ra", "swap_ra_hit", "pgreuse",
)  # fmt: skip
NR_VMSTAT = len(VMSTAT_NAMES)


def _index(name: str) -> int:
    return VMSTAT_NAMES.index(name)


NR_FREE_PAGES = _index("nr_free_pages")
NR_LRU_BASE = _index("nr_inactive_anon")
NR_UNEVICTABLE = _index("nr_unevictable")
NR_MLOCK = _index("nr_mlock")
NR_ANON_PAGES = _index("nr_anon_pages")
NR_FILE_MAPPED = _index("nr_mapped")
NR_FILE_PAGES = _index("nr_file_pages")
NR_FILE_DIRTY = _index("nr_dirty")
NR_WRITEBACK = _index("nr_writeback")
NR_PAGETABLE = _index("nr_page_table_pages")
NR_ANON_TRANSPARENT_HUGEPAGES = _index("nr_anon_transparent_hugepages")
NR_ISOLATED_ANON = _index("nr_isolated_anon")
NR_SHMEM = _index("nr_shmem")
NR_DIRTIED = _index("nr_dirtied")
NR_WRITTEN = _index("nr_written")
NR_DIRTY_THRESHOLD = _index("nr_dirty_threshold")
NR_DIRTY_BG_THRESHOLD = _index("nr_dirty_background_threshold")
PGPGIN = _index("pgpgin")
PGPGOUT = _index("pgpgout")
PGALLOC_DMA = _index("pgalloc_dma")
PGFREE = _index("pgfree")
NR_WRITEBACK = _index("nr_writeback")
NR_VMSCAN_WRITE = _index("nr_vmscan_write")
NR_VMSCAN_IMMEDIATE = _index("nr_vmscan_immediate_reclaim")
NR_WRITTEN = _index("nr_written")
NR_SLAB_RECLAIMABLE = _index("nr_slab_reclaimable")
NR_SLAB_UNRECLAIMABLE = _index("nr_slab_unreclaimable")
WORKINGSET_REFAULT = _index("workingset_refault")
WORKINGSET_ACTIVATE = _index("workingset_activate")
WORKINGSET_NODERECLAIM = _index("workingset_nodereclaim")
SLABS_SCANNED = _index("slabs_scanned")
PSWPIN = _index("pswpin")
PSWPOUT = _index("pswpout")
PGACTIVATE = _index("pgactivate")
PGREFILL_DMA = _index("pgrefill_dma")
PGSTEAL_KSWAPD_DMA = _index("pgsteal_kswapd_dma")
PGSTEAL_DIRECT_DMA = _index("pgsteal_direct_dma")
PGSCAN_KSWAPD_DMA = _index("pgscan_kswapd_dma")
PGSCAN_DIRECT_DMA = _index("pgscan_direct_dma")
PGSCAN_DIRECT_THROTTLE = _index("pgscan_direct_throttle")
KSWAPD_LOW_WMARK_HIT_QUICKLY = _index("kswapd_low_wmark_hit_quickly")
KSWAPD_HIGH_WMARK_HIT_QUICKLY = _index("kswapd_high_wmark_hit_quickly")
PAGEOUTRUN = _index("pageoutrun")
ALLOCSTALL = _index("allocstall")
PGROTATED = _index("pgrotated")
PGDEACTIVATE = _index("pgdeactivate")
PGFAULT = _index("pgfault")
PGMAJFAULT = _index("pgmajfault")
WORKINGSET_REFAULT_ANON = _index("workingset_refault_anon")
WORKINGSET_ACTIVATE_ANON = _index("workingset_activate_anon")
WORKINGSET_RESTORE_ANON = _index("workingset_restore_anon")
PGSCAN_ANON = _index("pgscan_anon")
PGSTEAL_ANON = _index("pgsteal_anon")
SWAP_RA = _index("swap_ra")
SWAP_RA_HIT = _index("swap_ra_hit")
PGREUSE = _index("pgreuse")
PGLAZYFREE = _index("pglazyfree")
PGLAZYFREED = _index("pglazyfreed")
DROP_PAGECACHE = _index("drop_pagecache")
DROP_SLAB = _index("drop_slab")
UNEVICTABLE_PGCULLED = _index("unevictable_pgs_culled")
UNEVICTABLE_PGRESCUED = _index("unevictable_pgs_rescued")
UNEVICTABLE_PGMLOCKED = _index("unevictable_pgs_mlocked")
UNEVICTABLE_PGMUNLOCKED = _index("unevictable_pgs_munlocked")
UNEVICTABLE_PGCLEARED = _index("unevictable_pgs_cleared")
UNEVICTABLE_PGSTRANDED = _index("unevictable_pgs_stranded")
THP_FAULT_ALLOC = _index("thp_fault_alloc")
THP_FAULT_FALLBACK = _index("thp_fault_fallback")
THP_SPLIT = _index("thp_split")
THP_ZERO_PAGE_ALLOC = _index("thp_zero_page_alloc")
THP_ZERO_PAGE_ALLOC_FAILED = _index("thp_zero_page_alloc_failed")
