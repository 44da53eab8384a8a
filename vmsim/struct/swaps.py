"""Swap areas (`swap_info_struct`), their slots, and block devices as reclaim sees them."""

# Columns of `swap`, one row per area.  A slot of area `a` is entry SW_BASE + offset, an index of `swap_map` and `swap_cache`.
SW_FLAGS = 0  # SWP_*
SW_DEVICE = 1
SW_BLOCK = 2  # its first page on the device
SW_BASE = 3
SW_MAX = 4  # offsets; 0 is the header
SW_PAGES = 5  # usable slots
SW_INUSE = 6
SW_PRIO = 7
SW_LOWEST = 8  # no free slot below
SW_HIGHEST = 9  # and none above
SW_CLUSTER_NEXT = 10  # next offset to try
SW_CLUSTER_NR = 11  # allocations left in the present cluster
SW_FREE_HEAD = 12  # free clusters of a solid-state area: first and last, linked in `swap_cluster`
SW_FREE_TAIL = 13
SW_CLUSTER_BASE = 14  # its first row in `swap_cluster`
SW_START = 15  # offset at which a solid-state area begins to be used
SW_CPU_NEXT = 16  # next offset of each CPU in its own cluster (solid state), 0: none; by CPU modulo 16
SWAP_COLUMNS = 32
MAX_SWAPFILES = 29

SWP_WRITEOK = 1  # slots are handed out
SWP_SOLIDSTATE = 2
SWP_USED = 4  # switched on; without SWP_WRITEOK it is being switched off
SWP_FILE = 8  # a file, not a partition

# Flags of swapon(2), include/linux/swap.h.
SWAP_FLAG_PRIO_MASK = 0x7FFF
SWAP_FLAG_PREFER = 0x8000
SWAP_FLAGS_VALID = 0x7FFFF

SWAPFILE_CLUSTER = 256
SWAP_HAS_CACHE = 64  # in `swap_map`, beside the number of references (here without a limit)
SWAP_COUNT_SHIFT = 8

# Columns of `swap_cluster`.
SC_COUNT = 0
SC_NEXT = 1

# Columns of `dev`, one row per device.
D_WRITES = 0  # write requests that are not finished
D_READS = 1
D_ROTATIONAL = 2
D_QUEUES = 3  # hardware queues
DEV_COLUMNS = 4
NR_REQUESTS = 128  # of a direction that a queue takes before submitters sleep (BLKDEV_MAX_RQ)
