"""`vmsim validate`: every label of every recording against its simulation, as text or JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from vmsim.errors import ImpossibleState, VmsimError, unknown_name
from vmsim.experiment.validate.checks import AGREES, DISAGREES, Check, Value, plain
from vmsim.experiment.validate.compare import compare
from vmsim.experiment.validate.machine import recorded_costs
from vmsim.experiment.validate.oom import oom_checks
from vmsim.experiment.validate.programs import NotSimulated
from vmsim.experiment.validate.recording import Case, read_cases
from vmsim.experiment.validate.simulate import simulate
from vmsim.experiment.validate.zones import zone_checks

NOT_SIMULATED: Final = "not simulated yet"
FAILED: Final = "FAILED"


@dataclass(frozen=True)
class Verdict:
    """A case compared: its checks, or why there are none."""

    path: str
    label: str
    repetitions: int
    checks: tuple[Check, ...]
    problem: str = ""  # what is not simulated yet, or the defect that ended the simulation
    status: str = ""
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """AGREES, DISAGREES, NOT_SIMULATED or FAILED."""
        if self.status:
            return self.status
        return DISAGREES if any(check.verdict == DISAGREES for check in self.checks) else AGREES


def validate_command(files: list[str], as_json: bool, jobs: int | None, labels: list[str], brief: bool, quiet: bool) -> int:
    """Compare recordings with their simulation and print how far apart they are: 0 if all cases agree, else 1. Raises VmsimError."""
    cases = _chosen([case for name in files for case in read_cases(Path(name))], labels)
    processes = max(1, min(jobs or os.cpu_count() or 1, len(cases)))
    verdicts = []
    for done, verdict in enumerate(_judged(cases, processes), start=1):
        verdicts.append(verdict)
        if not as_json:
            print("\n".join(_told(verdict, brief)), flush=True)
        if not quiet:
            told = f"{Path(verdict.path).name} {verdict.label}: {verdict.verdict} ({verdict.seconds:.1f} s)"
            print(f"{done} of {len(cases)}  {told}", file=sys.stderr)
    agree = sum(verdict.verdict == AGREES for verdict in verdicts)
    if as_json:
        print(json.dumps(_as_json(verdicts, agree), indent=1))
    else:
        print(f"cases {len(verdicts)} agree {agree}")
    return 0 if agree == len(verdicts) else 1


def _chosen(cases: list[Case], labels: list[str]) -> list[Case]:
    known = list(dict.fromkeys(case.label for case in cases))
    for label in labels:
        if label not in known:
            raise VmsimError(unknown_name("label", label, known))
    return [case for case in cases if not labels or case.label in labels]


def _judged(cases: list[Case], processes: int) -> Iterator[Verdict]:
    """The verdicts in the order of the cases; the cases are spread over processes."""
    costs = recorded_costs()
    if processes == 1:
        yield from (judge(case, costs) for case in cases)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(judge, cases, [costs] * len(cases))


def judge(case: Case, costs: Mapping[str, Any]) -> Verdict:
    """Simulate one case and compare it."""
    began = time.perf_counter()
    checks: tuple[Check, ...] = ()
    problem = status = ""
    try:
        checks = tuple(_checks(case, costs))
        if not checks:
            problem, status = "nothing is compared of it", NOT_SIMULATED
    except NotSimulated as missing:
        problem, status = str(missing), NOT_SIMULATED
    except (ImpossibleState, VmsimError, ValidationError) as error:
        problem, status = str(error).splitlines()[0], FAILED
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        problem, status = f"{type(error).__name__}: {error} (the recording is damaged, or vmsim has a defect)", FAILED
    return Verdict(case.path, case.label, len(case.results), checks, problem, status, time.perf_counter() - began)


def _checks(case: Case, costs: Mapping[str, Any]) -> Iterator[Check]:
    if case.first.runs:
        yield from compare(case, simulate(case.first, case.kernel, costs))
    elif case.first.hogs:
        yield from oom_checks(case, costs)
    elif case.first.boot.get("zoneinfo"):
        yield from zone_checks(case)


def _number(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def _told(verdict: Verdict, brief: bool) -> Iterator[str]:
    """The lines of one case: a table of its checks."""
    why = f" ({verdict.problem})" if verdict.problem else ""
    yield f"{Path(verdict.path).name} {verdict.label}, {verdict.repetitions} recorded: {verdict.verdict}{why}"
    shown = [check for check in verdict.checks if not brief or check.verdict == DISAGREES]
    for check in shown:
        recorded = _number(check.low) if check.low == check.high else f"{_number(check.low)} .. {_number(check.high)}"
        error = "" if check.error is None else f"{100 * check.error:+.1f} %" if check.low else f"{check.error:+g}"
        yield (
            f"  {check.counter:34} recorded {recorded:>24}  simulated {_number(check.simulated):>16}  {error:>9}  "
            f"{check.tolerance.text():>12}  {check.verdict}"
        )


def _as_json(verdicts: list[Verdict], agree: int) -> dict[str, Any]:
    return {
        "cases": len(verdicts),
        "agree": agree,
        "results": [
            {
                "file": verdict.path, "label": verdict.label, "repetitions": verdict.repetitions, "verdict": verdict.verdict,
                **({"problem": verdict.problem} if verdict.problem else {}), "seconds": round(verdict.seconds, 1),
                "checks": [plain(check) for check in verdict.checks],
            }
            for verdict in verdicts
        ],
    }  # fmt: skip
