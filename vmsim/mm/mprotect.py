"""mprotect(2).   Follows mm/mprotect.c of v4.4 (section A.4 of the behaviour notes)."""

from vmsim.hw.tlb import flush_range
from vmsim.hw.walk import NODE_ENTRIES, huge_table, leaf_pages, leaf_slot
from vmsim.mm.accounting import account_vm, is_data_mapping, may_expand_vm
from vmsim.mm.gup import populate_vma_range
from vmsim.mm.huge_split import split_huge_page_pmd
from vmsim.mm.overcommit import charge_commit, uncharge_commit
from vmsim.mm.pte import next_table, write_pte
from vmsim.mm.vma import find_vma_charged, split_vma, vma_merge
from vmsim.struct.costs import C_PTE_CHANGE
from vmsim.struct.errno import EACCES, EINVAL, ENOMEM, EWAIT
from vmsim.struct.files import FI_KIND, FILE_REGULAR
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SC_CPU
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.pages import P_FLAGS, PG_ANON, PG_EXCLUSIVE, PTE_DIRTY, PTE_PRESENT, PTE_PROTNONE, PTE_SHIFT, PTE_WRITE, PTE_ZERO
from vmsim.struct.rules import R_MPROTECT_RESTORES_CLEAN, R_MPROTECT_RESTORES_WRITE, R_MPROTECT_UNCHARGES
from vmsim.struct.tasks import T_MM, T_STAGE, T_STAGE_ARG
from vmsim.struct.vmas import (
    V_ANON,
    V_END,
    V_FILE,
    V_FLAGS,
    V_NEXT,
    V_PGOFF,
    V_PREV,
    V_START,
    VM_ACCESS,
    VM_ACCOUNT,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_HUGETLB,
    VM_LOCKED,
    VM_NORESERVE,
    VM_SHARED,
    VM_WRITE,
)

PROT_SEM = 8
PROT_GROWSDOWN = 0x01000000
PROT_GROWSUP = 0x02000000


@compiled
def shared_memory(k, v):
    """A shared writable mapping of a memory file: no write-notify, so its entries are writable at once."""
    flags = k.vma[v, V_FLAGS]
    return flags & (VM_SHARED | VM_WRITE) == VM_SHARED | VM_WRITE and k.file[k.vma[v, V_FILE], FI_KIND] != FILE_REGULAR


@compiled
def _stays_exclusive(k, entry):
    """An anonymous page that is this process's alone: no write fault would do anything but make it writable."""
    if entry & PTE_ZERO != 0 or (entry & PTE_DIRTY == 0 and k.rule[R_MPROTECT_RESTORES_CLEAN] == 0):
        return False
    return k.frame[entry >> PTE_SHIFT, P_FLAGS] & (PG_ANON | PG_EXCLUSIVE) == PG_ANON | PG_EXCLUSIVE


@compiled
def change_protection(k, mm, v, start, end):
    """Rewrite the present entries of [start, end) for the VMA's new flags; flush once if any changed."""
    flags = k.vma[v, V_FLAGS]
    none = flags & VM_ACCESS == 0
    restores = flags & (VM_SHARED | VM_WRITE) == VM_WRITE and k.rule[R_MPROTECT_RESTORES_WRITE] != 0
    writable = shared_memory(k, v)
    notified = flags & (VM_SHARED | VM_WRITE) == VM_SHARED | VM_WRITE
    per_table = leaf_pages(k)
    changed = 0
    entries = 0
    vpn = start
    while vpn < end:
        vpn = next_table(k, mm, vpn)
        if vpn >= end:
            break
        last = min(end, (vpn | (per_table - 1)) + 1)
        node = huge_table(k, mm, vpn)
        if node != 0 and last - vpn == per_table:
            entry = k.pt[node + NODE_ENTRIES] & ~(PTE_WRITE | PTE_PROTNONE)
            write_pte(k, node + NODE_ENTRIES, entry | (PTE_PROTNONE if none else 0))
            changed += per_table
            entries += 1
            vpn = last
            continue
        if node != 0:
            split_huge_page_pmd(k, mm, vpn, L_SYSCALL)
        slot = leaf_slot(k, mm, vpn)
        while vpn < last:
            entry = k.pt[slot]
            if entry & PTE_PRESENT != 0:
                entry &= ~(PTE_WRITE | PTE_PROTNONE)
                if none:
                    entry |= PTE_PROTNONE
                elif writable or (notified and entry & PTE_DIRTY != 0) or (restores and _stays_exclusive(k, entry)):
                    entry |= PTE_WRITE
                write_pte(k, slot, entry)
                changed += 1
                entries += 1
            vpn += 1
            slot += 1
    if changed > 0:
        k.led[L_SYSCALL] += entries * k.cost[C_PTE_CHANGE]
        flush_range(k, k.sc[SC_CPU], mm, start, end)


