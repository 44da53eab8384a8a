"""What one run and one sweep leave behind, as frozen records: the only thing that results, tables and plots are made of.

Everything simulated is an integer (nanoseconds, pages, counts) or a name, so that a result has one canonical text and one
hash on every machine.  The hash leaves out who the run was (row, seed) and how long the host took: it says what happened.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any

FORMAT = "vmsim-results"
SCHEMA_VERSION = 1
OK = "ok"
DAEMON = "daemon"  # exit of a thread of the kernel, which never ends
THE_KERNEL = "kernel"  # whose the kernel's log is, among the texts of tasks
FAILED = "failed"


@dataclass(frozen=True)
class PhaseRecord:
    """One named phase of one task, summed over its passes; `complete` is false where the task ended inside it.

    `ledger` divides `elapsed_ns` among its owners to the nanosecond; `counters` holds what was counted within the phase.
    """

    task: str
    phase: str
    start_ns: int
    end_ns: int
    elapsed_ns: int
    complete: bool
    counters: Mapping[str, int]
    ledger: Mapping[str, int]


@dataclass(frozen=True)
class TaskRecord:
    """One task over its whole life: how it ended (`ok`, or such as `mprotect: ENOMEM`), and its memory just before it did."""

    task: str
    tid: int
    exit: str
    vm_lck_pages: int
    vm_rss_pages: int
    vma_count: int
    counters: Mapping[str, int]
    ledger: Mapping[str, int]


@dataclass(frozen=True)
class CpuRecord:
    """One CPU: what its simulated time was spent on, in nanoseconds; the sum is the simulated time of the run."""

    cpu: int
    ledger: Mapping[str, int]


@dataclass(frozen=True)
class LatencyRecord:
    """Histogram of the latency of one task's accesses of one kind: `count[i]` lie in [`low_ns[i]`, `high_ns[i]`]."""

    task: str
    kind: str
    low_ns: tuple[int, ...]
    high_ns: tuple[int, ...]
    count: tuple[int, ...]


@dataclass(frozen=True)
class SeriesRecord:
    """One counter over simulated time: `value[i]` at `t_ns[i]`."""

    counter: str
    t_ns: tuple[int, ...]
    value: tuple[int, ...]


@dataclass(frozen=True)
class DeviceRecord:
    """What a device did in one direction (`read` or `write`): requests, the bios merged into them, bytes, bios that failed.

    `latency_ns` sums the times from arrival to completion, so that over the run's time it is the mean number of requests in
    the device and its queue; `service_ns` sums those from the start of service. `busy_ns` is the time with at least one request,
    of either direction. `count[i]` requests had a latency in [`low_ns[i]`, `high_ns[i]`].
    """

    device: str
    direction: str
    requests: int
    bios: int
    nbytes: int
    errors: int
    latency_ns: int
    latency_max_ns: int
    service_ns: int
    busy_ns: int
    low_ns: tuple[int, ...]
    high_ns: tuple[int, ...]
    count: tuple[int, ...]


@dataclass(frozen=True)
class ReclaimRecord:
    """Pages that reclaim freed: the task that ran it, and whose they were: a `task`'s (memory), a `file`'s (page cache), or `nobody`'s.

    Nobody's are pages of the swap cache that were read ahead and not used, and those of memory files on their way to swap.
    """

    by: str
    kind: str
    of: str
    pages: int


@dataclass(frozen=True)
class ProcRecord:
    """One text of /proc that a `show` step kept: whose, at which simulated time, the file's name, its text.

    The whole log of the kernel, at the end of the run, is `dmesg` of THE_KERNEL; it is there if it has any lines.
    """

    task: str
    t_ns: int
    file: str
    text: str


@dataclass(frozen=True)
class RunResult:
    """One run: a row of an experiment under one seed.

    `status` is `failed` where a task was stopped by something its program did not expect, and `stopped_by` says by what
    (`mprotect: ENOMEM`).  `seed` is the experiment's base seed, `seed_index` the number of the run under it.  `wall_s` is
    the host's time and no part of the hash.  Names are unique within a run: of tasks, of a task's phases, of CPUs, of a
    task's latency kinds, of series.  Histograms and series without entries are as good as absent.
    """

    row_id: str
    row_name: str
    seed_index: int
    seed: int
    status: str
    stopped_by: str | None
    sim_ns: int
    wall_s: float
    page_size_bytes: int
    phases: tuple[PhaseRecord, ...]
    tasks: tuple[TaskRecord, ...]
    cpus: tuple[CpuRecord, ...]
    vmstat: Mapping[str, int]
    latency: tuple[LatencyRecord, ...] = ()
    series: tuple[SeriesRecord, ...] = ()
    proc: tuple[ProcRecord, ...] = ()
    devices: tuple[DeviceRecord, ...] = ()
    reclaim: tuple[ReclaimRecord, ...] = ()

    @property
    def dmesg(self) -> str:
        """The kernel's log at the end of the run; empty if it has no lines."""
        return next((kept.text for kept in self.proc if kept.task == THE_KERNEL and kept.file == "dmesg"), "")

    @cached_property
    def result_hash(self) -> str:
        """SHA-256 (hexadecimal) of `canonical(self)`. Raises TypeError if something simulated is not an integer."""
        return hashlib.sha256(canonical(self)).hexdigest()


@dataclass(frozen=True)
class Published:
    """What a publication says of one phase: a time, or that it failed (`fails` an errno name, `call` the system call)."""

    ns: int | None = None
    fails: str | None = None
    call: str | None = None


