"""The page cache: looking pages up, faulting them in, and the reads that fill it.   Follows mm/filemap.c of v4.4 (B.5, E.3)."""

from vmsim.mm.mlock_page import mlock_mapped_page
from vmsim.mm.page_alloc_slow import page_to_read_into
from vmsim.mm.page_dirty import set_page_dirty
from vmsim.mm.pte import set_pte
from vmsim.mm.readahead import do_async_mmap_readahead, do_sync_mmap_readahead, submit_read
from vmsim.mm.rmap import page_add_rmap
from vmsim.mm.shmem import SHMEM_ERROR, SHMEM_WAIT, shmem_getpage
from vmsim.struct.costs import C_MAP_PAGE, C_PAGE_CACHE_LOOKUP
from vmsim.struct.files import (
    FI_CACHE,
    FI_FAULT_AROUND,
    FI_KIND,
    FI_MMAP_MISS,
    FI_RA_PAGES,
    FI_SIZE,
    FILE_REGULAR,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_BITS, G_LEVELS, G_PAGE_SHIFT, SC_NR_NEW_BIOS, SC_SLOW_SUBMIT, SC_USER_FAULT, SYS_FAULT_AROUND_PAGES
from vmsim.struct.ledger import L_FAULT, L_IO
from vmsim.struct.pages import (
    P_FLAGS,
    PG_ERROR,
    PG_LOCKED,
    PG_READAHEAD,
    PG_UPTODATE,
    PTE_PRESENT,
    PTE_SHIFT,
    PTE_WRITE,
    PTE_YOUNG,
)
from vmsim.struct.reclaim import FOR_READ, N_ALLOC_FOR
from vmsim.struct.rules import R_FAULT_AROUND_FORGIVES, R_MMAP_IO_RETRIES
from vmsim.struct.tasks import (
    FAULT_LOCKING,
    FAULT_REREAD,
    FAULT_SUBMITTED,
    FAULT_TRIED,
    T_DIRTIED_FILE,
    T_FAULT_MAJOR,
    T_FAULT_TRIED,
    T_MEM_RETRY,
    T_SUBMIT_NS,
    T_WAIT,
    T_WAIT_ARG,
    WAIT_PAGE,
)
from vmsim.struct.vmas import MM_FILEPAGES, V_END, V_FILE, V_FLAGS, V_PGOFF, V_START, VM_SHARED, VM_WRITE
from vmsim.struct.vmstat import PGMAJFAULT

# What a fault amounted to (VM_FAULT_*); 0 is minor.
EVENT_MAJOR = 1
EVENT_WAIT = 2  # sleeps: T_WAIT says what for
EVENT_OOM = 4
EVENT_SIGBUS = 8
EVENT_SUBMITTED = 16  # requests are on their way: let time pass, then go on with the same fault
EVENT_SEGV = 32
EVENT_RETRY = 64  # begin the fault again at once


@compiled
def file_pages(k, file):
    """Pages of a file, the last one counted if it is partly used."""
    shift = k.geo[G_PAGE_SHIFT]
    return (k.file[file, FI_SIZE] + (1 << shift) - 1) >> shift


@compiled
def do_fault_around(k, mm, v, vpn, slot):
    """Map the cached pages of the window around a read fault; whether the faulting page was among them."""
    vma = k.vma
    file = vma[v, V_FILE]
    window = k.sysctl[SYS_FAULT_AROUND_PAGES]
    if window <= 1 or k.file[file, FI_FAULT_AROUND] == 0:
        return 0
    table = 1 << k.geo[G_BITS + k.geo[G_LEVELS] - 1]
    first = max(vpn & ~(window - 1), vma[v, V_START])
    last = min(min(first + window, vma[v, V_END]), (vpn | (table - 1)) + 1) - 1
    last = min(last, vma[v, V_START] - vma[v, V_PGOFF] + file_pages(k, file) - 1)
    pcache = k.pcache
    frame = k.frame
    pt = k.pt
    k.led[L_FAULT] += k.cost[C_PAGE_CACHE_LOOKUP]
    page = k.file[file, FI_CACHE] + vma[v, V_PGOFF] + first - vma[v, V_START]
    protection = PTE_PRESENT | PTE_YOUNG
    if vma[v, V_FLAGS] & (VM_SHARED | VM_WRITE) == VM_SHARED | VM_WRITE and k.file[file, FI_KIND] != FILE_REGULAR:
        protection |= PTE_WRITE
    mapped = 0
    cached = 0
    near = slot - (vpn - first)
    for i in range(last - first + 1):
        pfn = pcache[page + i]
        if pfn > 0 and frame[pfn, P_FLAGS] & (PG_UPTODATE | PG_LOCKED | PG_READAHEAD) == PG_UPTODATE:
            cached += 1
            if pt[near + i] != 0:
                continue
            set_pte(k, mm, first + i, near + i, pfn << PTE_SHIFT | protection)
            page_add_rmap(k, pfn, mm, first + i)
            mlock_mapped_page(k, vma[v, V_FLAGS], pfn)
            mapped += 1
    k.mm[mm, MM_FILEPAGES] += mapped
    k.led[L_FAULT] += mapped * k.cost[C_MAP_PAGE]
    forgiven = cached if k.rule[R_FAULT_AROUND_FORGIVES] != 0 else mapped
    k.file[file, FI_MMAP_MISS] = max(0, k.file[file, FI_MMAP_MISS] - forgiven)
    return 1 if pt[slot] != 0 else 0


@compiled
def wait_for_page(k, tid, pfn):
    """Sleep until the I/O that holds a page's lock is done; the caller starts again then."""
    k.task[tid, T_WAIT] = WAIT_PAGE
    k.task[tid, T_WAIT_ARG] = pfn


@compiled
def file_page(k, tid, v, vpn):
    """The page of a file mapping that a fault needs: pfn << 1 | major, or minus an EVENT_* (filemap_fault)."""
    vma = k.vma
    file = vma[v, V_FILE]
    pgoff = vma[v, V_PGOFF] + vpn - vma[v, V_START]
    if pgoff >= file_pages(k, file):
        return -EVENT_SIGBUS
    if k.file[file, FI_KIND] != FILE_REGULAR:
        pfn = shmem_getpage(k, file, pgoff)
        if pfn > 0:
            return pfn << 1 | k.task[tid, T_FAULT_MAJOR]
        if pfn == SHMEM_WAIT:
            return -EVENT_WAIT
        return -EVENT_SIGBUS if pfn == SHMEM_ERROR else -EVENT_OOM
    k.led[L_FAULT] += k.cost[C_PAGE_CACHE_LOOKUP]
    major = 0
    submitting = 0
    pfn = k.pcache[k.file[file, FI_CACHE] + pgoff]
    if pfn > 0:
        if k.task[tid, T_FAULT_TRIED] == 0 and do_async_mmap_readahead(k, tid, v, file, pfn, pgoff) and k.rule[R_MMAP_IO_RETRIES] != 0:
            return -EVENT_RETRY
    else:
        submitting = k.led[L_IO]
        do_sync_mmap_readahead(k, tid, v, file, pgoff)
        if k.task[tid, T_MEM_RETRY] == 0 or k.task[tid, T_FAULT_MAJOR] == 0:
            k.vmstat[PGMAJFAULT] += 1
        major = 1
        k.task[tid, T_FAULT_MAJOR] = 1
        pfn = k.pcache[k.file[file, FI_CACHE] + pgoff]
        if pfn <= 0:
            if not page_to_read_into(k):
                k.node[N_ALLOC_FOR] = FOR_READ
                return -EVENT_OOM
            submit_read(k, tid, file, pgoff, 1, -1, 0)
            pfn = k.pcache[k.file[file, FI_CACHE] + pgoff]
        if k.sc[SC_SLOW_SUBMIT] != 0 and k.sc[SC_USER_FAULT] != 0 and k.sc[SC_NR_NEW_BIOS] > 0:
            k.task[tid, T_SUBMIT_NS] = k.led[L_IO] - submitting
            k.led[L_IO] = submitting
            k.task[tid, T_FAULT_TRIED] = FAULT_SUBMITTED
            return -EVENT_SUBMITTED
    if k.frame[pfn, P_FLAGS] & PG_LOCKED != 0:
        if k.task[tid, T_FAULT_TRIED] == FAULT_LOCKING:
            k.task[tid, T_FAULT_TRIED] = FAULT_TRIED
        wait_for_page(k, tid, pfn)
        return -EVENT_WAIT
    if k.frame[pfn, P_FLAGS] & PG_UPTODATE == 0:
        return _reread(k, tid, file, pgoff, pfn)
    if k.task[tid, T_FAULT_TRIED] == FAULT_LOCKING and k.rule[R_MMAP_IO_RETRIES] != 0:
        return -EVENT_RETRY
    return pfn << 1 | major


@compiled
def _reread(k, tid, file, pgoff, pfn):
    """A page whose read failed: one more synchronous read, then SIGBUS."""
    if k.frame[pfn, P_FLAGS] & PG_ERROR != 0 and k.task[tid, T_FAULT_TRIED] == FAULT_REREAD:
        k.frame[pfn, P_FLAGS] &= ~PG_ERROR
        k.file[file, FI_RA_PAGES] //= 4  # shrink_readahead_size_eio
        return -EVENT_SIGBUS
    k.task[tid, T_FAULT_TRIED] = FAULT_REREAD
    submit_read(k, tid, file, pgoff, 1, -1, 0)
    wait_for_page(k, tid, pfn)
    return -EVENT_WAIT


@compiled
def page_mkwrite(k, tid, v, pfn):
    """A shared mapping is about to dirty a page: regular files account for it (write-notify)."""
    set_page_dirty(k, pfn)
    if k.file[k.vma[v, V_FILE], FI_KIND] == FILE_REGULAR:
        k.task[tid, T_DIRTIED_FILE] = k.vma[v, V_FILE]


@compiled
def page_cached(k, file, pgoff):
    """Whether a page of a file is in the page cache and up to date."""
    if pgoff >= file_pages(k, file):
        return False
    pfn = k.pcache[k.file[file, FI_CACHE] + pgoff]
    return pfn > 0 and k.frame[pfn, P_FLAGS] & PG_UPTODATE != 0
