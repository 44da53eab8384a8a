"""Errors that a person can act on; the command line prints them and exits with status 2, without a traceback."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class VmsimError(Exception):
    """Something the user gave or asked for can't be used; the message says what, where and what was expected."""


@dataclass(frozen=True)
class Problem:
    """One mistake in an input file: where it stands, and what was expected there."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class SpecError(VmsimError):
    """A YAML file has mistakes: `problems` lists all that were found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class ImpossibleState(Exception):
    """The simulated machine reached a state that no machine can be in: a defect of vmsim, never of its input."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """A message for a name that isn't known: the nearest valid one if any is near, and all that are valid."""
    names = sorted(known)
    folded = {valid.lower(): valid for valid in names}
    near = [folded[found] for found in get_close_matches(name.lower(), folded, n=1, cutoff=0.5)]
    listed = ", ".join(names) or "none"
    if not near:
        return f"no {what} {name!r}; known: {listed}"
    return f"no {what} {name!r}; did you mean {near[0]!r}? (known: {listed})"
