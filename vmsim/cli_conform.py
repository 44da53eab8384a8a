"""The command that compares the simulator with recorded kernels: `conform` and `strace`."""

from __future__ import annotations

import argparse

from vmsim.errors import VmsimError

_SWITCH = {"on": True, "off": False}


def conform(args: argparse.Namespace) -> int:
    """Replay recordings; 0 when the simulator gives every answer that they hold."""
    from vmsim.experiment.conform.command import conform_command

    return conform_command(args.files, args.json, args.max, args.seed, dict(switched(text) for text in args.rules))


def strace(args: argparse.Namespace) -> int:
    """Replay logs of strace; 0 when the simulator gives every result that they hold."""
    from vmsim.experiment.strace.command import strace_command

    return strace_command(args.files, args.json, args.max, args.kernel, dict(switched(text) for text in args.rules))


def switched(text: str) -> tuple[str, bool]:
    """A rule as `--rule` switches it: name and whether it holds. Raises VmsimError."""
    name, _, value = text.partition("=")
    if value not in _SWITCH:
        raise VmsimError(f"--rule {text}: expected NAME=on or NAME=off")
    return name, _SWITCH[value]
