"""Random programs that fork, clone, change settings and switch swap areas while memory is short, on up to four CPUs and on devices that
fail: the laws of `verify` hold at random times and at the end, and no run hangs, except where the kernel itself reclaims for ever."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_programs import REGION, a_task, at, simple_step
from scenario import run_verified, start

from vmsim.machine.build import Built
from vmsim.machine.ending import LIVELOCK
from vmsim.machine.verify import verify
from vmsim.struct.kernel import SYS_SWAPPINESS
from vmsim.struct.pages import LRU_INACTIVE_ANON, LRU_INACTIVE_FILE, Z_FREE, Z_HIGH, Z_LRU, Z_PAGES_SCANNED
from vmsim.struct.reclaim import N_SWAP_FREE

PROGRAMS = int(os.environ.get("VMSIM_RANDOM_PROGRAMS", "300" if os.environ.get("NUMBA_DISABLE_JIT", "0") == "0" else "60"))
AREAS = ("one", "two", "three")
SETTINGS = {
    "vm.swappiness": [0, 1, 60, 100, 200], "vm.page-cluster": [0, 1, 3, 6], "vm.drop_caches": [1, 2, 3],
    "vm.dirty_ratio": [0, 1, 20, 100], "vm.dirty_background_ratio": [0, 10, 100], "vm.dirty_bytes": [8192, 65536, 1 << 30],
    "vm.dirty_background_bytes": [1, 65536], "vm.dirty_writeback_centisecs": [0, 1, 500], "vm.dirty_expire_centisecs": [0, 1, 3000],
    "vm.overcommit_memory": [0, 1, 2], "vm.vfs_cache_pressure": [0, 100, 10000], "vm.oom_kill_allocating_task": [0, 1],
    "vm.panic_on_oom": [0, 0, 1],
}  # fmt: skip
AT_BOOT = {
    "vm.min_free_kbytes": [16, 128], "vm.watermark_scale_factor": [1, 10, 1000], "vm.percpu_pagelist_fraction": [0, 8, 100],
    "vm.lowmem_reserve_ratio": [[256, 256, 32], [1, 1, 1]],
}  # fmt: skip
_at_boot = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in AT_BOOT.items()})
_area = st.sampled_from(AREAS)
_priority = st.sampled_from([None, 0, 5, 5])


def _with_priority(area: dict[str, Any], priority: int | None) -> dict[str, Any]:
    return area if priority is None else area | {"priority": priority}


_swap = st.one_of(
    st.builds(lambda area, priority: {"swapon": _with_priority({"area": area, "expect": "any"}, priority)}, _area, _priority),
    st.builds(lambda area: {"swapoff": {"area": area, "expect": "any"}}, _area),
)
_setting = st.sampled_from(sorted(SETTINGS)).flatmap(
    lambda name: st.builds(lambda value: {"sysctl": {"name": name, "value": value, "expect": "any"}}, st.sampled_from(SETTINGS[name]))
)


def _fill_region(region: str, count: int) -> dict[str, Any]:
    where = {"region": at(region, 0), "length": f"{REGION} * PAGE_SIZE"}
    return {"access": {**where, "pattern": {"type": "uniform"}, "count": count, "op": "write"}}


_fill = st.builds(_fill_region, st.sampled_from("aahs"), st.sampled_from([50, 400]))
_texts = st.just({"show": ["vmstat", "meminfo", "zoneinfo", "swaps", "smaps", "status", "dmesg", "oom_score"]})
_plain = st.one_of(simple_step, simple_step, simple_step, _fill, _fill, _setting, _swap, _texts)
_steps = st.lists(_plain, min_size=1, max_size=6)
_child = st.one_of(_plain, st.builds(lambda steps: {"fork": {"steps": steps, "expect": "any"}}, _steps))
_family = st.builds(
    lambda call, steps: {call: {"steps": steps, "expect": "any"}},
    st.sampled_from(["fork", "fork", "clone"]),
    st.lists(_child, min_size=1, max_size=6),
)
_step = st.one_of(_plain, _plain, _plain, _family, st.just({"wait": {"expect": "any"}}))
_ms = st.integers(0, 20).map(lambda n: f"{n} ms")
_error = st.builds(
    lambda on, rate, since: {"on": on, "rate": rate, "from": since},
    st.sampled_from(["read", "write"]),
    st.sampled_from([0.01, 0.5, 1.0]),
    _ms,
)
_stall = st.builds(lambda since, long: [{"from": since, "for": f"{long} ms"}], _ms, st.integers(1, 300))
_faults = st.fixed_dictionaries({}, optional={"errors": st.lists(_error, min_size=1, max_size=2), "stalls": _stall})
_sizes = st.sampled_from(["40 KiB", "128 KiB", "1 MiB", "4 MiB"])


@st.composite
def _swaps(draw: st.DrawFn) -> list[dict[str, Any]]:
    areas = []
    for name in AREAS:
        area = {"name": name, "device": draw(st.sampled_from(["sda", "sdb"])), "size": draw(_sizes)}
        area |= {"on": draw(st.booleans()), "file": draw(st.booleans())}
        areas.append(_with_priority(area, draw(_priority)))
    return areas


@st.composite
def families(draw: st.DrawFn) -> dict[str, Any]:
    """Keyword arguments of `scenario.start`."""
    flags = st.booleans()
    tasks = []
    for number in range(draw(st.integers(1, 3))):
        task = a_task(number, draw(st.lists(_step, min_size=2, max_size=12)), draw(flags), "none", draw(st.integers(0, 500)), True)
        task["capabilities"] = ["CAP_IPC_LOCK", "CAP_SYS_ADMIN"] if draw(flags) else ["CAP_IPC_LOCK"]
        task["oom_score_adj"] = draw(st.sampled_from([0, 0, 500, -500, -1000]))
        tasks.append(task)
    version = draw(st.sampled_from(["4.3", "4.4", "6.1", "6.18"]))
    size = REGION * 4096
    files = {"disk": {"size": size, "device": "sda"}, "memory": {"size": size, "fs": "tmpfs"}, "new": {"size": 0, "device": "sdb"}}
    return {
        "tasks": tasks,
        "cpus": draw(st.integers(1, 4)),
        "ram": draw(st.sampled_from(["256 KiB", "512 KiB", "1 MiB", "2 MiB"])),
        "version": version,
        "lru_gen": version in ("6.1", "6.18") and draw(flags),
        "swaps": draw(_swaps()),
        "files": files,
        "sysctl": {"vm.overcommit_memory": 1, "vm.swappiness": draw(st.sampled_from([0, 60, 100])), **draw(_at_boot)},
        "seed": draw(st.integers(1, 1000)),
        "devices": {name: {"type": draw(st.sampled_from(["sata-ssd", "hdd", "nvme"])), **draw(_faults)} for name in ("sda", "sdb")},
    }


def reclaims_for_ever(built: Built, version: str) -> bool:
    """Whether get_scan_count of v4.4 chooses no page of the only zone at any priority, and zone_reclaimable finds some in it (C.8, C.9)."""
    kernel = built.kernel
    zone = kernel.zone[0]
    anon, file = (zone[Z_LRU + lru] + zone[Z_LRU + lru + 1] for lru in (LRU_INACTIVE_ANON, LRU_INACTIVE_FILE))
    anonymous_only = kernel.sysctl[SYS_SWAPPINESS] == 0 and kernel.node[N_SWAP_FREE] > 0 and file + zone[Z_FREE] <= zone[Z_HIGH]
    return bool(version in ("4.3", "4.4") and anonymous_only and anon == 0 and zone[Z_PAGES_SCANNED] < 6 * file)


@settings(max_examples=PROGRAMS, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(machine=families(), stops=st.lists(st.integers(1, 20_000_000), max_size=6))
def test_families_keep_the_laws_when_memory_is_short(machine: dict[str, Any], stops: list[int]) -> None:
    """Tasks may be killed, the machine may panic, it may not hang: a stall of a device ends.

    A livelock is one by the kernel's text, too.
    """
    built = start(**machine)
    verify(built.kernel)
    ending = run_verified(built, stops)
    if ending.reason == LIVELOCK:
        assert reclaims_for_ever(built, machine["version"]), ending.report()
    else:
        assert not ending.stuck, ending.report()