@compiled
def mprotect_fixup(k, tid, v, prev, start, end, flags):
    """Give [start, end) of a VMA new flags, merging or splitting: the VMA that then holds it, or -ENOMEM."""
    mm = k.task[tid, T_MM]
    vma = k.vma
    old = vma[v, V_FLAGS]
    if flags == old:
        return v
    pages = end - start
    charged = 0
    if is_data_mapping(flags) and not is_data_mapping(old) and not may_expand_vm(k, tid, flags, pages):
        if may_expand_vm(k, tid, old, pages):
            return -ENOMEM
    if flags & VM_WRITE != 0 and old & (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE) == 0:
        charged = pages
        if charge_commit(k, tid, pages) != 0:
            return -ENOMEM
        flags |= VM_ACCOUNT
    elif flags & VM_WRITE == 0 and old & VM_ACCOUNT != 0 and k.rule[R_MPROTECT_UNCHARGES] != 0:
        if vma[v, V_FILE] == 0 and vma[v, V_ANON] == 0:
            flags &= ~VM_ACCOUNT
    pgoff = vma[v, V_PGOFF] + start - vma[v, V_START]
    merged = vma_merge(k, mm, prev, start, end, flags, vma[v, V_ANON], vma[v, V_FILE], pgoff)
    if merged != 0:
        v = merged
    else:
        if start != vma[v, V_START]:
            v = split_vma(k, mm, v, start)
        if v < 0 or (end != vma[v, V_END] and split_vma(k, mm, v, end) < 0):
            uncharge_commit(k, charged)
            return -ENOMEM
    if old & ~flags & VM_ACCOUNT != 0:
        uncharge_commit(k, pages)
    if (old ^ flags) & (VM_EXEC | VM_WRITE) != 0:
        account_vm(k, mm, old, vma[v, V_FILE], -pages)
        account_vm(k, mm, flags, vma[v, V_FILE], pages)
    vma[v, V_FLAGS] = flags
    change_protection(k, mm, v, start, end)
    return v


@compiled
def sys_mprotect(k, tid, start, length, prot):
    """mprotect(2): change the access rights of a range; VMAs before one that fails keep the new ones."""
    shift = k.geo[G_PAGE_SHIFT]
    mask = (1 << shift) - 1
    grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP)
    if grows == PROT_GROWSDOWN | PROT_GROWSUP or start & mask != 0:
        return -EINVAL
    if length == 0:
        return 0
    unsigned = (1 << (64 - shift)) - 1
    first = (start >> shift) & unsigned
    last = first + (((length + mask) >> shift) & unsigned)
    if last == first or last >= 1 << (64 - shift):
        return -ENOMEM
    prot &= ~grows
    if prot & ~(VM_ACCESS | PROT_SEM) != 0:
        return -EINVAL
    mm = k.task[tid, T_MM]
    v = find_vma_charged(k, mm, first)
    if v == 0:
        return -ENOMEM
    if grows & PROT_GROWSDOWN != 0:
        if k.vma[v, V_START] >= last:
            return -ENOMEM
        if k.vma[v, V_FLAGS] & VM_GROWSDOWN == 0:
            return -EINVAL
        first = k.vma[v, V_START]
    elif k.vma[v, V_START] > first:
        return -ENOMEM
    elif grows & PROT_GROWSUP != 0:
        return -EINVAL
    if k.task[tid, T_STAGE] != 0:  # started again after a wait in a VMA's populate
        first = k.task[tid, T_STAGE_ARG]
        v = find_vma_charged(k, mm, first)
    return _protect_vmas(k, tid, v, first, last, prot & VM_ACCESS)


@compiled
def _protect_vmas(k, tid, v, start, end, access):
    """Apply the rights to each VMA of [start, end) in turn; -errno of the first that fails."""
    mm = k.task[tid, T_MM]
    vma = k.vma
    prev = v if start > vma[v, V_START] else vma[v, V_PREV]
    at = start
    resumed = k.task[tid, T_STAGE] != 0
    while True:
        old = vma[v, V_FLAGS]
        flags = access | old & ~VM_ACCESS
        if flags & ~(flags >> 4) & VM_ACCESS != 0:
            return -EACCES
        last = min(end, vma[v, V_END])
        gains_write = resumed or (old & (VM_LOCKED | VM_SHARED | VM_WRITE) == VM_LOCKED and flags & VM_WRITE != 0)
        prev = mprotect_fixup(k, tid, v, prev, at, last, flags)
        if prev < 0:
            return prev
        if gains_write:  # break COW now, so that no fault comes later; other errors are ignored
            k.task[tid, T_STAGE] = 1
            populate_from = max(at, k.task[tid, T_STAGE_ARG]) if resumed else at
            if populate_vma_range(k, tid, mm, prev, populate_from, last) == -EWAIT:
                return -EWAIT
            resumed = False
        at = max(last, vma[prev, V_END])
        if at >= end:
            return 0
        v = vma[prev, V_NEXT]
        if v == 0 or vma[v, V_START] != at:
            return -ENOMEM
