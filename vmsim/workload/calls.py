"""Dispatching a program's system calls to the kernel, as the system-call table does."""

from vmsim.mm.brk import sys_brk
from vmsim.mm.exec import sys_exec
from vmsim.mm.gup import mm_populate
from vmsim.mm.madvise import sys_madvise
from vmsim.mm.mincore import sys_mincore
from vmsim.mm.mlock import sys_mlock, sys_mlock2, sys_mlockall, sys_munlock, sys_munlockall
from vmsim.mm.mmap import MAP_LOCKED, MAP_NONBLOCK, MAP_POPULATE, do_mmap, sys_munmap
from vmsim.mm.mprotect import sys_mprotect
from vmsim.mm.mremap import sys_mremap
from vmsim.mm.msync import sys_msync
from vmsim.mm.open_file import sys_fallocate, sys_ftruncate
from vmsim.mm.prctl import sys_prctl
from vmsim.mm.rlimit import sys_getrlimit, sys_getrusage, sys_prlimit, sys_setrlimit
from vmsim.mm.shmem_file import sys_close, sys_memfd_create
from vmsim.mm.swapon import sys_swapoff, sys_swapon
from vmsim.struct.costs import C_SYSCALL_ENTRY
from vmsim.struct.errno import ENOSYS, EWAIT
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.syscalls import (
    SYS_BRK,
    SYS_CLOSE,
    SYS_EXEC,
    SYS_FALLOCATE,
    SYS_FTRUNCATE,
    SYS_GETRLIMIT,
    SYS_GETRUSAGE,
    SYS_MADVISE,
    SYS_MEMFD_CREATE,
    SYS_MINCORE,
    SYS_MLOCK,
    SYS_MLOCK2,
    SYS_MLOCKALL,
    SYS_MMAP,
    SYS_MPROTECT,
    SYS_MREMAP,
    SYS_MSYNC,
    SYS_MUNLOCK,
    SYS_MUNLOCKALL,
    SYS_MUNMAP,
    SYS_PRCTL,
    SYS_PRLIMIT,
    SYS_SETRLIMIT,
    SYS_SWAPOFF,
    SYS_SWAPON,
)
from vmsim.struct.tasks import T_MM, T_NSYSCALLS, T_STAGE, T_STAGE_ARG, T_STAGE_ARG2
from vmsim.struct.vmas import MM_DEF_FLAGS, VM_LOCKED
from vmsim.workload.file_calls import file_call


@compiled
def sys_mmap(k, tid, address, length, prot, flags, fd, offset):
    """mmap(2), with the population that follows a successful call; its errors are ignored."""
    if k.task[tid, T_STAGE] == 0:
        result = do_mmap(k, tid, address, length, prot, flags, fd, offset)
        if result < 0:
            return result
        locked = flags & MAP_LOCKED != 0 or k.mm[k.task[tid, T_MM], MM_DEF_FLAGS] & VM_LOCKED != 0
        if not locked and flags & (MAP_POPULATE | MAP_NONBLOCK) != MAP_POPULATE:
            return result
        k.task[tid, T_STAGE] = 1
        k.task[tid, T_STAGE_ARG] = result >> k.geo[G_PAGE_SHIFT]
        k.task[tid, T_STAGE_ARG2] = result
    shift = k.geo[G_PAGE_SHIFT]
    start = k.task[tid, T_STAGE_ARG2]
    end = (start + length + (1 << shift) - 1) >> shift
    if mm_populate(k, tid, k.task[tid, T_MM], k.task[tid, T_STAGE_ARG], end, 1) == -EWAIT:
        return -EWAIT
    return start


@compiled
def _process_call(k, tid, nr, a0, a1, a2, a3, a4):
    """Calls on memory files, and on what a process or the machine allows."""
    if nr == SYS_FTRUNCATE:
        return sys_ftruncate(k, tid, a0, a1)
    if nr == SYS_FALLOCATE:
        return sys_fallocate(k, tid, a0, a1, a2, a3)
    if nr == SYS_MEMFD_CREATE:
        return sys_memfd_create(k, a0)
    if nr == SYS_CLOSE:
        return sys_close(k, a0)
    if nr == SYS_PRLIMIT:
        return sys_prlimit(k, tid, a0, a1, a2, a3)
    if nr == SYS_GETRLIMIT:
        return sys_getrlimit(k, tid, a0, a1)
    if nr == SYS_GETRUSAGE:
        return sys_getrusage(k, tid, a0, a1)
    if nr == SYS_PRCTL:
        return sys_prctl(k, tid, a0, a1, a2, a3, a4)
    if nr == SYS_EXEC:
        return sys_exec(k, tid)
    if nr == SYS_SWAPON:
        return sys_swapon(k, tid, a0, a1)
    if nr == SYS_SWAPOFF:
        return sys_swapoff(k, tid, a0)
    return -ENOSYS


@compiled
def _rarer_call(k, tid, nr, a0, a1, a2, a3, a4):
    if nr == SYS_MADVISE:
        return sys_madvise(k, tid, a0, a1, a2)
    if nr == SYS_MREMAP:
        return sys_mremap(k, tid, a0, a1, a2, a3, a4)
    if nr == SYS_MINCORE:
        return sys_mincore(k, tid, a0, a1)
    if nr == SYS_MSYNC:
        return sys_msync(k, tid, a0, a1, a2)
    if nr == SYS_BRK:
        return sys_brk(k, tid, a0)
    if nr >= SYS_MEMFD_CREATE or nr == SYS_FTRUNCATE:
        return _process_call(k, tid, nr, a0, a1, a2, a3, a4)
    return file_call(k, tid, nr, a0, a1, a2, a3)


@compiled
def do_syscall(k, tid, nr, a0, a1, a2, a3, a4, a5):
    """Carry out one system call: its result, -errno, or -EWAIT: sleep (T_WAIT) and call again."""
    if k.task[tid, T_STAGE] == 0:
        k.led[L_SYSCALL] += k.cost[C_SYSCALL_ENTRY]
        k.task[tid, T_NSYSCALLS] += 1
    result = -ENOSYS
    if nr == SYS_MLOCK:
        result = sys_mlock(k, tid, a0, a1)
    elif nr == SYS_MPROTECT:
        result = sys_mprotect(k, tid, a0, a1, a2)
    elif nr == SYS_MLOCK2:
        result = sys_mlock2(k, tid, a0, a1, a2)
    elif nr == SYS_MUNLOCK:
        result = sys_munlock(k, tid, a0, a1)
    elif nr == SYS_MMAP:
        result = sys_mmap(k, tid, a0, a1, a2, a3, a4, a5)
    elif nr == SYS_MUNMAP:
        result = sys_munmap(k, tid, a0, a1)
    elif nr == SYS_MLOCKALL:
        result = sys_mlockall(k, tid, a0)
    elif nr == SYS_MUNLOCKALL:
        result = sys_munlockall(k, tid)
    elif nr == SYS_SETRLIMIT:
        result = sys_setrlimit(k, tid, a0, a1, a2)
    else:
        result = _rarer_call(k, tid, nr, a0, a1, a2, a3, a4)
    if result != -EWAIT:
        k.task[tid, T_STAGE] = 0
        k.task[tid, T_STAGE_ARG] = 0
    return result
