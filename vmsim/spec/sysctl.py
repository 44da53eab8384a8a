"""The kernel settings that an experiment may set, by their own names: kind, range and default of each.

Source: kernel/sysctl.c (vm_table) of v4.4 and the files that own the variables; `fault_around_bytes` lies in debugfs
and is a key of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from vmsim.spec.flags import shown

SysctlValue = int | tuple[int, ...] | str | None
_NO_LIMIT: Final = (1 << 63) - 1
_LINES_200: Final = ("6.1", "6.18")  # c843966c556d (5.8): swappiness up to 200


@dataclass(frozen=True)
class Sysctl:
    """One setting. `default` None: the kernel computes it. `length` > 0: that many numbers; `words`: one of them."""

    what: str
    default: SysctlValue
    minimum: int = 0
    maximum: int = _NO_LIMIT
    length: int = 0
    words: tuple[str, ...] = ()


SYSCTLS: Final[Mapping[str, Sysctl]] = {
    "vm.max_map_count": Sysctl("VMAs of one address space", 65530, 0, (1 << 31) - 1),
    "vm.overcommit_memory": Sysctl("0 heuristic, 1 always, 2 strict", 0, 0, 2),
    "vm.overcommit_ratio": Sysctl("strict: percent of RAM that may be committed", 50, 0, (1 << 31) - 1),
    "vm.overcommit_kbytes": Sysctl("strict: the same in KiB; 0: the ratio holds", 0),
    "vm.user_reserve_kbytes": Sysctl("strict: kept for the user; free/32, at most 128 MiB", None),
    "vm.admin_reserve_kbytes": Sysctl("kept for the administrator; free/32, at most 8 MiB", None),
    "vm.swappiness": Sysctl("how readily anonymous memory is reclaimed (6.x: up to 200)", 60, 0, 100),
    "vm.page-cluster": Sysctl("log2 of the swap read-ahead window; 2 below 16 MiB", None, 0, 31),
    "vm.min_free_kbytes": Sysctl("free memory that the watermarks keep; from the size of RAM", None),
    "vm.watermark_scale_factor": Sysctl("gap between the watermarks, in 1/10,000 of a zone (6.x)", 10, 1, 3000),
    "vm.lowmem_reserve_ratio": Sysctl("protection of lower zones", (256, 256, 32), 1, (1 << 31) - 1, length=3),
    "vm.percpu_pagelist_fraction": Sysctl(
        "size of the CPUs' free lists; 0 automatic, else at least 8", 0, 0, (1 << 31) - 1
    ),
    "vm.dirty_ratio": Sysctl("percent of memory that may be dirty before writers wait", 20, 0, 100),
    "vm.dirty_background_ratio": Sysctl("percent of memory at which flushers start", 10, 0, 100),
    "vm.dirty_bytes": Sysctl("the same in bytes, at least 8192; 0: the ratio holds", 0),
    "vm.dirty_background_bytes": Sysctl("the same in bytes; 0: the ratio holds", 0),
    "vm.dirty_expire_centisecs": Sysctl("age at which dirty data must be written", 3000, 0, (1 << 31) - 1),
    "vm.dirty_writeback_centisecs": Sysctl("period of the flushers; 0 off", 500, 0, (1 << 31) - 1),
    "vm.dirtytime_expire_seconds": Sysctl("age at which lazily dirtied inodes are written", 43200, 0, (1 << 31) - 1),
    "vm.panic_on_oom": Sysctl("0 kill, 1 panic, 2 panic even when bound to nodes", 0, 0, 2),
    "vm.oom_kill_allocating_task": Sysctl("kill the task that ran out", 0, 0, 1),
    "vm.oom_dump_tasks": Sysctl("list the tasks in the report", 1, 0, 1),
    "vm.zone_reclaim_mode": Sysctl("bits: 1 reclaim, 2 write, 4 unmap", 0, 0, 7),
    "vm.min_unmapped_ratio": Sysctl("percent of a zone of unmapped file pages kept", 1, 0, 100),
    "vm.min_slab_ratio": Sysctl("percent of a zone of slab kept", 5, 0, 100),
    "vm.extfrag_threshold": Sysctl("fragmentation index above which compaction is tried", 500, 0, 1000),
    "vm.compact_unevictable_allowed": Sysctl("compaction may move locked pages", 1, 0, 1),
    "vm.vfs_cache_pressure": Sysctl("how readily dentries and inodes are reclaimed", 100, 0, (1 << 31) - 1),
    "vm.laptop_mode": Sysctl("seconds to gather writes after a read", 0, 0, (1 << 31) - 1),
    "vm.block_dump": Sysctl("log block I/O", 0, 0, 1),
    "vm.legacy_va_layout": Sysctl("place mappings bottom up", 0, 0, 1),
    "vm.stat_interval": Sysctl("seconds between folds of the CPUs' counters", 1, 0, (1 << 31) - 1),
    "vm.mmap_min_addr": Sysctl("lowest address that a program may map", 4096),
    "vm.nr_hugepages": Sysctl("pages in the hugetlb pool", 0),
    "vm.nr_overcommit_hugepages": Sysctl("hugetlb pages beyond the pool", 0),
    "vm.hugetlb_shm_group": Sysctl("group that may lock huge shared memory", 0, 0, (1 << 32) - 1),
    "vm.hugepages_treat_as_movable": Sysctl("take huge pages from the movable zone", 0, 0, 1),
    "vm.numa_zonelist_order": Sysctl("order of zones over nodes", "default", words=("default", "node", "zone")),
}

# Those that a program may write while it runs: `sysctl` steps. drop_caches is none of the above, as it is an act, not a setting.
RUNTIME: Final[Mapping[str, Sysctl]] = {
    name: SYSCTLS[name]
    for name in (
        "vm.max_map_count", "vm.overcommit_memory", "vm.overcommit_ratio", "vm.overcommit_kbytes", "vm.page-cluster",
        "vm.dirty_ratio", "vm.dirty_background_ratio", "vm.dirty_bytes", "vm.dirty_background_bytes",
        "vm.dirty_expire_centisecs", "vm.dirty_writeback_centisecs", "vm.vfs_cache_pressure", "vm.panic_on_oom",
    )
} | {
    "vm.drop_caches": Sysctl("bits: 1 the page cache, 2 slab objects", 0, 1, 4),
    "vm.swappiness": replace(SYSCTLS["vm.swappiness"], maximum=200),  # sys_sysctl knows the version's limit
    "vm.oom_kill_allocating_task": replace(SYSCTLS["vm.oom_kill_allocating_task"], minimum=-(1 << 31), maximum=(1 << 31) - 1),
    "vm.oom_dump_tasks": replace(SYSCTLS["vm.oom_dump_tasks"], minimum=-(1 << 31), maximum=(1 << 31) - 1),
}  # fmt: skip

DEFAULTS: Final[Mapping[str, SysctlValue]] = {name: sysctl.default for name, sysctl in SYSCTLS.items()}


def parse_sysctl(name: str, given: object, line: str) -> SysctlValue:
    """The value of a known setting, checked against its kind and range in a kernel of that line. Raises ValueError."""
    sysctl = SYSCTLS[name]
    if given is None and sysctl.default is None:
        return None
    if sysctl.words:
        if given not in sysctl.words:
            raise ValueError(f"expected one of {', '.join(sysctl.words)}, got {shown(given)}")
        return str(given)
    if sysctl.length:
        numbers = given.split() if isinstance(given, str) else given
        if not isinstance(numbers, (list, tuple)) or len(numbers) != sysctl.length:
            raise ValueError(f"expected {sysctl.length} numbers, got {shown(given)}")
        return tuple(_number(sysctl, number) for number in numbers)
    value = _number(replace(sysctl, maximum=_maximum(name, line)), given)
    if name == "vm.dirty_bytes" and 0 < value < 8192:
        raise ValueError(f"expected 0 or at least 8192, got {value}")
    if name == "vm.percpu_pagelist_fraction" and 0 < value < 8:
        raise ValueError(f"expected 0 or at least 8, got {value}")
    return value


def _number(sysctl: Sysctl, given: object) -> int:
    if isinstance(given, str) and given.strip().removeprefix("-").isdecimal() and len(given) < 24:
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int):
        raise ValueError(f"expected a whole number, got {shown(given)}")
    if not sysctl.minimum <= given <= sysctl.maximum:
        bounded = sysctl.maximum < _NO_LIMIT
        limit = f"between {sysctl.minimum} and {sysctl.maximum}" if bounded else f"at least {sysctl.minimum}"
        raise ValueError(f"expected a number {limit}, got {shown(given)}")
    return given


def _maximum(name: str, line: str) -> int:
    return 200 if name == "vm.swappiness" and line in _LINES_200 else SYSCTLS[name].maximum
