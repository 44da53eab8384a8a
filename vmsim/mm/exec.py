"""A new program's address space.   Follows fs/exec.c, fs/binfmt_elf.c and arch/x86/mm/mmap.c of v4.4 (A.1, A.8)."""

from vmsim.mm.interval import index_create
from vmsim.mm.mmap import mmap_region
from vmsim.mm.page_alloc import alloc_page
from vmsim.mm.pagecache import add_to_page_cache
from vmsim.mm.pgtable import pgd_alloc
from vmsim.mm.swap import lru_add
from vmsim.struct.jit import entry
from vmsim.struct.pages import P_FLAGS, PG_UPTODATE
from vmsim.struct.tasks import T_MM
from vmsim.struct.vmas import MM_MMAP_BASE, MM_TASK_SIZE, MM_USERS, VM_MAYEXEC, VM_MAYREAD, VM_MAYWRITE


@entry
def mm_create(k, tid, mm, task_size, mmap_base):
    """Give a task an empty address space; whether a frame was free for its top page table."""
    k.task[tid, T_MM] = mm
    k.mm[mm, MM_USERS] = 1
    k.mm[mm, MM_TASK_SIZE] = task_size
    k.mm[mm, MM_MMAP_BASE] = mmap_base
    index_create(k, mm)
    return pgd_alloc(k, mm) != 0


@entry
def image_vma(k, tid, start, pages, flags, file, pgoff):
    """Map one piece of a program's image; its address, or -errno."""
    return mmap_region(k, tid, start, pages, flags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC, file, pgoff)


@entry
def fill_page_cache(k, file, pages):
    """Boot: put the first pages of a file into the page cache; how many fit in memory."""
    for pgoff in range(pages):
        pfn = alloc_page(k)
        if pfn == 0:
            return pgoff
        k.frame[pfn, P_FLAGS] |= PG_UPTODATE
        add_to_page_cache(k, file, pgoff, pfn)
        lru_add(k, pfn)
    return pages
