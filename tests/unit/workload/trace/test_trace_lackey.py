"""Lackey's traces: a recorded one, and lines that are right and wrong."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from vmsim.workload.trace import FETCH, MODIFY, READ, WRITE, TraceError, inspect, open_trace

Write = Callable[[bytes], Path]
Read = Callable[..., list[tuple[int, int, int]]]
Made = dict[str, Callable[[int], bytes]]
KINDS = {"I ": FETCH, " L": READ, " S": WRITE, " M": MODIFY}


def naive(text: str) -> list[tuple[int, int, int]]:
    """The accesses of a right trace, the slow way."""
    lines = (re.fullmatch(r"(I | L| S| M) ([0-9a-f]+),([0-9]+)", line) for line in text.splitlines())
    return [(int(m[2], 16), int(m[3]), KINDS[m[1]]) for m in lines if m]


def test_recorded_trace_has_the_accesses_that_valgrind_counted(recorded: Path) -> None:
    # data/touch.c writes 24 words in 12 pages, reads them and adds to 8; its code is one page. At the end of the file
    # Valgrind says "guest instrs: 354" and 32 loads and 32 stores of I64 (8 of each are the additions). As do grep -c
    # '^I ' (354), grep -c '^ L' (24), grep -c '^ S' (24) and grep -c '^ M' (8).
    summary = inspect(recorded)
    assert (summary.fetches, summary.reads, summary.writes, summary.modifies) == (354, 24, 24, 8)
    assert summary.footprint_pages == 13
    assert (summary.format, summary.sureness, summary.bad) == ("lackey", "certain", 0)
    assert [(region.pages, region.kinds) for region in summary.regions] == [(13, "rwx")]
    # The last word touched is words[23 * 256] of the array at 0x403000; the code before it begins at 0x401000.
    assert (summary.lowest_address, summary.highest_address) == (0x401000, 0x403000 + 23 * 2048 + 7)


def test_recorded_trace_is_what_a_regular_expression_finds(recorded: Path, read: Read) -> None:
    assert read(recorded) == naive(recorded.read_text())


def test_blocks_are_cut_between_lines(write: Write, made: Made, read: Read) -> None:
    # 200,000 lines of 14 to 15 bytes are three blocks of a megabyte.
    data = made["lackey"](200_000)
    assert read(write(data)) == naive(data.decode())


@pytest.mark.parametrize("number", [1, 2, 70_001, 149_999, 200_001])
def test_number_of_the_first_bad_line_is_exact(write: Write, number: int, made: Made) -> None:
    lines = made["lackey"](200_000).splitlines(keepends=True)
    lines[number - 1] = b" L 0400zz,8\n"
    path = write(b"".join(lines))
    seen = 0
    with pytest.raises(TraceError) as caught:
        for chunk in open_trace(path, "lackey"):
            seen += len(chunk)
    assert (caught.value.unit, caught.value.number) == ("line", number)
    assert str(caught.value).startswith(f"{path}:{number}: expected 'I  ADDRESS,SIZE'")
    # The first line is Valgrind's; all accesses before the bad line were given.
    assert seen == max(number - 2, 0)


def test_bad_lines_are_passed_over_on_request(write: Write, made: Made) -> None:
    lines = made["lackey"](1000).splitlines(keepends=True)
    for number in (3, 4, 700):
        lines[number - 1] = b"what the program printed\n"
    trace = open_trace(write(b"".join(lines)), keep_going=True)
    assert sum(len(chunk) for chunk in trace) == 997
    assert (trace.faults.first and trace.faults.first.number, trace.faults.count, trace.faults.stopped) == (3, 3, False)


def test_reading_stops_after_a_thousand_bad_lines(write: Write) -> None:
    summary = inspect(write(b" L 10,8\n" + b"nonsense\n" * 5000 + b" L 10,8\n"), format="lackey")
    assert (summary.bad, summary.stopped, summary.accesses) == (1000, True, 1)


@pytest.mark.parametrize(
    ("line", "access"),
    [
        (b"I  04001000,3", (0x4001000, 3, FETCH)),
        (b" L 1ffeffe7e,8", (0x1FFEFFE7E, 8, READ)),
        (b" S 10,1", (0x10, 1, WRITE)),
        (b" M FFFFFFFFFFFFFFFF,1", (2**64 - 1, 1, MODIFY)),
        (b" L 000000000000000000ff,4096", (0xFF, 4096, READ)),
        (b" L 10,1\r", (0x10, 1, READ)),
    ],
)
def test_lines_that_are_accesses(write: Write, line: bytes, access: tuple[int, int, int], read: Read) -> None:
    assert read(write(line + b"\n"), format="lackey") == [access]
    # The last line may lack its end.
    assert read(write(line), format="lackey") == [access]


@pytest.mark.parametrize(
    "line",
    [
        b"L 10,1",
        b" X 10,1",
        b" L10,1",
        b" L 10",
        b" L 10,",
        b" L ,1",
        b" L 10,0",
        b" L 10,4097",
        b" L 10,1 ",
        b" L 10,1x",
        b" L 1\xff,1",
    ]
    + [
        b" L 0x10,1",
        b"I",
        b" ",
        b" L",
        b" L ",
        b" L 10000000000000000,1",
        b" L 10,99999999999999999999",
        b" L 10,-1",
        b"S 1",
        b"=5",
    ],
)
def test_lines_that_are_nothing(write: Write, line: bytes, read: Read) -> None:
    for ending in (b"\n", b""):
        with pytest.raises(TraceError, match="expected") as caught:
            read(write(b" L 10,1\n" + line + ending), format="lackey")
        assert caught.value.number == 2


def test_messages_of_valgrind_are_passed_over(write: Write, read: Read) -> None:
    text = b"==12== Command: x\n--12-- warning\n**12** printed\n\nSB 04001000\nI  04001000,3\n==12== \n"
    assert read(write(text)) == [(0x4001000, 3, FETCH)]


def test_a_cut_file_says_so(write: Write, made: Made, read: Read) -> None:
    with pytest.raises(TraceError, match=r"got ' L 04000,' \(the file ends in this line\)"):
        read(write(made["lackey"](100) + b" L 04000,"))


def test_a_line_without_an_end_is_bounded(write: Write, made: Made) -> None:
    summary = inspect(write(made["lackey"](100) + b" L " + b"0" * 3_000_000))
    assert summary.first_bad is not None
    assert (summary.first_bad.number, summary.stopped, summary.accesses) == (102, True, 100)


@pytest.mark.slow_without_jit
def test_memory_does_not_grow_with_the_trace(write: Write, made: Made) -> None:
    text = made["lackey"](50_000)
    peaks = []
    for times in (4, 16):
        path = write(text * times)
        tracemalloc.start()
        inspect(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The blocks and columns are of one megabyte of text; the longer trace has 12 MB.
    assert peaks[1] < 1.1 * peaks[0]
