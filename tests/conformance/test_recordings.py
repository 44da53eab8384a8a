"""Kernels 4.4.1, 6.1.177 and 6.18.44 as they were recorded: every answer of a sample of sequences of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmsim.arch.rules import RULES, model_version
from vmsim.experiment.conform.recording import Sequence, read_sequences
from vmsim.experiment.conform.replay import Replayer
from vmsim.experiment.conform.tally import replay_all
from vmsim.struct.jit import JIT
from vmsim.struct.rules import RULE_NAMES

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("*.jsonl.gz"))
PROFILES = ("basic", "mlock", "file", "fork", "limits", "all")


def sequences(path: Path, every: int = 1) -> list[Sequence]:
    return list(read_sequences(path))[::every]


def test_the_sample_is_there() -> None:
    """Three kernels with six kinds of sequences, one with the calls of recorder 2, and those that once were answered differently."""
    assert len(FILES) == 3 * len(PROFILES) + 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".jsonl.gz"))
def test_every_answer_is_the_kernels(path: Path) -> None:
    """Result, errno, signal, bytes read, faults, VMAs, pages and page cache after every step."""
    tally = replay_all(sequences(path, 1 if JIT else 6))
    assert [(d.sequence.header["seed"], d.index, d.differences) for d in tally.divergences] == []
    assert tally.steps > 40


# What CHECKS of the recordings say that the kernels differ in; and each rule's recording that has to notice it.
BROKEN = [
    ("4.4.1", "mlock", "mlock2"),
    ("4.4.1", "mlock", "onfault_alone"),
    ("4.4.1", "mlock", "relock_counts_twice"),
    ("4.4.1", "basic", "madv_free"),
    ("4.4.1", "basic", "nohugepage_flag"),
    ("4.4.1", "all", "stack_guard_inside"),
    ("6.1.177", "mlock", "lockonfault_mnemonic"),
    ("6.18.44", "basic", "mremap_many"),
]


@pytest.mark.parametrize(("kernel", "profile", "name"), BROKEN)
def test_a_broken_rule_is_noticed(kernel: str, profile: str, name: str) -> None:
    """With one version rule as another kernel has it, the replay differs."""
    rule = next(rule for rule in RULES if rule.name == name)
    wrong = {name: not rule.holds(model_version(kernel))}
    replayer = Replayer(wrong)
    assert any(replayer.replay(sequence) for sequence in sequences(DATA / f"{kernel}-{profile}.jsonl.gz"))


def test_rules_stand_in_the_order_of_their_numbers() -> None:
    """`rules_of` gives a column whose rows are numbered by RULE_NAMES."""
    assert tuple(rule.name for rule in RULES) == RULE_NAMES
