"""What tests that need the running kernel ask first, and why they are skipped where it can't be recorded."""

from __future__ import annotations

import platform
from functools import cache

import pytest

from vmsim.arch.rules import VERSIONS
from vmsim.errors import VmsimError
from vmsim.experiment.live.build import why_not
from vmsim.experiment.live.program import Program
from vmsim.experiment.live.recorder_process import Recorder


@cache
def _refusal() -> str | None:
    reason = why_not()
    if reason is not None:
        return reason
    try:
        with Recorder() as recorder:
            recorder.record(Program(1, "basic", ()))
    except VmsimError as error:
        return str(error)
    return None


def need_recorder() -> None:
    """Skip the test, with the reason, where nothing can be recorded."""
    reason = _refusal()
    if reason is not None:
        pytest.skip(reason)


def need_modelled_kernel() -> None:
    """Skip the test where the running kernel is none of the modelled ones."""
    need_recorder()
    release = platform.release()
    if not any(release.startswith(version + ".") for version in VERSIONS):
        pytest.skip(f"kernel {release} is not modelled")
