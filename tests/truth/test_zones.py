"""Zones, watermarks, reserves and per-CPU list sizes of recorded machines (Linux 4.4.1 and 6.1.177 under QEMU)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from vmsim.experiment.validate.machine import thp_mode
from vmsim.machine.build import build
from vmsim.spec.experiment import Scenario
from vmsim.struct import pages as pg
from vmsim.struct.kernel import SC_TOTALRAM, SYS_MIN_FREE_KBYTES

DATA = Path(__file__).parent / "data"
BOOTS = [
    pytest.param(version, boot, id=f"{version} {name}")
    for version, file in (("4.4.1", "a_zones.json.gz"), ("6.1.177", "a_zones-6.1.177.json.gz"))
    for name, boot in json.loads(gzip.decompress((DATA / file).read_bytes()))["boots"].items()
]


def scenario(version: str, boot: dict[str, Any], **machine: Any) -> Scenario:
    qemu = boot["qemu"]
    return Scenario.model_validate(
        {
            "machine": {"ram": qemu["mem_mb"] << 20, "cpus": qemu["cpus"], **machine},
            "kernel": {"version": version, "transparent_hugepage": thp_mode(boot["thp"])},
            "tasks": [{"name": "idle", "program": [{"compute": "1 us"}]}],
        }
    )


@pytest.mark.parametrize(("version", "boot"), BOOTS)
def test_zones_are_the_recorded_ones(version: str, boot: dict[str, Any]) -> None:
    """Given how many pages the recorded kernel managed, everything computed from that is exactly what it computed."""
    recorded = [zone for zone in boot["zoneinfo"] if zone["present"]]
    managed = {zone["zone"]: {"managed": zone["managed"]} for zone in recorded}
    kernel = build(scenario(version, boot, zones=managed)).kernel
    assert kernel.sysctl[SYS_MIN_FREE_KBYTES] == int(boot["sysctl"]["min_free_kbytes"])
    for row, zone in zip(kernel.zone, recorded, strict=False):
        spanned = row[pg.Z_END_PFN] - row[pg.Z_START_PFN]
        assert [row[pg.Z_START_PFN], spanned, row[pg.Z_PRESENT], row[pg.Z_MANAGED]] == [
            zone[name] for name in ("start_pfn", "spanned", "present", "managed")
        ]
        assert row[[pg.Z_MIN, pg.Z_LOW, pg.Z_HIGH]].tolist() == [zone[name] for name in ("min", "low", "high")]
        assert row[pg.Z_RESERVE : pg.Z_RESERVE + 4].tolist() == zone["protection"][:4]
        assert zone["per_cpu"][1:3] == [["high", row[pg.Z_PCP_HIGH]], ["batch", row[pg.Z_BATCH]]]
        if zone.get("inactive_ratio") is not None:
            assert row[pg.Z_INACTIVE_RATIO] == zone["inactive_ratio"]


@pytest.mark.parametrize(("version", "boot"), BOOTS)
def test_memtotal_follows_from_ram(version: str, boot: dict[str, Any]) -> None:
    """The map made from RAM alone: MemTotal exactly as the recorded 4.4.1 says, within 70 pages on 6.1."""
    kernel = build(scenario(version, boot)).kernel
    difference = abs(int(kernel.sc[SC_TOTALRAM]) - boot["meminfo_kb"]["MemTotal"] // 4)
    assert difference <= (0 if version == "4.4.1" else 70)


def test_huge_pages_switched_on_later_raise_min_free_kbytes() -> None:
    """A kernel of 512 MiB boots with them off; when `always` was then written to the file, it showed these (e_misc_512M, fork_thp)."""
    boot = next(given.values[1] for given in BOOTS if given.id == "4.4.1 mem512_cpu1_transparent_hugepage=never")
    managed = {zone["zone"]: {"managed": zone["managed"]} for zone in boot["zoneinfo"] if zone["present"]}
    kernel = build(scenario("4.4.1", {**boot, "thp": "[always] madvise never"}, zones=managed)).kernel
    assert kernel.sysctl[SYS_MIN_FREE_KBYTES] == 25260
