"""The result directory: an index, typed tables, and until they are written a part for each finished run.

    run.json                      what was run: resolved spec, version, seeds, the hash of each run
    runs.parquet phases.parquet   one table a file, see `tables`
    parts/ROW.SEED.json           runs that finished since the tables were written

A run is saved as its own part as soon as it finishes, so an interrupted sweep goes on where it stopped.  `finish` folds the
parts into the tables; `runs.parquet` is written last and decides which rows of the other tables count, and parts come
before tables, so a reader finds every saved run whatever moment a writer was killed at.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vmsim.errors import VmsimError
from vmsim.experiment.files import TEMPORARY, DirectoryLock, write_text_whole, write_whole
from vmsim.experiment.record import (
    FORMAT,
    SCHEMA_VERSION,
    RunResult,
    SweepRecord,
    run_from_json,
    run_to_json,
    sweep_from_json,
    sweep_to_json,
)

if TYPE_CHECKING:
    import pyarrow as pa

INDEX = "run.json"
PARTS = "parts"
PLOTS = "plots"

Key = tuple[str, int]


@dataclass(frozen=True)
class Results:
    """What a result directory holds: the sweep and its runs, in the order of the sweep's rows, then by seed."""

    path: Path
    sweep: SweepRecord
    runs: tuple[RunResult, ...]

    def of_row(self, row_id: str) -> tuple[RunResult, ...]:
        """The runs of one row, by seed. Raises VmsimError if the directory has none."""
        runs = tuple(run for run in self.runs if run.row_id == row_id)
        if not runs:
            known = ", ".join(dict.fromkeys(run.row_id for run in self.runs)) or "none"
            raise VmsimError(f"{self.path} has no runs of a row {row_id!r}; rows with runs: {known}")
        return runs


def load_results(path: str | Path) -> Results:
    """Read a result directory, finished or interrupted. Raises VmsimError naming the file that is missing or unusable."""
    directory = Path(path)
    sweep = _read_index(directory)
    return Results(
        directory, sweep, tuple(in_order(sweep, {**_read_tables(directory), **_read_parts(directory)}.values()))
    )


class ResultStore:
    """A result directory open for writing; a context manager that folds the parts into tables at its end."""

    def __init__(self, path: Path, sweep: SweepRecord, lock: DirectoryLock, there: Mapping[Key, float]) -> None:
        self.path = path
        self.sweep = sweep
        self.there = dict(there)  # host seconds of each run that is saved, by (row_id, seed_index)
        self._lock = lock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.finish()
        finally:
            self._lock.release()

    def save(self, run: RunResult) -> None:
        """Save one finished run at once, whole or not at all. Raises VmsimError if the disk refuses."""
        if self.sweep.row(run.row_id) is None:
            raise ValueError(f"{run.row_id!r} is not a row of {self.sweep.title!r}")
        text = json.dumps(run_to_json(run), sort_keys=True, separators=(",", ":"))
        write_text_whole(self.path / PARTS / f"{run.row_id}.{run.seed_index}.json", text)
        self.there[run.row_id, run.seed_index] = run.wall_s

    def finish(self) -> None:
        """Fold the parts into the tables and list every run's hash in the index."""
        parts = _read_parts(self.path)
        if not parts:
            return
        from vmsim.experiment.tables import TABLES, to_tables

        runs = in_order(self.sweep, {**_read_tables(self.path), **parts}.values())
        tables = to_tables(runs)
        for name in sorted(TABLES, key=lambda name: name == "runs"):
            _write_table(self.path / f"{name}.parquet", tables[name])
        _write_index(self.path, self.sweep, runs)
        for row_id, seed_index in parts:
            (self.path / PARTS / f"{row_id}.{seed_index}.json").unlink(missing_ok=True)


def open_store(path: str | Path, sweep: SweepRecord, force: bool = False) -> ResultStore:
    """Open a directory for the runs of `sweep`: a new one, or one that holds runs of the same spec, which then are kept.

    With `force`, results that are there are replaced (files that are not vmsim's stay).  Raises VmsimError if the
    directory holds something else, results of another spec, seed or version, or is being written by another run.
    """
    directory = Path(path)
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return _create(directory, sweep)
    if not (directory / INDEX).exists():
        raise VmsimError(f"{directory} exists and is not a vmsim result directory (no {INDEX}); choose another --out")
    lock = DirectoryLock(directory)
    try:
        if force:
            store = _replace(directory, sweep)
            lock.release()
            return store
        there = {**_read_tables(directory), **_read_parts(directory)}
        _check_same(directory, _read_index(directory), sweep, there)
        for stale in (*directory.glob(f"{TEMPORARY}*"), *directory.glob(f"{PARTS}/{TEMPORARY}*")):
            stale.unlink(missing_ok=True)
        (directory / PARTS).mkdir(exist_ok=True)
        _write_index(directory, sweep, in_order(sweep, there.values()))
        return ResultStore(directory, sweep, lock, {key: run.wall_s for key, run in there.items()})
    except BaseException:
        lock.release()
        raise


