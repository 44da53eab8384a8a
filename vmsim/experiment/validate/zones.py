"""Recordings of boots alone: what each zone's watermarks, reserves and per-CPU lists are, given how many pages it manages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmsim.experiment.validate.checks import EXACT, TOLD_ONLY, Check, Value
from vmsim.experiment.validate.machine import kernel_spec, machine_spec, thp_mode
from vmsim.experiment.validate.recording import Case
from vmsim.machine.build import build
from vmsim.spec.experiment import Scenario
from vmsim.struct import pages as pg
from vmsim.struct.kernel import SC_TOTALRAM, SYS_MIN_FREE_KBYTES, Kernel


def zone_checks(case: Case) -> Iterator[Check]:
    """Everything that the kernel computes at boot against vmsim's, and MemTotal as it follows from the size of RAM alone."""
    result = case.first
    boot = result.boot
    machine = machine_spec(result, None, case.kernel, {})
    recorded = [zone for zone in boot["zoneinfo"] if zone["present"]]
    machine["zones"] = {zone["zone"]: {"managed": zone["managed"]} for zone in recorded}
    kernel = _boot(case, machine)
    yield _check("min_free_kbytes", int(boot["sysctl"]["min_free_kbytes"]), int(kernel.sysctl[SYS_MIN_FREE_KBYTES]))
    for row, zone in zip(kernel.zone.tolist(), recorded, strict=False):
        yield from _zone(row, zone)
    alone = _boot(case, {**machine, "zones": {}})
    total = int(boot["meminfo_kb"]["MemTotal"])
    yield Check("MemTotal from RAM, kB", total, total, 4 * int(alone.sc[SC_TOTALRAM]), TOLD_ONLY)


def _boot(case: Case, machine: dict[str, Any]) -> Kernel:
    kernel = kernel_spec(case.first, None, case.kernel)
    kernel["sysctl"].pop("vm.min_free_kbytes", None)
    scenario = Scenario.model_validate({"machine": machine, "kernel": kernel, "tasks": []})
    # What huge pages do to the watermarks is modelled of all kernels, though their faults are not.
    huge = scenario.kernel.model_copy(update={"transparent_hugepage": thp_mode(str(case.first.boot.get("thp", "")))})
    return build(scenario.model_copy(update={"kernel": huge})).kernel


def _check(name: str, recorded: Value, simulated: Value) -> Check:
    return Check(name, recorded, recorded, simulated, EXACT)


def _zone(row: list[int], zone: dict[str, Any]) -> Iterator[Check]:
    name = zone["zone"]
    found = {
        "start_pfn": row[pg.Z_START_PFN], "spanned": row[pg.Z_END_PFN] - row[pg.Z_START_PFN], "present": row[pg.Z_PRESENT],
        "managed": row[pg.Z_MANAGED], "min": row[pg.Z_MIN], "low": row[pg.Z_LOW], "high": row[pg.Z_HIGH],
        "inactive_ratio": row[pg.Z_INACTIVE_RATIO],
    }  # fmt: skip
    for column, value in found.items():
        if zone.get(column) is not None:
            yield _check(f"{name} {column}", int(zone[column]), value)
    reserve = row[pg.Z_RESERVE : pg.Z_RESERVE + 4]
    shown = [int(pages) for pages in zone["protection"][:4]]
    yield _check(f"{name} protection", _text(shown), _text(reserve[: len(shown)]))
    lists = dict(reversed([(key, int(value)) for key, value in zone.get("per_cpu", ()) if key in ("high", "batch")]))
    for column, value in (("high", row[pg.Z_PCP_HIGH]), ("batch", row[pg.Z_BATCH])):
        if column in lists:
            yield _check(f"{name} pcp {column}", lists[column], value)


def _text(numbers: list[int]) -> str:
    return " ".join(str(number) for number in numbers)
