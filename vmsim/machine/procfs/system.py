"""/proc/meminfo, vmstat, zoneinfo and swaps as texts.   Follows fs/proc/meminfo.c, mm/vmstat.c and mm/swapfile.c of v4.4; of 6.x by rules.

Lines of what isn't modelled (vmalloc, huge pages, CMA) are there with 0; counters that came after 4.4 are left out of vmstat
unless something here counts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmsim.struct import kernel as kn
from vmsim.struct import pages as p
from vmsim.struct import reclaim as rc
from vmsim.struct.kernel import Kernel
from vmsim.struct.rules import R_PROC_LINES_6_1, R_PROC_LINES_6_18
from vmsim.struct.swaps import SW_BASE, SW_DEVICE, SW_FLAGS, SW_INUSE, SW_PAGES, SW_PRIO, SWP_FILE, SWP_USED, SWP_WRITEOK
from vmsim.struct.vmstat import NR_VMSTAT_4_4, VMSTAT_NAMES

_ZONES = ("DMA", "DMA32", "Normal", "Movable")
_ZONE_SUFFIXES = ("dma", "dma32", "normal", "movable")
_CLASSES = 4
_VMALLOC_TOTAL_KB = 34359738367  # x86-64
# Counters of the zones in 4.4 (enum zone_stat_item), those of the machine follow (vm_event_item).
_NR_ZONE_ITEMS = VMSTAT_NAMES.index("nr_free_cma") + 1
_LRU_NAMES = ("inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable")
# vmstat of 6.x in its order: what is summed over zones there, what has another name, and what is as in 4.4.
_ZONE_COUNTERS_6 = ("nr_free_pages", *(f"nr_zone_{name}" for name in _LRU_NAMES), "nr_zone_write_pending", "nr_mlock")
_NODE_COUNTERS_6 = (
    *(f"nr_{name}" for name in _LRU_NAMES), "nr_slab_reclaimable", "nr_slab_unreclaimable", "nr_isolated_anon", "nr_isolated_file",
    "workingset_nodes",
    *(f"workingset_{what}_{kind}" for what in ("refault", "activate", "restore") for kind in ("anon", "file")), "workingset_nodereclaim",
    "nr_anon_pages", "nr_mapped", "nr_file_pages",
    "nr_dirty", "nr_writeback", "nr_shmem", "nr_vmscan_write", "nr_vmscan_immediate_reclaim", "nr_dirtied", "nr_written",
    "nr_kernel_stack", "nr_page_table_pages", "nr_swapcached",
)  # fmt: skip
_EVENTS_6 = (
    "nr_dirty_threshold", "nr_dirty_background_threshold", "pgpgin", "pgpgout", "pswpin", "pswpout", "pgalloc_dma", "pgalloc_dma32",
    "pgalloc_normal", "pgalloc_movable", *(f"allocstall_{zone}" for zone in _ZONE_SUFFIXES), "pgfree", "pgactivate", "pgdeactivate",
    "pglazyfree", "pgfault", "pgmajfault", "pglazyfreed", "pgrefill", "pgreuse", "pgsteal_kswapd", "pgsteal_direct", "pgscan_kswapd",
    "pgscan_direct", "pgscan_direct_throttle", "pgscan_anon", "pgscan_file", "pgsteal_anon", "pgsteal_file", "slabs_scanned",
    "kswapd_low_wmark_hit_quickly", "kswapd_high_wmark_hit_quickly", "pageoutrun", "pgrotated", "drop_pagecache", "drop_slab", "oom_kill",
    *(name for name in VMSTAT_NAMES if name.startswith("unevictable_pgs")), "swap_ra", "swap_ra_hit",
)  # fmt: skip
_RENAMED_6 = {
    "workingset_refault_file": "workingset_refault", "workingset_activate_file": "workingset_activate", "allocstall_movable": "allocstall",
}  # fmt: skip
_OF_NODE_6 = {"nr_swapcached": rc.N_SWAP_CACHE, "workingset_nodes": rc.N_SHADOW_NODES, "oom_kill": rc.N_OOM_KILLS}


class System:
    """The texts of a machine at the present simulated time; `devices` are the names of its devices by number."""

    def __init__(self, kernel: Kernel, devices: Sequence[str]) -> None:
        self.kernel = kernel
        self.devices = devices
        self.page_shift = int(kernel.geo[kn.G_PAGE_SHIFT])
        self.newer = bool(kernel.rule[R_PROC_LINES_6_1])
        self.newest = bool(kernel.rule[R_PROC_LINES_6_18])

    def _count(self, name: str) -> int:
        """A counter by its name in a kernel of any version."""
        found = _RENAMED_6.get(name, name)
        counters = self.kernel.vmstat
        if found in VMSTAT_NAMES:
            return int(counters[VMSTAT_NAMES.index(found)])
        if found in _OF_NODE_6:
            return int(self.kernel.node[_OF_NODE_6[found]])
        if found.startswith("nr_zone_"):
            names = ("nr_dirty", "nr_writeback") if found == "nr_zone_write_pending" else ("nr_" + found.removeprefix("nr_zone_"),)
            return sum(self._count(part) for part in names)
        of_zones = {f"{found}_{zone}" for zone in _ZONE_SUFFIXES}
        return sum(int(counters[i]) for i, counter in enumerate(VMSTAT_NAMES) if counter in of_zones)

    def vmstat(self) -> str:
        """/proc/vmstat."""
        names = (*_ZONE_COUNTERS_6, *_NODE_COUNTERS_6, *_EVENTS_6) if self.newer else VMSTAT_NAMES[:NR_VMSTAT_4_4]
        return "".join(f"{name} {self._count(name)}\n" for name in names)

    def meminfo(self) -> str:
        """/proc/meminfo."""
        return "".join(self._meminfo())

    def _meminfo(self) -> Iterator[str]:
        shift = self.page_shift - 10
        lru = {name: self._count(f"nr_{name}") for name in _LRU_NAMES}
        swap_total, swap_free, swap_cached = self._swap()
        slab = self._count("nr_slab_reclaimable"), self._count("nr_slab_unreclaimable")
        lines: list[tuple[str, int]] = [
            ("MemTotal", int(self.kernel.sc[kn.SC_TOTALRAM])), ("MemFree", self._count("nr_free_pages")),
            ("MemAvailable", self._available()), ("Buffers", 0),
            ("Cached", self._count("nr_file_pages") - swap_cached), ("SwapCached", swap_cached),
            ("Active", lru["active_anon"] + lru["active_file"]), ("Inactive", lru["inactive_anon"] + lru["inactive_file"]),
            ("Active(anon)", lru["active_anon"]), ("Inactive(anon)", lru["inactive_anon"]), ("Active(file)", lru["active_file"]),
            ("Inactive(file)", lru["inactive_file"]), ("Unevictable", lru["unevictable"]), ("Mlocked", self._count("nr_mlock")),
            ("SwapTotal", swap_total), ("SwapFree", swap_free), ("Dirty", self._count("nr_dirty")),
            ("Writeback", self._count("nr_writeback")), ("AnonPages", self._count("nr_anon_pages")),
            ("Mapped", self._count("nr_mapped")), ("Shmem", self._count("nr_shmem")),
            *([("KReclaimable", slab[0])] if self.newer else []), ("Slab", sum(slab)), ("SReclaimable", slab[0]), ("SUnreclaim", slab[1]),
        ]  # fmt: skip
        for name, pages in lines:
            yield _kb_line(name, pages << shift)
        yield _kb_line("KernelStack", self._count("nr_kernel_stack"))
        yield _kb_line("PageTables", self._count("nr_page_table_pages") << shift)
        zeros = (*(("SecPageTables",) if self.newer else ()), "NFS_Unstable", "Bounce", "WritebackTmp")
        yield from (_kb_line(name, 0) for name in zeros)
        yield _kb_line("CommitLimit", (self._commit_limit() + swap_total) << shift)
        yield _kb_line("Committed_AS", max(0, int(self.kernel.sc[kn.SC_COMMITTED])) << shift)
        yield _kb_line("VmallocTotal", _VMALLOC_TOTAL_KB)
        zeros = ("VmallocUsed", "VmallocChunk", *(("Percpu",) if self.newer else ("HardwareCorrupted",)))
        yield from (_kb_line(name, 0) for name in zeros)
        leaf_bits = int(self.kernel.geo[kn.G_BITS + int(self.kernel.geo[kn.G_LEVELS]) - 1])
        yield _kb_line("AnonHugePages", self._count("nr_anon_transparent_hugepages") << (leaf_bits + shift))
        if self.newer:
            yield from (_kb_line(name, 0) for name in ("ShmemHugePages", "ShmemPmdMapped", "FileHugePages", "FilePmdMapped"))
        if self.newest:
            yield _kb_line("Balloon", 0)
        yield from (f"{name + ':':<16}   {0:5}\n" for name in ("HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp"))
        yield _kb_line("Hugepagesize", 1 << (self.page_shift + leaf_bits - 10))
        if self.newer:
            yield _kb_line("Hugetlb", 0)

    def _commit_limit(self) -> int:
        """CommitLimit without swap, pages (vm_commit_limit)."""
        kbytes = int(self.kernel.sysctl[kn.SYS_OVERCOMMIT_KBYTES])
        if kbytes:
            return kbytes >> (self.page_shift - 10)
        return int(self.kernel.sc[kn.SC_TOTALRAM]) * int(self.kernel.sysctl[kn.SYS_OVERCOMMIT_RATIO]) // 100

    def _available(self) -> int:
        """MemAvailable in pages: what is free beyond the reserves, and half of the page cache or all but the low watermarks of it."""
        low = sum(int(zone[p.Z_LOW]) for zone in self._zones())
        free = self._count("nr_free_pages") - int(self.kernel.sc[kn.SC_TOTALRESERVE])
        cache = self._count("nr_active_file") + self._count("nr_inactive_file")
        slab = self._count("nr_slab_reclaimable")
        return max(0, free + cache - min(cache // 2, low) + slab - min(slab // 2, low))

    def _swap(self) -> tuple[int, int, int]:
        """Swap space, what is free of it, and pages in the swap cache, in pages."""
        node = self.kernel.node
        leaving = sum(row[SW_INUSE] for row in self._swap_areas() if not row[SW_FLAGS] & SWP_WRITEOK)  # si_swapinfo
        return int(node[rc.N_SWAP_TOTAL]) + leaving, int(node[rc.N_SWAP_FREE]) + leaving, int(node[rc.N_SWAP_CACHE])

    def _swap_areas(self) -> list[list[int]]:
        """The rows of the areas that are switched on."""
        return [row for row in self.kernel.swap.tolist() if row[SW_FLAGS] & SWP_USED]

    def _swap_path(self, area: list[int]) -> str:
        """The name of an area: its device, of which several areas are the partitions (disk_name)."""
        areas = self.kernel.swap[: int(self.kernel.node[rc.N_SWAP_AREAS])]
        number = areas[:, SW_BASE].tolist().index(area[SW_BASE])
        if area[SW_FLAGS] & SWP_FILE:
            return f"/swapfile{number}"
        same = areas[:, SW_DEVICE] == area[SW_DEVICE]
        disk = self.devices[area[SW_DEVICE]]
        if same.sum() == 1:
            return f"/dev/{disk}"
        return f"/dev/{disk}{'p' if disk[-1].isdigit() else ''}{int(same[: number + 1].sum())}"

    def swaps(self) -> str:
        """/proc/swaps."""
        head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" if self.newer else "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n"
        gap = "\t\t" if self.newer else "\t"
        kinds = ("partition", "file\t")
        shift = self.page_shift - 10
        return head + "".join(
            f"{self._swap_path(area):<39} {kinds[area[SW_FLAGS] & SWP_FILE != 0]}\t"
            f"{area[SW_PAGES] << shift}{gap}{area[SW_INUSE] << shift}{gap}{area[SW_PRIO]}\n"
            for area in self._swap_areas()
        )

    def _zones(self) -> list[list[int]]:
        zones: list[list[int]] = self.kernel.zone[: int(self.kernel.sc[kn.SC_NR_ZONES])].tolist()
        return zones

    def zoneinfo(self) -> str:
        """/proc/zoneinfo. Model: of the zones' counters the free pages and the lists are kept for each zone."""
        zones = self._zones()
        names = _ZONES[: len(zones)] if len(zones) > 1 else ("Normal",)
        lines = (self._zone(name, zone, zone is zones[0]) for name, zone in zip(names, zones, strict=True))
        return "".join(f"{line}\n" for part in lines for line in part)

    def _zone(self, name: str, zone: list[int], first: bool) -> Iterator[str]:
        yield f"Node 0, zone {name:>8}"
        if self.newer and first:
            yield "  per-node stats"
            yield from (f"      {counter:<12} {self._count(counter)}" for counter in _NODE_COUNTERS_6)
        yield f"  pages free     {zone[p.Z_FREE]}"
        marks = [("min", zone[p.Z_MIN]), ("low", zone[p.Z_LOW]), ("high", zone[p.Z_HIGH])]
        if self.newer:
            marks = [("boost", 0), *marks, *([("promo", 2 * zone[p.Z_HIGH] - zone[p.Z_LOW])] if self.newest else [])]
        else:
            marks.append(("scanned", zone[p.Z_PAGES_SCANNED]))
        marks += [("spanned", zone[p.Z_END_PFN] - zone[p.Z_START_PFN]), ("present", zone[p.Z_PRESENT]), ("managed", zone[p.Z_MANAGED])]
        yield from (f"        {mark:<8} {value}" for mark, value in [*marks, *([("cma", 0)] if self.newer else [])])
        protection = f"        protection: ({', '.join(str(pages) for pages in zone[p.Z_RESERVE : p.Z_RESERVE + _CLASSES])})"
        counters = [("nr_free_pages", zone[p.Z_FREE])]
        prefix = "nr_zone_" if self.newer else "nr_"
        lists = zone[p.Z_ZONE_LRU : p.Z_ZONE_LRU + len(_LRU_NAMES)]
        counters += [(prefix + lru, pages) for lru, pages in zip(_LRU_NAMES, lists, strict=True)]
        if self.newer:
            yield protection
            yield from (f"      {counter:<12} {value}" for counter, value in counters)
        else:
            yield from (f"    {counter:<12} {value}" for counter, value in counters)
            yield protection
        yield from self._pagesets(zone)
        if self.newer:
            yield "  node_unreclaimable:  0"
            yield f"  start_pfn:           {zone[p.Z_START_PFN]}"
        else:
            yield "  all_unreclaimable: 0"
            yield f"  start_pfn:         {zone[p.Z_START_PFN]}"
            yield f"  inactive_ratio:    {zone[p.Z_INACTIVE_RATIO]}"

    def _pagesets(self, zone: list[int]) -> Iterator[str]:
        """The CPUs' free lists: their bounds; pages on them are counted as free here."""
        yield "  pagesets"
        width = 4 if self.newest else 1
        for cpu in range(int(self.kernel.sc[kn.SC_NR_CPUS])):
            yield f"    cpu: {cpu}"
            bounds = (("count", 0), ("high", zone[p.Z_PCP_HIGH]), ("batch", zone[p.Z_BATCH]))
            for bound, value in bounds:
                yield f"              {bound + ':':<{width + 6}}{value}" if self.newest else f"              {bound + ':':<7}{value}"
            if self.newest:
                yield from (f"              {bound} {zone[p.Z_PCP_HIGH]}" for bound in ("high_min:", "high_max:"))



def _kb_line(name: str, kb: int) -> str:
    return f"{name + ':':<16}{kb:8} kB\n"
