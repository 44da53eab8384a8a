"""The kernel's state: named tables of int64, allocated once a run, passed to every compiled function as one struct `k`.

Tables are reserved at the size of the machine and committed by the host only where they are touched: an untouched frame, VMA or
page-table entry is all zero and costs nothing, so a 1 TiB machine boots at once.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmsim.struct.areas import give_back, take_area
from vmsim.struct.costs import NR_COSTS
from vmsim.struct.files import BIO_COLUMNS, FILE_COLUMNS, NODE_SHIFT, PATTERN_COLUMNS
from vmsim.struct.jit import JIT
from vmsim.struct.ledger import NR_LEDGER
from vmsim.struct.pages import FRAME_COLUMNS, NR_ZONES, PVEC_COLUMNS, READY_SHIFT, ZONE_COLUMNS
from vmsim.struct.reclaim import NODE_COLUMNS, SCAN_COLUMNS
from vmsim.struct.slab import NR_SHRINKERS, NR_SLABS, SB_COLUMNS, SLAB_COLUMNS, XNODE_COLUMNS
from vmsim.struct.streams import STREAM_BUFFER, STREAM_COLUMNS
from vmsim.struct.swaps import DEV_COLUMNS, MAX_SWAPFILES, SWAP_COLUMNS, SWAPFILE_CLUSTER
from vmsim.struct.tasks import ACCESS_BUFFER, NR_KINDS, NR_REGISTERS, NR_RLIMITS, TASK_COLUMNS
from vmsim.struct.vmas import INDEX_COLUMNS, INDEX_FANOUT, MM_COLUMNS, VMA_COLUMNS
from vmsim.struct.vmstat import NR_VMSTAT
from vmsim.struct.writeback import BDI_COLUMNS, DOMAIN_COLUMNS, EXTENT_COLUMNS, EXTENT_ROWS, MAX_BDIS, NR_TAGS, TAG_LEVELS

CODE_COLUMNS = 12
MIN_PAGEBLOCK = 256  # pages of the smallest huge page of any architecture (s390x)
NR_BIOS = 16384
BIO_PAGES = 128  # frames of a request that is put together page by page, at most (BLK_MAX_SEGMENTS)
NR_BIO_PAGES = NR_BIOS * BIO_PAGES
NR_EVENTS = 1024  # that programs post and wait for
TLB_COLUMNS = 8192  # entries of both TLBs of a CPU, at most
PWC_COLUMNS = 512
HIST_SUB_BITS = 7  # 128 buckets an octave: 0.8 % wide
HIST_BUCKETS = (50 - HIST_SUB_BITS) << HIST_SUB_BITS

# Scalars of `sc`.
SC_VMA_NEXT = 0  # first VMA row never used
SC_VMA_FREE = 1  # head of the free rows, linked by V_NEXT
SC_INDEX_NEXT = 2
SC_INDEX_FREE = 3
SC_HUGE_BITS = 4  # binary logarithm of the pages of a huge page (HPAGE_PMD_ORDER), 0: no mapping gets one
SC_ANON_VMA_NEXT = 5
SC_PT_NEXT = 6  # first slot of `pt` never used
SC_CHAIN_NEXT = 7
SC_CHAIN_FREE = 8
SC_NR_ZONES = 9
SC_NR_FRAMES = 10  # frames of the machine; LRU sentinels follow
SC_BIO_NEXT = 11  # where the search for a free bio begins
SC_NR_NEW_BIOS = 12
SC_CPU = 13  # CPU and task of the current slice
SC_TASK = 14
SC_NOW = 15  # simulated time at the slice's start
SC_FAULT_VPN = 16  # the access that the MMU could not complete
SC_FAULT_WRITE = 17
SC_COMMITTED = 18  # vm_committed_as, pages
SC_HUGE_ZERO = 19  # first frame of the huge zero page, 0: there is none
SC_FILE_NEXT = 20
SC_PCACHE_NEXT = 21
SC_INDEX_DEPTH = 22  # levels of the VMA index
SC_PT_FREE = 23  # heads of free tables by level, 8 slots
SC_NR_CPUS = 31
SC_TOTALRAM = 32
SC_DEADLINE = 33  # CPU time that the slice may use, ns
SC_PHASE_MARK = 34
SC_ASID_NEXT = 35
SC_NR_TASKS = 36
SC_HUGE_ZERO_USERS = 37  # page tables that map it
SC_SLOW_SUBMIT = 39  # a device may finish a request before the CPU has done submitting it
SC_USER_FAULT = 40  # the fault in progress is a program's, not made on its behalf
SC_PAGEVEC = 38  # pages that wait in some CPU's pagevec, as far as a drain would notice
SC_INO_NEXT = 41  # serial number of the file created last
SC_PCACHE_ROWS = 42  # slots of `pcache`
SC_TOTALRESERVE = 58  # pages that no heuristic counts as free (totalreserve_pages)
SC_WAKE = 43  # daemons to wake at the end of the slice, a bit each
SC_PLUG = 44  # requests made page by page are held back in the running task's plug (blk_start_plug)
SC_NOWAIT = 61  # allocations take from the reserves now rather than wait: the call in progress can't be begun again
SC_SPARE = 62  # a frame that was got the slow way for the next page to be read, 0: none
SC_NR_KILLED = 47  # tasks that have been killed but have not noticed yet
SC_OOM = 53  # the OOM killer has acted in this slice, and the machine has not reported it yet
SC_BIO_LAST = 45  # row + 1 of the slice's last request made page by page, 0: none
SC_UNPLUGGED = 46  # row + 1 of the first request of a plug that was flushed in this slice, 0: none
SC_LRU_FAULT = 59  # a fault is under way whose pages are as young as any (lru_gen_in_fault)
SC_MM_ROWS = 50  # rows of `mm`
SC_FILE_ROWS = 51  # rows of `file`
SC_TASK_ROWS = 52  # rows of `task`
SC_TASK_NEXT = 56  # first row of `task` never used
SC_TASK_LIMIT = 57  # rows of `task` that a run may use
SC_PATTERN_NEXT = 60  # first row of `pattern` never used
SC_PLACE = 48  # page at which a mapping is placed if it is free, as a log of calls says; 0: where the kernel would
SC_KERNEL_PAGES = 63  # frames that the kernel itself took at boot
NR_SCALARS = 64

# Geometry of page tables and TLBs, `geo`.
G_PAGE_SHIFT = 0
G_LEVELS = 1
G_BITS = 2  # index bits, top level first, up to 6
G_SHIFT = 8  # shift of each level's index within the vpn
G_TASK_PAGES = 14  # TASK_SIZE in pages
G_ASIDS = 15  # 0: every switch of address spaces flushes the TLB
G_L1_SETS = 16
G_L1_WAYS = 17
G_L2_SETS = 18  # 0: no second level
G_L2_WAYS = 19
G_PWC_SETS = 20  # page-walk cache of each upper level: sets, ways; sets 0: none
G_PWC_WAYS = 21
G_HW_YOUNG = 22  # the MMU sets the accessed bit itself
G_HW_DIRTY = 23
G_SOFTWARE_REFILL = 24
G_FLUSH_CEILING = 25  # pages flushed one by one before the whole TLB is
G_PTE_BYTES = 26
G_BROADCAST_FLUSH = 27  # remote TLBs are flushed by an instruction, without IPIs
G_MAP_32BIT = 28  # the architecture has MAP_32BIT
NR_GEOMETRY = 32
MAX_INDEX_BITS = 16  # of a page table

# Kernel settings, `sysctl`.
SYS_MAX_MAP_COUNT = 0
SYS_FAULT_AROUND_PAGES = 1
SYS_OVERCOMMIT_MEMORY = 2
SYS_OVERCOMMIT_RATIO = 3
SYS_OVERCOMMIT_KBYTES = 4
SYS_SWAPPINESS = 5
SYS_PAGE_CLUSTER = 6
SYS_MIN_FREE_KBYTES = 7
SYS_MMAP_MIN_ADDR = 8
SYS_ADMIN_RESERVE_KBYTES = 9
SYS_USER_RESERVE_KBYTES = 10
SYS_STACK_GUARD_PAGES = 11
SYS_WATERMARK_SCALE_FACTOR = 12
SYS_DIRTY_RATIO = 16
SYS_DIRTY_BACKGROUND_RATIO = 17
SYS_DIRTY_BYTES = 18
SYS_DIRTY_BACKGROUND_BYTES = 19
SYS_DIRTY_EXPIRE_CENTISECS = 20
SYS_DIRTY_WRITEBACK_CENTISECS = 21
SYS_DROP_CACHES = 22
SYS_PANIC_ON_OOM = 23
SYS_OOM_KILL_ALLOCATING_TASK = 24
SYS_OOM_DUMP_TASKS = 25
SYS_THP_ENABLED = 26  # transparent_hugepage/enabled: THP_*
SYS_THP_ZERO_PAGE = 27  # transparent_hugepage/use_zero_page
SYS_VFS_CACHE_PRESSURE = 28
NR_SYSCTL = 32

THP_NEVER = 0
THP_MADVISE = 1
THP_ALWAYS = 2

# Columns of `image`: row 0 describes the program that exec starts, one row for each of its VMAs follows.
IM_START = 0  # page; row 0: how many rows follow
IM_PAGES = 1
IM_FLAGS = 2
IM_FILE = 3
IM_PGOFF = 4
IM_TASK_SIZE = 1  # row 0, pages
IM_MMAP_BASE = 2  # pages
IM_TEXT = 3  # page
IM_HEAP = 4  # page of the initial heap, 0 if there is none
IM_HEAP_PAGES = 5
IMAGE_COLUMNS = 6
IMAGE_ROWS = 64

# Each table's name: the bits of its integers, and its columns (0: it is a single row).
TABLES: dict[str, tuple[int, int]] = {
    "frame": (64, FRAME_COLUMNS), "zone": (64, ZONE_COLUMNS), "free_stack": (64, 0), "pageblock": (64, 2), "chain": (64, 2),
    "vma": (64, VMA_COLUMNS), "vindex": (64, INDEX_COLUMNS), "vchild": (32, INDEX_FANOUT), "anon_vma": (64, 4),
    "mm": (64, MM_COLUMNS), "pt": (64, 0), "ready": (8, 0), "file": (64, FILE_COLUMNS), "pcache": (64, 0),
    "bio": (64, BIO_COLUMNS), "bio_page": (64, 0),
    "task": (64, TASK_COLUMNS), "reg": (64, NR_REGISTERS), "rlim": (64, 2 * NR_RLIMITS), "code": (64, CODE_COLUMNS),
    "abuf": (64, ACCESS_BUFFER), "pattern": (64, PATTERN_COLUMNS), "pattern_table": (64, 0), "led": (64, 0),
    "cpu_led": (64, NR_LEDGER), "task_led": (64, NR_LEDGER), "vmstat": (64, 0), "cost": (64, 0), "sysctl": (64, 0),
    "image": (64, IMAGE_COLUMNS), "rule": (64, 0),
    "geo": (64, 0), "tlb_tag": (64, TLB_COLUMNS), "pwc_tag": (64, PWC_COLUMNS),
    "tlb_stat": (64, 16), "pvec": (64, PVEC_COLUMNS), "pcp": (64, NR_ZONES), "scan": (64, SCAN_COLUMNS), "node": (64, 0),
    "swap": (64, SWAP_COLUMNS), "swap_map": (64, 0), "swap_cache": (64, 0), "swap_cluster": (64, 2), "dev": (64, DEV_COLUMNS),
    "hist": (64, HIST_BUCKETS), "sc": (64, 0), "shown": (64, 0), "reclaimed": (64, 0),
    "tag": (64, NR_TAGS), "bdi": (64, BDI_COLUMNS), "domain": (64, 0), "extent": (64, EXTENT_COLUMNS),
    "slab": (64, SLAB_COLUMNS), "nr_deferred": (64, 0), "xnode": (64, XNODE_COLUMNS), "sb": (64, 0), "sb_lru": (8, 0),
    "event": (64, 0), "stream": (64, STREAM_COLUMNS), "stream_buffer": (64, STREAM_BUFFER),
}  # fmt: skip


_KEPT_BYTES = 1 << 20  # tables from this size on lie in areas of their own, smaller ones in NumPy's memory


if JIT:
    from vmsim.struct.table import RowType, StateType, TableType

    class State:
        """`k` as Python holds it: the address of the block of the tables' addresses."""

        _numba_type_ = StateType(
            {name: TableType(columns, bits) if columns else RowType(bits) for name, (bits, columns) in TABLES.items()}
        )

        def __init__(self, tables: dict[str, NDArray[Any]]) -> None:
            self._block = np.array([tables[name].ctypes.data for name in TABLES], np.int64)
            self.address = self._block.ctypes.data

