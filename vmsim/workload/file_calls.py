"""Dispatching the system calls on files."""

from vmsim.mm.fadvise import sys_fadvise, sys_lseek, sys_readahead
from vmsim.mm.filemap_read import FILE_POSITION, sys_read
from vmsim.struct.errno import EINVAL, ENOSYS
from vmsim.struct.jit import compiled
from vmsim.struct.syscalls import SYS_FADVISE, SYS_LSEEK, SYS_PREAD, SYS_READ, SYS_READAHEAD


@compiled
def file_call(k, tid, nr, fd, a1, a2, a3):
    """Carry out a system call on the file of a descriptor."""
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
    return -ENOSYS
