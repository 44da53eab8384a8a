"""Binary formats: ChampSim's, oracleGeneral and lcs."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from vmsim.workload.trace import FETCH, READ, WRITE, TraceError, inspect, open_trace

Write = Callable[[bytes], Path]
Read = Callable[..., list[tuple[int, int, int]]]
Made = dict[str, Callable[[int], bytes]]


@pytest.mark.parametrize("format", ["champsim", "cloudsuite"])
def test_an_instruction_is_a_fetch_then_reads_then_writes(write: Write, read: Read, made: Made, format: str) -> None:
    path = write(made[format](4))
    # conftest.instructions: number 0 reads two words and writes one, 1 and 2 touch no memory, 3 reads two words.
    first = [(0x400000, 0, FETCH), (0x7F0000000000, 0, READ), (0x600000, 0, READ), (0x7FFF00000000, 0, WRITE)]
    then = [
        (0x400004, 0, FETCH),
        (0x400008, 0, FETCH),
        (0x40000C, 0, FETCH),
        (0x7F00000000C0, 0, READ),
        (0x600018, 0, READ),
    ]
    assert read(path, format=format) == first + then
    (chunk,) = open_trace(path, format)
    assert (chunk.first_record, chunk.records, len(chunk)) == (1, 4, 9)


def test_record_sizes_are_those_of_the_c_structures(made: Made) -> None:
    # sizeof(struct input_instr) and sizeof(struct cloudsuite_instr) as gcc lays them out on x86-64; ctypes follows the
    # same rules.
    assert (len(made["champsim"](1)), len(made["cloudsuite"](1))) == (64, 96)


def test_objects_with_sizes_are_reads_in_oracle_general(write: Write, read: Read, made: Made) -> None:
    path = write(made["oracleGeneral"](25))
    assert read(path) == [(1000 + i % 10, 512 * (1 + i % 3), READ) for i in range(25)]
    summary = inspect(path)
    # Ten objects, each one page.
    assert (summary.addressing, summary.footprint_pages, summary.reads) == ("objects", 10, 25)


@pytest.mark.parametrize("version", range(1, 9))
def test_all_versions_of_lcs(write: Write, read: Read, made_lcs: Callable[..., bytes], version: int) -> None:
    # Version 1 has no operations; the others say in turn: not given, get, set, write.
    op = [READ] * 4 if version == 1 else [READ, READ, WRITE, WRITE]
    path = write(made_lcs(version, 30))
    assert read(path) == [(1000 + i % 10, 512 * (1 + i % 3), op[i % 4]) for i in range(30)]
    assert open_trace(path).guess.format == "lcs"
    assert f"version {version}" in inspect(path).described


@pytest.mark.parametrize("version", [1, 2])
def test_lcs_with_the_older_short_header(
    write: Write, read: Read, made_lcs: Callable[..., bytes], version: int
) -> None:
    assert len(read(write(made_lcs(version, 30, 1024)))) == 30


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda data: data[:8000], "ends in the lcs header"),
        (lambda data: b"\0" + data[1:], "an lcs file begins with"),
        (lambda data: data[:8184] + bytes(8) + data[8192:], "isn't closed by its magic number"),
        (lambda data: data[:8] + struct.pack("<Q", 9) + data[16:], "versions 1 to 8"),
        (lambda data: data[:24] + struct.pack("<q", -1) + data[32:], "tells of -1 requests"),
    ],
)
def test_lcs_headers_that_can_not_be(
    write: Write, made_lcs: Callable[..., bytes], damage: Callable[[bytes], bytes], why: str
) -> None:
    with pytest.raises(TraceError, match=why):
        open_trace(write(damage(made_lcs(3, 300))), "lcs")


def test_lcs_that_ends_before_its_promised_end(write: Write, read: Read, made_lcs: Callable[..., bytes]) -> None:
    with pytest.raises(TraceError, match="record 30: the file ends before this record; its header tells of 30"):
        read(write(made_lcs(3, 30)[:-36]))


@pytest.mark.parametrize(
    ("format", "record", "offset", "byte"),
    [("champsim", 64, 8, 2), ("champsim", 64, 9, 1), ("cloudsuite", 96, 8, 7), ("oracleGeneral", 24, 23, 0x80)],
)
@pytest.mark.parametrize("number", [1, 5, 45_000, 49_999])
def test_number_of_the_first_bad_record_is_exact(
    write: Write, made: Made, format: str, record: int, offset: int, byte: int, number: int
) -> None:
    data = bytearray(made[format](50_000))
    at = (number - 1) * record
    data[at + 8 : at + 10] = bytes(2) if format != "oracleGeneral" else data[at + 8 : at + 10]
    data[at + offset] = byte
    trace = open_trace(write(bytes(data)), format)
    seen = 0
    with pytest.raises(TraceError, match=f"record {number}: expected") as caught:
        for chunk in trace:
            seen += chunk.records
    assert caught.value.number == number
    assert seen == number - 1


def test_bad_records_are_passed_over_by_inspect(write: Write, made: Made) -> None:
    data = bytearray(made["champsim"](1000))
    for number in (10, 20, 30):
        data[(number - 1) * 64 + 8] = 99
    summary = inspect(write(bytes(data)))
    assert summary.first_bad is not None
    assert (summary.first_bad.number, summary.bad, summary.stopped, summary.records) == (10, 3, False, 997)
    every = bytearray(made["champsim"](3000))
    every[8 + 64 * 100 :: 64] = b"\xff" * len(every[8 + 64 * 100 :: 64])
    summary = inspect(write(bytes(every)), format="champsim")
    assert (summary.bad, summary.stopped, summary.records) == (1000, True, 100)


@pytest.mark.parametrize("format", ["champsim", "cloudsuite", "oracleGeneral", "lcs"])
def test_a_cut_record_is_an_error(write: Write, made: Made, format: str) -> None:
    trace = open_trace(write(made[format](100)[:-5]), format)
    with pytest.raises(TraceError, match="record 100: the file ends in this record, after .* bytes"):
        list(trace)
