"""A file's bytes, decompressed as its first bytes say (gzip, xz, zstd), piece by piece in constant memory."""

from __future__ import annotations

import lzma
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol

from vmsim.units import MIB, format_bytes
from vmsim.workload.trace.format import TraceError

_PIECE = 1 << 16
_ZSTD_PIECE = 1 << 10
"""How much of a zstd file is decompressed at once: a block of 4 bytes can stand for 128 KiB, so this bounds memory
at 32 MiB."""
_XZ_MEMORY = 256 * MIB
"""What an xz header may ask for; `xz -9` needs 65 MiB."""
_MAGIC = {"gzip": b"\x1f\x8b", "xz": b"\xfd7zXZ\x00", "zstd": b"\x28\xb5\x2f\xfd"}
_ZSTD_SKIPPABLE = tuple(bytes([0x50 + n, 0x2A, 0x4D, 0x18]) for n in range(16))


class StreamError(Exception):
    """The bytes can't be read further; everything before has been delivered. The reader adds how far it had come."""


class _Decompressor(Protocol):
    """One compressed member (gzip), stream (xz) or frame (zstd)."""

    piece: int

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        """Decompress some of `data`: what came out, and what of `data` is still to be given."""

    @property
    def eof(self) -> bool: ...


class _Gzip:
    piece = _PIECE

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        out = self._zlib.decompress(data, MIB)
        return out, self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._zlib.eof


class _Xz:
    piece = _PIECE

    def __init__(self) -> None:
        self._lzma = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        if not self._lzma.needs_input:
            return self._lzma.decompress(b"", MIB), self._lzma.unused_data + data
        return self._lzma.decompress(data, MIB), self._lzma.unused_data

    @property
    def eof(self) -> bool:
        return self._lzma.eof


class _Zstd:
    piece = _ZSTD_PIECE

    def __init__(self) -> None:
        import zstandard

        self._zstd = zstandard.ZstdDecompressor().decompressobj()
        self._failure = zstandard.ZstdError

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        try:
            out = self._zstd.decompress(data) if data else b""
        except self._failure as error:
            raise ValueError(str(error)) from None
        return out, self._zstd.unused_data if self._zstd.eof else b""

    @property
    def eof(self) -> bool:
        return self._zstd.eof


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {"gzip": _Gzip, "xz": _Xz, "zstd": _Zstd}


def _compression_of(head: bytes) -> str:
    for name, magic in _MAGIC.items():
        if head.startswith(magic):
            return name
    return "zstd" if head[:4] in _ZSTD_SKIPPABLE else "none"


class ByteStream:
    """A file's decompressed bytes, from the beginning to the end, once.

    `path` may be a pipe. `read_bytes` of `total_bytes` (None for a pipe) of the file itself have been read so far.
    Raises TraceError when the file can't be opened or read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.read_bytes = 0
        self._ahead = b""
        self._error: StreamError | None = None
        try:
            self._file = open(self.path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
            mode = os.fstat(self._file.fileno())
        except (OSError, ValueError) as error:
            raise TraceError(self.path, f"can't be opened: {getattr(error, 'strerror', None) or error}") from None
        self.total_bytes = mode.st_size if stat.S_ISREG(mode.st_mode) else None
        head = b""
        while len(head) < 6 and (more := self._read_file(_PIECE)):
            head += more
        self.compression = _compression_of(head)
        self._pieces = self._decompressed(head) if self.compression != "none" else self._plain(head)

    def __enter__(self) -> ByteStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def peek(self, count: int) -> tuple[bytes, bool]:
        """The first `count` bytes without taking them, and whether the file has no more than these."""
        more = True
        while len(self._ahead) < count and more:
            piece = self._next_piece()
            self._ahead += piece
            more = bool(piece)
        return self._ahead[:count], not more and self._error is None and len(self._ahead) <= count

    def read(self, count: int) -> bytes:
        """At least `count` bytes and at most twice as many; fewer at the end, none after it. Raises StreamError if
        the data are broken."""
        pieces = [self._ahead]
        held = len(self._ahead)
        while held < count and (piece := self._next_piece()):
            pieces.append(piece)
            held += len(piece)
        data = b"".join(pieces)
        if not data and self._error is not None:
            raise self._error
        taken = held if held <= 2 * count else count
        self._ahead = data[taken:]
        return data[:taken]

    def _next_piece(self) -> bytes:
        """The next bytes; none at the end or where the data are broken, which is kept for later."""
        try:
            return b"" if self._error else next(self._pieces, b"")
        except StreamError as error:
            self._error = error
            return b""

    def _read_file(self, count: int) -> bytes:
        try:
            data = self._file.read(count) or b""
        except OSError as error:
            raise TraceError(self.path, f"can't be read: {error.strerror}") from None
        self.read_bytes += len(data)
        return data

    def _plain(self, head: bytes) -> Iterator[bytes]:
        while head:
            yield head
            head = self._read_file(MIB)

    def _decompressed(self, data: bytes) -> Iterator[bytes]:
        """The contents of all members, streams or frames, one after another."""
        while data:
            decompressor = _DECOMPRESSORS[self.compression]()
            while not decompressor.eof:
                out, data = self._step(decompressor, data)
                if out:
                    yield out
                if not data and not decompressor.eof:
                    data = self._read_file(decompressor.piece)
                    if not data and not out:
                        held = format_bytes(self.read_bytes)
                        raise StreamError(f"the {self.compression} data end too early, after {held} of the file")
            data = self._next_member(data)

    def _step(self, decompressor: _Decompressor, data: bytes) -> tuple[bytes, bytes]:
        """What the next bytes decompress to, and the bytes left after them."""
        given, later = data[: decompressor.piece], data[decompressor.piece :]
        try:
            out, left = decompressor.step(given)
        except (zlib.error, lzma.LZMAError, EOFError, ValueError, MemoryError) as error:
            raise StreamError(f"the {self.compression} data are damaged ({str(error).rstrip('.')})") from None
        return out, left + later

    def _next_member(self, data: bytes) -> bytes:
        """The data from the next member on; none if there is no other. Zero padding is passed over, as gzip and xz
        allow it."""
        while True:
            data = data.lstrip(b"\0") if self.compression != "zstd" else data
            if len(data) < 6 and (more := self._read_file(_PIECE)):
                data += more
                continue
            if data and _compression_of(data) != self.compression:
                raise StreamError(f"after the end of the {self.compression} data comes something else")
            return data
