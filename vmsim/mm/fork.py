"""A new task with a copy of its parent's address space.   Follows kernel/fork.c (dup_mmap), mm/memory.c (copy_page_range) and
mm/rmap.c (anon_vma_fork) of v4.4 (section A.8 of the behaviour notes)."""

from vmsim.hw.tlb import flush_mm
from vmsim.hw.walk import huge_table, leaf_pages
from vmsim.mm.accounting import account_vm
from vmsim.mm.anon_vma import anon_vma_create
from vmsim.mm.huge_memory import copy_huge_pmd
from vmsim.mm.interval import index_create
from vmsim.mm.mmap import exit_mmap
from vmsim.mm.overcommit import charge_commit
from vmsim.mm.pgtable import pgd_alloc, pte_alloc
from vmsim.mm.pte import next_entry, set_pte, write_pte
from vmsim.mm.rmap import page_add_rmap
from vmsim.mm.swapfile import swap_duplicate
from vmsim.mm.vma import charge_vma_link, vma_alloc, vma_link
from vmsim.struct.costs import C_FORK_BASE, C_MAP_PAGE
from vmsim.struct.errno import ENOMEM
from vmsim.struct.files import FI_MAPCOUNT
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU, SC_NOWAIT, SC_NR_TASKS
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.pages import P_FLAGS, PG_ANON, PG_EXCLUSIVE, PTE_DIRTY, PTE_PRESENT, PTE_SHIFT, PTE_WRITE, PTE_YOUNG, PTE_ZERO
from vmsim.struct.tasks import (
    NR_RLIMITS,
    T_ACC_LEFT,
    T_BUS_PC,
    T_CAPS,
    T_MM,
    T_OOM_ADJ,
    T_PARENT,
    T_SAVED_PC,
    T_SEGV_PC,
    T_STATE,
    T_TGID,
    TASK_COLUMNS,
    TASK_RUNNABLE,
)
from vmsim.struct.vmas import (
    MM_ANONPAGES,
    MM_BRK,
    MM_DEF_FLAGS,
    MM_END_DATA,
    MM_FILEPAGES,
    MM_FIRST,
    MM_FLAGS,
    MM_MMAP_BASE,
    MM_START_BRK,
    MM_START_DATA,
    MM_START_STACK,
    MM_SWAPENTS,
    MM_TASK_SIZE,
    MM_TEXT,
    MM_USERS,
    V_ANON,
    V_END,
    V_FILE,
    V_FLAGS,
    V_NEXT,
    V_START,
    VM_ACCOUNT,
    VM_DONTCOPY,
    VM_LOCK_MASK,
    VM_MAYWRITE,
    VM_NOHUGEPAGE,
    VM_SHARED,
    VM_WIPEONFORK,
    VMA_COLUMNS,
)


@compiled
def anon_vma_fork(k, child, parent):
    """The child's VMA gets an anon_vma of its own besides those it inherits, so its chain isn't singular."""
    inherited = k.vma[parent, V_ANON]
    k.vma[child, V_ANON] = 0
    if inherited == 0:
        return
    anon_vma_create(k, child)
    k.vma[child, V_ANON] |= 1


@compiled
def copy_page_range(k, child, mm, v):
    """Let the child map what a VMA's pages are now; private pages become read-only in both.  0, or -ENOMEM."""
    flags = k.vma[v, V_FLAGS]
    end = k.vma[v, V_END]
    cow = flags & (VM_SHARED | VM_MAYWRITE) == VM_MAYWRITE
    vpn, slot = next_entry(k, mm, k.vma[v, V_START], 0, end)
    while vpn < end:
        node = huge_table(k, mm, vpn)
        if node != 0:
            if copy_huge_pmd(k, child, vpn, node) != 0:
                return -ENOMEM
            vpn, slot = next_entry(k, mm, vpn + leaf_pages(k), 0, end)
            continue
        entry = k.pt[slot]
        if entry & PTE_PRESENT != 0:
            to = pte_alloc(k, child, vpn)
            if to == 0:
                return -ENOMEM
            if cow:
                entry &= ~PTE_WRITE
                write_pte(k, slot, entry)
            if flags & VM_SHARED != 0:
                entry &= ~PTE_DIRTY
            set_pte(k, child, vpn, to, entry & ~PTE_YOUNG)
            k.led[L_SYSCALL] += k.cost[C_MAP_PAGE]
            if entry & PTE_ZERO == 0:
                _dup_page(k, child, vpn, entry >> PTE_SHIFT)
        else:
            to = pte_alloc(k, child, vpn)
            if to == 0:
                return -ENOMEM
            set_pte(k, child, vpn, to, entry)
            swap_duplicate(k, entry >> PTE_SHIFT)
            k.mm[child, MM_SWAPENTS] += 1
        vpn, slot = next_entry(k, mm, vpn + 1, slot + 1, end)
    return 0


@compiled
def _dup_page(k, child, vpn, pfn):
    page_add_rmap(k, pfn, child, vpn)
    if k.frame[pfn, P_FLAGS] & PG_ANON != 0:
        k.frame[pfn, P_FLAGS] &= ~PG_EXCLUSIVE
        k.mm[child, MM_ANONPAGES] += 1
    else:
        k.mm[child, MM_FILEPAGES] += 1


