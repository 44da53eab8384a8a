"""Compressed traces: recognised by their contents, in several members, cut and damaged."""

from __future__ import annotations

import gzip
import lzma
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from vmsim.workload.trace import TraceError, inspect, open_trace
from vmsim.workload.trace.stream import ByteStream, StreamError

Write = Callable[..., Path]
Made = dict[str, Callable[[int], bytes]]

PACK = {
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
compressed = pytest.mark.parametrize("compression", PACK)


@compressed
@pytest.mark.parametrize("format", ["lackey", "plain", "csv", "champsim", "cloudsuite", "oracleGeneral", "lcs"])
def test_every_format_in_every_compression(write: Write, made: Made, compression: str, format: str) -> None:
    data = made[format](3000)
    plain, packed = inspect(write(data, "plain")), inspect(write(PACK[compression](data), "packed.dat"))
    assert (packed.compression, packed.format, packed.bad) == (compression, format, 0)
    assert (packed.accesses, packed.footprint_pages) == (plain.accesses, plain.footprint_pages)


@compressed
def test_members_follow_each_other(write: Write, compression: str) -> None:
    pack = PACK[compression]
    path = write(pack(b"one") + pack(b"") + pack(b"two" * 100_000))
    with ByteStream(path) as stream:
        assert stream.peek(3) == (b"one", False)
        data = b""
        while block := stream.read(1000):
            assert len(block) <= 2000
            data += block
    assert data == b"one" + b"two" * 100_000


@compressed
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_cut_data_are_an_error_at_the_line_reached(write: Write, made: Made, compression: str, share: float) -> None:
    packed = PACK[compression](made["lackey"](50_000))
    path = write(packed[: int(len(packed) * share)])
    seen = 0
    with pytest.raises(TraceError, match=f"{compression} data end too early") as caught:
        for chunk in open_trace(path, "lackey"):
            seen += len(chunk)
    assert caught.value.unit == "line"
    # The first line is Valgrind's, so the line reached is the second after those accesses.
    assert caught.value.number == max(seen + 2, 1) or (seen, caught.value.number) == (0, 1)


@compressed
def test_cut_data_are_an_error_at_the_record_reached(write: Write, made: Made, compression: str) -> None:
    packed = PACK[compression](made["champsim"](20_000))
    summary = inspect(write(packed[: len(packed) // 2]), format="champsim")
    assert summary.first_bad is not None
    assert (summary.first_bad.unit, summary.first_bad.number, summary.stopped) == ("record", summary.records + 1, True)


@compressed
def test_damaged_data_are_an_error(write: Write, made: Made, compression: str) -> None:
    packed = bytearray(PACK[compression](os.urandom(200_000)))
    packed[len(packed) // 2] ^= 0x55
    with ByteStream(write(bytes(packed))) as stream, pytest.raises(StreamError, match="damaged"):
        while stream.read(1 << 16):
            pass


@compressed
def test_something_else_behind_is_an_error(write: Write, compression: str) -> None:
    with ByteStream(write(PACK[compression](b"x" * 1000) + b"garbage")) as stream:
        assert stream.read(1000) == b"x" * 1000
        with pytest.raises(StreamError, match="something else"):
            stream.read(1)


@compressed
def test_what_expands_a_thousandfold_comes_in_pieces(write: Write, compression: str) -> None:
    path = write(PACK[compression](bytes(40 << 20)))
    assert path.stat().st_size < 100_000
    with ByteStream(path) as stream:
        sizes = []
        while block := stream.read(1 << 20):
            sizes.append(len(block))
    assert sum(sizes) == 40 << 20
    assert max(sizes) <= 2 << 20


def test_xz_that_asks_for_too_much_memory_is_refused(write: Write) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
    # Only the header tells of the dictionary; a compressor of that size would need several GiB itself.
    small = bytearray(lzma.compress(b"x" * 1000, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}]))
    encoded = lzma._encode_filter_properties(filters[0])
    at = small.index(lzma._encode_filter_properties({"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}), 12)
    small[at : at + 1] = encoded
    import zlib

    header = small[12 : 12 + (small[12] + 1) * 4]
    small[12 + len(header) - 4 : 12 + len(header)] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    with ByteStream(write(bytes(small))) as stream, pytest.raises(StreamError, match="Memory usage limit"):
        stream.read(1)


def test_a_pipe_is_read_once_and_sampled_all_the_same(tmp_path: Path, made: Made) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(made["lackey"](30_000),))
    writer.start()
    summary = inspect(pipe)
    writer.join()
    assert (summary.format, summary.accesses) == ("lackey", 30_000)


def test_a_pipe_is_not_read_twice(tmp_path: Path, made: Made) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(made["lackey"](10),))
    writer.start()
    trace = open_trace(pipe)
    assert sum(len(chunk) for chunk in trace) == 10
    writer.join()
    with pytest.raises(TraceError, match="once only"):
        list(trace)


@pytest.mark.parametrize(
    ("name", "why"), [("none", "No such file"), (".", "Is a directory"), ("nul\0", "can't be opened")]
)
def test_what_can_not_be_opened(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(TraceError, match=why):
        open_trace(f"{tmp_path}/{name}")


def test_an_empty_file(write: Write) -> None:
    for data in (b"", gzip.compress(b"")):
        with pytest.raises(TraceError, match="the file is empty"):
            open_trace(write(data))
