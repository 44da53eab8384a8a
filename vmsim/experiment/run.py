"""One run: a resolved row under one seed becomes a machine, is simulated, and leaves a record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmsim.experiment.record import (
    DAEMON,
    FAILED,
    OK,
    THE_KERNEL,
    CpuRecord,
    LatencyRecord,
    PhaseRecord,
    ProcRecord,
    RunResult,
    SeriesRecord,
    TaskRecord,
)
from vmsim.experiment.run_io import device_records, reclaim_records
from vmsim.machine.build import Built, build
from vmsim.machine.ending import PANIC, Ending
from vmsim.machine.phases import TASK_COUNTERS
from vmsim.machine.task import Task
from vmsim.spec.experiment import OutputsSpec, ResolvedRun
from vmsim.spec.show import DMESG
from vmsim.struct import tasks as t
from vmsim.struct.errno import ERRNO_NAMES, SIGBUS, SIGKILL, SIGSEGV
from vmsim.struct.files import PAT_HASH, PAT_HASH_ON
from vmsim.struct.histogram import bucket_bounds
from vmsim.struct.ledger import LEDGER_NAMES
from vmsim.struct.streams import ST_CALLS, ST_DIFFER, ST_LOST
from vmsim.struct.syscalls import SYSCALL_NAMES
from vmsim.struct.vmas import MM_ANONPAGES, MM_FILEPAGES, MM_LOCKED_VM, MM_MAP_COUNT, MM_SHMEMPAGES
from vmsim.struct.vmstat import VMSTAT_NAMES
from vmsim.workload.strace.left_out import RULES
from vmsim.workload.strace.source import LogSource
from vmsim.workload.trace.reading import listening

Progress = Callable[[int, float | None], None]
_SIGNALS = {SIGSEGV: "SIGSEGV", SIGBUS: "SIGBUS", SIGKILL: "SIGKILL"}


def run_one(
    run: ResolvedRun,
    seed_index: int,
    *,
    seed: int,
    outputs: OutputsSpec,
    progress: Progress | None = None,
) -> RunResult:
    """Simulate a row under run `seed_index` of base seed `seed`. Raises VmsimError if the machine can't be built.

    `progress` is called with the simulated time, ns, and how much of the trace is read that is read now, None if none is.
    """
    began = time.perf_counter()
    reading = _Reading(progress)
    with listening(reading.read):
        built = build(run, seed, seed_index, outputs)
        ending = built.machine.run(reading.simulated if progress else None)
    tasks = tuple(_task_record(built, task, ending) for task in _all_tasks(built))
    bad = next((record.exit for record in tasks if record.exit not in (OK, DAEMON)), None)
    result = RunResult(
        row_id=run.row_id,
        row_name=run.row_name,
        seed_index=seed_index,
        seed=seed,
        status=FAILED if bad else OK,
        stopped_by=bad,
        sim_ns=ending.now_ns,
        wall_s=time.perf_counter() - began,
        page_size_bytes=run.machine.page_size,
        phases=_phase_records(built),
        tasks=tasks,
        cpus=tuple(CpuRecord(cpu, _ledger(row)) for cpu, row in enumerate(built.kernel.cpu_led)),
        vmstat=dict(zip(VMSTAT_NAMES, built.kernel.vmstat.tolist(), strict=True)),
        latency=_latencies(built) if outputs.histogram else (),
        series=_series(built),
        proc=_proc_records(built, ending),
        devices=device_records(built, ending.now_ns),
        reclaim=reclaim_records(built),
    )
    built.kernel.release()
    return result


class _Reading:
    """Puts together how far the simulated time is and how far the reading of traces."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._now_ns = 0
        self._fraction: float | None = None

    def read(self, path: str, done: int, total: int | None) -> None:
        """So many bytes of a trace have been read."""
        self._fraction = min(done / total, 1.0) if total else None
        if self._progress is not None:
            self._progress(self._now_ns, self._fraction)

    def simulated(self, now_ns: int) -> None:
        """The simulation has come to this time."""
        self._now_ns = now_ns
        if self._progress is not None:
            self._progress(now_ns, self._fraction)


def _all_tasks(built: Built) -> list[Task]:
    """The tasks of the run, and those that they made, in the order of their making."""
    return [built.machine.tasks[tid] for tid in sorted(built.machine.tasks)]


def _ledger(row: NDArray[np.int64]) -> dict[str, int]:
    return dict(zip(LEDGER_NAMES, row.tolist(), strict=True))


