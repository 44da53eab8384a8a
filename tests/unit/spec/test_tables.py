"""Names and numbers of the kernel's interface, against the Python modules that were compiled from the same headers."""

from __future__ import annotations

import errno
import mmap
import resource

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from vmsim.arch.profile import get_profile, profile_names
from vmsim.hw.device import device_models, make_device_model, make_latency
from vmsim.spec import flags
from vmsim.spec.arches import ARCHES
from vmsim.spec.capabilities import CAPABILITIES, MODELLED
from vmsim.spec.costs import COSTS
from vmsim.spec.counters import FACTS, PSI_COUNTERS, SERIES_COUNTERS, SWAP_COUNTERS
from vmsim.spec.devices import DeviceSpec
from vmsim.spec.errnos import ERRNOS
from vmsim.spec.flags import FlagTable
from vmsim.spec.kernels import kernel_line
from vmsim.spec.rlimits import RESOURCES, default_rlimits
from vmsim.spec.sysctl import DEFAULTS, SYSCTLS, parse_sysctl
from vmsim.struct.costs import COST_NAMES
from vmsim.struct.errno import ERRNO_NAMES

TABLES = (flags.PROT, flags.MAP, flags.MLOCK, flags.MCL, flags.MADV, flags.MS, flags.MREMAP)


def test_flags_have_the_values_of_the_hosts_headers() -> None:
    shared = {name: value for table in TABLES for name, value in table.values.items() if hasattr(mmap, name)}
    assert len(shared) > 20
    assert shared == {name: getattr(mmap, name) for name in shared}


def test_errnos_have_the_values_of_the_hosts_headers() -> None:
    assert {name: getattr(errno, name) for name in ERRNOS if name != "EHWPOISON"} | {"EHWPOISON": 133} == ERRNOS


def test_every_errno_that_the_kernel_model_returns_can_be_expected() -> None:
    assert set(ERRNO_NAMES.values()) <= set(ERRNOS)


def test_rlimits_have_the_numbers_of_the_hosts_headers() -> None:
    known = {name: r.number for name, r in RESOURCES.items() if hasattr(resource, name)}
    assert known == {name: getattr(resource, name) for name in known}
    assert sorted(r.number for r in RESOURCES.values()) == list(
        range(resource.RLIM_NLIMITS if hasattr(resource, "RLIM_NLIMITS") else 16)
    )


@pytest.mark.parametrize(
    ("line", "page_size", "memlock"),
    [("4.4", 4096, 65536), ("4.3", 65536, 65536), ("4.4", 1 << 17, 1 << 17), ("6.1", 4096, 8 << 20)],
)
def test_memlock_default_is_a_page_or_the_kernels(line: str, page_size: int, memlock: int) -> None:
    limit = default_rlimits(line, page_size)["RLIMIT_MEMLOCK"]
    assert (limit.soft, limit.hard) == (memlock, memlock)


def test_capabilities_are_numbered_as_in_capability_h() -> None:
    assert CAPABILITIES["CAP_IPC_LOCK"] == 14
    assert CAPABILITIES["CAP_SYS_ADMIN"] == 21
    assert CAPABILITIES["CAP_SYS_RESOURCE"] == 24
    assert CAPABILITIES["CAP_AUDIT_READ"] == 37  # CAP_LAST_CAP of 4.4
    assert set(MODELLED) <= set(CAPABILITIES)


def test_costs_are_those_that_the_kernel_model_charges() -> None:
    assert set(COSTS) == set(COST_NAMES)
    assert all(cost.name == name and cost.default >= 0 and cost.source for name, cost in COSTS.items())


def test_every_counter_of_vmstat_is_a_fact() -> None:
    assert {"pgfault", "pgmajfault", "nr_mlock", "unevictable_pgs_mlocked"} <= SERIES_COUNTERS <= FACTS | {*SWAP_COUNTERS, *PSI_COUNTERS}
    assert {"signals", "ru_minflt", "vma_count"} <= FACTS


@given(st.sampled_from([table for table in TABLES if table.combine]), st.integers(0, (1 << 22) - 1))
def test_names_of_a_mask_give_the_mask_again(table: FlagTable, mask: int) -> None:
    names = table.names(mask)
    assert table.parse(names) == mask
    if not isinstance(names, int):
        assert table.parse("|".join(names)) == mask


