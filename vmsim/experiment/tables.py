"""Runs as typed Arrow tables, one file each in a result directory, and back again without loss.

Every table is keyed by (`row_id`, `seed_index`).  The unit of a column stands in its field metadata under `unit`; times are
64-bit nanoseconds.  Within a run the rows of a table keep the order of the record they came from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from vmsim.experiment.record import (
    FORMAT,
    SCHEMA_VERSION,
    CpuRecord,
    DeviceRecord,
    LatencyRecord,
    PhaseRecord,
    ProcRecord,
    ReclaimRecord,
    RunResult,
    SeriesRecord,
    TaskRecord,
)

Key = tuple[str, int]

_TYPES = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
_KEY = "row_id:str seed_index:int "
# One word a column: name:type or name:type:unit; a trailing ? allows null.
_COLUMNS = {
    "runs": _KEY
    + "row_name:str seed:int status:str stopped_by:str? sim_ns:int:ns wall_s:float:s page_size_bytes:int:bytes result_hash:str",
    "phases": _KEY + "task:str phase:str start_ns:int:ns end_ns:int:ns elapsed_ns:int:ns complete:bool",
    "tasks": _KEY + "task:str tid:int exit:str vm_lck_pages:int:pages vm_rss_pages:int:pages vma_count:int:count",
    "ledger": _KEY + "scope:str owner:str phase:str? category:str time_ns:int:ns",
    "counters": _KEY + "scope:str owner:str phase:str? counter:str value:int:count",
    "vmstat": _KEY + "counter:str value:int:count",
    "latency": _KEY + "task:str kind:str low_ns:int:ns high_ns:int:ns count:int:count",
    "series": _KEY + "counter:str t_ns:int:ns value:int:count",
    "proc": _KEY + "task:str t_ns:int:ns file:str text:str",
    "devices": _KEY
    + "device:str direction:str requests:int:count bios:int:count nbytes:int:bytes errors:int:count latency_ns:int:ns "
    + "latency_max_ns:int:ns service_ns:int:ns busy_ns:int:ns",
    "io_latency": _KEY + "device:str direction:str low_ns:int:ns high_ns:int:ns count:int:count",
    "reclaim": _KEY + "by:str kind:str of:str pages:int:pages",
}
TABLES = tuple(_COLUMNS)


def _field(word: str) -> pa.Field:
    name, kind, *unit = word.rstrip("?").split(":")
    metadata = {"unit": unit[0]} if unit else None
    return pa.field(name, _TYPES[kind], nullable=word.endswith("?"), metadata=metadata)


def schema(name: str) -> pa.Schema:
    """The columns of a table, with the format's name and version in the schema's metadata."""
    metadata = {"format": FORMAT, "schema_version": str(SCHEMA_VERSION), "table": name}
    return pa.schema([_field(word) for word in _COLUMNS[name].split()], metadata=metadata)


def to_tables(runs: Sequence[RunResult]) -> dict[str, pa.Table]:
    """All tables of these runs, in their order."""
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
    for run in runs:
        _append(rows, run)
    tables = {}
    for name in TABLES:
        columns = list(zip(*rows[name], strict=True)) if rows[name] else [()] * len(schema(name))
        tables[name] = pa.table(
            [pa.array(c, f.type) for c, f in zip(columns, schema(name), strict=True)], schema=schema(name)
        )
    return tables


def _append(rows: dict[str, list[tuple[Any, ...]]], run: RunResult) -> None:
    key = (run.row_id, run.seed_index)
    identity = (run.row_name, run.seed, run.status, run.stopped_by)
    rows["runs"].append((*key, *identity, run.sim_ns, run.wall_s, run.page_size_bytes, run.result_hash))
    owned: list[tuple[str, str, str | None, Mapping[str, int], Mapping[str, int]]] = []
    for p in run.phases:
        rows["phases"].append((*key, p.task, p.phase, p.start_ns, p.end_ns, p.elapsed_ns, p.complete))
        owned.append(("phase", p.task, p.phase, p.ledger, p.counters))
    for t in run.tasks:
        rows["tasks"].append((*key, t.task, t.tid, t.exit, t.vm_lck_pages, t.vm_rss_pages, t.vma_count))
        owned.append(("task", t.task, None, t.ledger, t.counters))
    owned.extend(("cpu", str(c.cpu), None, c.ledger, {}) for c in run.cpus)
    for scope, owner, phase, ledger, counters in owned:
        rows["ledger"].extend((*key, scope, owner, phase, name, ns) for name, ns in ledger.items())
        rows["counters"].extend((*key, scope, owner, phase, name, value) for name, value in counters.items())
    rows["vmstat"].extend((*key, name, value) for name, value in run.vmstat.items())
    for h in run.latency:
        rows["latency"].extend(
            (*key, h.task, h.kind, *bucket) for bucket in zip(h.low_ns, h.high_ns, h.count, strict=True)
        )
    for s in run.series:
        rows["series"].extend((*key, s.counter, t, value) for t, value in zip(s.t_ns, s.value, strict=True))
    rows["proc"].extend((*key, shown.task, shown.t_ns, shown.file, shown.text) for shown in run.proc)
    for d in run.devices:
        done = (d.requests, d.bios, d.nbytes, d.errors, d.latency_ns, d.latency_max_ns, d.service_ns, d.busy_ns)
        rows["devices"].append((*key, d.device, d.direction, *done))
        rows["io_latency"].extend((*key, d.device, d.direction, *bucket) for bucket in zip(d.low_ns, d.high_ns, d.count, strict=True))
    rows["reclaim"].extend((*key, r.by, r.kind, r.of, r.pages) for r in run.reclaim)


def from_tables(tables: Mapping[str, pa.Table]) -> list[RunResult]:
    """The runs of these tables, in the order of `runs`. Raises ValueError if one doesn't have the hash it was stored with."""
    grouped = {name: _grouped(tables[name]) for name in TABLES}
    return [_run(key, {name: grouped[name].get(key, []) for name in TABLES}) for key in grouped["runs"]]


