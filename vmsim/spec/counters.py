"""Names that an experiment may ask for: counters over time, and facts that a table compares."""

from __future__ import annotations

from typing import Final

from vmsim.struct.vmstat import VMSTAT_NAMES

# Of a task (getrusage(2) under its own names), summed over the tasks where no task is named.
TASK_COUNTERS: Final = ("accesses", "syscalls", "nr_signals", "ru_minflt", "ru_majflt", "ru_nvcsw", "ru_nivcsw")
# Of a task's memory at its end, as /proc/PID/status and /proc/PID/maps show it.
TASK_STATE: Final = ("vm_lck_pages", "vm_rss_pages", "vma_count")
SERIES_COUNTERS: Final = frozenset(VMSTAT_NAMES)
FACTS: Final = frozenset(("signals", *TASK_COUNTERS, *TASK_STATE, *VMSTAT_NAMES))
