"""Names, devices and inodes of mappings, as /proc/PID/maps shows them (fs/proc/task_mmu.c: show_map_vma)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmsim.struct import files as f
from vmsim.struct import vmas as v

_IMAGE_PATHS = {
    "program": "/usr/bin/program", "libc.so": "/lib/x86_64-linux-gnu/libc.so.6", "ld.so": "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
}  # fmt: skip
_SCSI_MAJOR = 8
_BLKEXT_MAJOR = 259
_SHMEM_MINOR = 1  # Model: of the kernel's own tmpfs, which shared anonymous memory and memfd files lie in


class MappedFile(NamedTuple):
    """What maps shows of a file: its device's number, its inode, its path."""

    device: str
    inode: int
    path: str


def file_names(files: Mapping[str, int]) -> dict[int, str]:
    """Paths by file id: an experiment's files lie in /data, those of a program's image where a distribution has them."""
    return {
        number: _IMAGE_PATHS.get(name[1:], name[1:].removeprefix("code of ")) if name.startswith(" ") else f"/data/{name}"
        for name, number in files.items()
    }


def mapped_file(row: NDArray[np.int64], number: int, paths: Mapping[int, str]) -> MappedFile:
    """A file as maps shows it."""
    kind = int(row[f.FI_KIND])
    if kind == f.FILE_SHARED_ANON:
        return MappedFile(f"00:{_SHMEM_MINOR:02x}", int(row[f.FI_INO]), "/dev/zero (deleted)")
    if kind == f.FILE_MEMFD:
        return MappedFile(f"00:{_SHMEM_MINOR:02x}", int(row[f.FI_INO]), "/memfd:memory (deleted)")
    path = paths.get(number, f"/data/{number}")
    device = int(row[f.FI_DEVICE])
    if kind == f.FILE_TMPFS or device < 0:
        return MappedFile("00:2a", number + 1, path)
    major, minor = (_SCSI_MAJOR, 16 * device + 1) if device < 16 else (_BLKEXT_MAJOR, device)
    return MappedFile(f"{major:02x}:{minor:02x}", number + 11, path)


def area_name(mm: NDArray[np.int64], start: int, end: int, flags: int) -> str:
    """The name in brackets of a mapping without a file, or nothing; `start` and `end` in bytes."""
    if flags & v.VM_DONTEXPAND:
        return "[vvar]" if flags & v.VM_PFNMAP else "[vdso]"
    if start <= mm[v.MM_BRK] and end >= mm[v.MM_START_BRK] > 0:
        return "[heap]"
    return "[stack]" if start <= mm[v.MM_START_STACK] <= end and mm[v.MM_START_STACK] > 0 else ""
