"""Checking slab caches: their pages, the nodes of page-cache trees, and the lists of unused objects."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmsim.machine.differs import differs
from vmsim.struct import files as f
from vmsim.struct import kernel as kn
from vmsim.struct import pages as p
from vmsim.struct import reclaim as rc
from vmsim.struct import slab as sl
from vmsim.struct import vmstat as vs
from vmsim.struct.kernel import Kernel

Ints = NDArray[np.int64]
_CACHES = ("nodes of page-cache trees", "dentries", "inodes")


def check_slab(kernel: Kernel, used: Ints) -> Iterator[str]:
    """Each slab page is in use and on one chain; nodes, and the lists of what could be freed, are what the page cache says."""
    yield from _check_pages(kernel, used)
    yield from _check_nodes(kernel)
    yield from _check_super(kernel)


def _check_pages(kernel: Kernel, used: Ints) -> Iterator[str]:
    """All reserved frames are those of slabs, the huge zero page, and what the kernel took at boot."""
    frames: list[int] = []
    for name, row in zip(_CACHES, kernel.slab.tolist(), strict=True):
        at, found = row[sl.SL_FIRST], 0
        while at and found <= row[sl.SL_PAGES]:
            frames.append(at)
            found += 1
            at = int(kernel.frame[at, p.P_INDEX])
        yield from differs(f"pages of {name}", row[sl.SL_PAGES], found)
    reserved = used[kernel.frame[used, p.P_FLAGS] & p.PG_RESERVED != 0]
    yield from differs("slab pages", len(frames), len(set(frames)))
    yield from (f"slab page {pfn} is not reserved" for pfn in np.setdiff1d(frames, reserved).tolist())
    boot = int(kernel.sc[kn.SC_KERNEL_PAGES]) + (kernel.sc[kn.SC_HUGE_ZERO] != 0)
    yield from differs("reserved frames", len(frames) + boot, len(reserved))
    yield from differs("nr_slab_reclaimable", int(kernel.vmstat[vs.NR_SLAB_RECLAIMABLE]), len(frames))


def _check_nodes(kernel: Kernel) -> Iterator[str]:
    """Nodes hold what their slots hold; those of regular files that hold shadows only are on the list, and no others."""
    total = 0
    shadows: set[int] = set()
    for number in range(1, int(kernel.sc[kn.SC_FILE_NEXT]) + 1):
        row = kernel.file[number]
        first, capacity = int(row[f.FI_CACHE]), int(row[f.FI_CAPACITY])
        nodes = -(-capacity // f.NODE_SLOTS)
        slots = kernel.pcache[first : first + nodes * f.NODE_SLOTS].reshape(nodes, f.NODE_SLOTS)
        node = (first >> f.NODE_SHIFT) + 1
        count, pages = np.count_nonzero(slots, axis=1), np.count_nonzero(slots > 0, axis=1)
        found = kernel.xnode[node : node + nodes]
        yield from differs(f"file {number}: slots in use of its nodes", found[:, sl.XN_COUNT].tolist(), count.tolist())
        yield from differs(f"file {number}: pages of its nodes", found[:, sl.XN_PAGES].tolist(), pages.tolist())
        total += int(np.count_nonzero(count))
        if row[f.FI_KIND] == f.FILE_REGULAR:
            shadows |= set((node + np.flatnonzero((count > 0) & (pages == 0))).tolist())
    yield from differs("nodes of page-cache trees", int(kernel.slab[sl.SLAB_NODES, sl.SL_OBJECTS]), total)
    listed: list[int] = []
    at = int(kernel.xnode[0, sl.XN_NEXT])
    while at and len(listed) <= len(shadows):
        listed.append(at)
        at = int(kernel.xnode[at, sl.XN_NEXT])
    yield from differs("nodes on the list of those with shadows only", sorted(listed), sorted(shadows))
    yield from differs("workingset_nodes", int(kernel.node[rc.N_SHADOW_NODES]), len(listed))


def _check_super(kernel: Kernel) -> Iterator[str]:
    """A dentry is of an open file or on its list; an inode is of an open file, held by such a dentry, or on its list."""
    sb = kernel.sb.tolist()
    room = sb[sl.SB_DENTRY_ROOM]
    ring = kernel.sb_lru[(sb[sl.SB_DENTRY_HEAD] + np.arange(sb[sl.SB_DENTRIES])) % max(room, 1)]
    held = int(np.count_nonzero(ring & sl.LRU_HAS_INODE))
    dentries, inodes = kernel.slab[[sl.SLAB_DENTRIES, sl.SLAB_INODES], sl.SL_OBJECTS].tolist()
    yield from differs("dentries", dentries, sb[sl.SB_IN_USE] + sb[sl.SB_DENTRIES])
    yield from differs("inodes", inodes, sb[sl.SB_IN_USE] + held + sb[sl.SB_INODES])
