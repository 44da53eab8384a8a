"""Replaying a log on a kernel by itself, with every answer compared."""

from __future__ import annotations

import gc
import re
from collections.abc import Mapping
from pathlib import Path

from vmsim.arch.rules import VERSIONS
from vmsim.errors import VmsimError
from vmsim.experiment.strace.machine import FRAMES, Machine
from vmsim.workload.strace.log import Log
from vmsim.workload.strace.replayer import Replayer, Tally
from vmsim.workload.trace.format import TraceError
from vmsim.workload.trace.stream import ByteStream, StreamError

NEWEST = VERSIONS[-1]
_RELEASE = re.compile(rb'(?:release="|Tested kernel: |Linux version )(\d+\.\d+[0-9A-Za-z.+_-]*)')
_SEARCHED = 1 << 22


def nearest_version(release: str) -> tuple[str, bool]:
    """The modelled version that comes nearest to a kernel's release, and whether it is that one itself. Raises VmsimError."""
    found = re.match(r"(\d{1,4})\.(\d{1,6})", release)
    if found is None:
        raise VmsimError(f"not a kernel version: {release[:40]!r} (known: {', '.join(VERSIONS)})")
    wanted = int(found[1]), int(found[2])
    # Where answers changed: mlock2 in 4.4; most of the rules of 6.1 by 5.0; those of 6.18 by 6.12.
    version = "4.3" if wanted < (4, 4) else "4.4" if wanted < (4, 12) else "6.1" if wanted < (6, 12) else "6.18"
    return version, version == f"{wanted[0]}.{wanted[1]}"


def _why_nothing(stream: ByteStream) -> str:
    try:
        stream.read(1)
    except StreamError as error:
        return str(error)
    return "the file is empty"


def replay_log(path: str | Path, kernel: str | None = None, switched: Mapping[str, bool] | None = None, frames: int = FRAMES) -> Tally:
    """Replay a log, plain or compressed; `kernel` names the version instead of the log. Raises VmsimError for what isn't one."""
    collects = gc.isenabled()
    gc.disable()  # looking for cycles among the steps that are kept takes longer than replaying them
    try:
        with ByteStream(path) as stream:
            beginning, _ = stream.peek(_SEARCHED)
            if not beginning.strip():
                raise TraceError(stream.path, _why_nothing(stream), "line", 1)
            shown = _RELEASE.search(beginning)
            release = kernel or (shown[1].decode("ascii") if shown else NEWEST)
            version, exact = nearest_version(release)
            replayer = Replayer(Log(stream), Machine(version, switched, frames))
            tally = replayer.run()
    finally:
        if collects:
            gc.enable()
    tally.kernel = release if exact else f"{release}, replayed by the rules of {version}"
    tally.why = "as given" if kernel else "as the log says" if shown else "as nothing in the log says which"
    return tally
