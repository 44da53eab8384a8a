"""Booting a machine's memory: its zones with their watermarks, and the settings that a person wrote over the kernel's own."""

from __future__ import annotations

from dataclasses import replace

from vmsim.errors import VmsimError, unknown_name
from vmsim.machine.memory_map import ZoneMap, memory_map
from vmsim.mm.boot import add_zone, finish_boot, take_for_kernel
from vmsim.mm.page_alloc_init import (
    Node,
    WatermarkRules,
    has_memory_for_thp,
    init_zones,
    set_recommended_min_free_kbytes,
    setup_pagesets,
    setup_per_zone_lowmem_reserve,
    setup_per_zone_wmarks,
    totalreserve_pages,
)
from vmsim.spec.experiment import Scenario
from vmsim.struct import kernel as kn
from vmsim.struct import pages as pg
from vmsim.struct import rules as r
from vmsim.struct.kernel import Kernel

_THP_MODES = {"never": kn.THP_NEVER, "madvise": kn.THP_MADVISE, "always": kn.THP_ALWAYS}
BOOT_SYSCTLS = (
    "vm.min_free_kbytes", "vm.watermark_scale_factor", "vm.lowmem_reserve_ratio", "vm.percpu_pagelist_fraction",
)  # fmt: skip


def machine_zones(scenario: Scenario) -> list[ZoneMap]:
    """The zones of a scenario's machine, with what its file says of them. Raises VmsimError for a zone that it doesn't have."""
    machine, line = scenario.machine, scenario.kernel.line
    zones = {zone.name: zone for zone in memory_map(machine.arch, machine.ram, machine.page_size, machine.cpus, line)}
    for name, spec in machine.zones.items():
        if name not in zones:
            raise VmsimError(unknown_name("zone of this machine", name, list(zones)))
        zone = zones[name]
        managed = zone.managed if spec.managed is None else spec.managed
        if managed > zone.present:
            raise VmsimError(f"zone {name}: {managed} managed pages, but only {zone.present} are present")
        if spec.used > managed:
            raise VmsimError(f"zone {name}: {spec.used} used pages, but only {managed} are managed")
        zones[name] = replace(zone, managed=managed, used=spec.used)
    return list(zones.values())


def boot(kernel: Kernel, zones: list[ZoneMap], scenario: Scenario) -> None:
    """Create the zones, compute their watermarks as the kernel does while booting, and then apply what was written to the settings."""
    for zone in zones:
        add_zone(kernel.k, zone.start, zone.first + zone.managed, zone.managed)
    rows = kernel.zone[: len(zones)]
    rows[:, pg.Z_END_PFN] = [zone.end for zone in zones]
    rows[:, pg.Z_PRESENT] = [zone.present for zone in zones]
    kernel.sc[kn.SC_NR_FRAMES] = zones[-1].end
    kernel.sc[kn.SC_TOTALRAM] = sum(zone.managed for zone in zones)
    thp = scenario.kernel.transparent_hugepage != "never"
    node = Node(rows, [zone.name for zone in zones], int(kernel.geo[kn.G_PAGE_SHIFT]), scenario.machine.cpus, _rules(kernel, scenario))
    kernel.sysctl[kn.SYS_MIN_FREE_KBYTES] = init_zones(node, [zone.late for zone in zones], thp)
    _enable_huge_pages(kernel, node, scenario)
    _write_settings(kernel, node, scenario)
    kernel.sc[kn.SC_TOTALRESERVE] = totalreserve_pages(node)
    for number, zone in enumerate(zones):
        take_for_kernel(kernel.k, number, zone.used)
    finish_boot(kernel.k)


def _enable_huge_pages(kernel: Kernel, node: Node, scenario: Scenario) -> None:
    """As the kernel boots with the setting; where it has turned huge pages off (hugepage_init), as if it were written afterwards.

    Turning them off also turned use_zero_page off, and writing the setting computes the watermarks again.
    """
    mode = _THP_MODES[scenario.kernel.transparent_hugepage]
    kernel.sysctl[kn.SYS_THP_ENABLED] = mode
    if mode == kn.THP_NEVER:
        return
    kernel.sc[kn.SC_HUGE_BITS] = kernel.geo[kn.G_BITS + int(kernel.geo[kn.G_LEVELS]) - 1]
    kernel.sysctl[kn.SYS_THP_ZERO_PAGE] = has_memory_for_thp(node)
    if not has_memory_for_thp(node):
        kernel.sysctl[kn.SYS_MIN_FREE_KBYTES] = set_recommended_min_free_kbytes(node, int(kernel.sysctl[kn.SYS_MIN_FREE_KBYTES]))


def _rules(kernel: Kernel, scenario: Scenario) -> WatermarkRules:
    """The version's rules, with the settings as they are at boot."""
    return WatermarkRules(
        watermark_scale=bool(kernel.rule[r.R_WATERMARK_SCALE]),
        pcp_high_is_low_wmark=bool(kernel.rule[r.R_PCP_HIGH_IS_LOW_WMARK]),
        khugepaged_last=bool(kernel.rule[r.R_KHUGEPAGED_LAST]),
        pagelist_fraction=_number(scenario, "vm.percpu_pagelist_fraction"),
    )


def _number(scenario: Scenario, name: str) -> int:
    value = scenario.kernel.sysctl[name]
    return value if isinstance(value, int) else 0


def _write_settings(kernel: Kernel, node: Node, scenario: Scenario) -> None:
    """As writing the settings after boot: all pages are counted now, and only what a setting is about is computed again."""
    default = WatermarkRules()
    scale = _number(scenario, "vm.watermark_scale_factor")
    ratio = scenario.kernel.sysctl["vm.lowmem_reserve_ratio"]
    ratios = tuple(int(number) for number in ratio) if isinstance(ratio, tuple) else default.reserve_ratio
    written = replace(node, rules=replace(node.rules, scale_factor=scale, reserve_ratio=ratios))
    min_free = _number(scenario, "vm.min_free_kbytes")
    if min_free:
        kernel.sysctl[kn.SYS_MIN_FREE_KBYTES] = min_free
    if min_free or (scale != default.scale_factor and node.rules.watermark_scale):
        setup_per_zone_wmarks(written, int(kernel.sysctl[kn.SYS_MIN_FREE_KBYTES]))
        if node.rules.pcp_high_is_low_wmark:
            setup_pagesets(written)
    if ratios != default.reserve_ratio:
        setup_per_zone_lowmem_reserve(written)
    kernel.sysctl[kn.SYS_WATERMARK_SCALE_FACTOR] = scale
