"""Running a recorded boot's programs on the simulated machine, and what came of it in the recording's own terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vmsim.experiment.run import sequence_hashes
from vmsim.experiment.validate.machine import PAGE, kernel_spec, machine_spec, thp_mode
from vmsim.experiment.validate.programs import PATTERN, NotSimulated, Program, files, program_of, tasks
from vmsim.experiment.validate.recording import Result, Run
from vmsim.experiment.validate.sequences import read_hash
from vmsim.machine.build import Built, build
from vmsim.machine.ending import Ending
from vmsim.spec.experiment import Scenario
from vmsim.spec.model import Reading
from vmsim.struct import files as f
from vmsim.struct import tasks as t
from vmsim.struct.errno import SIGKILL
from vmsim.struct.syscalls import SYSCALL_NAMES
from vmsim.units import KIB

Counters = Mapping[str, int]


@dataclass(frozen=True)
class Outcome:
    """What one simulated run counted: its phases' counters, facts by the recording's names, the hash of its accesses."""

    phases: Mapping[str, Counters]
    facts: Mapping[str, int | str]
    seq_hash: str
    ended: str  # ok, killed, or why the run stopped


def simulate(
    result: Result, kernel: str, costs: Mapping[str, Any], progress: Callable[[int], None] | None = None
) -> list[Outcome]:
    """The outcomes of a boot's runs, in their order. Raises NotSimulated for what vmsim has no program for."""
    programs = [(run, program_of(run)) for run in result.runs]
    if any(run.number("thp", 0) and thp_mode(str(run.data.get("sysctl", {}).get("thp", ""))) != "never" for run, _ in programs):
        if not kernel.startswith("4"):
            raise NotSimulated(f"huge pages of {kernel}")
    built = build(scenario(result, kernel, costs, programs))
    _fill_replays(built, programs)
    ending = built.machine.run(progress)
    return [_outcome(built, ending, number, run, program) for number, (run, program) in enumerate(programs)]


def scenario(result: Result, kernel: str, costs: Mapping[str, Any], programs: list[tuple[Run, Program]]) -> Scenario:
    """The spec of a boot."""
    run = result.runs[0] if result.runs else None
    data = {
        "machine": machine_spec(result, run, kernel, costs), "kernel": kernel_spec(result, run, kernel),
        "files": files(run), "tasks": tasks(programs, int(result.boot["qemu"]["cpus"]), kernel),
    }  # fmt: skip
    return Scenario.model_validate(data, context=Reading())


def _fill_replays(built: Built, programs: list[tuple[Run, Program]]) -> None:
    """Put the numbers of replayed patterns where the machine keeps them."""
    for number, (_, program) in enumerate(programs):
        for name, numbers in program.replays.items():
            row = built.kernel.pattern[_row(built, number, name)]
            first = int(row[f.PAT_TABLE])
            marked = name in program.writes
            built.kernel.pattern_table[first : first + len(numbers)] = np.array(numbers, np.int64) << (0 if marked else 1)
            if marked:
                row[f.PAT_WRITE_U53] = -1


def _row(built: Built, task: int, name: str) -> int:
    stream = f"workload/run{task}/{name}"
    return next(row for row, use in enumerate(built.assembly.patterns, start=1) if use.stream == stream)


def _outcome(built: Built, ending: Ending, number: int, run: Run, program: Program) -> Outcome:
    task = built.tasks[number]
    row = built.kernel.task[task.tid]
    phases = {phase.phase: phase.counters for phase in built.machine.phase_results() if phase.task == task.name}
    facts: dict[str, int | str] = {"signals": int(row[t.T_NSIGNALS]), "vmas_after": int(row[t.T_VMAS])}
    facts["VmLck_kb"] = int(row[t.T_LOCKED]) * PAGE // KIB
    facts["VmRSS_kb"] = int(row[t.T_RSS]) * PAGE // KIB
    ended = _ended(row, ending)
    if run.mode == "fork":
        facts["children_minflt"] = int(row[t.T_CMIN_FLT])
    if run.mode == "ra":
        facts["mincore_resident"] = _resident(built, run.number("pages", 1000))
    if run.mode == "maxmap":
        registers = built.registers[number]
        value = {name: int(built.kernel.reg[task.tid, number]) for name, number in registers.items()}
        facts |= {"ok": value["done"], "errno": value["errno"]}
        after = {"mprotect_first_page_noop": "after_mprotect", "mmap_one_page": "after_mmap", "munmap_first_page": "after_munmap"}
        facts |= {f"after {name}": -value[register] if -4096 < value[register] < 0 else 0 for name, register in after.items()}
    if run.mode == "lof":
        failed = row[t.T_EXIT] == t.EXIT_SYSCALL
        facts["fail_op"] = SYSCALL_NAMES[int(row[t.T_STOP_NR])] if failed else ""
        facts["fail_errno"] = int(row[t.T_STOP_ERRNO]) if failed else 0
        facts["accesses_done"] = int(phases.get("run", {}).get("accesses", 0))
    return Outcome(phases, facts, _hash(built, number, run, program, facts), ended)


def _hash(built: Built, number: int, run: Run, program: Program, facts: Mapping[str, int | str]) -> str:
    """The hash of what the program drew; a burst draws ahead, so where the program stopped it is drawn again up to there."""
    if program.seq_hash is not None:
        return program.seq_hash
    if run.mode == "lof" and facts["fail_errno"]:
        return read_hash(run, int(facts["accesses_done"]) + 1)
    if run.mode == "ra" and (run.number("again", 0) or run.number("off", 0)):
        return read_hash(run, run.number("n", 1000))
    return sequence_hashes(built).get(f"workload/run{number}/{PATTERN}", "")


def _ended(row: Any, ending: Ending) -> str:
    how = int(row[t.T_EXIT])
    if how == t.EXIT_SIGNAL:
        return "killed" if int(row[t.T_SIG]) == SIGKILL else f"signal {int(row[t.T_SIG])}"
    if how == 0:
        return "stuck" if ending.stuck else "still running"
    return "ok"


def _slots(built: Built) -> Any:
    row = built.kernel.file[built.file_ids["big"]]
    return built.kernel.pcache[row[f.FI_CACHE] : row[f.FI_CACHE] + row[f.FI_CAPACITY]]


def _resident(built: Built, pages: int) -> int:
    return int(np.count_nonzero(_slots(built)[:pages] > 0))
