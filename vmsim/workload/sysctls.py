"""Where the settings that the kernel reads while it runs stand in `sysctl`, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vmsim.struct import kernel as kn

SYSCTL_NUMBERS: Final[Mapping[str, int]] = {
    "vm.max_map_count": kn.SYS_MAX_MAP_COUNT, "vm.overcommit_memory": kn.SYS_OVERCOMMIT_MEMORY,
    "vm.overcommit_ratio": kn.SYS_OVERCOMMIT_RATIO,
    "vm.overcommit_kbytes": kn.SYS_OVERCOMMIT_KBYTES, "vm.swappiness": kn.SYS_SWAPPINESS, "vm.page-cluster": kn.SYS_PAGE_CLUSTER,
    "vm.mmap_min_addr": kn.SYS_MMAP_MIN_ADDR,
    "vm.dirty_ratio": kn.SYS_DIRTY_RATIO, "vm.dirty_background_ratio": kn.SYS_DIRTY_BACKGROUND_RATIO,
    "vm.dirty_bytes": kn.SYS_DIRTY_BYTES, "vm.dirty_background_bytes": kn.SYS_DIRTY_BACKGROUND_BYTES,
    "vm.dirty_expire_centisecs": kn.SYS_DIRTY_EXPIRE_CENTISECS, "vm.dirty_writeback_centisecs": kn.SYS_DIRTY_WRITEBACK_CENTISECS,
    "vm.vfs_cache_pressure": kn.SYS_VFS_CACHE_PRESSURE,
    "vm.drop_caches": kn.SYS_DROP_CACHES,
    "vm.panic_on_oom": kn.SYS_PANIC_ON_OOM, "vm.oom_kill_allocating_task": kn.SYS_OOM_KILL_ALLOCATING_TASK,
    "vm.oom_dump_tasks": kn.SYS_OOM_DUMP_TASKS,
}  # fmt: skip
