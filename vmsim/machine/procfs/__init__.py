"""The files of /proc as texts, made from the kernel's tables at the present simulated time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vmsim.machine.procfs.names import file_names
from vmsim.machine.procfs.process import Process
from vmsim.machine.procfs.system import System
from vmsim.spec.show import DMESG, PRESSURE_FILES, PROC_FILES, PROCESS_FILES
from vmsim.struct.kernel import Kernel
from vmsim.struct.rules import R_PSI


@dataclass(frozen=True)
class Shown:
    """One text that a program's `show` step kept: whose, at which simulated time, the file's name, its text."""

    task: str
    t_ns: int
    file: str
    text: str


class ProcFs:
    """/proc of a simulated machine. `files` are ids of files by name, as `Built.file_ids` has them; `dmesg` gives the kernel's log.

    `devices` are the names of its devices by number. `pressure` gives /proc/pressure/NAME; it is None where the machine doesn't measure
    it. Kernels before 4.20 have an empty text.
    """

    pressure: Callable[[str], str] | None = None

    def __init__(
        self, kernel: Kernel, files: Mapping[str, int] | None = None, dmesg: Callable[[], str] | None = None, devices: Sequence[str] = ()
    ) -> None:
        self.kernel = kernel
        self.devices = devices
        self.dmesg = dmesg
        self.paths = file_names(files or {})

    def process(self, tid: int, name: str = "task") -> Process:
        """The files of one task."""
        return Process(self.kernel, tid, name, self.paths)

    def system(self) -> System:
        """The files of the whole machine."""
        return System(self.kernel, self.devices)

    def read(self, file: str, tid: int = 1, name: str = "task") -> str:
        """One file by its name: of a task (maps, smaps, status, ...), of the machine, or dmesg. Raises KeyError for another."""
        if file not in PROC_FILES:
            raise KeyError(file)
        if file == DMESG:
            return self.dmesg() if self.dmesg else ""
        if file in PRESSURE_FILES:
            if not self.kernel.rule[R_PSI]:
                return ""
            if self.pressure is None:
                raise KeyError(f"{file}: the machine measures pressure only if a show step or a series asks for it")
            return self.pressure(file.removeprefix("pressure/"))
        text: str = getattr(self.process(tid, name) if file in PROCESS_FILES else self.system(), file)()
        return text