def _exit(row: NDArray[np.int64], ending: Ending) -> str:
    """How a task ended: `ok`, `mprotect: ENOMEM`, `killed by SIGSEGV`, or that it never did."""
    how = int(row[t.T_EXIT])
    if how == t.EXIT_SYSCALL:
        errno = int(row[t.T_STOP_ERRNO])
        return f"{SYSCALL_NAMES[int(row[t.T_STOP_NR])]}: {ERRNO_NAMES.get(errno, 'success')}"
    if how == t.EXIT_SIGNAL:
        if row[t.T_KILLED] == t.KILLED_BY_OOM:
            return "killed by the OOM killer"
        signal = int(row[t.T_SIG])
        return f"killed by {_SIGNALS.get(signal, f'signal {signal}')}"
    if how == 0 and ending.reason == PANIC:
        return "kernel panic"
    if how == 0:
        return "stuck" if ending.stuck else "still running"
    return OK


def _task_record(built: Built, task: Task, ending: Ending) -> TaskRecord:
    row = built.kernel.task[task.tid]
    if row[t.T_EXIT] != 0:
        vmas, locked, rss = (int(row[column]) for column in (t.T_VMAS, t.T_LOCKED, t.T_RSS))
    else:
        mm = built.kernel.mm[row[t.T_MM]]
        vmas, locked = int(mm[MM_MAP_COUNT]), int(mm[MM_LOCKED_VM])
        rss = int(mm[[MM_FILEPAGES, MM_ANONPAGES, MM_SHMEMPAGES]].sum())
    counters = {name: int(row[column]) for name, column in TASK_COUNTERS.items()}
    ledger = _ledger(built.kernel.task_led[task.tid])
    how = DAEMON if task.daemon else _exit(row, ending)
    return TaskRecord(task.name, task.tid, how, locked, rss, vmas, counters, ledger)


def _phase_records(built: Built) -> tuple[PhaseRecord, ...]:
    daemons = {task.name for task in _all_tasks(built) if task.daemon}
    return tuple(
        PhaseRecord(p.task, p.phase, p.start_ns, p.end_ns, p.elapsed_ns, p.complete, p.counters, p.ledger)
        for p in built.machine.phase_results()
        if p.task not in daemons
    )


def _proc_records(built: Built, ending: Ending) -> tuple[ProcRecord, ...]:
    """What `show` steps kept, and the kernel's log at the end, if it says anything."""
    kept = [ProcRecord(shown.task, shown.t_ns, shown.file, shown.text) for shown in built.shown]
    if built.dmesg.lines:
        kept.append(ProcRecord(THE_KERNEL, ending.now_ns, DMESG, built.dmesg.text()))
    for number, source in enumerate(built.assembly.traces, 1):
        if isinstance(source, LogSource):
            kept.append(ProcRecord(source.task, ending.now_ns, "strace", _log_text(source, built.kernel.stream[number])))
    return tuple(kept)


def _log_text(source: LogSource, row: NDArray[np.int64]) -> str:
    """What became of a log of calls that was carried out as a program."""
    facts = source.facts()
    calls, differ, lost = (int(row[column]) for column in (ST_CALLS, ST_DIFFER, ST_LOST))
    lines = [
        f"{Path(source.request.path).name}: {facts.processes} processes, {facts.calls} memory calls; "
        f"{facts.skipped.total()} other calls skipped",
        f"{calls} calls carried out, {differ} answered otherwise than in the log",
    ]
    if lost:
        lines.append(f"{lost} steps of tasks that had died here")
    lines += [f"assumed: {count} {what}" for what, count in sorted(facts.assumed.items())]
    lines += [f"left out: {count} by the rule '{rule}': {RULES[rule]}" for rule, count in sorted(facts.left_out.items())]
    return "\n".join(lines) + "\n"


def _latencies(built: Built) -> tuple[LatencyRecord, ...]:
    """Histograms by task and kind of access, empty ones left out."""
    records = []
    for task in _all_tasks(built):
        for kind, name in enumerate(t.KIND_NAMES):
            counts = built.kernel.hist[task.tid * t.NR_KINDS + kind]
            used = np.flatnonzero(counts).tolist()
            if used:
                bounds = [bucket_bounds(bucket) for bucket in used]
                low, high = tuple(int(b[0]) for b in bounds), tuple(int(b[1]) for b in bounds)
                records.append(LatencyRecord(task.name, name, low, high, tuple(counts[used].tolist())))
    return tuple(records)


def _series(built: Built) -> tuple[SeriesRecord, ...]:
    series = built.machine.series
    if series is None:
        return ()
    return tuple(SeriesRecord(name, tuple(series.t_ns), tuple(series.column(name))) for name in series.names)


def sequence_hashes(built: Built) -> Mapping[str, str]:
    """FNV-1a of the accesses that each xorshift64 pattern drew, 16 hexadecimal digits, by the name of its stream."""
    hashes = {}
    for number, use in enumerate(built.assembly.patterns, start=1):
        row = built.kernel.pattern[number]
        if row[PAT_HASH_ON]:
            hashes[use.stream] = f"{int(row[PAT_HASH]) & ((1 << 64) - 1):016x}"
    return hashes
