"""The recorded virtual machine as a spec: its zones as they were when the program started, its settings, its two disks.

Costs are those of `configs/recorded-vm.yaml` (an emulated CPU, about 15 times slower than hardware): only their proportions matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from vmsim.experiment.validate.recording import Result, Run
from vmsim.machine.memory_map import memory_map
from vmsim.spec.kernels import kernel_line
from vmsim.spec.sysctl import SYSCTLS
from vmsim.units import KIB, MIB

PAGE: Final = 4096
FILE_BYTES: Final = 1100 * MIB  # /data/big
PROGRAM_ANON: Final = 175  # resident pages of the program itself: its buffers, stack and data ...
PROGRAM_FILE: Final = 172  # ... and its text and the C library's, on ramfs
_TABLES: Final = 10  # frames of page tables of the program itself
# A write of a page to the host's page cache takes up to 100 us, one after the other.
_SWAP_WRITES: Final = {"write_latency": "100 us"}
# Model: with one CPU it is done about 10 ms after it was submitted, many at a time, as long as requests wait in the plug of their task,
# which vmsim doesn't have there; fitted to the faults on pages on their way out (818 to 992 minor faults of a program that only writes,
# 1.1 times the memory of 256 MiB).
_SWAP_WRITES_1: Final = {"channels": 128, "write_latency": "10 ms"}
_STARTED: Final = 190  # pages that starting a program takes beside those: stacks, pagevecs, per-CPU lists, what the shell forked
# The same of the programs of an OOM test, which lock nothing; fitted to the rss of a victim that a report shows.
_HOGS_STARTED: Final = {"4": 43, "6": 143}
_FAULT_AROUND = re.compile(r"(?:_fa|faultaround)(\d+)")
_SYSCTL_KEYS = ("swappiness", "page-cluster", "overcommit_memory", "dirty_ratio", "dirty_background_ratio", "max_map_count")


def recorded_costs() -> dict[str, Any]:
    """The costs of the machine `recorded-vm` that comes with vmsim."""
    from vmsim.spec.costs import COSTS
    from vmsim.spec.load import load_machine

    costs = load_machine("recorded-vm").costs
    return {name: f"{value} ns" if COSTS[name].unit == "ns" else value for name, value in costs.items()}


def machine_spec(result: Result, run: Run | None, version: str, costs: Mapping[str, Any]) -> dict[str, Any]:
    """The machine of a result, with what of each zone is not free when the program starts."""
    qemu = result.boot["qemu"]
    ram, cpus = int(qemu["mem_mb"]) * MIB, int(qemu["cpus"])
    swap = swap_bytes(result)
    disk = {
        "type": "sata-ssd", "channels": 1, "queue_depth": 128, "read_latency": "60 us", "write_latency": "60 us",
        "bandwidth_read": "2 GB/s", "bandwidth_write": "2 GB/s", "latency": {"type": "lognormal", "sigma": 0.4},
    }  # fmt: skip
    devices: dict[str, Any] = {"vda": {**disk, "size": 4096 * MIB}}
    if swap:
        rotational = bool(run.data.get("sysctl", {}).get("vdb_rotational", 1)) if run else True
        devices["vdb"] = {**disk, **(_SWAP_WRITES if cpus > 1 else _SWAP_WRITES_1), "size": swap, "rotational": rotational, "queues": cpus}
    return {
        "title": "recorded", "ram": ram, "cpus": cpus, "devices": devices, "costs": dict(costs),
        "zones": zones(result, run, version, memory_map("x86_64", ram, PAGE, cpus, kernel_line(version))),
        **({"swap": {"device": "vdb", "size": swap}} if swap else {}),
    }  # fmt: skip


def swap_bytes(result: Result) -> int:
    """The swap area that was in use: that of the boot, or of the report of an OOM test that switched one on."""
    told = re.search(r"Total swap = (\d+)kB|Adding (\d+)k swap", result.raw)
    if told:
        usable = int(told[1] or told[2]) * KIB
        return usable + PAGE if usable else 0  # the first page is the header
    return int(result.boot["qemu"].get("swap_mb", 0)) * MIB


def zones(result: Result, run: Run | None, version: str, made: list[Any]) -> dict[str, Any]:
    """Managed pages of each zone, and those that are used when the program starts (its own, which vmsim takes, left out)."""
    recorded = {zone["zone"]: zone for zone in result.data["zones_at_start"] if zone["managed"]}
    free = {name: int(zone["free"]) for name, zone in recorded.items()}
    begins = free_at_start(run) if run else None
    if begins is None:
        aux = int(run.data.get("aux_locked_bytes", 0)) // PAGE if run else 0
        taken = PROGRAM_ANON + _TABLES + aux + (_HOGS_STARTED[version[0]] if run and run.mode == "hog" else _STARTED)
    else:
        taken = sum(free.values()) - begins
    # What the program itself takes, vmsim's takes too: the rest is the kernel's.
    taken -= PROGRAM_ANON + PROGRAM_FILE + _TABLES + _on_cpu_lists(result)
    largest = max(free, key=lambda name: free[name])
    free[largest] -= taken
    return {
        zone.name: {"managed": int(recorded[zone.name]["managed"]), "used": int(recorded[zone.name]["managed"]) - free[zone.name]}
        for zone in made
        if zone.name in recorded
    }


def _on_cpu_lists(result: Result) -> int:
    """Free pages on the CPUs' lists when the machine had booted: the kernel doesn't count them as free, but takes them first."""
    lists = (zone.get("per_cpu", ()) for zone in result.boot.get("zoneinfo", ()))
    return sum(int(value) for pairs in lists for name, value in pairs if name == "count")


def free_at_start(run: Run) -> int | None:
    """Free pages before the first recorded phase, from the first point of the trajectory, if there is one."""
    trajectory = run.data.get("trajectory")
    if not trajectory or not trajectory["rows"]:
        return None
    first = dict(zip(trajectory["cols"], trajectory["rows"][0], strict=True))
    before = sum(
        int(run.phase(name)["vmstat"].get("nr_free_pages", 0)) for name in run.phases if name in ("populate", "setup")
    )
    return int(first["nr_free_pages"]) - before


def kernel_spec(result: Result, run: Run | None, version: str) -> dict[str, Any]:
    """The kernel of a result, with the settings of one of its runs."""
    given = dict(run.data.get("sysctl", {})) if run else {}
    sysctl = {f"vm.{key}": int(given[key]) for key in _SYSCTL_KEYS if int(given.get(key, -1)) >= 0}
    sysctl |= _from_label(result.label)
    lowest = int(result.boot["sysctl"]["min_free_kbytes"])
    if int(given.get("min_free_kbytes", lowest)) != lowest:
        sysctl["vm.min_free_kbytes"] = int(given["min_free_kbytes"])
    huge = thp_mode(str(given.get("thp") or result.boot.get("thp", "")))
    if huge != "never" and not kernel_line(version).startswith("4"):
        # Later kernels' huge pages aren't modelled, and the programs ask for none: what is left of them is khugepaged's minimum.
        sysctl["vm.min_free_kbytes"] = int(given.get("min_free_kbytes", lowest))
        huge = "never"
    around = _FAULT_AROUND.search(result.label)
    return {
        "version": version.removesuffix("-mglru"), "lru_gen": version.endswith("-mglru"),
        "sysctl": {name: value for name, value in sysctl.items() if name in SYSCTLS},
        "transparent_hugepage": huge,
        **({"fault_around_bytes": int(around[1])} if around else {}),
    }  # fmt: skip


def _from_label(label: str) -> dict[str, int]:
    """What the label says of the settings of a program that never reported them."""
    found = {"vm.swappiness": r"_sw(\d+)", "vm.page-cluster": r"_pc(\d+)"}
    return {name: int(match[1]) for name, pattern in found.items() if (match := re.search(pattern, label))}


def thp_mode(shown: str) -> str:
    """The mode of transparent huge pages, from the text of the kernel's file, where it stands in brackets."""
    told = re.search(r"\[(\w+)\]", shown)
    return told[1] if told else "never"
