"""Writeback: what each block device's flusher knows (`struct bdi_writeback`), tags of page-cache slots, and the extents of files."""

# Tags, the columns of `tag`.
TAG_DIRTY = 0
TAG_WRITEBACK = 1
TAG_TOWRITE = 2  # dirty when a sync began
NR_TAGS = 4
TAG_LEVELS = 5

# Columns of `extent`, one row per run of blocks that a file got when it grew.
EX_FIRST = 0  # page of the file
EX_BLOCK = 1  # first page on the device
EX_PAGES = 2
EX_NEXT = 3  # the extent before it in the file, 0 if there is none
EXTENT_COLUMNS = 4

# Columns of `bdi`, one row per block device; rates in pages a second, times in ns.
BD_NEXT_BLOCK = 0  # first page of the device that no file has
BD_BLOCKS = 1  # pages of the device
BD_NRDIRTY = 2  # pages to be written (BDI_RECLAIMABLE)
BD_NRWRITEBACK = 3
BD_DIRTIED = 4  # since boot
BD_WRITTEN = 5
BD_WRITES = 6  # write requests that are not finished
BD_BW_STAMP = 7  # when the rates were last brought up to date, and the counts then
BD_DIRTIED_STAMP = 8
BD_WRITTEN_STAMP = 9
BD_WRITE_BW = 10
BD_AVG_WRITE_BW = 11
BD_DIRTY_RATELIMIT = 12
BD_BALANCED_RATELIMIT = 13
BD_COMPLETIONS = 14  # pages written lately, halved every 3 s
BD_COMPLETIONS_PERIOD = 15
BD_DIRTY_EXCEEDED = 16
BD_TID = 17  # task of its flusher, 0 if it has none
BD_WORK_STATE = 18  # FLUSH_*: what the flusher is at
BD_WORK_PAGES = 19  # pages that reclaim asked for (wakeup_flusher_threads)
BD_WORK_SYNC = 20  # a sync(2) waits: all pages that are dirty
BD_BACKGROUND = 21  # wb_start_background_writeback was called
BD_LAST_OLD_FLUSH = 22
BD_SEQ = 23  # last place on a list of files that was given out
BD_FILE = 24  # file that is being written, 0: none
BD_CHUNK = 25  # pages left of its share
BD_NR_PAGES = 26  # pages left of the work in progress
BD_WORK_KIND = 27  # WORK_*
BD_TIMER = 28  # when the flusher looks again by itself, 0: not at all
BD_CYCLIC_END = 29  # page at which the present pass over a file ends
BD_WROTE = 30  # pages of the present file that were started
BD_OLDER = 31  # the work takes only files that were dirtied before, ns
BDI_COLUMNS = 40
MAX_BDIS = 64

FLUSH_IDLE = 0
FLUSH_WORK = 1  # choosing the next file
FLUSH_FILE = 2  # writing one

WORK_NONE = 0
WORK_PAGES = 1
WORK_SYNC = 2
WORK_OLD = 3
WORK_BACKGROUND = 4

# Lists of files with dirty pages.
WB_NONE = 0
WB_DIRTY = 1  # b_dirty
WB_IO = 2  # b_io: next to be written
WB_MORE_IO = 3  # b_more_io: when these are through

# Columns of `domain` (a single row): all devices together (struct wb_domain).
DOM_DIRTY_LIMIT = 0
DOM_LIMIT_STAMP = 1
DOM_COMPLETIONS = 2
DOM_COMPLETIONS_PERIOD = 3
DOM_RATELIMIT_PAGES = 4  # a CPU looks at the limits at least every so many pages
DOM_EXTENT_NEXT = 5  # last row of `extent` that is used
DOMAIN_COLUMNS = 16

BIO_MAX_PAGES = 256
NR_REQUESTS = 128  # write requests of a device after which a flusher waits (BLKDEV_MAX_RQ)
