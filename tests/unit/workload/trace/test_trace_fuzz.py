"""Whatever is in a file, reading it ends with its accesses or with an error that a person can read."""

from __future__ import annotations

import gzip
import lzma
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmsim.workload.trace import Footprint, TraceError, inspect, open_trace, pages

FORMATS = ["lackey", "plain", "csv", "champsim", "cloudsuite", "oracleGeneral", "lcs", "strace"]
PACK: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": zstandard.ZstdCompressor().compress,
}
GIVEN = {"csv": "csv:id=2,size=3,op=4"}
T = TypeVar("T")
Made = dict[str, Callable[[int], bytes]]
# A run takes milliseconds; a second is what a busy machine may need, and far from what a loop without an end would
# take.
fuzz = settings(
    max_examples=10, deadline=timedelta(seconds=5), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def attempt(action: Callable[[], T]) -> tuple[T | None, str]:
    """What the action gives, or the text of the TraceError that it raises."""
    try:
        return action(), ""
    except TraceError as error:
        return None, str(error)


def read_all_ways(data: bytes, format: str | None) -> None:
    """Read, inspect and replay a file of these bytes: only a TraceError may come out, and it names the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace"
        path.write_bytes(data)
        summary, refused = attempt(lambda: inspect(path, format=format))
        if summary is None:
            assert refused.startswith(str(path))
            return
        assert summary.accesses == summary.reads + summary.writes + summary.fetches + summary.modifies
        assert summary.bad == 0 or (summary.first_bad is not None and summary.first_bad.number > 0)
        seen, fault = attempt(lambda: sum(len(chunk) for chunk in open_trace(path, format)))
        touched, _ = attempt(lambda: arena_touches(path, format))
        if seen is None:
            # What stops the reader is the first fault that inspect found.
            assert summary.format == "strace" or fault == str(summary.first_bad)
            assert touched is None
        else:
            assert touched is not None
            assert touched >= seen == summary.accesses
            assert summary.bad == 0


def arena_touches(path: Path, format: str | None) -> int:
    """How many pages of its arena a trace touches."""
    arena = Footprint.scan(open_trace(path, format))
    return sum(len(touched) for touched, _ in pages(open_trace(path, format), footprint=arena))


@pytest.fixture(scope="module", autouse=True)
def _compiled_before_time_counts() -> None:
    for format in ("lackey", "plain:base=16", "csv:id=1"):
        read_all_ways(b" L 10,1\n10 R\n", format)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("compression", PACK)
@given(cut=st.floats(0, 1), named=st.booleans())
@fuzz
def test_cut_anywhere(made: Made, format: str, compression: str, cut: float, named: bool) -> None:
    data = PACK[compression](made[format](200))
    read_all_ways(data[: int(cut * len(data))], GIVEN.get(format, format) if named else None)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("compression", PACK)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=20),
    named=st.booleans(),
)
@fuzz
def test_bytes_changed_anywhere(
    made: Made, format: str, compression: str, flips: list[tuple[float, int]], named: bool
) -> None:
    data = bytearray(PACK[compression](made[format](200)))
    for where, change in flips:
        data[int(where * len(data))] ^= change
    read_all_ways(bytes(data), GIVEN.get(format, format) if named else None)


@pytest.mark.parametrize("format", [None, *FORMATS])
@given(data=st.binary(max_size=3000) | st.text('ILSM 0123456789abcdefx,RWrw\n\r"=-#|\t', max_size=1000).map(str.encode))
@fuzz
def test_any_bytes(format: str | None, data: bytes) -> None:
    read_all_ways(data, GIVEN.get(format, format) if format else None)


@pytest.mark.parametrize("magic", [b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"])
@given(data=st.binary(max_size=2000))
@fuzz
def test_any_bytes_after_the_magic_of_a_compression(magic: bytes, data: bytes) -> None:
    read_all_ways(magic + data, "oracleGeneral")
