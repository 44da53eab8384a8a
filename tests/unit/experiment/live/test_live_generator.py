"""The generator makes the sequences that recorder version 1 made, which are in C: those in the sample of recordings, seed by seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmsim.experiment.conform.recording import Sequence, read_sequences, runs
from vmsim.experiment.live.generator import PROFILES, generate
from vmsim.experiment.live.program import FIELDS, FILE_PAGES, Program, inputs_of, recorder_text

DATA = Path(__file__).parents[3] / "conformance" / "data"


def recorded_program(sequence: Sequence) -> Program:
    """The program that a sequence of recorder version 1 was made from."""
    header = sequence.header
    cached = sum(1 << page for page, char in enumerate(runs(header["file"]["cached"], FILE_PAGES)) if char == "c")
    ops = tuple(inputs_of(step.record) for step in sequence.steps)
    soft = header["rlimit_memlock"][0]
    return Program(header["seed"], header["profile"], ops, not header["cap_ipc_lock"], soft, header["file"]["size"], cached)


@pytest.mark.parametrize("profile", [name for name in PROFILES if (DATA / f"6.18.44-{name}.jsonl.gz").exists()])
def test_recorded_sequences_are_generated(profile: str) -> None:
    for sequence in read_sequences(DATA / f"6.18.44-{profile}.jsonl.gz"):
        recorded = recorded_program(sequence)
        assert generate(recorded.seed, profile, sequence.header["ops"]) == recorded


@pytest.mark.parametrize("profile", PROFILES)
def test_longer_programs_begin_alike(profile: str) -> None:
    """Operations depend on the seed and on those before them alone; and seeds differ."""
    assert generate(5, profile, 60).ops[:40] == generate(5, profile, 40).ops
    assert generate(5, profile).ops != generate(6, profile).ops


def test_programs_as_text() -> None:
    """A line for the program and one for each operation, those of children included, with as many numbers as fields."""
    for profile in PROFILES:
        for seed in range(20):
            program = generate(seed, profile)
            head, *lines = recorder_text(program).splitlines()
            assert head.split()[0] == "program"
            assert len(lines) == program.steps
            for line in lines:
                name, *numbers = line.split()
                assert len(numbers) == (1 if name == "fork" else len(FIELDS[name]))
                assert all(0 <= int(number) < 1 << 64 for number in numbers)
