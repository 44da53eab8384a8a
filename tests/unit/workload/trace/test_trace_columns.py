"""Plain text and separated values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vmsim.errors import VmsimError
from vmsim.workload.trace import READ, WRITE, TraceError, inspect, open_trace

Write = Callable[[bytes], Path]
Read = Callable[..., list[tuple[int, int, int]]]
Made = dict[str, Callable[[int], bytes]]


@pytest.mark.parametrize(
    ("text", "base", "accesses"),
    [
        (b"0041f7a0 R\n13f5e2c0 R\n31348900 W\n", 16, [(0x41F7A0, READ), (0x13F5E2C0, READ), (0x31348900, WRITE)]),
        (b"4096 r\n8192 w\n0x1F R\n", 10, [(4096, READ), (8192, WRITE), (0x1F, READ)]),
        (b"# made by hand\n\n  7ffe\tR\r\nAB,W\n", 16, [(0x7FFE, READ), (0xAB, WRITE)]),
        (b"18446744073709551615 R\n9999999999999999999 R\n", 10, [(2**64 - 1, READ), (9999999999999999999, READ)]),
    ],
)
def test_plain_addresses(write: Write, text: bytes, base: int, accesses: list[tuple[int, int]], read: Read) -> None:
    path = write(text)
    assert [(addr, op) for addr, _, op in read(path)] == accesses
    assert inspect(path).described.endswith("hexadecimal" if base == 16 else "decimal")


def test_plain_sizes_are_read_and_bounded(write: Write, read: Read) -> None:
    assert read(write(b"10 R 8\n20 W\n"), format="plain:base=16") == [(0x10, 8, READ), (0x20, 0, WRITE)]
    with pytest.raises(TraceError, match="at most 16777216 bytes"):
        read(write(b"10 R 8\n20 W 16777217\n"))


def test_plain_base_does_not_change_in_mid_file(write: Write, read: Read) -> None:
    # The first 64 KiB look decimal; a letter later is an error and not another base.
    text = b"1000 R\n" * 10_000 + b"7ffe R\n"
    with pytest.raises(TraceError, match="decimal address.*base=16") as caught:
        read(write(text))
    assert caught.value.number == 10_001
    assert read(write(text), format="plain:base=16")[-1] == (0x7FFE, 0, READ)


@pytest.mark.parametrize(
    "line", [b"R 10", b"10", b"10 X", b"10R", b"10 R x", b"10 R 8 9", b"0x R", b"18446744073709551616 R", b"- R"]
)
def test_plain_lines_that_are_nothing(write: Write, line: bytes, read: Read) -> None:
    with pytest.raises(TraceError) as caught:
        read(write(b"10 R\n" + line + b"\n10 R\n"), format="plain")
    assert caught.value.number == 2


def test_csv_headings_name_the_columns(write: Write, made: Made, read: Read) -> None:
    path = write(made["csv"](6))
    assert read(path) == [(1000 + i, 512 * (1 + i % 3), i % 2) for i in range(6)]
    assert open_trace(path).addressing == "objects"


@pytest.mark.parametrize(
    ("text", "format", "accesses"),
    [
        (b"5,100,4096\n6,101,512\n", "csv:id=2,size=3", [(100, 4096, READ), (101, 512, READ)]),
        (b"100|w\n0x65|r\n", "csv:addr=1,op=2", [(100, 0, WRITE), (0x65, 0, READ)]),
        (b"a;b\n7;x\n", "csv:id=a,delimiter=semicolon", [(7, 0, READ)]),
        (b'"time","key"\n"1","20"\n"2","21"\n', "csv", [(20, 0, READ), (21, 0, READ)]),
        (
            b"time,op,size,lbn\n1,2a,512,8\n1,28,1024,9\n",
            "csv:addr=lbn,unit=512",
            [(4096, 512, WRITE), (4608, 1024, READ)],
        ),
        (b"3 1\n4 0\n", "csv:id=1,op=2", [(3, 0, WRITE), (4, 0, READ)]),
        (b"1,2\n3,4", "csv:id=2,header=yes", [(4, 0, READ)]),
        (b"1,2\r\n\r\n3,4\r\n", "csv:id=2,header=no", [(2, 0, READ), (4, 0, READ)]),
    ],
)
def test_csv_columns(write: Write, text: bytes, format: str, accesses: list[tuple[int, int, int]], read: Read) -> None:
    assert read(write(text), format=format) == accesses


def test_csv_names_become_numbers(write: Write, read: Read) -> None:
    accesses = read(write(b"key,op\nalpha,get\nbeta,set\nalpha,get\nalphb,get\n"), format="csv:ids=text")
    keys = [key for key, _, _ in accesses]
    assert keys[0] == keys[2]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    "line",
    [b"1,x,512,get", b"1,1000", b"1,1000,,get", b"1,1000,512,?", b'1,"1000,512,get', b"1,,512,get", b"1,10 0,5,get"],
)
def test_csv_lines_that_are_nothing(write: Write, line: bytes, made: Made, read: Read) -> None:
    with pytest.raises(TraceError, match="id in column 2") as caught:
        read(write(made["csv"](3) + line + b"\n" + made["csv"](3)), format="csv:header=yes")
    assert caught.value.number == 5


@pytest.mark.parametrize(
    ("format", "why"),
    [
        ("csv:id=9,size=9", "one column can't be two things"),
        ("csv:id=nokey", "no such column"),
        ("csv:delimiter=ab", "delimiter"),
        ("csv:addr=1,id=2", "both addr and id"),
        ("csv:header=perhaps", "header is yes or no"),
        ("csv:addr=1,unit=0", "unit"),
        ("csv:colour=red", "no option of trace format csv 'colour'"),
        ("plain:base=8", "base is 10 or 16"),
        ("csv:id", "NAME:KEY=VALUE"),
    ],
)
def test_options_that_can_not_be(write: Write, format: str, why: str, made: Made) -> None:
    with pytest.raises(VmsimError, match=why):
        open_trace(write(made["csv"](3)), format)


def test_csv_without_headings_asks_for_the_column(write: Write) -> None:
    with pytest.raises(TraceError, match="which column is the id.*csv:id=2"):
        open_trace(write(b"1,2,3\n4,5,6\n"))
