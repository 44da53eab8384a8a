"""The command that drives the running kernel and the simulator side by side: `record`."""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from vmsim.cli_conform import switched
from vmsim.errors import VmsimError, unknown_name

if TYPE_CHECKING:
    from vmsim.experiment.live.session import Told

_PLAIN_SECONDS = 10.0
_SEEDS = 1_000_000_000


def record(args: argparse.Namespace) -> int:
    """Record fresh sequences and compare them; 0 when the simulator gives every answer of the kernel, else 1."""
    from vmsim.experiment.conform.command import as_object, told_lines
    from vmsim.experiment.live.session import PROFILES, Wanted, run_session

    profiles = tuple(args.profiles or PROFILES)
    for name in profiles:
        if name not in PROFILES:
            raise VmsimError(unknown_name("profile", name, PROFILES))
    if args.no_compare and not args.out:
        raise VmsimError("--no-compare without --out FILE: nothing would be left of the recording")
    seed = secrets.randbelow(_SEEDS) if args.seed is None else args.seed
    out = Path(args.out) if args.out else None
    with _Display(args.steps, args.quiet) as display:
        told = run_session(Wanted(args.steps, seed, profiles, out, not args.no_compare, dict(map(switched, args.rules))), display.show)
    divergences = [told.shrunk.divergence] if told.shrunk is not None and told.shrunk.divergence is not None else []
    if args.json:
        facts: dict[str, Any] = {
            **as_object(told.sequences, told.steps, divergences), "seed": seed, "profiles": list(profiles), "kernel": told.kernel,
            "compared_with": told.version, "not_tried": told.not_tried, "tries": told.tries,
            "shrunk_file": str(told.shrunk_file) if told.shrunk_file else None,
        }  # fmt: skip
        print(json.dumps(facts, indent=1))
        return 1 if divergences else 0
    what = f"compared with the rules of {told.version}" if told.version else "not compared"
    print(f"kernel {told.kernel}, {what}; profiles {' '.join(profiles)}; seed {seed}")
    for line in told.not_tried:
        print(f"not tried: {line}")
    for divergence in divergences:
        _tell(told, "\n".join(told_lines(divergence)))
    print(f"sequences {told.sequences} steps {told.steps} divergences {len(divergences)}")
    return 1 if divergences else 0


def _tell(told: Told, lines: str) -> None:
    assert told.found is not None and told.shrunk is not None
    found, shrunk = told.found.program, told.shrunk.program
    print(f"\na difference in profile {found.profile} seed {found.seed}; the shortest program that shows it, after {told.tries} tries:")
    print(lines)
    print(f"{found.steps} steps became {shrunk.steps}; vmsim conform {told.shrunk_file} replays them\n")


def _terminated(number: int, frame: object) -> None:
    """End as an interruption does, so that nothing is left behind."""
    del frame
    raise SystemExit(128 + number)


class _Display:
    """How far a session is: a bar on a terminal, a line now and then elsewhere, nothing when asked."""

    def __init__(self, steps: int, quiet: bool) -> None:
        self._steps = steps
        self._quiet = quiet
        self._said = time.monotonic()
        self._bar: Any = None
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, _terminated)
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (BarColumn(bar_width=24), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("compiling", total=self._steps)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
        if self._bar is not None:
            self._bar.stop()

    def show(self, told: Told, doing: str) -> None:
        """Tell of it."""
        line = f"{told.steps} of {self._steps} steps, {doing}"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=told.steps, description=line)
        elif not self._quiet and time.monotonic() - self._said >= _PLAIN_SECONDS:
            self._said = time.monotonic()
            print(line, file=sys.stderr, flush=True)
