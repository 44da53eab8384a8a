"""Checking what is dirty and what is being written: flags, tags, lists and counters say the same, and nothing dirty was dropped."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmsim.struct import files as f
from vmsim.struct import kernel as kn
from vmsim.struct import pages as p
from vmsim.struct import vmstat as vs
from vmsim.struct import writeback as w
from vmsim.struct.kernel import Kernel

Ints = NDArray[np.int64]


def tagged_slots(kernel: Kernel, tag: int) -> set[int]:
    """The slots of `pcache` that have a tag."""
    words = (int(kernel.sc[kn.SC_PCACHE_NEXT]) >> 5) + 1
    column = kernel.tag[:words, tag]
    found: set[int] = set()
    for word in np.flatnonzero(column).tolist():
        bits = int(column[word])
        found |= {word << 5 | bit for bit in range(32) if bits >> bit & 1}
    return found


def check_writeback(kernel: Kernel, used: Ints, mapped: Ints, entries: Ints) -> Iterator[str]:
    """Problems with dirty pages; `used`: frames in use, `mapped` and `entries`: frames and page-table entries that map them."""
    flags = kernel.frame[:, p.P_FLAGS]
    totals = dict.fromkeys((f.FI_NRDIRTY, f.FI_NRWRITEBACK), 0)
    devices = np.zeros((w.MAX_BDIS, 3), np.int64)
    expected: dict[int, set[int]] = {w.TAG_DIRTY: set(), w.TAG_WRITEBACK: set()}
    for number in range(1, int(kernel.sc[kn.SC_FILE_NEXT]) + 1):
        row = kernel.file[number]
        if row[f.FI_KIND] != f.FILE_REGULAR or row[f.FI_DEVICE] < 0:
            continue
        first = int(row[f.FI_CACHE])
        slots = kernel.pcache[first : first + int(row[f.FI_CAPACITY])]
        present = np.flatnonzero(slots > 0)
        held = flags[slots[present]]
        for i, (tag, flag, column) in enumerate(
            ((w.TAG_DIRTY, p.PG_DIRTY, f.FI_NRDIRTY), (w.TAG_WRITEBACK, p.PG_WRITEBACK, f.FI_NRWRITEBACK))
        ):
            here = present[held & flag != 0]
            expected[tag] |= {first + int(slot) for slot in here}
            totals[column] += len(here)
            devices[row[f.FI_DEVICE], i] += len(here)
            if row[column] != len(here):
                yield f"file {number} counts {row[column]} pages with flag {flag}, but has {len(here)}"
        devices[row[f.FI_DEVICE], 2] += row[f.FI_WB_LIST] != w.WB_NONE
        if row[f.FI_NRDIRTY] and row[f.FI_WB_LIST] == w.WB_NONE:
            yield f"file {number} has dirty pages, but no flusher knows"
    yield from _check_tags(kernel, expected)
    for column, name in ((w.BD_NRDIRTY, "dirty"), (w.BD_NRWRITEBACK, "written"), (w.BD_NR_FILES, "listed")):
        index = (w.BD_NRDIRTY, w.BD_NRWRITEBACK, w.BD_NR_FILES).index(column)
        for device in np.flatnonzero(kernel.bdi[:, column] != devices[:, index]).tolist():
            yield f"device {device}: {name} is {kernel.bdi[device, column]}, but there are {devices[device, index]}"
    if kernel.vmstat[vs.NR_FILE_DIRTY] != totals[f.FI_NRDIRTY]:
        yield f"nr_dirty is {kernel.vmstat[vs.NR_FILE_DIRTY]}, but there are {totals[f.FI_NRDIRTY]}"
    written = int(np.sum(flags[used] & p.PG_WRITEBACK != 0))
    if kernel.vmstat[vs.NR_WRITEBACK] != written:
        yield f"nr_writeback is {kernel.vmstat[vs.NR_WRITEBACK]}, but there are {written}"
    lost = mapped[(entries & p.PTE_DIRTY != 0) & (flags[mapped] & p.PG_DIRTY == 0) & (kernel.frame[mapped, p.P_MAPPING] < 0)]
    yield from (f"frame {pfn} was written to, but is not dirty" for pfn in np.unique(lost).tolist())


def _check_tags(kernel: Kernel, expected: dict[int, set[int]]) -> Iterator[str]:
    for tag, slots in expected.items():
        found = tagged_slots(kernel, tag)
        yield from (f"slot {slot} has tag {tag}, but no such page: its data is lost" for slot in sorted(found - slots))
        yield from (f"slot {slot} lacks tag {tag}: its page would never be written" for slot in sorted(slots - found))
