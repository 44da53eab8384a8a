"""`vmsim record`: the simulator gives the running kernel's answers, and where a rule is broken on purpose, that is found and shrunk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from live_kernel import need_modelled_kernel, need_recorder

from vmsim.arch.rules import RULES, nearest_version
from vmsim.cli import main
from vmsim.experiment.conform.recording import read_sequences
from vmsim.experiment.live import session
from vmsim.experiment.live.generator import PROFILES
from vmsim.struct.jit import JIT

STEPS = 3000 if JIT else 250


def test_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sequences of each profile; the recording that is kept replays, and counts what the last line says."""
    need_modelled_kernel()
    out = tmp_path / "a.jsonl.gz"
    assert main(["record", "--steps", str(STEPS), "--seed", "500", "--out", str(out), "--quiet"]) == 0
    words = capsys.readouterr().out.splitlines()[-1].split()
    assert words[::2] == ["sequences", "steps", "divergences"]
    assert int(words[3]) >= STEPS
    assert words[5] == "0"
    sequences = list(read_sequences(out))
    assert len(sequences) == int(words[1])
    assert {sequence.header["profile"] for sequence in sequences} == set(PROFILES[: len(sequences)])
    assert main(["conform", str(out)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl.gz"]


# A rule, a profile that meets it soon, and the most steps that a program needs to show it.
BROKEN = [("onfault_alone", "mlock", 2), ("madv_free", "basic", 2), ("relock_counts_twice", "mlock", 3), ("mremap_many", "basic", 3)]


@pytest.mark.parametrize(("name", "profile", "most"), BROKEN if JIT else BROKEN[:1])
def test_a_broken_rule_is_found_and_shrunk(
    name: str, profile: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a rule switched the wrong way: exit status 1, a program of a few steps, and a recording that shows the same again."""
    need_modelled_kernel()
    monkeypatch.chdir(tmp_path)
    rule = next(rule for rule in RULES if rule.name == name)
    wrong = f"{name}={'off' if rule.holds(nearest_version(os.uname().release)) else 'on'}"
    assert main(["record", "--rule", wrong, "--profile", profile, "--seed", "1", "--quiet", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["divergences"] == 1
    (sequence,) = read_sequences(Path(told["shrunk_file"]))
    assert 1 <= len(sequence.steps) <= most
    assert main(["conform", told["shrunk_file"], "--rule", wrong]) == 1
    assert main(["conform", told["shrunk_file"]]) == 0


def test_a_difference_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The steps with the kernel's answers, and the answers that differ; the last line counts it."""
    need_modelled_kernel()
    monkeypatch.chdir(tmp_path)
    rule = next(rule for rule in RULES if rule.name == "onfault_alone")
    wrong = f"onfault_alone={'off' if rule.holds(nearest_version(os.uname().release)) else 'on'}"
    assert main(["record", "--rule", wrong, "--profile", "mlock", "--seed", "1", "--quiet"]) == 1
    out = capsys.readouterr().out
    assert "mlockall flags=4" in out
    assert "expected " in out
    assert "simulated " in out
    assert "not tried: " in out
    assert out.splitlines()[-1].endswith("divergences 1")


def test_only_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same seed gives the same recording; nothing is compared."""
    need_recorder()
    files = [tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"]
    for file in files:
        words = ["record", "--no-compare", "--steps", "100", "--seed", "3", "--profile", "mlock", "limits", "--out", str(file), "--quiet"]
        assert main(words) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert "not compared" in capsys.readouterr().out


def test_an_interruption_leaves_whole_sequences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted while the fourth program runs: what was recorded before stands in the file, no temporary file is left."""
    need_recorder()
    generate = session.generate

    def interrupted(seed: int, profile: str, count: int) -> session.Program:
        if seed == 4:
            raise KeyboardInterrupt
        return generate(seed, profile, count)

    monkeypatch.setattr(session, "generate", interrupted)
    out = tmp_path / "a.jsonl.gz"
    assert main(["record", "--no-compare", "--seed", "1", "--profile", "basic", "--out", str(out), "--quiet"]) == 130
    assert [sequence.header["seed"] for sequence in read_sequences(out)] == [1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl.gz"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--profile", "mlok"], "did you mean 'mlock'"),
        (["--no-compare"], "--out"),
        (["--steps", "0"], "at least 1"),
        (["--seed", "x"], "a whole number"),
        (["--rule", "mlock2"], "NAME=on"),
        (["--rule", "mlok2=on"], "did you mean 'mlock2'"),
        (["--out", "/nowhere/a.gz"], "/nowhere/a.gz"),
    ],
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    need_recorder()
    assert main(["record", "--quiet", "--steps", "1", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
