"""Random programs on machines with too little memory: no frame is lost or owned twice, no slot leaked, dirty data kept, mlocked pages
stay, and a run always ends."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_programs import machines
from scenario import run_verified, start

from vmsim.machine.verify import verify

PROGRAMS = int(os.environ.get("VMSIM_RANDOM_PROGRAMS", "40"))
SHORT = st.fixed_dictionaries(
    {
        "ram": st.sampled_from(["512 KiB", "768 KiB", "1 MiB", "2 MiB"]),
        "swap": st.sampled_from([None, "40 KiB", "256 KiB", "4 MiB"]),
        "device": st.sampled_from(["sata-ssd", "hdd", "nvme"]),
        "page_cluster": st.sampled_from([0, 3]),
        "swappiness": st.sampled_from([0, 60, 100]),
        "lru_gen": st.booleans(),
        "huge": st.booleans(),
        "slab": st.sampled_from([{}, {"dentries": 100}, {"dentries": 400, "inodes": 90}, {"inodes": 90}]),
        "vfs_cache_pressure": st.sampled_from([0, 100, 400]),
    }
)


@settings(max_examples=PROGRAMS, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(machine=machines(), short=SHORT, stops=st.lists(st.integers(1, 20_000_000), max_size=6))
def test_any_program_keeps_the_laws_when_memory_is_short(machine: dict[str, Any], short: dict[str, Any], stops: list[int]) -> None:
    """The same as with plenty of memory: verify at random times and at the end. Tasks may be killed, the machine may not hang."""
    machine |= {"arch": "x86_64", "ram": short["ram"], "devices": {"sda": {"type": short["device"]}}}
    machine["sysctl"] = machine["sysctl"] | {"vm.page-cluster": short["page_cluster"], "vm.swappiness": short["swappiness"]}
    machine["sysctl"] |= {"vm.overcommit_memory": 1, "vm.vfs_cache_pressure": short["vfs_cache_pressure"]}
    machine["slab"] = short["slab"]
    machine["files"]["disk"]["cached"] = "none"
    machine["lru_gen"] = short["lru_gen"] and machine["version"] in ("6.1", "6.18")
    machine["transparent_hugepage"] = "always" if short["huge"] and machine["version"] in ("4.3", "4.4") else "never"
    for task in machine["tasks"]:
        task["image"] = "none"
    if short["swap"]:
        machine["swap"] = {"device": "sda", "size": short["swap"]}
    built = start(**machine)
    verify(built.kernel)
    ending = run_verified(built, stops)
    assert not ending.stuck, ending.report()
