"""Growing the stack.   Follows mm/mmap.c (expand_downwards, acct_stack_growth) of v4.4 (section B.2)."""

from vmsim.mm.accounting import account_vm, lock_allowed, may_expand_vm
from vmsim.mm.anon_vma import anon_vma_prepare
from vmsim.mm.overcommit import charge_commit
from vmsim.mm.vma import move_start
from vmsim.struct.errno import ENOMEM
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SYS_STACK_GUARD_PAGES
from vmsim.struct.rules import R_STACK_GUARD_INSIDE
from vmsim.struct.tasks import RLIM_INFINITY, RLIMIT_STACK, T_MM, T_TGID
from vmsim.struct.vmas import (
    MM_LOCKED_VM,
    V_END,
    V_FLAGS,
    V_PREV,
    V_START,
    VM_ACCESS,
    VM_GROWSDOWN,
    VM_LOCKED,
)


@compiled
def _gap_allows(k, v, start):
    """Whether the VMA below leaves room for the stack to start at `start`."""
    prev = k.vma[v, V_PREV]
    if prev == 0 or k.vma[prev, V_FLAGS] & VM_GROWSDOWN != 0:
        return True
    if k.rule[R_STACK_GUARD_INSIDE] != 0:
        return k.vma[prev, V_END] != start
    return k.vma[prev, V_FLAGS] & VM_ACCESS == 0 or start - k.vma[prev, V_END] >= k.sysctl[SYS_STACK_GUARD_PAGES]


@compiled
def expand_stack(k, tid, v, vpn):
    """Grow a VM_GROWSDOWN VMA down to the page `vpn`: 0 or -ENOMEM."""
    if not _gap_allows(k, v, vpn):
        return -ENOMEM
    return grow_down(k, tid, v, vpn)


@compiled
def grow_down(k, tid, v, vpn):
    """Extend a VMA down to the page `vpn` as far as the limits allow: 0 or -ENOMEM (expand_downwards)."""
    mm = k.task[tid, T_MM]
    vma = k.vma
    anon_vma_prepare(k, v)
    grow = vma[v, V_START] - vpn
    if grow <= 0:
        return 0
    if not may_expand_vm(k, tid, vma[v, V_FLAGS], grow):
        return -ENOMEM
    guard = 1 if k.rule[R_STACK_GUARD_INSIDE] != 0 else 0
    limit = k.rlim[k.task[tid, T_TGID], 2 * RLIMIT_STACK]
    if limit != RLIM_INFINITY and (vma[v, V_END] - vpn - guard) << k.geo[G_PAGE_SHIFT] > limit:
        return -ENOMEM
    if lock_allowed(k, tid, vma[v, V_FLAGS], grow) != 0 or charge_commit(k, tid, grow) != 0:
        return -ENOMEM
    if vma[v, V_FLAGS] & VM_LOCKED != 0:
        k.mm[mm, MM_LOCKED_VM] += grow
    account_vm(k, mm, vma[v, V_FLAGS], 0, grow)
    move_start(k, mm, v, vpn)
    return 0


@compiled
def is_stack_guard_page(k, v, vpn):
    """Whether a page is the guard page inside a growing-down VMA: its first, unless another part of the stack lies right below."""
    if k.vma[v, V_START] != vpn or k.vma[v, V_FLAGS] & VM_GROWSDOWN == 0 or k.rule[R_STACK_GUARD_INSIDE] == 0:
        return False
    prev = k.vma[v, V_PREV]
    return prev == 0 or k.vma[prev, V_END] != vpn or k.vma[prev, V_FLAGS] & VM_GROWSDOWN == 0


@compiled
def check_stack_guard_page(k, tid, v, vpn):
    """A touch of the guard page makes the VMA grow by one page more: 0, or -ENOMEM if it can't."""
    if not is_stack_guard_page(k, v, vpn):
        return 0
    prev = k.vma[v, V_PREV]
    if prev != 0 and k.vma[prev, V_END] == vpn:
        return -ENOMEM
    return grow_down(k, tid, v, vpn - 1)
