"""Shrinking: from a program that shows a difference to the shortest that still does (delta debugging, Zeller 2002)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vmsim.experiment.live.program import ARENA_PAGES, Op, Program
from vmsim.experiment.live.simpler import simpler_machines, simpler_ops, without_pages

Shows = Callable[[Program], bool]


@dataclass
class Shrinker:
    """Makes a program smaller as long as `shows` says that it still shows the difference."""

    shows: Shows
    most_tries: int = 4000
    seconds: float = 60.0
    tries: int = 0
    _end: float = field(default=0.0, init=False)

    def shrink(self, program: Program) -> Program:
        """The smallest program that was found; one that can't be made smaller by any one change unless tries or time ran out."""
        self._end = time.monotonic() + self.seconds
        while self.left:
            before = program
            for smaller in (self._shorter, self._drop_pages, self._simplify):
                program = smaller(program)
            if program == before:
                break
        return program

    @property
    def left(self) -> bool:
        """Whether there is time to try more."""
        return self.tries < self.most_tries and time.monotonic() < self._end

    def _try(self, program: Program) -> bool:
        if not self.left:
            return False
        self.tries += 1
        return self.shows(program)

    def _shorter(self, program: Program) -> Program:
        """Without runs of operations: long runs first, from the end of the program on."""
        size = max(1, len(program.ops) // 2)
        while True:
            at = len(program.ops) - size
            while at > -size:
                shorter = program.having(program.ops[: max(0, at)] + program.ops[max(0, at) + size :])
                if len(shorter.ops) < len(program.ops) and self._try(shorter):
                    program = shorter
                at -= size
            if size == 1:
                break
            size //= 2
        return self._first_that_shows(program, _fewer_child_ops)

    def _drop_pages(self, program: Program) -> Program:
        """Without pages of the arena: what lies above moves down, and ranges over them get shorter."""
        size = ARENA_PAGES // 2
        while size:
            for first in range(ARENA_PAGES - size, -1, -size):
                fewer = without_pages(program, first, size)
                if fewer != program and self._try(fewer):
                    program = fewer
            size //= 2
        return program

    def _simplify(self, program: Program) -> Program:
        """With simpler arguments and a simpler machine."""
        program = self._first_that_shows(program, simpler_machines)
        index = 0
        while index < len(program.ops):
            changed = False
            for op in simpler_ops(program.ops[index]):
                candidate = program.having((*program.ops[:index], op, *program.ops[index + 1 :]))
                if self._try(candidate):
                    program, changed = candidate, True
                    break
            index += not changed
        return program

    def _first_that_shows(self, program: Program, candidates: Callable[[Program], Iterator[Program]]) -> Program:
        """Take the first candidate that shows the difference, and go on from there until none does."""
        while True:
            found = next((candidate for candidate in candidates(program) if self._try(candidate)), None)
            if found is None:
                return program
            program = found


def _fewer_child_ops(program: Program) -> Iterator[Program]:
    """Programs in which a fork became what its child did, or a child does less."""
    for index, op in enumerate(program.ops):
        if op["op"] != "fork":
            continue
        children: list[Op] = op["ops"]
        if children:
            yield program.having((*program.ops[:index], *children, *program.ops[index + 1 :]))
        for number in range(len(children) - 1, -1, -1):
            fork = {**op, "ops": children[:number] + children[number + 1 :]}
            yield program.having((*program.ops[:index], fork, *program.ops[index + 1 :]))
