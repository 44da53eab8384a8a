"""Dispatching the system calls on files."""

from vmsim.mm.fadvise import sys_fadvise, sys_lseek, sys_readahead
from vmsim.mm.filemap_read import FILE_POSITION, sys_read
from vmsim.mm.filemap_write import sys_write
from vmsim.mm.sync import sys_fsync, sys_sync, sys_sync_file_range
from vmsim.mm.sysctl import sys_sysctl
from vmsim.struct.errno import EINVAL, ENOSYS, EWAIT
from vmsim.struct.jit import compiled
from vmsim.struct.syscalls import (
    SYS_FADVISE,
    SYS_FDATASYNC,
    SYS_FSYNC,
    SYS_LSEEK,
    SYS_PREAD,
    SYS_PWRITE,
    SYS_READ,
    SYS_READAHEAD,
    SYS_SYNC,
    SYS_SYNC_FILE_RANGE,
    SYS_SYSCTL,
    SYS_WRITE,
)
from vmsim.struct.tasks import T_STAGE


@compiled
def file_call(k, tid, nr, fd, a1, a2, a3):
    """Carry out a system call on the file of a descriptor."""
    result = _call(k, tid, nr, fd, a1, a2, a3)
    if result == -EWAIT and k.task[tid, T_STAGE] == 0:
        k.task[tid, T_STAGE] = 1
    return result


@compiled
def _call(k, tid, nr, fd, a1, a2, a3):
    if nr == SYS_PREAD:
        return sys_read(k, tid, fd, a1, a2) if a2 >= 0 else -EINVAL
    if nr == SYS_READ:
        return sys_read(k, tid, fd, a1, FILE_POSITION)
    if nr == SYS_FADVISE:
        return sys_fadvise(k, tid, fd, a1, a2, a3)
    if nr == SYS_READAHEAD:
        return sys_readahead(k, tid, fd, a1, a2)
    if nr == SYS_LSEEK:
        return sys_lseek(k, fd, a1, a2)
    if nr == SYS_PWRITE:
        return sys_write(k, tid, fd, a1, a2) if a2 >= 0 else -EINVAL
    if nr == SYS_WRITE:
        return sys_write(k, tid, fd, a1, FILE_POSITION)
    return _sync_call(k, tid, nr, fd, a1, a2, a3)


@compiled
def _sync_call(k, tid, nr, fd, a1, a2, a3):
    if nr == SYS_FSYNC or nr == SYS_FDATASYNC:
        return sys_fsync(k, tid, fd)
    if nr == SYS_SYNC_FILE_RANGE:
        return sys_sync_file_range(k, tid, fd, a1, a2, a3)
    if nr == SYS_SYSCTL:
        return sys_sysctl(k, fd, a1, a2, a3)
    if nr == SYS_SYNC:
        return sys_sync(k, tid)
    return -ENOSYS