def _create(directory: Path, sweep: SweepRecord) -> ResultStore:
    """A new directory, made under a hidden name and renamed, so that none is ever seen without its index."""
    hidden = _hidden_beside(directory)
    try:
        (hidden / PARTS).mkdir()
        _write_index(hidden, sweep, [])
        lock = DirectoryLock(hidden)
        os.rename(hidden, directory)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    return ResultStore(directory, sweep, lock, {})


def _replace(directory: Path, sweep: SweepRecord) -> ResultStore:
    """A new directory in the place of an old one; what the old one holds beside vmsim's own files moves over."""
    old = _hidden_beside(directory)
    os.rename(directory, old)
    try:
        store = _create(directory, sweep)
    except BaseException:
        os.rename(old, directory)
        raise
    for entry in old.iterdir():
        ours = entry.name in (INDEX, PARTS, PLOTS) or entry.suffix == ".parquet" or entry.name.startswith(".")
        if not ours:
            os.rename(entry, directory / entry.name)
    shutil.rmtree(old)
    return store


def _hidden_beside(directory: Path) -> Path:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=f".{directory.name}{TEMPORARY}", dir=directory.parent))
    except OSError as error:
        raise VmsimError(f"can't create {directory}: {error.strerror or error}") from error
    mask = os.umask(0o022)
    os.umask(mask)
    hidden.chmod(0o777 & ~mask)
    return hidden


def _check_same(directory: Path, held: SweepRecord, wanted: SweepRecord, there: Mapping[Key, Any]) -> None:
    """Raise VmsimError unless every run that is there would be simulated just so again."""
    changed = [row_id for row_id in dict.fromkeys(row_id for row_id, _ in there) if not _same_row(held, wanted, row_id)]
    if not there:
        return
    if held.model != wanted.model:
        reason = f"another version of vmsim ({held.version}, model {held.model[:8]}; this is {wanted.version}, {wanted.model[:8]})"
    elif held.seed != wanted.seed:
        reason = f"another base seed ({held.seed}, not {wanted.seed})"
    elif changed:
        reason = f"a different spec (changed or gone: row {', '.join(changed)})"
    else:
        return
    raise VmsimError(f"{directory} holds results of {reason}; choose another --out, or --force to replace them")


def _same_row(held: SweepRecord, wanted: SweepRecord, row_id: str) -> bool:
    old, new = held.row(row_id), wanted.row(row_id)
    return old is not None and new is not None and old.spec_hash == new.spec_hash


def _write_index(directory: Path, sweep: SweepRecord, runs: list[RunResult]) -> None:
    listed = [{"row_id": run.row_id, "seed_index": run.seed_index, "result_hash": run.result_hash} for run in runs]
    index = {"format": FORMAT, "schema_version": SCHEMA_VERSION, "sweep": sweep_to_json(sweep), "runs": listed}
    write_text_whole(directory / INDEX, json.dumps(index, indent=1) + "\n")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VmsimError(f"can't read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise VmsimError(f"{path} is damaged: {error}") from error


def _read_index(directory: Path) -> SweepRecord:
    path = directory / INDEX
    if not path.exists():
        lacking = f"has no {INDEX}" if directory.is_dir() else "is a file" if directory.exists() else "does not exist"
        raise VmsimError(f"{directory} is not a vmsim result directory: it {lacking}")
    index = _read_json(path)
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise VmsimError(f"{path} is not an index of vmsim results")
    if index.get("schema_version") != SCHEMA_VERSION:
        raise VmsimError(
            f"{path} has schema version {index.get('schema_version')}; this vmsim reads version {SCHEMA_VERSION}"
        )
    try:
        return sweep_from_json(index["sweep"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VmsimError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _read_parts(directory: Path) -> dict[Key, RunResult]:
    runs = {}
    for path in sorted((directory / PARTS).glob("*.json")):
        try:
            run = run_from_json(_read_json(path))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise VmsimError(f"{path} is damaged ({error}); delete it and run again") from error
        runs[run.row_id, run.seed_index] = run
    return runs


def _read_tables(directory: Path) -> dict[Key, RunResult]:
    """The runs of the tables; none where they were never finished. Raises VmsimError naming a bad file."""
    if not (directory / "runs.parquet").exists():
        return {}
    from vmsim.experiment.tables import TABLES, from_tables

    tables = {name: _read_table(directory / f"{name}.parquet", name) for name in TABLES}
    try:
        return {(run.row_id, run.seed_index): run for run in from_tables(tables)}
    except ValueError as error:
        raise VmsimError(f"the tables in {directory} don't belong together: {error}") from error


def _read_table(path: Path, name: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from vmsim.experiment.tables import schema

    if not path.exists():
        raise VmsimError(f"{path} is missing")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise VmsimError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    if not table.schema.equals(schema(name)):
        raise VmsimError(f"{path} has other columns than this vmsim writes")
    return table


def _write_table(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    write_whole(path, lambda file: pq.write_table(table, file, compression="zstd", write_page_checksum=True))


def in_order(sweep: SweepRecord, runs: Iterable[RunResult]) -> list[RunResult]:
    """Runs in the order of the sweep's rows, then by seed."""
    order = {row.row_id: number for number, row in enumerate(sweep.rows)}
    return sorted(runs, key=lambda run: (order.get(run.row_id, len(order)), run.row_id, run.seed_index))
