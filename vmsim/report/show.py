"""One run in full: the division of time, the counters of its phases and tasks, and /proc/vmstat, under the kernel's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vmsim.errors import VmsimError
from vmsim.experiment.record import RunResult
from vmsim.experiment.store import Results
from vmsim.report.compare import PERCENTILES, percentile, phases_of, rows_with_runs
from vmsim.report.table import laid_out
from vmsim.units import NS_PER_MS, NS_PER_S, format_duration

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
    """Everything that one run left behind, apart from series; histograms as percentiles."""
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
        *_latencies(run),
        *_devices(run),
        *_reclaim(run),
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


def _duration(ns: float) -> str:
    return format_duration(ns).replace("us", "µs")


def _percentiles(high_ns: Sequence[int], count: Sequence[int]) -> tuple[str, ...]:
    counts = dict(zip(high_ns, count, strict=True))
    return tuple(_duration(percentile(counts, share)) for share in PERCENTILES)


_PERCENT_HEADS = tuple(f"p{share:g}" for share in PERCENTILES)


def _latencies(run: RunResult) -> list[str]:
    """How long accesses took, by task and by how they were served."""
    if not run.latency:
        return []
    rows = [
        (kept.kind, kept.task, f"{sum(kept.count):,}", *_percentiles(kept.high_ns, kept.count), _duration(max(kept.high_ns)))
        for kept in run.latency
    ]
    return [*laid_out(("latency of accesses", "task", "count", *_PERCENT_HEADS, "max"), rows, left=2), ""]


def _devices(run: RunResult) -> list[str]:
    """What block devices did: `queue` is the mean number of requests in the device and before it."""
    if not run.devices:
        return []
    rows = []
    for done in run.devices:
        sizes = (f"{done.requests:,}", f"{done.bios:,}", f"{done.nbytes / 1024:,.0f} kB", f"{done.errors:,}")
        rate = f"{done.nbytes * NS_PER_S / run.sim_ns / 1e6:,.2f}" if run.sim_ns else "-"
        load = (rate, f"{done.latency_ns / max(1, run.sim_ns):.3f}", f"{100 * done.busy_ns / max(1, run.sim_ns):.1f} %")
        times = (_duration(done.latency_ns / done.requests), _duration(done.service_ns / done.requests))
        rows.append((done.device, done.direction, *sizes, *load, *times, *_percentiles(done.high_ns, done.count)[::2]))
    heads = ("device", "", "requests", "bios", "moved", "errors", "MB/s", "queue", "busy", "latency", "service", "p50", "p99", "p99.99")
    return [*laid_out(heads, rows, left=2), ""]


def _reclaim(run: RunResult) -> list[str]:
    """Whose pages each reclaimer freed: a line a reclaimer, a column an owner."""
    if not run.reclaim:
        return []
    owners = list(dict.fromkeys((freed.kind, freed.of) for freed in run.reclaim))
    freed = {(one.by, one.kind, one.of): one.pages for one in run.reclaim}
    heads = [of if kind == "task" else f"file {of}" if kind == "file" else "nobody's" for kind, of in owners]
    rows = [
        (by, *(f"{freed[by, *owner]:,}" if (by, *owner) in freed else "-" for owner in owners), f"{_freed_by(run, by):,}")
        for by in dict.fromkeys(one.by for one in run.reclaim)
    ]
    return [*laid_out(("pages reclaimed by", *(f"of {head}" for head in heads), "total"), rows, left=1), ""]


def _freed_by(run: RunResult, by: str) -> int:
    return sum(one.pages for one in run.reclaim if one.by == by)


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
