"""`vmsim conform`: what the replay of recordings found, as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmsim.errors import VmsimError
from vmsim.experiment.conform.recording import Json
from vmsim.experiment.conform.replay import Divergence
from vmsim.experiment.conform.tally import cores, replay_files

_RESULTS = frozenset({"i", "op", "ret", "err", "done", "sig", "code", "at", "vals", "vec", "minflt", "majflt", "st", "same", "child"})
_STEPS_SHOWN = 12


def conform_command(
    files: list[str], as_json: bool = False, limit: int = 10, seed: int | None = None, rules: dict[str, bool] | None = None
) -> int:
    """Replay recordings and print how they differ from the simulator: 0 if they don't, else 1.

    `limit` divergences are shown; `seed` selects one sequence; `rules` switches version rules. Raises VmsimError for a damaged file.
    """
    tally = replay_files(map(Path, files), rules, seed, cores())
    if seed is not None and not tally.sequences:
        raise VmsimError(f"no sequence of seed {seed} in {', '.join(files)}")
    if as_json:
        print(json.dumps(as_object(tally.sequences, tally.steps, tally.divergences), indent=1))
    else:
        for divergence in tally.divergences[:limit]:
            print("\n".join(told_lines(divergence)), end="\n\n")
        hidden = len(tally.divergences) - limit
        if hidden > 0:
            print(f"{hidden} more diverging sequences are not shown (--max {len(tally.divergences)} shows them)\n")
        print(f"sequences {tally.sequences} steps {tally.steps} divergences {len(tally.divergences)}")
    return 1 if tally.divergences else 0


def _call(record: Json) -> str:
    given = " ".join(f"{name}={_brief(value)}" for name, value in record.items() if name not in _RESULTS)
    return f"{record.get('op')} {given}".rstrip()


def _answer(record: Json) -> str:
    names = ("ret", "err", "done", "sig", "code", "at", "vals", "vec", "minflt", "majflt")
    return " ".join(f"{name}={_brief(record[name])}" for name in names if name in record)


def _brief(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list) else str(value)


def told_lines(divergence: Divergence) -> Iterator[str]:
    """The lines that tell of a divergence: the sequence, the steps before it, and what differs."""
    sequence = divergence.sequence
    header = sequence.header
    step = sequence.steps[divergence.index] if divergence.index >= 0 else None
    line = step.line if step is not None else sequence.line + 1
    yield f"{sequence.path}:{line}: profile {header.get('profile')} seed {header.get('seed')} kernel {header.get('kernel')}"
    first = max(0, divergence.index - _STEPS_SHOWN)
    if first:
        yield f"  ({first} steps before these)"
    for index in range(first, divergence.index + 1):
        record = sequence.steps[index].record
        mark = ">" if index == divergence.index and divergence.child is None else " "
        yield f"{mark} {index:3} {_call(record)}  ->  {_answer(record)}"
        if index == divergence.index and divergence.child is not None:
            for number, operation in enumerate(record["child"]["ops"][: divergence.child + 1]):
                mark = ">" if number == divergence.child else " "
                yield f"{mark}      child {number} {_call(operation)}  ->  {_answer(operation)}"
    for name, expected, simulated in divergence.differences:
        yield f"  {name}:"
        yield f"    expected  {_values(expected)}"
        yield f"    simulated {_values(simulated)}"


def _values(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "  ".join(_brief(item) for item in value)
    return _brief(value)


def as_object(sequences: int, steps: int, divergences: list[Divergence]) -> dict[str, Any]:
    """The counts, and each divergence, as an object for JSON."""
    return {
        "sequences": sequences,
        "steps": steps,
        "divergences": len(divergences),
        "first": [
            {
                "file": d.sequence.path,
                "line": d.sequence.steps[d.index].line if d.index >= 0 else d.sequence.line + 1,
                "seed": d.sequence.header.get("seed"),
                "step": d.index,
                "child_step": d.child,
                "differences": [{"what": name, "expected": e, "simulated": s} for name, e, s in d.differences],
            }
            for d in divergences
        ],
    }