@dataclass(frozen=True)
class RowRecord:
    """One row of an experiment: its identity, the hash of its resolved spec, and what is published about it.

    `published`, `kind` (`fitted` or `predicted`) and `tolerance` are by phase; `facts` are stated counts by name.
    A tolerance is a pair of percentages: how far below and how far above the published value still counts as agreement.
    `at` is its place on the axes of a sweep, `line` the curve it belongs to.
    """

    row_id: str
    row_name: str
    spec_hash: str
    published: Mapping[str, Published] = field(default_factory=dict)
    kind: Mapping[str, str] = field(default_factory=dict)
    tolerance: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    facts: Mapping[str, int] = field(default_factory=dict)
    at: Mapping[str, str] = field(default_factory=dict)
    line: str = ""


@dataclass(frozen=True)
class Curves:
    """What the plot `curves` shows: the axis (empty: the first), a panel for each of `y` (none: the phases), and marks by text."""

    x: str = ""
    y: tuple[str, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SweepRecord:
    """The experiment that a result directory belongs to; `spec` is the resolved spec of each row as plain JSON data.

    `version` is vmsim's, `model` a fingerprint of the sources that decide what a run gives: results of one model are
    never continued by another.
    """

    title: str
    description: str
    experiment: str
    version: str
    model: str
    seed: int
    rows: tuple[RowRecord, ...]
    plots: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)
    curves: Curves = field(default_factory=Curves)

    def row(self, row_id: str) -> RowRecord | None:
        """The row of that id, or None."""
        return next((row for row in self.rows if row.row_id == row_id), None)


_IDENTITY = frozenset({"row_id", "row_name", "seed_index", "seed", "wall_s"})


def plain(value: Any) -> Any:
    """Records as JSON data: dataclasses and mappings as dicts, sequences as lists, every number an int.

    Raises TypeError for a float or anything else that has no exact text.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return operator.index(value)


def _text(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def canonical(result: RunResult) -> bytes:
    """The one text of everything simulated in a run: JSON with sorted keys, no spaces, integers only."""
    data = {f.name: plain(getattr(result, f.name)) for f in fields(result) if f.name not in _IDENTITY}
    data["latency"] = [histogram for histogram in data["latency"] if histogram["count"]]
    data["series"] = [series for series in data["series"] if series["t_ns"]]
    for name in ("proc", "devices", "reclaim"):
        if not data[name]:
            del data[name]
    return _text(data)


def run_to_json(result: RunResult) -> dict[str, Any]:
    """A run as JSON data, with its hash."""
    data = {f.name: plain(getattr(result, f.name)) for f in fields(result) if f.name != "wall_s"}
    return {**data, "wall_s": float(result.wall_s), "result_hash": result.result_hash}


def run_from_json(data: Mapping[str, Any]) -> RunResult:
    """The run that `run_to_json` wrote. Raises ValueError if its hash is not the stored one, KeyError or TypeError if malformed."""
    known = {name: value for name, value in data.items() if name != "result_hash"}
    known["phases"] = tuple(PhaseRecord(**phase) for phase in data["phases"])
    known["tasks"] = tuple(TaskRecord(**task) for task in data["tasks"])
    known["cpus"] = tuple(CpuRecord(**cpu) for cpu in data["cpus"])
    known["latency"] = tuple(LatencyRecord(**_tupled(item)) for item in data["latency"])
    known["series"] = tuple(SeriesRecord(**_tupled(item)) for item in data["series"])
    known["proc"] = tuple(ProcRecord(**item) for item in data.get("proc", ()))
    known["devices"] = tuple(DeviceRecord(**_tupled(item)) for item in data.get("devices", ()))
    known["reclaim"] = tuple(ReclaimRecord(**item) for item in data.get("reclaim", ()))
    result = RunResult(**known)
    if result.result_hash != data["result_hash"]:
        raise ValueError("its content does not match its hash")
    return result


def _tupled(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in item.items()}


def sweep_to_json(sweep: SweepRecord) -> dict[str, Any]:
    """A sweep as JSON data; tolerances are percentages, everything else as in `plain`."""
    rows = []
    for row in sweep.rows:
        data = {f.name: plain(getattr(row, f.name)) for f in fields(row) if f.name != "tolerance"}
        rows.append({**data, "tolerance": {phase: list(limits) for phase, limits in row.tolerance.items()}})
    kept = {f.name: plain(getattr(sweep, f.name)) for f in fields(sweep) if f.name not in ("rows", "spec")}
    return {**kept, "rows": rows, "spec": dict(sweep.spec)}


def sweep_from_json(data: Mapping[str, Any]) -> SweepRecord:
    """The sweep that `sweep_to_json` wrote. Raises KeyError or TypeError if malformed."""
    rows = []
    for row in data["rows"]:
        published = {phase: Published(**value) for phase, value in row["published"].items()}
        tolerance = {phase: (float(low), float(high)) for phase, (low, high) in row["tolerance"].items()}
        rows.append(RowRecord(**{**row, "published": published, "tolerance": tolerance}))
    tupled = {name: tuple(data[name]) for name in ("plots", "overrides")}
    curves = Curves(**_tupled(data.get("curves", {})))
    return SweepRecord(**{**data, **tupled, "rows": tuple(rows), "curves": curves})


def spec_hash(data: Any) -> str:
    """SHA-256 (hexadecimal) of JSON data with sorted keys: the identity of a resolved spec."""
    return hashlib.sha256(_text(data)).hexdigest()
