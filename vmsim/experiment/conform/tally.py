"""Replaying many sequences, on all cores where there are enough of them."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from vmsim.errors import VmsimError
from vmsim.experiment.conform.recording import Part, Sequence, parts_of, sequences_of
from vmsim.experiment.conform.replay import Divergence, Replayer

_PART = 1 << 19  # bytes of a recording that a process gets at a time
_WORTH_IT = 8  # parts from which on more processes than one are used
_AHEAD = 3  # parts for each process that are read before their turn


@dataclass
class Tally:
    """What a replay found."""

    sequences: int = 0
    steps: int = 0
    divergences: list[Divergence] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count what was found elsewhere, too."""
        self.sequences += other.sequences
        self.steps += other.steps
        self.divergences += other.divergences


_replayer: Replayer | None = None  # the machine that a forked process replays on


def cores() -> int:
    """How many processes can run at once."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def replay_all(sequences: Iterable[Sequence], switched: Mapping[str, bool] | None = None) -> Tally:
    """Replay sequences; `switched` turns single version rules on or off. Raises VmsimError for the first that can't be replayed."""
    return _replay(Replayer(switched), sequences)


def replay_files(
    paths: Iterable[Path], switched: Mapping[str, bool] | None = None, seed: int | None = None, processes: int = 1
) -> Tally:
    """Replay recordings, or their sequences of one seed. Raises VmsimError for the first line that can't be replayed."""
    global _replayer
    parts = chain.from_iterable(parts_of(path, _PART) for path in paths)
    first = list(islice(parts, _WORTH_IT))
    _replayer = Replayer(switched)
    try:
        if processes == 1 or len(first) < _WORTH_IT:
            tally = Tally()
            for part in chain(first, parts):
                tally.add(_replay_part(part, seed))
            return tally
        return _replay_in(processes, chain(first, parts), seed)
    finally:
        _replayer = None


def _replay(replayer: Replayer, sequences: Iterable[Sequence]) -> Tally:
    tally = Tally()
    before = replayer.steps
    collects = gc.isenabled()
    gc.disable()  # nothing here makes cycles, and looking for them in thousands of records takes a tenth of the time
    try:
        for sequence in sequences:
            divergence = replayer.replay(sequence)
            tally.sequences += 1
            if divergence is not None:
                tally.divergences.append(divergence)
    finally:
        if collects:
            gc.enable()
    tally.steps = replayer.steps - before
    return tally


def _replay_part(part: Part, seed: int | None) -> Tally:
    assert _replayer is not None
    every = sequences_of(part.path, enumerate(part.lines, part.first))
    return _replay(_replayer, (sequence for sequence in every if seed is None or sequence.header.get("seed") == seed))


def _replay_in(processes: int, parts: Iterator[Part], seed: int | None) -> Tally:
    """Processes that are forked from this one, so that each has the compiled kernel and a machine at once; results in order."""
    tally = Tally()
    waiting: deque[Future[Tally]] = deque()
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(_replay_part, part, seed))
                if len(waiting) > _AHEAD * processes:
                    tally.add(waiting.popleft().result())
            while waiting:
                tally.add(waiting.popleft().result())
        except BrokenProcessPool:
            raise VmsimError("a process that replays was killed, perhaps because memory ran out") from None
        finally:
            for future in waiting:
                future.cancel()
    return tally