@pytest.mark.parametrize(
    "given_flags", ["PROT_READ|PROT_WRITE", ["read", "PROT_WRITE"], ["READ", "write"], 3, [1, "WRITE"]]
)
def test_flags_are_read_in_every_form(given_flags: object) -> None:
    assert flags.PROT.parse(given_flags) == mmap.PROT_READ | mmap.PROT_WRITE


@pytest.mark.parametrize(
    ("table", "given_flags", "message"),
    [
        (flags.PROT, "REED", "did you mean 'PROT_READ'"),
        (flags.MLOCK, "MCL_ONFAULT", "no MLOCK_ flag 'MCL_ONFAULT'"),
        (flags.MADV, ["RANDOM", "NORMAL"], "exactly one MADV_ name"),
        (flags.MAP, -1, "32-bit number"),
        (flags.MAP, 1 << 40, "32-bit number"),
        (flags.MAP, {}, "by name, got a mapping"),
        (flags.MAP, True, "by name, got true"),
    ],
)
def test_wrong_flags_are_refused(table: FlagTable, given_flags: object, message: str) -> None:
    with pytest.raises(ValueError) as error:
        table.parse(given_flags)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("4.4", "4.4"),
        ("4.4.1", "4.4"),
        ("4.3", "4.3"),
        ("6.1.177", "6.1"),
        ("6.18.44", "6.18"),
        ("4.4.0-21-generic", "4.4"),
    ],
)
def test_updates_belong_to_their_release(version: str, line: str) -> None:
    assert kernel_line(version) == line


@pytest.mark.parametrize("version", ["4.5", "6.10", "5.1", "4", "", "x", "4.4.x", "9" * 200])
def test_other_versions_are_unknown(version: str) -> None:
    with pytest.raises(ValueError):
        kernel_line(version)


def test_sysctl_defaults_are_the_kernels() -> None:
    assert DEFAULTS["vm.max_map_count"] == 65530
    assert DEFAULTS["vm.swappiness"] == 60
    assert DEFAULTS["vm.lowmem_reserve_ratio"] == (256, 256, 32)
    for name, value in DEFAULTS.items():
        assert parse_sysctl(name, list(value) if isinstance(value, tuple) else value, "4.4") == value


@pytest.mark.parametrize(
    ("name", "line", "inside", "outside"),
    [
        ("vm.swappiness", "4.4", 100, 101), ("vm.swappiness", "6.1", 200, 201), ("vm.overcommit_memory", "4.4", 2, 3),
        ("vm.dirty_bytes", "4.4", 8192, 8191), ("vm.percpu_pagelist_fraction", "4.4", 8, 7),
        ("vm.dirty_ratio", "4.4", 0, -1),
    ],
)  # fmt: skip
def test_sysctl_ranges_on_both_sides(name: str, line: str, inside: int, outside: int) -> None:
    assert parse_sysctl(name, inside, line) == inside
    with pytest.raises(ValueError):
        parse_sysctl(name, outside, line)


@pytest.mark.parametrize("value", ["x", None, [], {}, True, "1.5", 1.5])
def test_sysctls_are_whole_numbers(value: object) -> None:
    for name in SYSCTLS:
        if DEFAULTS[name] is not None or value is not None:
            with pytest.raises(ValueError):
                parse_sysctl(name, value, "4.4")


def test_architectures_are_those_that_have_a_profile() -> None:
    assert tuple(sorted(ARCHES)) == profile_names()
    for name, arch in ARCHES.items():
        assert sorted(arch.page_sizes) == sorted(get_profile(name).page_sizes)


def test_device_types_are_those_that_have_a_model() -> None:
    for name in device_models():
        spec = TypeAdapter(DeviceSpec).validate_python({"type": name})
        make_device_model(name, spec.model_dump(), np.random.default_rng(1))
    assert device_models() == tuple(sorted(("sata-ssd", "nvme", "hdd")))


@pytest.mark.parametrize("latency", ["constant", "exponential", "lognormal", "uniform", "empirical"])
def test_latency_distributions_are_those_that_the_devices_draw_from(latency: str) -> None:
    given_latency = {"type": latency, **({"quantiles": ["5 us"]} if latency == "empirical" else {})}
    spec = TypeAdapter(DeviceSpec).validate_python({"type": "nvme", "latency": given_latency})
    assert make_latency(spec.read_latency, spec.model_dump()["latency"], np.random.default_rng(1)).next_ns() > 0