@compiled
def dup_mmap(k, tid, child_mm):
    """Copy a task's VMAs, without their locks, into an empty address space: 0, or -ENOMEM with a part copied."""
    mm = k.task[tid, T_MM]
    vma = k.vma
    v = k.mm[mm, MM_FIRST]
    while v != 0:
        if vma[v, V_FLAGS] & VM_DONTCOPY == 0:
            pages = vma[v, V_END] - vma[v, V_START]
            if vma[v, V_FLAGS] & VM_ACCOUNT != 0 and charge_commit(k, tid, pages) != 0:
                return -ENOMEM
            new = vma_alloc(k)
            for column in range(VMA_COLUMNS):
                if column <= V_ANON:
                    vma[new, column] = vma[v, column]
            vma[new, V_FLAGS] &= ~VM_LOCK_MASK
            if vma[new, V_FILE] != 0:
                k.file[vma[new, V_FILE], FI_MAPCOUNT] += 1
            wiped = vma[v, V_FLAGS] & VM_WIPEONFORK != 0
            if wiped:
                vma[new, V_ANON] = 0
            else:
                anon_vma_fork(k, new, v)
            vma_link(k, child_mm, new)
            charge_vma_link(k, child_mm, new)
            account_vm(k, child_mm, vma[new, V_FLAGS], vma[new, V_FILE], pages)
            if vma[v, V_ANON] != 0 and not wiped and copy_page_range(k, child_mm, mm, v) != 0:
                return -ENOMEM
        v = vma[v, V_NEXT]
    flush_mm(k, k.sc[SC_CPU], mm)
    return 0


@compiled
def dup_mm(k, tid, child_mm):
    """Make `child_mm`, a free row, a copy of a task's address space: 0, or -ENOMEM with nothing left behind."""
    mm = k.task[tid, T_MM]
    row = k.mm[child_mm]
    row[MM_USERS] = 1
    row[MM_TASK_SIZE] = k.mm[mm, MM_TASK_SIZE]
    row[MM_MMAP_BASE] = k.mm[mm, MM_MMAP_BASE]
    row[MM_DEF_FLAGS] = k.mm[mm, MM_DEF_FLAGS] & VM_NOHUGEPAGE
    row[MM_START_BRK] = k.mm[mm, MM_START_BRK]
    row[MM_BRK] = k.mm[mm, MM_BRK]
    row[MM_START_DATA] = k.mm[mm, MM_START_DATA]
    row[MM_END_DATA] = k.mm[mm, MM_END_DATA]
    row[MM_FLAGS] = k.mm[mm, MM_FLAGS]
    row[MM_START_STACK] = k.mm[mm, MM_START_STACK]
    row[MM_TEXT] = k.mm[mm, MM_TEXT]
    index_create(k, child_mm)
    if pgd_alloc(k, child_mm) == 0:
        return -ENOMEM
    return dup_mmap(k, tid, child_mm)


@compiled
def _dup_task_struct(k, tid, child):
    task = k.task
    for column in range(TASK_COLUMNS):
        task[child, column] = 0
    task[child, T_STATE] = TASK_RUNNABLE
    task[child, T_TGID] = child
    task[child, T_PARENT] = task[tid, T_TGID]
    task[child, T_CAPS] = task[tid, T_CAPS]
    task[child, T_OOM_ADJ] = task[tid, T_OOM_ADJ]
    task[child, T_SEGV_PC] = task[tid, T_SEGV_PC]
    task[child, T_BUS_PC] = task[tid, T_BUS_PC]
    task[child, T_SAVED_PC] = -1
    task[child, T_ACC_LEFT] = -1


@compiled
def do_fork(k, tid, child, child_mm):
    """Make the free rows `child` and `child_mm` a new process, a copy of a task: the child's tid, or -ENOMEM."""
    task = k.task
    k.led[L_SYSCALL] += k.cost[C_FORK_BASE]
    _dup_task_struct(k, tid, child)
    task[child, T_MM] = child_mm
    for i in range(2 * NR_RLIMITS):
        k.rlim[child, i] = k.rlim[task[tid, T_TGID], i]
    k.sc[SC_NOWAIT] = 1
    copied = dup_mm(k, tid, child_mm)
    k.sc[SC_NOWAIT] = 0
    if copied != 0:
        if k.mm[child_mm, MM_FIRST] != 0:
            exit_mmap(k, child)
        return -ENOMEM
    k.sc[SC_NR_TASKS] += 1
    return child


@compiled
def do_clone_thread(k, tid, child):
    """Make the free row `child` a thread of a task's process (CLONE_VM | CLONE_THREAD): it uses the same address space."""
    k.led[L_SYSCALL] += k.cost[C_FORK_BASE]
    _dup_task_struct(k, tid, child)
    mm = k.task[tid, T_MM]
    k.task[child, T_MM] = mm
    k.task[child, T_TGID] = k.task[tid, T_TGID]
    k.mm[mm, MM_USERS] += 1
    k.sc[SC_NR_TASKS] += 1
    return child
