"""The host's memory under the tables, kept from one run of a process to the next.

The host zeroes each page that a process touches first, and in a virtual machine may have to find it as well: that costs more than a
short run.  An area that a finished run gave back is cleared where it is resident, and used again.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

import numpy as np
from numpy.typing import NDArray

_HUGE = 32 << 20
_CHUNK = 512  # pages looked at together
_MOST_BYTES = 512 << 20  # resident in an area that is worth clearing

_kept: dict[str, mmap.mmap] = {}


def new_area(nbytes: int) -> mmap.mmap:
    """Zeroed memory that the host commits only where it is touched (an anonymous mapping without reservation)."""
    noreserve = getattr(mmap, "MAP_NORESERVE", 0x4000)
    area = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | noreserve)
    if nbytes >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        area.madvise(mmap.MADV_HUGEPAGE)  # random rows of a big table would else miss the host's TLB as well
    return area


def take_area(name: str, nbytes: int) -> mmap.mmap:
    """`new_area`, or one of that name that was given back and is large enough, cleared."""
    area = _kept.pop(name, None)
    if area is not None and nbytes <= len(area) and _clear(area):
        return area
    return new_area(nbytes)


def give_back(name: str, area: mmap.mmap) -> None:
    """Keep an area for the next `take_area` of that name; nobody may use what lies in it any more."""
    if sys.platform == "linux":
        _kept[name] = area


def _clear(area: mmap.mmap) -> bool:
    """Zero all that is resident of an area; False if that isn't possible, or not worth while."""
    memory = np.frombuffer(area, np.uint8)
    pages = _resident_pages(memory)
    if pages is None or len(pages) * mmap.PAGESIZE > _MOST_BYTES or _has_swapped():
        return False
    runs = np.split(pages, np.flatnonzero(np.diff(pages) != 1) + 1) if len(pages) else []
    for run in runs:
        memory[int(run[0]) * mmap.PAGESIZE : (int(run[-1]) + 1) * mmap.PAGESIZE] = 0
    return True


def _resident_pages(memory: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """Numbers of the pages of an area that are in memory (mincore(2)); None where the host can't tell."""
    count = -(-len(memory) // mmap.PAGESIZE)
    chunks = -(-count // _CHUNK)
    resident = np.zeros(chunks * _CHUNK, np.uint8)
    address = ctypes.c_void_p(memory.ctypes.data)
    if ctypes.CDLL(None).mincore(address, ctypes.c_size_t(len(memory)), ctypes.c_void_p(resident.ctypes.data)) != 0:
        return None
    used = np.flatnonzero(resident.view(np.uint64).reshape(chunks, -1).any(axis=1))
    pages = (used[:, None] * _CHUNK + np.arange(_CHUNK)).reshape(-1)
    return pages[resident[pages] & 1 != 0]


def _has_swapped() -> bool:
    """Whether some memory of this process is on swap, where mincore doesn't see it."""
    with open("/proc/self/status", encoding="ascii") as status:
        return any(line.startswith("VmSwap:") and int(line.split()[1]) != 0 for line in status)
