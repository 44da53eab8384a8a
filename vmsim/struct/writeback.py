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
BD_WORK_PAGES = 19  # pages that reclaim asked for (wakeup_flusher_threads)
BD_BACKGROUND = 21  # wb_start_background_writeback was called
BD_LAST_OLD_FLUSH = 22
BD_SEQ = 23  # last place on a list of files that was given out
BD_FILE = 24  # file that is being written, 0: none
BD_CHUNK = 25  # pages left of its share
BD_NR_PAGES = 26  # pages left of the work in progress
BD_WORK_KIND = 27  # WORK_*
BD_CYCLIC_END = 29  # page at which the present pass over a file ends
BD_OLDER = 31  # the work takes only files that were dirtied before, ns
BD_NR_FILES = 32  # files on its lists
BD_PROGRESS = 33  # the present round over its files has written something
BD_STARTED = 34  # when the work began
BD_TIMER = 35  # when the flusher looks for work though nobody called it, 0: it does not
BD_RUNNING = 36  # it was called and is at RUN_*, 0: it has come to the end
BDI_COLUMNS = 40
EXTENT_ROWS = 1 << 16
MAX_BDIS = 48
DAEMON_FLUSHER = 8  # kind of the flusher of device 0; those of the others follow

RUN_WORK = 1
RUN_OLD = 2
RUN_BACKGROUND = 3

WORK_NONE = 0
WORK_PAGES = 1
WORK_OLD = 2
WORK_BACKGROUND = 3

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
DOM_THRESH = 6  # as they were last computed
DOM_BG_THRESH = 7
DOM_DIRTY = 8
DOM_CPU_DIRTIED = 16  # pages that each CPU has dirtied since it last looked at the limits (bdp_ratelimits)
DOM_CPUS = 64
DOMAIN_COLUMNS = DOM_CPU_DIRTIED + DOM_CPUS

BIO_MAX_PAGES = 256
