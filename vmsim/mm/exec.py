"""A new program's address space.   Follows fs/exec.c, fs/binfmt_elf.c and arch/x86/mm/mmap.c of v4.4 (A.1, A.8)."""

from vmsim.hw.tlb import switch_mm
from vmsim.mm.interval import index_create, index_destroy
from vmsim.mm.mmap import exit_mmap, mmap_region
from vmsim.mm.page_alloc import any_free_page
from vmsim.mm.pagecache import add_to_page_cache
from vmsim.mm.pgtable import pgd_alloc, pgd_alloc_at_boot
from vmsim.mm.swap import lru_add
from vmsim.struct.costs import C_EXEC_BASE
from vmsim.struct.errno import ENOMEM
from vmsim.struct.jit import compiled, entry
from vmsim.struct.kernel import (
    G_PAGE_SHIFT,
    IM_FILE,
    IM_FLAGS,
    IM_HEAP,
    IM_HEAP_PAGES,
    IM_MMAP_BASE,
    IM_PAGES,
    IM_PGOFF,
    IM_START,
    IM_TASK_SIZE,
    IM_TEXT,
    SC_CPU,
    SC_MM_ROWS,
)
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.pages import P_FLAGS, PG_UPTODATE
from vmsim.struct.tasks import T_BUS_PC, T_MM, T_SAVED_PC, T_SEGV_PC, T_VMACACHE_SEQ
from vmsim.struct.vmas import (
    MM_BRK,
    MM_COLUMNS,
    MM_DEF_FLAGS,
    MM_END_DATA,
    MM_FLAGS,
    MM_MMAP_BASE,
    MM_PGD,
    MM_START_BRK,
    MM_START_DATA,
    MM_START_STACK,
    MM_TASK_SIZE,
    MM_TEXT,
    MM_USERS,
    VM_GROWSDOWN,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYWRITE,
    VM_NOHUGEPAGE,
)


@compiled
def mm_alloc(k):
    """A zeroed row for an address space, from the end of the table down, as tasks' first ones have their tids; 0 if none is free."""
    mm = k.sc[SC_MM_ROWS] - 1
    while mm > 0 and (k.mm[mm, MM_USERS] != 0 or k.mm[mm, MM_PGD] != 0):
        mm -= 1
    for column in range(MM_COLUMNS):
        k.mm[mm, column] = 0
    return mm


@compiled
def load_image(k, tid, mm):
    """Map the pieces of the program's image, its heap and its stack: 0 or -ENOMEM (load_elf_binary)."""
    image = k.image
    row = k.mm[mm]
    shift = k.geo[G_PAGE_SHIFT]
    for i in range(1, image[0, IM_START] + 1):
        flags = image[i, IM_FLAGS] | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | row[MM_DEF_FLAGS]
        if flags & VM_GROWSDOWN != 0:
            row[MM_START_STACK] = (image[i, IM_START] + image[i, IM_PAGES] - 1) << shift
        if mmap_region(k, tid, image[i, IM_START], image[i, IM_PAGES], flags, image[i, IM_FILE], image[i, IM_PGOFF]) < 0:
            return -ENOMEM
    row[MM_TEXT] = image[0, IM_TEXT]
    row[MM_START_DATA] = row[MM_END_DATA] = row[MM_START_BRK] = image[0, IM_HEAP] << shift
    row[MM_BRK] = (image[0, IM_HEAP] + image[0, IM_HEAP_PAGES]) << shift
    return 0


@compiled
def exec_mmap(k, tid, task_size, mmap_base):
    """Give a task a new, empty address space without locks or handlers: 0, or -ENOMEM with the old one kept.

    MCL_FUTURE ends with the old one; what PR_SET_THP_DISABLE said stays. Sizes are in pages.
    """
    old = k.task[tid, T_MM]
    flags = k.mm[old, MM_DEF_FLAGS] & VM_NOHUGEPAGE
    mm = mm_alloc(k)
    if mm == 0:
        return -ENOMEM
    k.led[L_SYSCALL] += k.cost[C_EXEC_BASE]
    k.mm[mm, MM_TASK_SIZE] = task_size
    k.mm[mm, MM_MMAP_BASE] = mmap_base
    k.mm[mm, MM_DEF_FLAGS] = flags
    k.mm[mm, MM_FLAGS] = k.mm[old, MM_FLAGS]
    index_create(k, mm)
    if pgd_alloc(k, mm) == 0:
        index_destroy(k, mm)
        return -ENOMEM
    k.mm[mm, MM_USERS] = 1
    k.mm[old, MM_USERS] -= 1
    if k.mm[old, MM_USERS] == 0:
        exit_mmap(k, tid)
    k.task[tid, T_MM] = mm
    k.task[tid, T_VMACACHE_SEQ] = 0
    k.led[L_SYSCALL] += switch_mm(k, k.sc[SC_CPU], mm)
    k.task[tid, T_SEGV_PC] = -1
    k.task[tid, T_BUS_PC] = -1
    k.task[tid, T_SAVED_PC] = -1
    return 0


@compiled
def sys_exec(k, tid):
    """execve(2) of a program with the image of the machine's programs.

    0, or -ENOMEM with the old address space kept, or lost where only a part of the image could be mapped.
    """
    old = k.mm[k.task[tid, T_MM]]
    given = k.image[0, IM_TASK_SIZE] != 0
    result = exec_mmap(
        k, tid, k.image[0, IM_TASK_SIZE] if given else old[MM_TASK_SIZE], k.image[0, IM_MMAP_BASE] if given else old[MM_MMAP_BASE]
    )
    return result if result < 0 else load_image(k, tid, k.task[tid, T_MM])


@entry
def mm_create(k, tid, mm, task_size, mmap_base):
    """Give a task an empty address space; whether a frame was free for its top page table."""
    k.task[tid, T_MM] = mm
    k.mm[mm, MM_USERS] = 1
    k.mm[mm, MM_TASK_SIZE] = task_size
    k.mm[mm, MM_MMAP_BASE] = mmap_base
    index_create(k, mm)
    return pgd_alloc_at_boot(k, mm) != 0


@entry
def image_create(k, tid):
    """Map the image of a task that starts with one: 0 or -ENOMEM."""
    return load_image(k, tid, k.task[tid, T_MM])


@entry
def fill_page_cache(k, file, pages):
    """Boot: put the first pages of a file into the page cache; how many fit in memory."""
    for pgoff in range(pages):
        pfn = any_free_page(k)
        if pfn == 0:
            return pgoff
        k.frame[pfn, P_FLAGS] |= PG_UPTODATE
        add_to_page_cache(k, file, pgoff, pfn)
        lru_add(k, pfn)
    return pages
