"""Logs of Linux 6.18.44: memory tests of the Linux Test Project, selftests, programs, and calls with every kind of mistake.

The `own-` logs are of small C programs that make such calls, written under other options of strace each: -tt -T, -r -i -X raw, -ttt -y,
-n -X verbose, and to the terminal instead of a file.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vmsim.experiment.strace.replay import replay_log
from vmsim.workload.trace.stream import ByteStream

LOGS = sorted((Path(__file__).parent / "data" / "strace").iterdir())
FRAMES = 1 << 15
_NAMES = (
    "(?:mmap|munmap|(?:pkey_)?mprotect|mremap|brk|madvise|mincore|msync|mlock2?|munlock|mlockall|munlockall"
    "|mbind|process_madvise|remap_file_pages|syscall_0x1ce)"
)
_CALL = re.compile(rf'[^"]*?(?:\b{_NAMES}\(|<\.\.\. {_NAMES} resumed>).* = (?:-?\d|0x)')


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_every_memory_call_agrees(path: Path) -> None:
    """All calls that a search for their names finds in the log are compared, and none differs."""
    with ByteStream(path) as stream:
        text = stream.read(1 << 24).decode("latin-1")
    tally = replay_log(path, frames=FRAMES)
    assert [(d.line, d.difference) for d in tally.divergences] == []
    assert tally.steps == sum(1 for line in text.splitlines() if _CALL.match(line)) - sum(tally.rules.values())


def test_a_hint_is_rounded_down(tmp_path: Path) -> None:
    """Linux 6.18: with the page free, mmap(page + 5) and mmap(page + 4095) give the page (round_hint_to_min)."""
    log = tmp_path / "hint"
    log.write_text(
        'execve("/a", ["a"], NULL) = 0\n'
        "mmap(NULL, 131072, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0ff2a50000\n"
        "munmap(0x7f0ff2a50000, 131072) = 0\n"
        "mmap(0x7f0ff2a50005, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0ff2a50000\n"
        "munmap(0x7f0ff2a50000, 4096) = 0\n"
        "mmap(0x7f0ff2a50fff, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0ff2a50000\n"
    )
    tally = replay_log(log, frames=FRAMES)
    assert (tally.steps, tally.divergences) == (5, [])
