"""Files and their page cache (`struct file`, `address_space`), devices' requests (`struct bio`), access patterns."""

# Columns of `file`; id 0 is "no file".
FI_SIZE = 0  # bytes
FI_DEVICE = 1  # device index, -1 for memory (tmpfs, shared anonymous)
FI_CACHE = 2  # offset of its first page's slot in `pcache`
FI_CAPACITY = 3  # slots in `pcache`
FI_KIND = 4  # FILE_*
FI_NRPAGES = 5  # pages in the page cache
FI_BLOCK = 6  # first page on the device
FI_RA_PAGES = 7  # read-ahead window, pages
FI_MMAP_MISS = 8
FI_RA_START = 9  # on-demand read-ahead state, in pages
FI_RA_SIZE = 10
FI_RA_ASYNC = 11
FI_PREV_POS = 12  # where read(2) last stopped, with the page before it (file_ra_state.prev_pos), -1 at first
FI_MAPCOUNT = 13  # VMAs
FI_FAULT_AROUND = 14  # whether the file system has map_pages
FI_REFS = 15  # descriptors
FI_COMMITTED = 16  # pages charged to the commit counter for a shared anonymous object
FI_INO = 17  # serial number of a shared anonymous object
FI_POS = 18  # position of the descriptor. Model: a file is opened once, and all tasks share that
FI_RANDOM = 19  # FMODE_RANDOM: no read-ahead
FI_BDI_RA = 20  # read-ahead window of its device, pages
FI_LINEAR = 21  # pages that lie one after the other from FI_BLOCK on
FI_EXTENT = 22  # newest of the extents that hold the rest, 0 if there are none
FI_DIRTIED_WHEN = 23  # when it got its first dirty page, ns; the lists below are ordered by it
FI_WB_LIST = 24  # WB_*: which list of its device's writeback it is on
FI_WB_SEQ = 25  # its place there: lower numbers come first
FI_NRDIRTY = 26  # pages that are dirty
FI_NRWRITEBACK = 27  # and that are being written
FI_WB_INDEX = 28  # page at which writeback goes on (writeback_index)
FI_WB_ERROR = 29  # a write has failed since the last fsync (AS_EIO)
FI_META = 30  # file of the blocks that hold the places of its pages (ext2), 0 if it has none
FI_RA_REST = 31  # what is left to read of a window that kswapd came between: first page << 32 | mark << 16 | pages, 0 if nothing
FILE_COLUMNS = 32

# A file descriptor of a program: which opening << FD_OPEN_SHIFT | file << 2 | how it was opened; -1 is none.
FD_OPEN_SHIFT = 32
FMODE_READ = 1
FMODE_WRITE = 2

FILE_REGULAR = 0
FILE_TMPFS = 1
FILE_SHARED_ANON = 2
FILE_MEMFD = 3
FILE_WITHOUT_MMAP = 4  # a pipe, a socket, a directory: it can be open, but not be mapped

# `pcache` holds one slot a page of a file: 0 absent, pfn > 0 present, < 0 the shadow of an evicted page, or for a memory file
# PCACHE_SWAP + the swap entry of the page.
PCACHE_SWAP = -(1 << 62)
NODE_SHIFT = 6
NODE_SLOTS = 1 << NODE_SHIFT  # slots of a node of the page cache's trees (RADIX_TREE_MAP_SIZE): each file's begin at a multiple


def next_slots(start: int, slots: int) -> int:
    """Where the slots of the next file begin."""
    return -(-(start + slots) // NODE_SLOTS) * NODE_SLOTS


# Columns of `bio`, one row per request to a device.
B_STATE = 0
B_DEVICE = 1
B_WRITE = 2
B_BLOCK = 3  # first page on the device
B_PAGES = 4
B_FILE = 5  # > 0: page-cache pages of this file from B_INDEX on; 0: frames listed from B_INDEX
B_INDEX = 6
B_ASYNC = 7  # nobody waits for it yet (read-ahead, write-back)
B_TASK = 8  # tid that submitted it
BIO_COLUMNS = 10

BIO_FREE = 0
BIO_NEW = 1  # submitted in this slice
BIO_QUEUED = 2
BIO_PLUGGED = 3  # held back by its task

# Columns of `pattern`.
PAT_TYPE = 0
PAT_STATE = 1  # xorshift64 state
PAT_PAGES = 2  # pages in the region
PAT_POS = 3  # accesses drawn
PAT_STRIDE = 4
PAT_HOT_PAGES = 5
PAT_HOT_U53 = 6  # probability of the hot part, in units of 2**-53
PAT_WRITE_U53 = 7  # probability of a write; 0 never and 2**53 always draw no number, -1: as the replayed table says
PAT_TABLE = 8  # offset of its table in `pattern_table`
PAT_TABLE_LEN = 9
PAT_HASH = 10  # FNV-1a of the sequence drawn: x = 2*page + write
PAT_NODE = 11  # graph walk: current node
PAT_RESTART_U53 = 12
PAT_DEGREE = 13
PAT_LOCAL_U53 = 14
PAT_HASH_ON = 15
PAT_MODULO = 16  # draw pages as next % pages, as the C programs do, instead of by multiplication
PAT_SCOUT = 17  # generator state of the scout, 0 before it begins (see workload/scout.py)
PAT_SCOUTED = 18  # rings of 16: pages that it has seen,
PAT_SCOUT_SLOT = 34  # where their entries are in `pt`, and
PAT_SCOUT_NODE = 50  # the nodes of the VMA index that they lie in
PATTERN_COLUMNS = 66

PATTERN_SEQUENTIAL = 0
PATTERN_STRIDE = 1
PATTERN_UNIFORM = 2
PATTERN_ZIPF = 3
PATTERN_HOTCOLD = 4
PATTERN_GRAPH = 5
PATTERN_REPLAY = 6