def _grouped(table: pa.Table) -> dict[Key, list[tuple[Any, ...]]]:
    groups: dict[Key, list[tuple[Any, ...]]] = defaultdict(list)
    for row_id, seed_index, *rest in zip(*(column.to_pylist() for column in table.columns), strict=True):
        groups[row_id, seed_index].append(tuple(rest))
    return groups


Owner = tuple[str, str, str | None]


def _by_owner(rows: Iterable[tuple[Any, ...]]) -> dict[Owner, dict[str, int]]:
    owned: dict[Owner, dict[str, int]] = defaultdict(dict)
    for scope, owner, phase, name, value in rows:
        owned[scope, owner, phase][name] = value
    return owned


def _run(key: Key, rows: Mapping[str, list[tuple[Any, ...]]]) -> RunResult:
    row_name, seed, status, stopped_by, sim_ns, wall_s, page_size_bytes, result_hash = rows["runs"][0]
    ledger, counters = _by_owner(rows["ledger"]), _by_owner(rows["counters"])
    phases = (PhaseRecord(*(*p, counters["phase", p[0], p[1]], ledger["phase", p[0], p[1]])) for p in rows["phases"])
    tasks = (TaskRecord(*(*t, counters["task", t[0], None], ledger["task", t[0], None])) for t in rows["tasks"])
    cpus = (CpuRecord(int(owner), kept) for (scope, owner, _), kept in ledger.items() if scope == "cpu")
    latency: dict[tuple[str, str], list[tuple[int, int, int]]] = defaultdict(list)
    for task, kind, *bucket in rows["latency"]:
        latency[task, kind].append((bucket[0], bucket[1], bucket[2]))
    io_latency: dict[tuple[str, str], list[tuple[int, int, int]]] = defaultdict(list)
    for device, direction, *bucket in rows["io_latency"]:
        io_latency[device, direction].append((bucket[0], bucket[1], bucket[2]))
    series: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for counter, t_ns, value in rows["series"]:
        series[counter].append((t_ns, value))
    run = RunResult(
        row_id=key[0],
        row_name=row_name,
        seed_index=key[1],
        seed=seed,
        status=status,
        stopped_by=stopped_by,
        sim_ns=sim_ns,
        wall_s=wall_s,
        page_size_bytes=page_size_bytes,
        phases=tuple(phases),
        tasks=tuple(tasks),
        cpus=tuple(cpus),
        vmstat=dict(rows["vmstat"]),
        latency=tuple(LatencyRecord(*owner, *zip(*buckets, strict=True)) for owner, buckets in latency.items()),
        series=tuple(SeriesRecord(counter, *zip(*points, strict=True)) for counter, points in series.items()),
        proc=tuple(ProcRecord(*shown) for shown in rows["proc"]),
        devices=tuple(DeviceRecord(*done, *zip(*io_latency[done[0], done[1]], strict=True)) for done in rows["devices"]),
        reclaim=tuple(ReclaimRecord(*freed) for freed in rows["reclaim"]),
    )
    if run.result_hash != result_hash:
        raise ValueError(f"run {run.seed_index} of row {run.row_id!r} does not match its hash")
    return run
