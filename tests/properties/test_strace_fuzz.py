"""Damaged logs: whatever is in them, a replay ends with a tally or with an error that names file and line."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmsim.errors import VmsimError
from vmsim.experiment.strace.replay import replay_log

DATA = Path(__file__).parents[1] / "conformance" / "data" / "strace"
LINES = gzip.decompress((DATA / "selftest-map_populate.strace.gz").read_bytes()).splitlines(keepends=True)
LINES += gzip.decompress((DATA / "mincore01.strace.gz").read_bytes()).splitlines(keepends=True)
FRAMES = 1 << 11
NUMBERS = st.sampled_from(
    b"0 1 4096 4095 0xfff 0x7fffffffe000 0x7ffffffff000 18446744073709551615 -1 NULL x 0x7f1414516000 0x7f807cea5000".split()
)
WORDS = st.sampled_from(
    b"mmap munmap mprotect mremap brk madvise mincore msync mlock mlock2 munlock mlockall clone execve shmat close".split()
)


def outcome(data: bytes, suffix: str = "") -> str:
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        try:
            replay_log(file.name, frames=FRAMES)
        except VmsimError as error:
            assert str(error).startswith(f"{file.name}:")
            return str(error)
    return ""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_lines(data: st.DataObject) -> None:
    """Lines left out, twice, in another order, with other numbers, names and bytes."""
    chosen = data.draw(st.lists(st.integers(0, len(LINES) - 1), min_size=1, max_size=40))
    lines = [LINES[index] for index in (sorted(chosen) if data.draw(st.booleans()) else chosen)]
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        parts = lines[at].split(b", ")
        where = data.draw(st.integers(0, len(parts) - 1))
        parts[where] = data.draw(NUMBERS | st.binary(max_size=8))
        lines[at] = b", ".join(parts) if data.draw(st.booleans()) else data.draw(WORDS) + b"(" + b", ".join(parts) + b") = 0\n"
    outcome(b"".join(lines))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 100), st.binary(max_size=30))
def test_cut_and_spoilt_files(share: int, junk: bytes) -> None:
    whole = b"".join(LINES)
    outcome(whole[: len(whole) * share // 100])
    outcome(whole[: len(whole) * share // 100] + junk)
    packed = gzip.compress(whole, mtime=0)
    outcome(packed[: len(packed) * share // 100], ".gz")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_junk(data: bytes) -> None:
    outcome(data)
