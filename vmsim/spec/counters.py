"""Names that an experiment may ask for: counters over time, and facts that a table compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vmsim.struct.vmstat import VMSTAT_NAMES

# Of a task (getrusage(2) under its own names), summed over the tasks where no task is named.
TASK_COUNTERS: Final = ("accesses", "syscalls", "nr_signals", "ru_minflt", "ru_majflt", "ru_nvcsw", "ru_nivcsw")
# Of a task's memory at its end, as /proc/PID/status and /proc/PID/maps show it.
TASK_STATE: Final = ("vm_lck_pages", "vm_rss_pages", "vma_count")
# What a series may also sample: of swap, kB, as in /proc/meminfo; of a device, after its name and a dot, as in /sys/block/DEVICE/stat
# (kB rather than sectors; requests that wait or are served; ms with at least one, and ms times how many); the totals of /proc/pressure, us.
SWAP_COUNTERS: Final = ("SwapFree", "SwapCached")
DEVICE_COUNTERS: Final = ("read_ios", "read_kb", "write_ios", "write_kb", "in_flight", "io_ticks", "time_in_queue")
PSI_COUNTERS: Final = ("psi_io_some", "psi_io_full", "psi_memory_some", "psi_memory_full", "psi_cpu_some")
SERIES_COUNTERS: Final = frozenset((*VMSTAT_NAMES, *SWAP_COUNTERS, *PSI_COUNTERS))
_ZONES: Final = ("dma", "dma32", "normal", "movable")
SERIES_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "memory": (
        "nr_free_pages", "nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file", "nr_unevictable", "nr_mlock",
        "nr_dirty", "nr_writeback", "nr_page_table_pages", *SWAP_COUNTERS,
    ),
    "paging": ("pgfault", "pgmajfault", "pswpin", "pswpout", "pgpgin", "pgpgout"),
    "reclaim": (
        *(f"pg{what}_{by}_{zone}" for what in ("scan", "steal") for by in ("kswapd", "direct") for zone in _ZONES),
        "allocstall", "pgactivate", "workingset_refault",
    ),
}  # fmt: skip
"""Names that stand for several counters."""
FACTS: Final = frozenset(("signals", *TASK_COUNTERS, *TASK_STATE, *VMSTAT_NAMES))
