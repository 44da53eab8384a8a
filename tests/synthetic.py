"""Results as a simulation would give them, made up: shapes and magnitudes of the lock-on-fault experiment, no model behind them."""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vmsim.experiment.record import (
    CpuRecord,
    LatencyRecord,
    PhaseRecord,
    Published,
    RowRecord,
    RunResult,
    SeriesRecord,
    SweepRecord,
    TaskRecord,
)

MS = 1_000_000
ACCESSES = 15_000_000
PAGES = 1_310_720

# id, name, published setup and processing (ms), simulated ones (ms), signals
ROWS: tuple[tuple[str, str, float | None, float | None, float, float, int], ...] = (
    ("mlock", "mlock of the whole range", 8228.666, 8274.257, 8201.2, 8312.4, 0),
    ("mlock-each", "mlock of the page before each access", 0.113, 90993.552, 0.061, 92011.7, 0),
    (
        "batch-1-default",
        "PROT_NONE + SIGSEGV handler, batch of 1 page, default max_map_count",
        None,
        None,
        0.058,
        1700.0,
        33_597,
    ),
    (
        "batch-1",
        "PROT_NONE + SIGSEGV handler, batch of 1 page, max_map_count raised",
        0.058,
        69488.073,
        0.058,
        67312.1,
        1_310_701,
    ),
    ("batch-8", "PROT_NONE + SIGSEGV handler, batch of 8 pages", 0.068, 38204.116, 0.058, 38511.0, 309_463),
    ("batch-16", "PROT_NONE + SIGSEGV handler, batch of 16 pages", 0.044, 29671.180, 0.058, 31488.5, 183_344),
    ("onfault", "mlock2(MLOCK_ONFAULT) of the whole range", 0.189, 17904.899, 0.190, 17801.3, 0),
    ("plain", "mmap alone, nothing locked", None, None, 0.056, 17655.0, 0),
)
_SHARES = {
    "user": 4,
    "tlb": 2,
    "walk": 20,
    "trap": 9,
    "fault": 22,
    "zero": 1,
    "copy": 17,
    "syscall": 12,
    "vma": 9,
    "signal": 6,
    "ipi": 1,
}


