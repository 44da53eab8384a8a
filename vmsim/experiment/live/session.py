"""A session: fresh programs one after the other on the running kernel and in the simulator, up to the first difference."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any

from vmsim.errors import VmsimError
from vmsim.experiment.files import TEMPORARY
from vmsim.experiment.live.compare import Outcome, SideBySide, signature
from vmsim.experiment.live.generator import PROFILES, generate
from vmsim.experiment.live.program import Program
from vmsim.experiment.live.recorder_process import Recorder
from vmsim.experiment.live.shrink import Shrinker
from vmsim.experiment.live.untried import modelled_version, not_tried

__all__ = ["PROFILES", "Told", "Wanted", "run_session"]
OPERATIONS = 40  # of a program, as in recordings of recorder version 1


@dataclass(frozen=True)
class Wanted:
    """What a session is asked for."""

    steps: int
    seed: int
    profiles: tuple[str, ...]
    out: Path | None = None
    compare: bool = True
    rules: Mapping[str, bool] = field(default_factory=dict)


@dataclass
class Told:
    """What a session found: `found` is the first program with a difference as it was generated, `shrunk` the shortest that shows it."""

    sequences: int = 0
    steps: int = 0
    kernel: str = ""
    version: str | None = None
    not_tried: list[str] = field(default_factory=list)
    found: Outcome | None = None
    shrunk: Outcome | None = None
    tries: int = 0
    shrunk_file: Path | None = None


Progress = Callable[[Told, str], None]


def run_session(wanted: Wanted, progress: Progress) -> Told:
    """Record, compare, and shrink what differs. Raises VmsimError where it can't be done."""
    told = Told()
    with Recorder() as recorder, _output(wanted.out) as write:
        header = SideBySide(recorder, None).run(Program(wanted.seed, wanted.profiles[0], ())).sequence.header
        told.kernel = str(header["kernel"])
        told.not_tried = not_tried(header, wanted.compare)
        told.version = modelled_version(header) if wanted.compare else None
        sides = SideBySide(recorder, told.version, wanted.rules)
        for program in _programs(wanted):
            progress(told, f"{program.profile} {program.seed}")
            outcome = sides.run(program)
            write(outcome.lines)
            told.sequences += 1
            told.steps += program.steps
            if outcome.divergence is not None:
                told.found = outcome
                _shrink(told, sides, progress)
                break
            if told.steps >= wanted.steps:
                break
    if told.shrunk is not None:
        told.shrunk_file = _write_shrunk(told.shrunk, wanted.out)
    return told


def _programs(wanted: Wanted) -> Iterator[Program]:
    """The programs of consecutive seeds, of each profile in turn."""
    for seed in count(wanted.seed):
        for profile in wanted.profiles:
            yield generate(seed, profile, OPERATIONS)


def _shrink(told: Told, sides: SideBySide, progress: Progress) -> None:
    assert told.found is not None and told.found.divergence is not None
    wanted = signature(told.found.divergence)
    best = told.found
    told.shrunk = best

    def shows(program: Program) -> bool:
        nonlocal best
        try:
            outcome = sides.run(program)
        except VmsimError:  # a program that can't be recorded or replayed shows nothing
            return False
        if outcome.divergence is None or signature(outcome.divergence) != wanted:
            return False
        best = outcome
        progress(told, f"shrinking: {shrinker.tries} tries, {best.program.steps} steps")
        return True

    shrinker = Shrinker(shows)
    shrinker.shrink(_up_to_difference(told.found))
    told.shrunk, told.tries = best, shrinker.tries


def _up_to_difference(outcome: Outcome) -> Program:
    """The program without what comes after the operation that differs."""
    divergence = outcome.divergence
    assert divergence is not None
    ops = list(outcome.program.ops[: divergence.index + 1])
    if divergence.child is not None:
        ops[-1] = {**ops[-1], "ops": ops[-1]["ops"][: divergence.child + 1]}
    return outcome.program.having(ops)


def _write_shrunk(outcome: Outcome, out: Path | None) -> Path:
    program = outcome.program
    name = f"difference-{program.profile}-{program.seed}.jsonl.gz"
    path = (out.parent if out is not None else Path()) / name
    with _output(path) as write:
        write(outcome.lines)
    return path


@contextmanager
def _output(path: Path | None) -> Iterator[Callable[[list[bytes]], Any]]:
    """A compressed recording that gets lines and stands in its place at the end, whole, also after an interruption."""
    if path is None:
        yield lambda lines: None
        return
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")
    try:
        with open(temporary, "wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
            yield _writer(file)
            written = file.tell() > 0
        if written:
            os.replace(temporary, path)
    except OSError as error:
        raise VmsimError(f"can't write {path}: {error.strerror or error}") from error
    except BaseException:
        if temporary.exists() and temporary.stat().st_size > 64:
            os.replace(temporary, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _writer(file: IO[bytes] | gzip.GzipFile) -> Callable[[list[bytes]], Any]:
    return lambda lines: file.write(b"".join(lines))
