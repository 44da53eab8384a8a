"""A result has one canonical text and so one hash, whatever process, machine or integer type it came from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import synthetic

from vmsim.experiment import record
from vmsim.experiment.record import CpuRecord, LatencyRecord, PhaseRecord, RunResult, SeriesRecord

ROOT = Path(__file__).parents[3]


def tiny(**changes: object) -> RunResult:
    phase = PhaseRecord("t", "setup", 0, 5, 5, True, {"syscalls": 1}, {"user": 2, "trap": 3})
    run = RunResult(
        "a", "A", 0, 1, "ok", None, 5, 0.5, 4096, (phase,), (), (CpuRecord(0, {"user": 5}),), {"pgfault": 1}
    )
    return dataclasses.replace(run, **changes)  # type: ignore[arg-type]


def test_canonical_text_is_json_with_sorted_keys_and_integers_only() -> None:
    # Written out by hand from the rule: sorted keys, no spaces, no identity, no host time.
    expected = (
        '{"cpus":[{"cpu":0,"ledger":{"user":5}}],"latency":[],"page_size_bytes":4096,'
        '"phases":[{"complete":true,"counters":{"syscalls":1},"elapsed_ns":5,"end_ns":5,'
        '"ledger":{"trap":3,"user":2},"phase":"setup","start_ns":0,"task":"t"}],'
        '"series":[],"sim_ns":5,"status":"ok","stopped_by":null,"tasks":[],"vmstat":{"pgfault":1}}'
    )
    assert record.canonical(tiny()) == expected.encode()
    assert tiny().result_hash == hashlib.sha256(expected.encode()).hexdigest()


@pytest.mark.parametrize(
    "changes",
    [
        {"wall_s": 99.0},
        {"seed": 7, "seed_index": 3},
        {"row_id": "b", "row_name": "B"},
        {"latency": (LatencyRecord("t", "walk", (), (), ()),)},
    ],
)
def test_hash_leaves_out_who_ran_and_how_long_the_host_took(changes: dict[str, object]) -> None:
    assert tiny(**changes).result_hash == tiny().result_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"sim_ns": 6},
        {"vmstat": {"pgfault": 2}},
        {"stopped_by": "mprotect: ENOMEM"},
        {"series": (SeriesRecord("pgfault", (0,), (1,)),)},
    ],
)
def test_hash_covers_everything_simulated(changes: dict[str, object]) -> None:
    assert tiny(**changes).result_hash != tiny().result_hash


def test_hash_does_not_depend_on_dict_order_or_integer_type() -> None:
    phase = tiny().phases[0]
    turned = dataclasses.replace(phase, ledger={"trap": np.int64(3), "user": np.uint8(2)}, elapsed_ns=np.int64(5))
    assert tiny(phases=(turned,)).result_hash == tiny().result_hash


def test_a_float_in_a_result_is_a_defect() -> None:
    with pytest.raises(TypeError):
        tiny(sim_ns=5.0).result_hash  # noqa: B018 - the property computes


def test_hash_is_the_same_in_another_process_with_another_hash_seed() -> None:
    code = "import synthetic; print(synthetic.run('batch-8', 3).result_hash)"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "12345"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert told == synthetic.run("batch-8", 3).result_hash


def test_json_gives_the_same_run_back() -> None:
    for run in synthetic.all_runs(1):
        assert record.run_from_json(json.loads(json.dumps(record.run_to_json(run)))) == run


def test_a_changed_number_in_a_stored_run_is_noticed() -> None:
    data = record.run_to_json(synthetic.run())
    data["sim_ns"] += 1
    with pytest.raises(ValueError, match="hash"):
        record.run_from_json(data)


def test_json_gives_the_same_sweep_back() -> None:
    sweep = synthetic.sweep(plots=("bars",), overrides=("a.b=c",))
    assert record.sweep_from_json(json.loads(json.dumps(record.sweep_to_json(sweep)))) == sweep


def test_spec_hash_ignores_key_order_and_sees_values() -> None:
    assert record.spec_hash({"a": 1, "b": [2, 0.5]}) == record.spec_hash({"b": [2, 0.5], "a": 1})
    assert record.spec_hash({"a": 1}) != record.spec_hash({"a": 2})
