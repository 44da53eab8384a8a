"""The Mem-Info part of an OOM report.   Follows mm/page_alloc.c (show_free_areas) and lib/show_mem.c of v4.4; of 6.x by rules.

What is counted for each zone is counted frame by frame. Lines of what isn't modelled (bounce buffers, CMA) are there with 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmsim.machine.generations import list_of
from vmsim.struct import kernel as kn
from vmsim.struct import pages as p
from vmsim.struct import reclaim as rc
from vmsim.struct.kernel import Kernel
from vmsim.struct.rules import R_OOM_REPORT_6_1
from vmsim.struct.slab import SL_FIRST, SL_PAGES
from vmsim.struct.vmstat import VMSTAT_NAMES

_ORDERS = 11  # MAX_ORDER
_CHUNK = 1 << 20  # frames read at a time
_LISTS = ("inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable")


@dataclass(frozen=True)
class ZonePages:
    """Pages of a zone by what they are."""

    lists: tuple[int, ...]  # in the order of enum lru_list
    mlocked: int
    dirty: int
    writeback: int
    mapped: int
    shmem: int
    pagetables: int
    slab: int


class MemInfo:
    """The lines of one report. `zones` are the names of the zones, `cpu` is the one that prints it."""

    def __init__(self, kernel: Kernel, zones: Sequence[str], cpu: int) -> None:
        self.kernel = kernel
        self.zones = tuple(zones)
        self.cpu = cpu
        self.newer = bool(kernel.rule[R_OOM_REPORT_6_1])
        self._shift = int(kernel.geo[kn.G_PAGE_SHIFT])
        self._pages = [zone_pages(kernel, number) for number in range(len(self.zones))]
        self._yes = "no" if any(map(self._reclaimable, range(len(self.zones)))) else "yes"

    def lines(self) -> Iterator[str]:
        """Everything from `Mem-Info:` to the pages reserved."""
        yield "Mem-Info:"
        yield from self._totals()
        if self.newer:
            yield self._node()
        for number, name in enumerate(self.zones):
            yield self._zone_6_1(number, name) if self.newer else self._zone(number, name)
            yield f"lowmem_reserve[]: {' '.join(map(str, self._reserve(number)))}"
        for number, name in enumerate(self.zones):
            yield ("Node 0 " if self.newer else "") + self._free_blocks(number, name)
        leaf_bits = int(self.kernel.geo[kn.G_BITS + int(self.kernel.geo[kn.G_LEVELS]) - 1])
        huge = 1 << (self._shift + leaf_bits - 10)
        yield f"Node 0 hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size={huge}kB"
        yield f"{self._count('nr_file_pages')} total pagecache pages"
        yield from self._swap()
        rows = self.kernel.zone[: len(self.zones)]
        present, managed = int(rows[:, p.Z_PRESENT].sum()), int(rows[:, p.Z_MANAGED].sum())
        high = sum(int(row[p.Z_MANAGED]) for row, name in zip(rows, self.zones, strict=True) if name == "HighMem")
        yield f"{present} pages RAM"
        yield f"{high} pages HighMem/MovableOnly"
        yield f"{present - managed} pages reserved"
        if self.newer:
            yield "0 pages hwpoisoned"

    def _count(self, name: str) -> int:
        return int(self.kernel.vmstat[VMSTAT_NAMES.index(name)])

    def _kb(self, pages: int) -> int:
        return pages << self._shift >> 10

    def _sum(self, column: int) -> int:
        return int(self.kernel.zone[: len(self.zones), column].sum())

    def _isolated(self, kind: int, zone: int | None = None) -> int:
        column = p.Z_ISOLATED + kind
        return self._sum(column) if zone is None else int(self.kernel.zone[zone, column])

    def _totals(self) -> Iterator[str]:
        lists = dict(zip(_LISTS, (sum(zone.lists[i] for zone in self._pages) for i in range(len(_LISTS))), strict=True))
        unstable = "" if self.newer else " unstable:0"
        bounce = "" if self.newer else " bounce:0"
        yield f"active_anon:{lists['active_anon']} inactive_anon:{lists['inactive_anon']} isolated_anon:{self._isolated(0)}"
        yield f" active_file:{lists['active_file']} inactive_file:{lists['inactive_file']} isolated_file:{self._isolated(1)}"
        yield f" unevictable:{lists['unevictable']} dirty:{self._count('nr_dirty')} writeback:{self._count('nr_writeback')}{unstable}"
        yield f" slab_reclaimable:{self._count('nr_slab_reclaimable')} slab_unreclaimable:{self._count('nr_slab_unreclaimable')}"
        yield f" mapped:{self._count('nr_mapped')} shmem:{self._count('nr_shmem')} pagetables:{self._count('nr_page_table_pages')}{bounce}"
        if self.newer:
            yield " sec_pagetables:0 bounce:0"
            yield " kernel_misc_reclaimable:0"
        yield f" free:{self._sum(p.Z_FREE)} free_pcp:{int(self.kernel.pcp.sum())} free_cma:0"

    def _reserve(self, zone: int) -> list[int]:
        """lowmem_reserve against requests of each class; 6.x has ZONE_DEVICE as well."""
        classes = self.kernel.zone[zone, p.Z_RESERVE : p.Z_RESERVE + p.NR_ZONES].tolist()
        return [*classes, classes[-1]] if self.newer else list(classes)

    def _zone(self, number: int, name: str) -> str:
        """A zone's line in 4.4."""
        row, found = self.kernel.zone[number], self._pages[number]
        inactive_anon, active_anon, inactive_file, active_file, unevictable = found.lists
        sizes = {
            "free": int(row[p.Z_FREE]), "min": int(row[p.Z_MIN]), "low": int(row[p.Z_LOW]), "high": int(row[p.Z_HIGH]),
            "active_anon": active_anon, "inactive_anon": inactive_anon, "active_file": active_file, "inactive_file": inactive_file,
            "unevictable": unevictable, "isolated(anon)": self._isolated(0, number), "isolated(file)": self._isolated(1, number),
            "present": int(row[p.Z_PRESENT]), "managed": int(row[p.Z_MANAGED]), "mlocked": found.mlocked, "dirty": found.dirty,
            "writeback": found.writeback, "mapped": found.mapped, "shmem": found.shmem, "slab_reclaimable": found.slab,
            "slab_unreclaimable": 0, "kernel_stack": 0, "pagetables": found.pagetables, "unstable": 0, "bounce": 0,
            "free_pcp": int(self.kernel.pcp[:, number].sum()), "local_pcp": int(self.kernel.pcp[self.cpu, number]), "free_cma": 0,
            "writeback_tmp": 0,
        }  # fmt: skip
        shown = " ".join(f"{key}:{self._kb(pages)}kB" for key, pages in sizes.items())
        unreclaimable = "no" if self._reclaimable(number) else "yes"
        return f"{name} {shown} pages_scanned:{int(row[p.Z_PAGES_SCANNED])} all_unreclaimable? {unreclaimable}"

    def _zone_6_1(self, number: int, name: str) -> str:
        row, found = self.kernel.zone[number], self._pages[number]
        inactive_anon, active_anon, inactive_file, active_file, unevictable = found.lists
        marks = {"free": int(row[p.Z_FREE]), "boost": 0, "min": int(row[p.Z_MIN]), "low": int(row[p.Z_LOW]), "high": int(row[p.Z_HIGH])}
        sizes = {
            "active_anon": active_anon, "inactive_anon": inactive_anon, "active_file": active_file, "inactive_file": inactive_file,
            "unevictable": unevictable, "writepending": found.dirty + found.writeback, "present": int(row[p.Z_PRESENT]),
            "managed": int(row[p.Z_MANAGED]), "mlocked": found.mlocked, "bounce": 0, "free_pcp": int(self.kernel.pcp[:, number].sum()),
            "local_pcp": int(self.kernel.pcp[self.cpu, number]), "free_cma": 0,
        }  # fmt: skip
        first, second = (" ".join(f"{key}:{self._kb(pages)}kB" for key, pages in part.items()) for part in (marks, sizes))
        return f"Node 0 {name} {first} reserved_highatomic:0KB {second}"

    def _node(self) -> str:
        """The node's line in 6.1."""
        lists = [sum(zone.lists[i] for zone in self._pages) for i in range(len(_LISTS))]
        inactive_anon, active_anon, inactive_file, active_file, unevictable = lists
        sizes = {
            "active_anon": active_anon, "inactive_anon": inactive_anon, "active_file": active_file, "inactive_file": inactive_file,
            "unevictable": unevictable, "isolated(anon)": self._isolated(0), "isolated(file)": self._isolated(1),
            "mapped": self._count("nr_mapped"), "dirty": self._count("nr_dirty"), "writeback": self._count("nr_writeback"),
            "shmem": self._count("nr_shmem"),
        }  # fmt: skip
        shown = " ".join(f"{key}:{self._kb(pages)}kB" for key, pages in sizes.items())
        tables = self._kb(self._count("nr_page_table_pages"))
        return (
            f"Node 0 {shown} shmem_thp: 0kB shmem_pmdmapped: 0kB anon_thp: 0kB writeback_tmp:0kB "
            f"kernel_stack:{self._count('nr_kernel_stack')}kB pagetables:{tables}kB sec_pagetables:0kB all_unreclaimable? {self._yes}"
        )

    def _reclaimable(self, number: int) -> bool:
        """zone_reclaimable: not scanned six times over since a page was last freed."""
        inactive_anon, active_anon, inactive_file, active_file, _ = self._pages[number].lists
        pages = inactive_file + active_file
        if self.kernel.node[rc.N_SWAP_FREE] > 0:
            pages += inactive_anon + active_anon
        return int(self.kernel.zone[number, p.Z_PAGES_SCANNED]) < 6 * pages

    def _free_blocks(self, number: int, name: str) -> str:
        """Free pages by size of their blocks. Model: there is no buddy system; they are shown as few and large as can be, all movable."""
        left = free = int(self.kernel.zone[number, p.Z_FREE])
        blocks = [0] * _ORDERS
        for order in range(_ORDERS - 1, -1, -1):
            blocks[order], left = divmod(left, 1 << order)
        shown = " ".join(f"{n}*{self._kb(1 << order)}kB" + (" (M)" if n else "") for order, n in enumerate(blocks))
        return f"{name}: {shown} = {self._kb(free)}kB"

    def _swap(self) -> Iterator[str]:
        node = self.kernel.node
        yield f"{int(node[rc.N_SWAP_CACHE])} pages in swap cache"
        if not self.newer:
            added, deleted = int(node[rc.N_SWAP_ADDS]), int(node[rc.N_SWAP_DELETES])
            yield f"Swap cache stats: add {added}, delete {deleted}, find {int(node[rc.N_SWAP_FOUND])}/{int(node[rc.N_SWAP_LOOKUPS])}"
        yield f"Free swap  = {self._kb(int(node[rc.N_SWAP_FREE]))}kB"
        yield f"Total swap = {self._kb(int(node[rc.N_SWAP_TOTAL]))}kB"


