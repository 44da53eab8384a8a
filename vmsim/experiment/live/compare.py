"""One program on the running kernel and in the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmsim.errors import ImpossibleState
from vmsim.experiment.conform.recording import Sequence, sequences_of
from vmsim.experiment.conform.replay import Divergence, Replayer
from vmsim.experiment.live.program import Program
from vmsim.experiment.live.recorder_process import Recorder


@dataclass(frozen=True)
class Outcome:
    """What a program gave: its recording and, if they were compared, where the simulator first answers differently."""

    program: Program
    lines: list[bytes]
    sequence: Sequence
    divergence: Divergence | None = None


class SideBySide:
    """Lets the kernel and the simulator carry out programs; `version` is the modelled kernel, None: don't compare."""

    def __init__(self, recorder: Recorder, version: str | None, switched: Mapping[str, bool] | None = None) -> None:
        self._recorder = recorder
        self._version = version
        self._switched = switched
        self._replayer = self._new_replayer()

    def _new_replayer(self) -> Replayer | None:
        return Replayer(self._switched, self._version) if self._version is not None else None

    def run(self, program: Program) -> Outcome:
        """Record a program and replay it. Raises VmsimError if one of them can't be done."""
        lines = self._recorder.record(program)
        (sequence,) = sequences_of(f"{program.profile} {program.seed}", enumerate(lines, 1))
        if self._replayer is None:
            return Outcome(program, lines, sequence)
        try:
            divergence = self._replayer.replay(sequence)
        except ImpossibleState as error:
            self._replayer = self._new_replayer()
            last = len(sequence.steps) - 1
            divergence = Divergence(sequence, last, None, [("the simulator", "an answer", f"a state that can't be: {error}")])
        return Outcome(program, lines, sequence, divergence)


def signature(divergence: Divergence) -> tuple[str, str]:
    """What makes two divergences the same one: the operation, and what first differs in it."""
    op = "start"
    if divergence.index >= 0:
        record = divergence.sequence.steps[divergence.index].record
        op = record["op"] if divergence.child is None else record["child"]["ops"][divergence.child]["op"]
    return op, divergence.differences[0][0]
