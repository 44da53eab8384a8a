"""Damaged inputs: logs of calls that a program carries out, and recordings of whole machines. Each ends well or with an error that names
the file; of text, with the line."""

from __future__ import annotations

import gzip
import json
import random
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenario import phase, run

from vmsim.errors import VmsimError
from vmsim.experiment.validate.recording import read_cases
from vmsim.workload.strace.source import LogSource, scan_log
from vmsim.workload.trace.source import TraceRequest
from vmsim.workload.trace.stream import ByteStream

TESTS = Path(__file__).parents[1]
LOGS = [
    TESTS / "conformance" / "data" / "strace" / name for name in ("mlock201.strace.gz", "own-mremap.strace.xz", "own-calls-mmap.strace.xz")
]
ADDRESSES = (b"0", b"1", b"4096", b"0x7fffffffe000", b"0xfffffffffffff000", b"0x7f0000001000", b"-1", b"NULL")
TRUTH = sorted((TESTS / "truth" / "data").glob("*.json.gz"))[:1]


def text_of(path: Path) -> list[bytes]:
    with ByteStream(path) as stream:
        return stream.read(1 << 24).splitlines(keepends=True)


LINES = [text_of(path) for path in LOGS]


def damaged(lines: list[bytes], chance: random.Random) -> bytes:
    """Lines left out, twice, in another order, from another place, with other numbers, or cut anywhere."""
    lines = list(lines)
    for _ in range(chance.randrange(1, 8)):
        at = chance.randrange(len(lines))
        kind = chance.randrange(5)
        if kind == 0:
            lines = lines[:at] + lines[at + chance.randrange(1, 4) :] or [b"\n"]
        elif kind == 1:
            lines.insert(at, chance.choice(lines))
        elif kind == 2:
            lines[at] = re.sub(rb"0x[0-9a-f]+|\b\d{3,}\b", lambda _: chance.choice(ADDRESSES), lines[at])
        elif kind == 3:
            other = chance.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = lines[at][: chance.randrange(len(lines[at]))] + b"\n"
    return b"".join(lines)


def read_log(path: str) -> None:
    request = TraceRequest(path, "strace", True, None, 4096)
    scan_log(request, 1 << 35)
    source = LogSource(request, "task", 1 << 35, 1)
    while len(source.take(1 << 15)):
        pass


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2), st.integers(0, 1 << 30), st.booleans())
def test_damaged_logs_are_read_or_told(which: int, seed: int, packed: bool) -> None:
    chance = random.Random(seed)
    data = damaged(LINES[which], chance)
    if packed:
        data = gzip.compress(data, mtime=0)
        data = data[: chance.randrange(len(data)) + 1]
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            read_log(file.name)
        except VmsimError as error:
            assert re.match(rf"{re.escape(file.name)}(:\d+)?: ", str(error))


@pytest.mark.parametrize("seed", range(12))
def test_damaged_logs_run_to_their_end(seed: int, tmp_path: Path) -> None:
    """Whatever a log does to its address space, the machine ends in a state that verify accepts."""
    chance = random.Random(seed)
    path = tmp_path / "damaged.strace"
    path.write_bytes(damaged(chance.choice(LINES), chance))
    try:
        outcome = run([phase("log", {"trace": str(path)})], image="none", version=chance.choice(("4.4", "6.18")), ram="64 MiB", cpus=2)
    except VmsimError as error:
        assert re.match(rf"{re.escape(str(path))}(:\d+)?: ", str(error))
    else:
        assert outcome.ending.reason == "finished"


def spoilt(value: Any, chance: random.Random) -> None:
    """Put something else in one place of a JSON value."""
    if isinstance(value, dict) and value:
        key: Any = chance.choice(list(value))
    elif isinstance(value, list) and value:
        key = chance.randrange(len(value))
    else:
        return
    if isinstance(value[key], (dict, list)) and value[key] and chance.random() < 0.7:
        spoilt(value[key], chance)
    else:
        value[key] = chance.choice([None, -1, "", "x", [], {}, 10**30, [1, 2]])


@pytest.mark.parametrize("path", TRUTH, ids=lambda path: path.name)
@pytest.mark.parametrize("seed", range(40))
def test_spoilt_recordings_are_read_or_told(path: Path, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    data = json.loads(gzip.decompress(path.read_bytes()))
    for _ in range(chance.randrange(1, 5)):
        spoilt(data, chance)
    text = json.dumps(data).encode()
    file = tmp_path / "spoilt.json"
    file.write_bytes(text if chance.random() < 0.7 else text[: chance.randrange(len(text))])
    try:
        read_cases(file)
    except VmsimError as error:
        assert str(error).startswith(f"{file}: ")


def test_endless_nesting_is_told(tmp_path: Path) -> None:
    file = tmp_path / "deep.json"
    file.write_text("[" * 100_000)
    with pytest.raises(VmsimError, match="not JSON"):
        read_cases(file)