else:

    class State:  # type: ignore[no-redef]
        """`k` without compilation: the tables as attributes."""

        def __init__(self, tables: dict[str, NDArray[Any]]) -> None:
            self.__dict__.update(tables)


class Kernel:
    """All tables of one simulated machine, by name, and `k`, the struct of them that compiled functions take.

    Parameters: numbers of rows. `frames` includes frame 0 (the zero page) and excludes the LRU sentinels.
    """

    frame: NDArray[np.int64]
    zone: NDArray[np.int64]
    free_stack: NDArray[np.int64]
    pageblock: NDArray[np.int64]
    chain: NDArray[np.int64]
    vma: NDArray[np.int64]
    vindex: NDArray[np.int64]
    vchild: NDArray[np.int32]
    anon_vma: NDArray[np.int64]
    mm: NDArray[np.int64]
    pt: NDArray[np.int64]
    ready: NDArray[np.int8]  # what a leaf entry lets the MMU do without looking at it (READY_*)
    file: NDArray[np.int64]
    pcache: NDArray[np.int64]
    bio: NDArray[np.int64]
    bio_page: NDArray[np.int64]
    task: NDArray[np.int64]
    reg: NDArray[np.int64]
    rlim: NDArray[np.int64]
    code: NDArray[np.int64]
    abuf: NDArray[np.int64]
    pattern: NDArray[np.int64]
    pattern_table: NDArray[np.int64]
    led: NDArray[np.int64]
    cpu_led: NDArray[np.int64]
    task_led: NDArray[np.int64]
    vmstat: NDArray[np.int64]
    cost: NDArray[np.int64]
    sysctl: NDArray[np.int64]
    image: NDArray[np.int64]
    rule: NDArray[np.int64]
    geo: NDArray[np.int64]
    tlb_tag: NDArray[np.int64]
    pwc_tag: NDArray[np.int64]
    tlb_stat: NDArray[np.int64]
    hist: NDArray[np.int64]
    sc: NDArray[np.int64]
    tag: NDArray[np.int64]
    bdi: NDArray[np.int64]
    domain: NDArray[np.int64]
    extent: NDArray[np.int64]
    pvec: NDArray[np.int64]
    pcp: NDArray[np.int64]  # frames on each CPU's list of each zone
    scan: NDArray[np.int64]
    node: NDArray[np.int64]
    swap: NDArray[np.int64]
    swap_map: NDArray[np.int64]
    swap_cache: NDArray[np.int64]
    swap_cluster: NDArray[np.int64]
    dev: NDArray[np.int64]
    slab: NDArray[np.int64]
    nr_deferred: NDArray[np.int64]  # of each shrinker: objects that it was asked to scan and has put off
    xnode: NDArray[np.int64]
    sb: NDArray[np.int64]
    sb_lru: NDArray[np.int8]  # the superblock's unused dentries, then its inodes that no dentry holds: LRU_REFERENCED, LRU_HAS_INODE
    event: NDArray[np.int64]  # posts of each that nobody has waited for
    stream: NDArray[np.int64]
    stream_buffer: NDArray[np.int64]
    shown: NDArray[np.int64]  # what a call shows of the kernel's state to its caller
    reclaimed: NDArray[np.int64]  # pages freed by reclaim: for each task, of each mm, then of each file

    def __init__(self, rows: dict[str, int]) -> None:
        self._areas: dict[str, mmap.mmap] = {}
        for name, (bits, columns) in TABLES.items():
            setattr(self, name, self._table(name, (rows[name], columns) if columns else (rows[name],), f"int{bits}"))
        self.sc[SC_PCACHE_ROWS] = rows["pcache"]
        self.sc[SC_MM_ROWS] = rows["mm"]
        self.sc[SC_FILE_ROWS] = rows["file"]
        self.sc[SC_TASK_ROWS] = rows["task"]
        self.k = State({name: getattr(self, name) for name in TABLES})

    def _table(self, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """A zeroed table."""
        count = int(np.prod(shape, dtype=np.int64))
        nbytes = count * np.dtype(dtype).itemsize
        if nbytes < _KEPT_BYTES:
            return np.zeros(shape, dtype)
        self._areas[name] = take_area(name, nbytes)
        return np.frombuffer(self._areas[name], dtype, count).reshape(shape)

    def release(self) -> None:
        """Give the memory of the large tables to the next machine of this process; this one has ended, and they are gone."""
        for name, area in self._areas.items():
            delattr(self, name)
            give_back(name, area)
        self._areas = {}
        del self.k


def table_rows(
    frames: int, cpus: int, tasks: int, pcache: int, code: int, patterns: int, pattern_table: int, traces: int = 0, swap_slots: int = 0,
    unused_objects: int = 0,
) -> dict[str, int]:
    """Rows of all tables for a machine of so many frames, CPUs, tasks, page-cache slots, instructions, patterns, swap slots and unused
    dentries and inodes.

    Tables that grow with use (VMAs, page tables) are reserved for the worst case that the frames allow.
    """
    vmas = min(1 << 27, 4 * frames + (1 << 20))
    entries = max(frames * 514, 1 << 24)
    slots = pcache + (1 << 22) + 2 * frames
    words = level = slots
    for _ in range(TAG_LEVELS):
        level = (level >> 5) + 1
        words += level
    rows = {
        "frame": frames + 64, "free_stack": frames + 64, "pageblock": frames // MIN_PAGEBLOCK + 2, "chain": 4 * frames + 4096, "vma": vmas,
        "vindex": vmas // 8 + 4096, "vchild": vmas // 8 + 4096, "anon_vma": vmas, "mm": tasks + 8, "pt": entries,
        "ready": (entries >> READY_SHIFT) + 8, "file": 4096, "pcache": slots,
        "bio": NR_BIOS, "bio_page": NR_BIO_PAGES, "task": tasks + 8, "reg": tasks + 8,
        "rlim": tasks + 8, "code": code + 64, "abuf": tasks + 8, "pattern": patterns + 1, "pattern_table": pattern_table + 1,
        "led": NR_LEDGER, "cpu_led": cpus, "task_led": tasks + 8, "vmstat": NR_VMSTAT, "cost": NR_COSTS, "sysctl": NR_SYSCTL,
        "rule": 128, "image": IMAGE_ROWS, "geo": NR_GEOMETRY, "tlb_tag": cpus, "pwc_tag": cpus, "tlb_stat": cpus,
        "hist": (tasks + 8) * NR_KINDS, "sc": NR_SCALARS, "zone": NR_ZONES, "shown": 1 << 14,
        "pvec": cpus, "pcp": cpus, "scan": tasks + 8, "node": NODE_COLUMNS, "swap": MAX_SWAPFILES, "swap_map": swap_slots + 1,
        "swap_cache": swap_slots + 1, "swap_cluster": swap_slots // SWAPFILE_CLUSTER + MAX_SWAPFILES + 1, "dev": 64,
        "tag": words - slots, "bdi": MAX_BDIS, "domain": DOMAIN_COLUMNS, "extent": EXTENT_ROWS,
        "reclaimed": (tasks + 8) * (tasks + 8 + 4096), "event": NR_EVENTS,
        "slab": NR_SLABS, "nr_deferred": NR_SHRINKERS, "xnode": (slots >> NODE_SHIFT) + 2, "sb": SB_COLUMNS, "sb_lru": unused_objects + 1,
        "stream": traces + 1, "stream_buffer": traces + 1,
    }  # fmt: skip
    return rows