def divided(total_ns: int, shares: Mapping[str, int]) -> dict[str, int]:
    """`total_ns` divided by shares into integers that sum to it exactly."""
    whole = sum(shares.values())
    parts = {name: total_ns * share // whole for name, share in shares.items()}
    first = next(iter(parts))
    parts[first] += total_ns - sum(parts.values())
    return parts


def histogram(task: str, kind: str, centre_ns: int, width: float, count: int) -> LatencyRecord:
    """A log-normal histogram with buckets of 1 %."""
    steps = range(-60, 61)
    weights = [math.exp(-0.5 * (step / 20) ** 2) for step in steps]
    edges = sorted({max(1, round(centre_ns * (1 + width / 20) ** step)) for step in steps})
    counts = [round(count * weight / sum(weights)) for weight in weights][: len(edges)]
    kept = [(low, high - 1, n) for low, high, n in zip(edges, [*edges[1:], edges[-1] + 2], counts, strict=True) if n]
    low, high, number = zip(*kept, strict=True)
    return LatencyRecord(task, kind, low, high, number)


def run(row_id: str = "mlock", seed_index: int = 0, **changes: Any) -> RunResult:
    """One run of a row of `ROWS`; `changes` replaces fields."""
    _, name, _, _, setup_ms, processing_ms, signals = next(row for row in ROWS if row[0] == row_id)
    noise = random.Random(f"{row_id} {seed_index}")
    setup_ns = round(setup_ms * MS * noise.uniform(0.995, 1.005))
    processing_ns = round(processing_ms * MS * noise.uniform(0.99, 1.01))
    stopped = "mprotect: ENOMEM" if row_id == "batch-1-default" else None
    shares = {
        **_SHARES,
        "signal": 30 if signals else 0,
        "vma": 25 if signals else 1,
        "syscall": 60 if "each" in row_id else 5,
    }
    reader = {
        "nr_signals": signals,
        "ru_minflt": 81_995 + 7 * seed_index,
        "ru_majflt": 0,
        "accesses": ACCESSES,
        "syscalls": 2 * signals + 1,
    }
    setup = PhaseRecord(
        "reader",
        "setup",
        0,
        setup_ns,
        setup_ns,
        True,
        {"syscalls": 2},
        divided(setup_ns, {"syscall": 3, "copy": 6, "zero": 1}),
    )
    end_ns = setup_ns + processing_ns
    processing = PhaseRecord(
        "reader", "processing", setup_ns, end_ns, processing_ns, stopped is None, reader, divided(processing_ns, shares)
    )
    ledger = {
        name: setup.ledger.get(name, 0) + processing.ledger.get(name, 0)
        for name in {**setup.ledger, **processing.ledger}
    }
    held = PAGES if "batch" not in row_id else PAGES - 19
    task = TaskRecord(
        "reader", 1, stopped or "ok", held if row_id != "plain" else 0, held, 18 + min(65_000, signals), reader, ledger
    )
    times = tuple(range(0, end_ns, max(1, end_ns // 60)))
    values: dict[str, Any] = {
        "row_id": row_id,
        "row_name": name,
        "seed_index": seed_index,
        "seed": 1,
        "status": "failed" if stopped else "ok",
        "stopped_by": stopped,
        "sim_ns": end_ns,
        "wall_s": 1.25,
        "page_size_bytes": 4096,
        "phases": (setup, processing),
        "tasks": (task,),
        "cpus": (CpuRecord(0, ledger), CpuRecord(1, {"idle": end_ns})),
        "vmstat": {"pgfault": 81_995, "pgmajfault": 0, "nr_mlock": held, "pgpgin": 0},
        "latency": (
            histogram("reader", "walk", 70, 0.4, ACCESSES - PAGES),
            histogram("reader", "minor", 900 if not signals else 40_000, 0.9, PAGES),
            *((histogram("reader", "major", 90_000, 0.5, 2_000),) if row_id == "mlock" else ()),
        ),
        "series": (
            SeriesRecord("pgfault", times, tuple(round(81_995 * (1 - math.exp(-4 * t / end_ns))) for t in times)),
            SeriesRecord("nr_mlock", times, tuple(round(held * (1 - math.exp(-5 * t / end_ns))) for t in times)),
        ),
    }
    return RunResult(**{**values, **changes})


def sweep(**changes: Any) -> SweepRecord:
    """The experiment of `ROWS` with its published values."""
    rows = []
    for row_id, name, setup, processing, _, _, signals in ROWS:
        published = {}
        if setup is not None and processing is not None:
            published = {"setup": Published(round(setup * MS)), "processing": Published(round(processing * MS))}
        if row_id == "batch-1-default":
            published = {"processing": Published(fails="ENOMEM", call="mprotect")}
        kind = {
            "setup": "fitted" if row_id == "mlock" else "predicted",
            "processing": "fitted" if row_id == "batch-1" else "predicted",
        }
        facts = {"signals": signals} if signals else {}
        rows.append(RowRecord(row_id, name, f"hash of {row_id}", published, kind, {"setup": (50.0, 100.0)}, facts))
    values: dict[str, Any] = {
        "title": "Lock on fault",
        "description": "Five GiB, 15 million accesses.",
        "experiment": "lock-on-fault",
        "version": "0.1.0",
        "model": "0123456789abcdef",
        "seed": 1,
        "rows": tuple(rows),
        "spec": {row.row_id: {"machine": "lock-on-fault-2015", "fraction": 0.5} for row in rows},
    }
    return SweepRecord(**{**values, **changes})


def all_runs(seeds: int = 2) -> list[RunResult]:
    """Every row of `ROWS` under so many seeds."""
    return [run(row[0], seed) for row in ROWS for seed in range(seeds)]


def write_results(directory: Path, seeds: int = 2, keep: Callable[[RunResult], bool] = lambda run: True) -> Path:
    """A finished result directory of `all_runs`."""
    from vmsim.experiment.store import open_store

    with open_store(directory, sweep()) as store:
        for result in all_runs(seeds):
            if keep(result):
                store.save(result)
    return directory


def simulate(job: Any, progress: Callable[[int, float | None], None]) -> RunResult:
    """Stands in for the simulation; `job.run` is a row id, or what to do first: raise, refuse, `die` or `hang DIR` (only in
    a process of its own), `slow ROW`, `mark DIR` (slowly; each process that makes runs leaves a file named by its pid)."""
    from vmsim.errors import VmsimError

    kind, _, rest = str(job.run).partition(" ")
    beside = multiprocessing.parent_process() is not None
    if kind == "raise":
        raise ZeroDivisionError(f"seed {job.seed_index}")
    if kind == "refuse":
        raise VmsimError("no such device")
    if kind in ("hang", "mark"):
        (Path(rest) / str(os.getpid())).touch()
    if kind == "hang" and beside:
        time.sleep(60)
    for step in range(0 if kind in (row[0] for row in ROWS) else 10):
        time.sleep(0.02)
        progress(step * MS, step / 10)
    if kind == "die" and beside:
        os._exit(9)
    return run(rest if kind == "slow" else kind if kind in (row[0] for row in ROWS) else "plain", job.seed_index)