def _handed_out(kernel: Kernel, zone: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The rows of the frames of a zone that were ever handed out, some at a time."""
    begin = int(zone[p.Z_FIRST_PFN])
    for low, high in ((begin, int(zone[p.Z_NEXT_NEW])), (int(zone[p.Z_NEW_END]), begin + int(zone[p.Z_MANAGED]))):
        for first in range(low, high, _CHUNK):
            yield kernel.frame[first : min(first + _CHUNK, high)]


def slab_frames(kernel: Kernel) -> NDArray[np.int64]:
    """The frames of all slab caches."""
    frames: list[int] = []
    for at, count in kernel.slab[:, [SL_FIRST, SL_PAGES]].tolist():
        for _ in range(count):
            frames.append(at)
            at = int(kernel.frame[at, p.P_INDEX])
    return np.array(frames, np.int64)


def zone_pages(kernel: Kernel, number: int) -> ZonePages:
    """Count a zone's pages by their flags."""
    zone = kernel.zone[number]
    lists = np.zeros(p.NR_LRU_LISTS, np.int64)
    counts = np.zeros(6, np.int64)
    for frames in _handed_out(kernel, zone):
        flags, mapping, mapcount = frames[:, p.P_FLAGS], frames[:, p.P_MAPPING], frames[:, p.P_MAPCOUNT]
        anon, of_file = flags & p.PG_ANON != 0, mapping < 0
        pages = np.where(flags & p.PG_HEAD != 0, 1 << int(kernel.sc[kn.SC_HUGE_BITS]), 1)
        listed = flags & p.PG_LRU != 0
        np.add.at(lists, list_of(kernel, flags[listed]), pages[listed])
        counts += [
            pages[found != 0].sum()
            for found in (
                flags & p.PG_MLOCKED,
                of_file & (flags & (p.PG_DIRTY | p.PG_SWAPBACKED) == p.PG_DIRTY),
                flags & p.PG_WRITEBACK,
                (mapcount > 0) & ~anon & of_file,
                of_file & (flags & p.PG_SWAPBACKED != 0),
                flags & p.PG_TABLE,
            )
        ]
    frames = slab_frames(kernel)
    slab = int(np.sum((frames >= zone[p.Z_START_PFN]) & (frames < zone[p.Z_FIRST_PFN] + zone[p.Z_MANAGED])))
    return ZonePages(tuple(lists.tolist()), *(*counts.tolist(), slab))
