"""`vmsim validate`: shipped recordings of real kernels agree with their simulation, and what does not is told apart."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from vmsim.cli import main
from vmsim.errors import VmsimError
from vmsim.experiment.validate.checks import AGREES, DISAGREES, EXACT, TOLD, TOLD_ONLY, Check, Tolerance
from vmsim.experiment.validate.command import judge
from vmsim.experiment.validate.machine import recorded_costs
from vmsim.experiment.validate.recording import Run, read_cases
from vmsim.experiment.validate.sequences import Xorshift64, mixed_sequences, read_hash, second_pass

DATA = Path(__file__).parent / "data"
QUICK = {"quarter_rand_segv_b16", "ra128_read_seq_first100", "ra128_mmap_seq_first100", "ra128_read_stride8", "a_zones.json.gz"}
CASES = [
    pytest.param(case, id=f"{path.name} {case.label}", marks=() if {case.label, path.name} & QUICK else pytest.mark.slow_without_jit)
    for path in sorted(DATA.glob("*.json.gz"))
    for case in read_cases(path)
]


@pytest.mark.parametrize("case", CASES)
def test_a_recorded_case_agrees(case):
    verdict = judge(case, recorded_costs())
    assert verdict.verdict == AGREES, [check for check in verdict.checks if check.verdict == DISAGREES] or verdict.problem


def test_the_range_over_repetitions_is_widened_by_the_tolerance():
    within = [Check("n", 100, 110, value, Tolerance(0.1)).verdict for value in (89, 90, 121, 122)]
    assert within == [DISAGREES, AGREES, AGREES, DISAGREES]
    assert Check("n", 0, 0, 1, EXACT).verdict == DISAGREES
    assert Check("n", 10, 10, 110, Tolerance(0.2, 100)).verdict == AGREES  # max(100, 20 %)
    assert Check("n", 100, 100, 49, Tolerance(factor=2)).verdict == DISAGREES
    assert Check("n", 1, 1, 99, TOLD_ONLY).verdict == TOLD
    assert Check("n", 100, 110, 121, Tolerance(0.1)).error == pytest.approx(0.1)


def test_sequences_are_those_of_the_recorded_programs():
    """Hashes that the recorded C program printed (d_lockonfault, e_misc and c2_mixed_frand of 4.4.1)."""
    assert read_hash(Run("lof", {"pages": "32768", "pat": "rand"}), 100000) == "4913deea51657319"
    assert read_hash(Run("ra", {"pages": "100000", "pat": "stride", "stride": "8"}), 1500) == "38c826afe1c1ce15"
    assert read_hash(Run("ra", {"pages": "5000", "pat": "seq", "off": "777"}), 5000) == "7163a9add96d4085"
    mixed = {"pages": "44081", "pat": "zipf", "wf": "0.5", "filepages": "37783", "fpat": "rand", "nread": "150000", "per": "1"}
    assert mixed_sequences(Run("mixed", mixed))[2] == "4f5a2b9d3ff8123b"


def test_a_second_pass_goes_on_with_the_same_random_numbers():
    """wl.c: what is zipf or hot the first time is uniform the second time."""
    run = Run("ra", {"pages": "1000", "pat": "zipf", "n": "50"})
    draws = Xorshift64(run.seed)
    for _ in range(999 + 50):  # the permutation, and a draw for each access
        draws.next()
    assert second_pass(run, 50) == [draws.next() % 1000 for _ in range(50)]


def test_a_damaged_recording_is_a_mistake_in_the_input(tmp_path, capsys):
    bad = tmp_path / "bad.json.gz"
    bad.write_bytes(gzip.compress(b'{"boots": {}}'))
    assert main(["validate", str(bad)]) == 2
    assert "not a recording of a whole system" in capsys.readouterr().err
    with pytest.raises(VmsimError, match="No such file"):
        read_cases(tmp_path / "absent.json.gz")


@pytest.mark.parametrize(("change", "message"), [
    ({"kernel": None}, "kernel: Input should be a valid string"),
    ({"boots": "x"}, "boots: Input should be a valid dictionary"),
    ({"results": [{"label": "a", "boot": "b"}]}, "results.0.runs: Field required"),
    ({"results": [{"label": "a", "boot": "b", "runs": [{"cmd": "", "params": {}}]}]}, "runs.0.cmd: String should have at least 1"),
    ({"results": [{"label": "a", "boot": "c", "runs": []}]}, "results.0.boot: no boot 'c'"),
])  # fmt: skip
def test_a_damaged_recording_is_told_by_its_key(tmp_path, change, message):
    file = tmp_path / "damaged.json"
    file.write_text(json.dumps({"kernel": "4.4.1", "boots": {"b": {}}, "results": []} | change))
    with pytest.raises(VmsimError) as error:
        read_cases(file)
    assert message in str(error.value)


def test_the_command_counts_cases_and_tells_the_unknown_apart(tmp_path, capsys):
    data = json.loads(gzip.decompress((DATA / "a_zones.json.gz").read_bytes()))
    data["results"] = data["results"][:2]
    data["results"][1] |= {"runs": [{"cmd": "juggle pages=3", "params": {"pages": "3"}, "phases": {}}]}
    changed = tmp_path / "a.json"
    changed.write_text(json.dumps(data))
    assert main(["validate", str(changed), "--jobs", "1", "--quiet", "--brief"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "not simulated yet (programs of mode juggle)" in lines[-2]
    assert lines[-1] == "cases 2 agree 1"
    assert main(["validate", str(changed), "--jobs", "1", "--quiet", "--json", "--label", "mem64_cpu1_thpnever"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["cases"], told["agree"]) == (1, 1)
    assert {"counter", "recorded", "simulated", "error", "tolerance", "verdict"} == set(told["results"][0]["checks"][0])
