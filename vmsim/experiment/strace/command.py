"""`vmsim strace`: what the replay of logs found, as text or JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from vmsim.experiment.strace.replay import replay_log
from vmsim.workload.strace.left_out import RULES
from vmsim.workload.strace.log import Entry
from vmsim.workload.strace.names import ERRNO_NAMES
from vmsim.workload.strace.replayer import Divergence, Tally

_LONGEST = 160


def strace_command(
    files: list[str], as_json: bool = False, limit: int = 10, kernel: str | None = None, rules: dict[str, bool] | None = None
) -> int:
    """Replay logs and print how they differ from the simulator: 0 if they don't, else 1.

    `limit` divergences are shown; `kernel` is the version to replay by; `rules` switches version rules. Raises VmsimError.
    """
    tallies = []
    shown = 0
    for name in files:
        tally = replay_log(name, kernel, rules)
        tallies.append(tally)
        if not as_json:
            print("\n".join(_summary(tally)), end="\n\n")
            for divergence in tally.divergences[: max(limit - shown, 0)]:
                print("\n".join(_told(divergence)), end="\n\n")
            shown += len(tally.divergences)
    if as_json:
        print(json.dumps(_as_json(tallies), indent=1))
        return 1 if any(tally.divergences for tally in tallies) else 0
    sequences, steps, divergences = (sum(counts) for counts in zip(*map(_counts, tallies), strict=True))
    if shown > limit:
        print(f"{shown - limit} more divergences are not shown (--max {shown} shows them)\n")
    print(f"sequences {sequences} steps {steps} divergences {divergences}")
    return 1 if divergences else 0


def _counts(tally: Tally) -> tuple[int, int, int]:
    return tally.sequences, tally.steps, len(tally.divergences)


def _summary(tally: Tally) -> Iterator[str]:
    """What a log holds, what was assumed about it and what was left out."""
    sequences, steps, divergences = _counts(tally)
    yield f"{tally.path}: kernel {tally.kernel} ({tally.why})"
    yield f"  {sequences} processes, {steps} memory calls compared, {divergences} differ; {tally.skipped.total()} other calls skipped"
    for what, count in _sorted(tally.assumed):
        yield f"  assumed: {count} {what}"
    for rule, count in _sorted(tally.rules):
        yield f"  left out: {count} by the rule '{rule}': {RULES[rule]}"


def _sorted(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _call(entry: Entry) -> str:
    line = entry.line
    text = f"{line.name}({line.args}) = {_value(line.result, line.error)}"
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _value(result: int | None, error: str = "") -> str:
    if result is None:
        return "?"
    return f"-1 {error}" if error else hex(result) if result > 1 << 16 else str(result)


def _answer(value: int) -> str:
    return _value(-1, ERRNO_NAMES.get(-value, str(value))) if value < 0 else _value(value)


def _told(divergence: Divergence) -> Iterator[str]:
    """The lines that tell of a divergence: the process, the steps before it, and what differs."""
    again = "" if divergence.first else " (the process has differed before)"
    yield f"{divergence.path}:{divergence.line}: process {divergence.pid}{again}"
    if divergence.first and divergence.before:
        yield f"  ({divergence.before} memory calls before these)"
    for entry in divergence.steps:
        mark = ">" if entry.number == divergence.line else " "
        yield f"{mark} {entry.number:6} {_call(entry)}"
    yield f"    expected  {_answer(divergence.difference.expected)}"
    yield f"    simulated {_answer(divergence.difference.simulated)}"


def _as_json(tallies: list[Tally]) -> dict[str, Any]:
    total = [sum(counts) for counts in zip(*map(_counts, tallies), strict=True)]
    return {
        "sequences": total[0],
        "steps": total[1],
        "divergences": total[2],
        "files": [
            {
                "file": tally.path,
                "kernel": tally.kernel,
                "kernel_from": tally.why,
                "sequences": tally.sequences,
                "steps": tally.steps,
                "divergences": len(tally.divergences),
                "skipped": dict(tally.skipped.most_common()),
                "assumed": dict(_sorted(tally.assumed)),
                "left_out": dict(_sorted(tally.rules)),
                "first": [
                    {
                        "line": d.line,
                        "process": d.pid,
                        "call": _call(d.steps[-1]),
                        "expected": _answer(d.difference.expected),
                        "simulated": _answer(d.difference.simulated),
                    }
                    for d in tally.divergences
                ],
            }
            for tally in tallies
        ],
    }
