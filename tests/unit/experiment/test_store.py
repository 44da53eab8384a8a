"""The result directory: typed tables, whole files, resumable, and clear words about a directory that can't be used."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import synthetic

from vmsim.errors import VmsimError
from vmsim.experiment import files, store
from vmsim.experiment.record import Published, SweepRecord
from vmsim.experiment.store import load_results, open_store
from vmsim.experiment.tables import TABLES

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.write_results(tmp_path_factory.mktemp("written") / "results", seeds=2)


@pytest.fixture
def directory(tmp_path: Path, written: Path) -> Path:
    return shutil.copytree(written, tmp_path / "results")


def hidden_files(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob(f"*{files.TEMPORARY}*")]


def with_row_changed(row_id: str, **changes: object) -> SweepRecord:
    sweep = synthetic.sweep()
    rows = tuple(dataclasses.replace(row, **changes) if row.row_id == row_id else row for row in sweep.rows)  # type: ignore[arg-type]
    return dataclasses.replace(sweep, rows=rows)


def test_what_was_saved_is_read_back(directory: Path) -> None:
    results = load_results(directory)
    assert results.sweep == synthetic.sweep()
    assert list(results.runs) == synthetic.all_runs(2)
    assert [run.seed_index for run in results.of_row("onfault")] == [0, 1]


def test_runs_saved_in_any_order_give_the_same_tables(tmp_path: Path, directory: Path) -> None:
    with open_store(tmp_path / "other", synthetic.sweep()) as other:
        for run in reversed(synthetic.all_runs(2)):
            other.save(run)
    for name in TABLES:
        assert (tmp_path / "other" / f"{name}.parquet").read_bytes() == (directory / f"{name}.parquet").read_bytes()


def test_tables_are_typed_and_carry_units(directory: Path) -> None:
    schema = pq.read_schema(directory / "phases.parquet")
    assert schema.metadata[b"format"] == b"vmsim-results"
    assert (str(schema.field("elapsed_ns").type), schema.field("elapsed_ns").metadata) == ("int64", {b"unit": b"ns"})
    assert pq.read_schema(directory / "tasks.parquet").field("vm_lck_pages").metadata == {b"unit": b"pages"}
    assert str(pq.read_schema(directory / "phases.parquet").field("complete").type) == "bool"


def test_ledgers_in_the_tables_sum_to_the_phases(directory: Path) -> None:
    phases = (
        pq.read_table(directory / "phases.parquet").group_by("row_id").aggregate([("elapsed_ns", "sum")]).to_pydict()
    )
    ledger = pq.read_table(directory / "ledger.parquet", filters=[("scope", "=", "phase")])
    sums = ledger.group_by("row_id").aggregate([("time_ns", "sum")]).to_pydict()
    assert dict(zip(phases["row_id"], phases["elapsed_ns_sum"], strict=True)) == dict(
        zip(sums["row_id"], sums["time_ns_sum"], strict=True)
    )


def test_index_names_version_spec_and_hashes(directory: Path) -> None:
    index = json.loads((directory / "run.json").read_text())
    assert index["sweep"]["version"] == "0.1.0"
    assert index["sweep"]["spec"]["mlock"]["machine"] == "lock-on-fault-2015"
    assert index["runs"][0] == {
        "row_id": "mlock",
        "seed_index": 0,
        "result_hash": synthetic.run("mlock", 0).result_hash,
    }


def test_an_unfinished_sweep_can_be_read_and_resumed(tmp_path: Path) -> None:
    open_store(tmp_path / "r", synthetic.sweep()).save(synthetic.run("mlock", 0))  # never finished: no tables
    assert not list((tmp_path / "r").glob("*.parquet"))
    assert [run.row_id for run in load_results(tmp_path / "r").runs] == ["mlock"]


def test_resuming_knows_what_is_there(directory: Path) -> None:
    with open_store(directory, synthetic.sweep()) as again:
        assert again.there.keys() == {(row[0], seed) for row in synthetic.ROWS for seed in (0, 1)}
        again.save(synthetic.run("plain", 2))
    assert len(load_results(directory).of_row("plain")) == 3
    assert not list((directory / "parts").iterdir())


def test_published_values_may_change_without_a_new_run(directory: Path) -> None:
    with open_store(directory, with_row_changed("mlock", published={"setup": Published(1)})):
        pass
    row = load_results(directory).sweep.row("mlock")
    assert row is not None and row.published == {"setup": Published(1)}


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        (with_row_changed("mlock", spec_hash="other"), "different spec .*row mlock"),
        (dataclasses.replace(synthetic.sweep(), rows=synthetic.sweep().rows[1:]), "different spec .*row mlock"),
        (synthetic.sweep(model="fedcba"), "another version of vmsim"),
        (synthetic.sweep(seed=2), "another base seed"),
    ],
)
def test_results_of_something_else_are_never_touched_silently(directory: Path, sweep: SweepRecord, told: str) -> None:
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    with pytest.raises(VmsimError, match=told) as caught:
        open_store(directory, sweep)
    assert "--out" in str(caught.value) and "--force" in str(caught.value) and str(directory) in str(caught.value)
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_force_replaces_results_and_keeps_files_of_others(directory: Path) -> None:
    (directory / "notes.txt").write_text("mine")
    with open_store(directory, synthetic.sweep(seed=2), force=True) as new:
        assert new.there == {}
    assert load_results(directory).runs == ()
    assert (directory / "notes.txt").read_text() == "mine"
    assert not list(directory.glob("*.parquet"))
    assert not hidden_files(directory.parent)


def test_a_directory_of_someone_else_is_refused_even_with_force(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    for force in (False, True):
        with pytest.raises(VmsimError, match="not a vmsim result directory"):
            open_store(tmp_path, synthetic.sweep(), force)


def test_an_empty_directory_is_used(tmp_path: Path) -> None:
    with open_store(tmp_path, synthetic.sweep()):
        assert (tmp_path / "run.json").exists()


def test_two_writers_at_once_are_refused(directory: Path) -> None:
    with open_store(directory, synthetic.sweep()), pytest.raises(VmsimError, match="being written"):
        open_store(directory, synthetic.sweep())
    with open_store(directory, synthetic.sweep()):
        pass


def test_a_row_that_is_not_in_the_experiment_is_a_defect(tmp_path: Path) -> None:
    with open_store(tmp_path / "r", synthetic.sweep()) as opened, pytest.raises(ValueError, match="stranger"):
        opened.save(dataclasses.replace(synthetic.run(), row_id="stranger"))


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["runs.parquet", "phases.parquet", "series.parquet"])
def test_damaged_tables_are_named(directory: Path, name: str) -> None:
    damage(directory / name)
    with pytest.raises(VmsimError, match=name.replace(".", r"\.") + "|don't belong together"):
        load_results(directory)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all"])
def test_truncated_tables_are_named(directory: Path, content: bytes) -> None:
    (directory / "ledger.parquet").write_bytes(content)
    with pytest.raises(VmsimError, match=r"ledger\.parquet is damaged"):
        load_results(directory)


def test_missing_and_foreign_tables_are_named(directory: Path) -> None:
    os.replace(directory / "phases.parquet", directory / "tasks.parquet")
    with pytest.raises(VmsimError, match=r"phases\.parquet is missing"):
        load_results(directory)
    (directory / "phases.parquet").write_bytes((directory / "runs.parquet").read_bytes())
    with pytest.raises(VmsimError, match=r"phases\.parquet has other columns"):
        load_results(directory)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", r"run\.json is damaged"),
        ("[]", r"run\.json is not an index of vmsim"),
        ('{"format": "other"}', r"run\.json is not an index of vmsim"),
        ('{"format": "vmsim-results", "schema_version": 99}', "schema version 99"),
        ('{"format": "vmsim-results", "schema_version": 1, "sweep": {"rows": 3}}', r"run\.json is damaged"),
        ('{"format": "vmsim-results", "schema_version": 1}', r"run\.json is damaged"),
    ],
)
def test_bad_indexes_are_named(directory: Path, content: str, told: str) -> None:
    (directory / "run.json").write_text(content)
    with pytest.raises(VmsimError, match=told):
        load_results(directory)


def test_missing_directories_are_named(tmp_path: Path) -> None:
    with pytest.raises(VmsimError, match="nowhere is not a vmsim result directory: it does not exist"):
        load_results(tmp_path / "nowhere")
    with pytest.raises(VmsimError, match=r"has no run\.json"):
        load_results(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(VmsimError, match="is a file"):
        load_results(tmp_path / "file")


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    opened = open_store(tmp_path / "r", synthetic.sweep())
    opened.save(synthetic.run("mlock", 0))
    part = tmp_path / "r" / "parts" / "mlock.0.json"
    for content in ("", "{}", part.read_text().replace('"sim_ns":', '"sim_ns":1')):
        part.write_text(content)
        with pytest.raises(VmsimError, match=r"mlock\.0\.json is damaged"):
            load_results(tmp_path / "r")


def test_an_unknown_row_is_answered_with_those_there(directory: Path) -> None:
    with pytest.raises(VmsimError, match="no runs of a row 'mlok'; .*onfault"):
        load_results(directory).of_row("mlok")


@pytest.mark.parametrize("table", ["ledger", "runs"])
def test_a_crash_between_two_tables_loses_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    real = store._write_table

    def dying(path: Path, content: object) -> None:
        if path.stem == table:
            raise KeyboardInterrupt
        real(path, content)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "_write_table", dying)
    with pytest.raises(KeyboardInterrupt), open_store(directory, synthetic.sweep()) as again:
        again.save(synthetic.run("mlock", 2))
    monkeypatch.undo()
    assert [run.seed_index for run in load_results(directory).of_row("mlock")] == [0, 1, 2]
    with open_store(directory, synthetic.sweep()):
        pass
    assert list(load_results(directory).of_row("mlock")) == [synthetic.run("mlock", seed) for seed in (0, 1, 2)]


_WRITER = """
import sys, synthetic
from pathlib import Path
from vmsim.experiment.store import open_store
store = open_store(Path(sys.argv[1]), synthetic.sweep())
print("ready", flush=True)
for seed in range(1_000_000):
    store.save(synthetic.run("batch-1", seed))
"""


def test_a_killed_writer_leaves_only_whole_runs(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path / "r")], env=env, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    while len(list((tmp_path / "r" / "parts").glob("*.json"))) < 20:
        pass
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    runs = load_results(tmp_path / "r").runs
    assert len(runs) >= 20
    assert list(runs) == [synthetic.run("batch-1", seed) for seed in range(len(runs))]
    with open_store(tmp_path / "r", synthetic.sweep()) as again:  # the lock died with its owner
        assert len(again.there) == len(runs)
    assert not hidden_files(tmp_path)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_text_whole(path, "old")

    def half(file: object) -> None:
        file.write(b"ne")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    with pytest.raises(VmsimError, match="can't write .*file: No space left"):
        files.write_whole(path, half)
    assert path.read_text() == "old"
    assert not hidden_files(tmp_path)
