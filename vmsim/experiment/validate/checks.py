"""Comparing counts: the range over a recording's repetitions, the simulated number, and how far apart they may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vmsim.experiment.validate.machine import PAGE, PROGRAM_ANON, PROGRAM_FILE
from vmsim.experiment.validate.recording import Case, Run
from vmsim.experiment.validate.simulate import Counters, Outcome
from vmsim.units import KIB

AGREES, DISAGREES, TOLD = "agrees", "DISAGREES", "-"
Number = int | float
Value = Number | str
_OWN_KB: Final = (PROGRAM_ANON + PROGRAM_FILE) * PAGE // KIB  # what vmsim's program has locked of its own


@dataclass(frozen=True)
class Tolerance:
    """How far a simulated number may lie outside the recorded range: a share of it, a number; `None` shares: told, not judged."""

    share: float | None = 0.0
    number: float = 0.0
    factor: float = 0.0

    def widened(self, times: float) -> Tolerance:
        """The same for a kernel whose tolerances are `times` as wide; what must be exact stays so."""
        return Tolerance(None if self.share is None else self.share * times, self.number * times, self.factor)

    def bounds(self, low: Number, high: Number) -> tuple[float, float]:
        """The least and greatest number that agree."""
        if self.factor:
            return min(low, high) / self.factor - self.number, max(low, high) * self.factor + self.number
        slack = max((self.share or 0.0) * high, self.number)
        return low - max((self.share or 0.0) * low, self.number), high + slack

    def text(self) -> str:
        """As a table shows it."""
        if self.share is None:
            return "told"
        if self.factor:
            return f"factor {self.factor:g}"
        parts = [f"{100 * self.share:g} %"] if self.share else []
        parts += [f"{self.number:g}"] if self.number else []
        return " or ".join(parts) or "exact"


EXACT = Tolerance()
TOLD_ONLY = Tolerance(share=None)


@dataclass(frozen=True)
class Check:
    """One number compared."""

    counter: str
    low: Value
    high: Value
    simulated: Value
    tolerance: Tolerance

    @property
    def verdict(self) -> str:
        """Whether they agree, or `-` for a number that is only told."""
        if self.tolerance.share is None:
            return TOLD
        if isinstance(self.simulated, str) or isinstance(self.low, str) or isinstance(self.high, str):
            return AGREES if self.simulated in (self.low, self.high) else DISAGREES
        least, most = self.tolerance.bounds(self.low, self.high)
        return AGREES if least - 1e-9 <= self.simulated <= most + 1e-9 else DISAGREES

    @property
    def error(self) -> float | None:
        """How far the simulated number is from the nearest recorded one, as a share of that; None for texts."""
        if isinstance(self.simulated, str) or isinstance(self.low, str) or isinstance(self.high, str):
            return None
        near = min(max(self.simulated, self.low), self.high)
        return (self.simulated - near) / near if near else float(self.simulated - near)


def total(counters: Mapping[str, int], *prefixes: str) -> int:
    """The sum of the counters that begin with one of the names: over zones, or over kinds of pages in later kernels."""
    return sum(value for name, value in counters.items() if name.startswith(prefixes))


@dataclass(frozen=True)
class View:
    """A run of a case as recorded by each repetition, beside its simulation."""

    recorded: tuple[Run, ...]
    simulated: Outcome
    times: float  # how much wider tolerances are for this kernel

    def check(
        self, counter: str, tolerance: Tolerance, recorded: Callable[[Run], Value | None], simulated: Value
    ) -> Iterator[Check]:
        """One number of every repetition against the simulated one; nothing if none recorded it."""
        found = [value for run in self.recorded if (value := recorded(run)) is not None]
        if found:
            low, high = min(found, key=_order), max(found, key=_order)
            yield Check(counter, low, high, simulated, tolerance.widened(self.times))

    def usage(self, phase: str, name: str, tolerance: Tolerance) -> Iterator[Check]:
        """A phase's minor or major faults, as getrusage counts them."""
        simulated = self.counts(phase).get(f"ru_{name}", 0)
        yield from self.check(f"{phase} {name}", tolerance, lambda run: run.phase(phase).get("rusage", {}).get(name), simulated)

    def counted(self, phase: str, name: str, tolerance: Tolerance, *prefixes: str) -> Iterator[Check]:
        """A phase's change of a counter of /proc/vmstat, or of all that begin with `prefixes`."""
        begins = prefixes or (name,)
        simulated = total(self.counts(phase), *begins)
        yield from self.check(
            f"{phase} {name}", tolerance, lambda run: total(run.counts(phase), *begins) if run.phase(phase) else None, simulated
        )

    def counts(self, phase: str) -> Counters:
        """A simulated phase's counters, {} if it never began."""
        return self.simulated.phases.get(phase, {})

    def fact(self, name: str, tolerance: Tolerance = EXACT) -> Iterator[Check]:
        """A number that the program reported at its end."""
        if name in self.simulated.facts:
            yield from self.check(name, tolerance, lambda run: run.data.get(name), self.simulated.facts[name])


def _order(value: Value) -> tuple[bool, Value]:
    return isinstance(value, str), value


def own_locked_kb(case: Case) -> int:
    """What the recorded program had locked beside its mapping: what a run without locking shows (1700 kB on 4.4, 1696 on 6.1)."""
    return 1696 if case.kernel.startswith("6.1") else 1700


def locked_kb(case: Case, run: Run, outcome: Outcome) -> int:
    """VmLck as the recorded program would show it, which for zipf keeps 8 and 4 bytes of each page in two locked mappings."""
    sizes = (8, 4) if run.params.get("pat") == "zipf" else ()
    tables = sum(-(-size * run.number("pages", 1000) // PAGE) for size in sizes) * PAGE // KIB
    return int(outcome.facts.get("VmLck_kb", 0)) - _OWN_KB + own_locked_kb(case) + tables


def plain(check: Check) -> dict[str, Any]:
    """A check as JSON data."""
    return {
        "counter": check.counter, "recorded": [check.low, check.high], "simulated": check.simulated,
        "error": check.error, "tolerance": check.tolerance.text(), "verdict": check.verdict,
    }  # fmt: skip
