"""A reclaimer's progress (`struct scan_control`), and the node with its kswapd (`pglist_data`)."""

# Columns of `scan`, one row per task: what its reclaim has come to, so that it can be taken up again after a wait.
S_STAGE = 0  # STAGE_*
S_PRIORITY = 1
S_TO_RECLAIM = 2
S_RECLAIMED = 3
S_SCANNED = 4
S_TOTAL_SCANNED = 5
S_MAY_WRITEPAGE = 6
S_ZONE = 7  # next zone of the pass
S_END_ZONE = 8  # highest zone that the pass is for
S_PROGRESS = 9  # some zone is still reclaimable
S_RAISE_PRIORITY = 10
S_IS_KSWAPD = 11
S_LRU_NR = 12  # pages still to scan of each list, then what was planned
S_LRU_TARGETS = 16
S_SCAN_ADJUSTED = 20
S_LRU_RECLAIMED = 21  # of the lists being shrunk
S_IN_ZONE = 22  # shrink_lruvec is under way; PASS_OVER: only its end may still have to wait
S_MAY_DEACTIVATE = 23  # bit 0: the active anonymous list may shrink, bit 1: that of files
S_SKIPPED_DEACTIVATE = 24  # one of them was left alone
# What a batch from an inactive list has met.
S_UNQUEUED_DIRTY = 25
S_WRITEBACK = 26
S_IMMEDIATE = 27
S_PAGEOUT = 28  # pages that it began to write
S_NEXT_LRU = 29  # the next list of the round of batches
S_BATCH_TAKEN = 30  # frames in a batch under way
S_BATCH_NEXT = 31  # how many of them have been looked at
S_BATCH = 32  # frames isolated from a list, SWAP_CLUSTER_MAX of them
S_FORCE_DEACTIVATE = 64
S_CACHE_TRIM = 65  # there are inactive file pages enough
S_FILE_TINY = 66  # there are hardly any file pages
S_ALL_TAKEN = 67  # of all batches of a pass over the lists
S_ALL_WRITEBACK = 68
S_ALL_UNQUEUED_DIRTY = 69
S_ALL_FILE_TAKEN = 70
# Of the multi-generational LRU.
S_GEN_SCANNED = 71  # pages of this pass
S_NEED_SWAPPING = 72  # it took anonymous pages
S_NEED_AGING = 73
S_AGE_NODE = 74  # memcgs_need_aging
S_SEQ = 75  # max_seq when the pass began
S_GEN_BATCH = 96  # isolated frames, MIN_LRU_BATCH of them
S_OUTCOME = 160  # what became of each frame of the batch (PAGE_*)
# Requests that the task holds back, and how many (struct blk_plug).
S_PLUGGED = 192
S_PLUG = 193
S_BATCH_LRU = 240  # the list that the batch was taken from
S_WHOLE = 241  # batches are not split
# Pages were unmapped from CPUs (a mask) that have not been flushed yet; some of the entries were dirty (struct tlbflush_unmap_batch).
S_FLUSH_CPUS = 242
S_FLUSH_DIRTY = 243
S_BATCH_PAGES = 244  # pages of the batch: a huge page is many
S_FREED_PARTS = 245  # of huge pages of the batch that were split
S_STALLED = 246  # it waits before it takes a batch, as others have isolated too many pages
S_SCAN_BEGAN = 247  # S_SCANNED when the pass over a zone's lists began
S_LRU_PAGES = 248  # pages of the lists that the pass is for
SCAN_COLUMNS = 250

BLK_MAX_REQUEST_COUNT = 16  # requests that a plug holds when it is flushed for another; later twice as many

PASS_OVER = 2
STAGE_NONE = 0
STAGE_PASS = 2

SWAP_CLUSTER_MAX = 32
MAX_RECLAIM_RETRIES = 16
DEF_PRIORITY = 12

# Columns of `node` (a single row): one memory node.
N_KSWAPD_TID = 0  # task of kswapd, 0 if the machine has none
N_KSWAPD_ASLEEP = 1
N_KSWAPD_STATE = 2  # KSWAPD_*
N_SHADOW_NODES = 3  # nodes of page-cache trees that hold shadows only
N_SWAP_HITS = 4  # swapin_readahead_hits
N_SWAP_PREV_OFFSET = 5
N_SWAP_LAST_RA = 6  # last_readahead_pages
N_SWAP_TOTAL = 7  # slots of all areas
N_SWAP_FREE = 8
N_SWAP_AREAS = 9  # that the machine has, switched on or not
N_SWAP_CACHE = 10  # pages in the swap cache
N_SWAP_NEXT_AREA = 11  # where areas of equal priority take turns
N_LEAST_PRIORITY = 31  # of the areas that were given none (least_priority)
N_SWAP_ADDS = 17  # pages that entered the swap cache, and that left it (swap_cache_info)
N_SWAP_DELETES = 18
N_SWAP_LOOKUPS = 19  # faults that looked for their page there, and those that found it
N_SWAP_FOUND = 20
N_ALLOC_FOR = 21  # FOR_*: what the allocation was for that failed last
N_OOM_CHOSEN = 22  # task with the highest badness; a child of it may have died in its place, the victim
N_OOM_PANIC = 23  # PANIC_*, 0: none
N_OOM_VICTIM = 12  # task that the OOM killer chose and that has not exited yet
N_OOM_KILLS = 13
N_OOM_POINTS = 15  # of the last victim, pages
N_OOM_INVOKER = 16
N_NAP_BEGAN = 14
N_COST = 24  # what reclaiming anonymous and file pages has cost lately (anon_cost, file_cost)
N_ACTIVATED = 26  # anonymous and file pages that came back and were activated (workingset_activate)
N_REFAULTS = 28  # the same when reclaim ended last
N_KSWAPD_FAILURES = 30  # runs of kswapd in a row that freed nothing
N_OOM_LOG = 32  # the first victims, each with its points
OOM_LOG = 8
# Generations (struct lru_gen_struct); rows of tiers, anonymous then file.
N_MAX_SEQ = 48
N_MIN_SEQ = 49
N_AVG_REFAULTED = 56
N_AVG_TOTAL = 64
N_REFAULTED = 72
N_EVICTED = 80
N_PROTECTED = 88
NODE_COLUMNS = 96

KSWAPD_ASLEEP = 0  # as it is at the start
KSWAPD_TRY_SLEEP = 1
KSWAPD_NAPPING = 2
KSWAPD_PASS = 4
KSWAPD_ZONES = 5
KSWAPD_SHRINK = 6

PANIC_NOBODY = 1  # nobody could be killed
PANIC_SET = 2  # vm.panic_on_oom is set

FOR_ANON = 0  # a zeroed page of user memory
FOR_COPY = 1  # a page of user memory that is filled otherwise: a copy, or from swap; a page of a memory file
FOR_READ = 2  # of the page cache
FOR_WRITE = 3
FOR_TABLE = 4  # a page table

# Daemons, the argument of OP_DAEMON; bit `1 << kind` of SC_WAKE wakes one.
DAEMON_KSWAPD = 0
