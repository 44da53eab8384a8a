"""Traces of every format, made from their definitions."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vmsim.workload.trace import open_trace

LCS_MAGIC = 0x123456789ABCDEF0


class InputInstr(ctypes.Structure):
    """`input_instr` of ChampSim; the C compiler's layout is ctypes'."""

    _fields_ = [
        ("ip", ctypes.c_ulonglong),
        ("is_branch", ctypes.c_ubyte),
        ("branch_taken", ctypes.c_ubyte),
        ("destination_registers", ctypes.c_ubyte * 2),
        ("source_registers", ctypes.c_ubyte * 4),
        ("destination_memory", ctypes.c_ulonglong * 2),
        ("source_memory", ctypes.c_ulonglong * 4),
    ]


class CloudsuiteInstr(ctypes.Structure):
    """`cloudsuite_instr` of ChampSim."""

    _fields_ = [
        ("ip", ctypes.c_ulonglong),
        ("is_branch", ctypes.c_ubyte),
        ("branch_taken", ctypes.c_ubyte),
        ("destination_registers", ctypes.c_ubyte * 4),
        ("source_registers", ctypes.c_ubyte * 4),
        ("destination_memory", ctypes.c_ulonglong * 4),
        ("source_memory", ctypes.c_ulonglong * 4),
        ("asid", ctypes.c_ubyte * 2),
    ]


def instructions(kind: type[ctypes.Structure], count: int) -> bytes:
    """A loop of `count` instructions: each third one reads two words, each fifth one writes one; each seventh is a
    taken branch."""
    out = []
    for i in range(count):
        record = kind(ip=0x400000 + 4 * (i % 50))
        if i % 3 == 0:
            record.source_memory[0], record.source_memory[1] = 0x7F0000000000 + 64 * i, 0x600000 + 8 * i
        if i % 5 == 0:
            record.destination_memory[1] = 0x7FFF00000000 - 8 * i
        if i % 7 == 0:
            record.is_branch = record.branch_taken = 1
        out.append(bytes(record))
    return b"".join(out)


def requests(count: int, objects: int = 10) -> list[tuple[int, int, int, int]]:
    """Round-robin requests for `objects` objects: time, object, size, number of the request where it comes next."""
    return [
        (i // 4, 1000 + i % objects, 512 * (1 + i % 3), i + objects if i + objects < count else -1)
        for i in range(count)
    ]


def oracle_general(count: int) -> bytes:
    """libCacheSim oracleGeneral."""
    return b"".join(struct.pack("<IQIq", *request) for request in requests(count))


def lcs(version: int, count: int, header: int = 8192) -> bytes:
    """libCacheSim lcs; requests are in turn not given (255), get (1), set (3) and write (13)."""
    stat = struct.pack("<QQqq", LCS_MAGIC, version, 1, count)
    out = [stat + bytes(header - len(stat) - 8) + struct.pack("<Q", LCS_MAGIC)]
    features = {4: 1, 5: 2, 6: 4, 7: 8, 8: 16}.get(version, 0)
    for i, (time, key, size, following) in enumerate(requests(count)):
        op = (255, 1, 3, 13)[i % 4] | 77 << 8
        if version == 1:
            out.append(struct.pack("<IQIq", time, key, size, following))
        elif version == 2:
            out.append(struct.pack("<IQIIq", time, key, size, op, following))
        else:
            out.append(struct.pack(f"<IQqIIq{features}I", time, key, size, op, 60, following, *range(features)))
    return b"".join(out)


def plain(count: int) -> bytes:
    """Hexadecimal addresses with R and W."""
    return b"".join(b"%08x %c\n" % (0x1000 * (i % 17) + 0xABC, b"RW"[i % 2]) for i in range(count))


def csv(count: int) -> bytes:
    """Separated values with headings."""
    lines = (f"{time},{key},{size},{('get', 'set')[i % 2]}\n" for i, (time, key, size, _) in enumerate(requests(count)))
    return ("time,obj_id,size,op\n" + "".join(lines)).encode()


def lackey(count: int) -> bytes:
    """Lackey's lines, with a message among them."""
    forms = (b"I  %08x,4\n", b" L %08x,8\n", b" S %08x,1\n", b" M %08x,16\n")
    lines = [forms[i % 4] % (0x4000000 + 40 * i) for i in range(count)]
    return b"==1== Lackey, an example Valgrind tool\n" + b"".join(lines)


MADE = {
    "lackey": lackey,
    "plain": plain,
    "csv": csv,
    "champsim": lambda count: instructions(InputInstr, count),
    "cloudsuite": lambda count: instructions(CloudsuiteInstr, count),
    "oracleGeneral": oracle_general,
    "lcs": lambda count: lcs(3, count),
    "strace": lambda count: (
        b'12 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0) = 0x7f0000000000\n12 write(1, "a", 1) = 1\n' * (count // 2)
    ),
}


@pytest.fixture
def made() -> dict[str, Callable[[int], bytes]]:
    """For each format, a function from a number of records to the bytes of a trace."""
    return MADE


@pytest.fixture
def made_lcs() -> Callable[..., bytes]:
    """lcs of a version, with a number of requests, and a length of its header."""
    return lcs


@pytest.fixture
def recorded() -> Path:
    """A trace of data/touch.c that lackey recorded."""
    return Path(__file__).parent / "data" / "touch.lackey"


@pytest.fixture
def read() -> Callable[..., list[tuple[int, int, int]]]:
    """Read all accesses of a trace as (address, size, operation)."""

    def read_file(path: Path, format: str | None = None) -> list[tuple[int, int, int]]:
        chunks = list(open_trace(path, format))
        columns = (
            np.concatenate([getattr(chunk, name) for chunk in chunks]).tolist() for name in ("addr", "size", "op")
        )
        return list(zip(*columns, strict=True)) if chunks else []

    return read_file


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    """Write bytes into a file and give its path."""

    def write_file(data: bytes, name: str = "trace") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write_file
