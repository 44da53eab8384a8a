"""The command that compares whole-system recordings of real kernels with their simulation: `validate`."""

from __future__ import annotations

import argparse


def validate(args: argparse.Namespace) -> int:
    """Replay recorded machines; 0 when every case agrees within its tolerance."""
    from vmsim.experiment.validate.command import validate_command

    return validate_command(args.files, args.json, args.jobs, args.labels, args.brief, args.quiet)
