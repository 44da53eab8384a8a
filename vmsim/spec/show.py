"""The step that keeps what /proc shows at a point of a program."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from vmsim.spec.syscalls import StepParent
from vmsim.spec.values import Choice

PROCESS_FILES: Final = ("maps", "smaps", "status", "limits", "pagemap", "oom_score", "oom_score_adj")
SYSTEM_FILES: Final = ("meminfo", "vmstat", "zoneinfo", "swaps")
PRESSURE_FILES: Final = ("pressure/cpu", "pressure/memory", "pressure/io")  # from 4.20
DMESG: Final = "dmesg"  # no file of /proc, but shown like one
PROC_FILES: Final = (*PROCESS_FILES, *SYSTEM_FILES, *PRESSURE_FILES, DMESG)


class ShowStep(StepParent):
    """Keeps texts of /proc as they are now in the results; it takes no simulated time. `{show: [maps, meminfo]}` is short for `files`."""

    step = "show"
    shorthand = "files"
    files: tuple[Annotated[str, Choice("file of /proc", PROC_FILES)], ...] = Field(
        min_length=1, description="of the task: maps, smaps, status, limits, pagemap, oom_score, oom_score_adj; "
        "of the machine: meminfo, vmstat, zoneinfo, swaps, pressure/cpu, pressure/memory, pressure/io (from 4.20), "
        "and dmesg, the kernel's log"
    )
