"""One run in full: the division of time, the counters of its phases and tasks, and /proc/vmstat, under the kernel's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vmsim.errors import VmsimError
from vmsim.experiment.record import RunResult
from vmsim.experiment.store import Results
from vmsim.report.compare import phases_of, rows_with_runs
from vmsim.report.table import laid_out
from vmsim.units import NS_PER_MS, format_duration

Columns = Sequence[tuple[str, Mapping[str, int]]]


def overview_text(results: Results) -> str:
    """The rows of a result directory: how many runs each has, how they ended, simulated time and the host's."""
    rows = []
    for row, runs in rows_with_runs(results):
        stopped = next((run.stopped_by for run in runs if run.stopped_by), "ok")
        simulated = format_duration(sum(run.sim_ns for run in runs) / len(runs))
        host = f"{sum(run.wall_s for run in runs) / len(runs):.2f} s"
        rows.append((row.row_name, row.row_id, str(len(runs)), stopped, simulated, host))
    heads = ("row", "id", "runs", "ended", "simulated", "host")
    about = (
        f"{results.sweep.title}: {results.sweep.experiment}, vmsim {results.sweep.version}, seed {results.sweep.seed}"
    )
    return "\n".join([about, "", *laid_out(heads, rows, left=2)]) + "\n"


def run_text(run: RunResult) -> str:
    """Everything that one run left behind, apart from histograms and series."""
    phases = [(label, phase.ledger) for label, phase in phases_of(run).items()]
    owners = [
        *phases,
        *((task.task, task.ledger) for task in run.tasks),
        *((f"cpu{cpu.cpu}", cpu.ledger) for cpu in run.cpus),
    ]
    counted = [(label, phase.counters) for label, phase in phases_of(run).items()]
    text = [
        f"{run.row_id}: {run.row_name}",
        f"seed {run.seed_index} of base {run.seed}: {run.stopped_by or run.status}, "
        f"simulated {format_duration(run.sim_ns)} in {run.wall_s:.2f} s",
        f"result {run.result_hash}",
        "",
        *_matrix("time in ms", owners, lambda ns: f"{ns / NS_PER_MS:,.6f}", total=True),
        "",
        *_matrix(
            "counter", [*counted, *((task.task, task.counters) for task in run.tasks)], lambda value: f"{value:,}"
        ),
        "",
        *_tasks(run),
        "",
        *_kept(run),
        *_dmesg(run),
        "/proc/vmstat",
        *(f"{name} {value}" for name, value in run.vmstat.items() if value),
    ]
    return "\n".join(text) + "\n"


def _matrix(head: str, columns: Columns, told: Callable[[int], str], total: bool = False) -> list[str]:
    names = [
        name
        for name in dict.fromkeys(name for _, column in columns for name in column)
        if any(c.get(name) for _, c in columns)
    ]
    rows = [(name, *(told(column[name]) if column.get(name) else "-" for _, column in columns)) for name in names]
    if total:
        rows.append(("total", *(told(sum(column.values())) for _, column in columns)))
    return laid_out((head, *(label for label, _ in columns)), rows, left=1)


def _kept(run: RunResult) -> list[str]:
    """The texts that `show` steps kept, by name; `proc_text` prints them."""
    if not run.proc:
        return []
    rows = [(shown.file, shown.task, f"{shown.t_ns / NS_PER_MS:,.6f}", str(shown.text.count("\n"))) for shown in run.proc]
    return [*laid_out(("/proc kept (show --proc FILE)", "task", "at, ms", "lines"), rows, left=2), ""]


def _dmesg(run: RunResult) -> list[str]:
    """What the kernel's log says of tasks that died; `proc_text` prints all of it."""
    lines = run.dmesg.splitlines()
    told = [line for line in lines if any(word in line for word in ("ill process", "illed process", "segfault", "panic"))]
    return [f"dmesg ({len(lines)} lines: show --proc dmesg)", *told, ""] if lines else []


def proc_text(run: RunResult, file: str) -> str:
    """What `show` steps kept of one file of /proc, in the order of time. Raises VmsimError if there is nothing."""
    found = [shown for shown in run.proc if shown.file == file]
    if not found:
        known = tuple(dict.fromkeys(shown.file for shown in run.proc))
        raise VmsimError(f"no `show` step kept {file!r}; kept: {', '.join(known) or 'nothing'}")
    head = "==> {0.file} of {0.task} at {0.t_ns} ns <==\n"
    return "\n".join((head.format(shown) if len(found) > 1 else "") + shown.text for shown in found)


def _tasks(run: RunResult) -> list[str]:
    heads = ("task", "tid", "ended", "VmRSS", "VmLck", "VMAs")
    kb = run.page_size_bytes // 1024
    rows = [
        (t.task, str(t.tid), t.exit, f"{t.vm_rss_pages * kb:,} kB", f"{t.vm_lck_pages * kb:,} kB", f"{t.vma_count:,}")
        for t in run.tasks
    ]
    return laid_out(heads, rows, left=1)
