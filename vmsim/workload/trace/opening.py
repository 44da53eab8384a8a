"""Opening a trace: which format a file has, and its accesses in chunks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from vmsim.errors import VmsimError
from vmsim.workload.trace.format import (
    Chunk,
    Faults,
    Guess,
    Sample,
    TraceError,
    TraceFormat,
    find_format,
    known_formats,
    shown,
)
from vmsim.workload.trace.reading import told
from vmsim.workload.trace.stream import ByteStream, StreamError

SAMPLE_BYTES = 1 << 16
_LEAST_SCORE = 0.2


class Trace:
    """A trace file. Iterating reads its accesses from the beginning, chunk by chunk, in constant memory.

    `path` is the file, `guess` says why it is read as it is, `compression` is none, gzip, xz or zstd, and `addressing`
    tells whether `addr` is a byte address or names an object of one page. A pipe can be read once. Iterating raises
    TraceError at the first bad line or record, after the chunk with all before it; unless `keep_going`: then bad ones
    are passed over and noted in `faults`.
    """

    def __init__(self, path: str | os.PathLike[str], format: str | None = None, keep_going: bool = False) -> None:
        self.path = os.fspath(path)
        self._keep_going = keep_going
        self._stream = ByteStream(self.path)
        try:
            self.sample = Sample(*self._stream.peek(SAMPLE_BYTES))
            self.format, self.guess = self._settle(format)
        except BaseException:
            self._stream.close()
            raise
        self._begun = False
        # A pipe stays open, as the bytes that were looked at can't be read again.
        if self.total_bytes is not None:
            self._stream.close()
        self.compression = self._stream.compression
        self.addressing = self.format.addressing
        self.faults = Faults(self.path, keep_going)

    def _settle(self, given: str | None) -> tuple[TraceFormat, Guess]:
        if not self.sample.data:
            raise TraceError(self.path, self._why_nothing(), "line", 1)
        if given is None:
            guess = guess_format(self.sample, self.path)
            options: Mapping[str, str] = {}
        else:
            name, options = _parse_format(given)
            guess = Guess(name, 1.0, "as given")
        try:
            return find_format(guess.format)(self.sample, options), guess
        except ValueError as error:
            raise TraceError(
                self.path, f"can't be read as {guess.format}: {error}", find_format(guess.format).unit, 1
            ) from None

    def _why_nothing(self) -> str:
        try:
            self._stream.read(1)
        except StreamError as error:
            return str(error)
        return "the file is empty"

    @property
    def read_bytes(self) -> int:
        """Bytes of the file read so far."""
        return self._stream.read_bytes

    @property
    def total_bytes(self) -> int | None:
        """Bytes of the file; None for a pipe."""
        return self._stream.total_bytes

    def __iter__(self) -> Iterator[Chunk]:
        with self.open() as stream:
            for chunk in self.format.chunks(stream, self.faults):
                told(self.path, stream.read_bytes, stream.total_bytes)
                yield chunk

    def open(self) -> ByteStream:
        """The file's decompressed bytes from the beginning, and `faults` without any."""
        if self.total_bytes is not None:
            self._stream = ByteStream(self.path)
        elif self._begun:
            raise TraceError(self.path, "this is not a file on disk: it can be read once only")
        self._begun = True
        self.faults = Faults(self.path, self._keep_going)
        return self._stream


def open_trace(path: str | os.PathLike[str], format: str | None = None, keep_going: bool = False) -> Trace:
    """Open a trace; `format` is a name with options (``csv:id=2,size=3``), or None to guess it from the contents.

    Raises TraceError if the file can't be read or its format isn't recognised, VmsimError for an unknown name of a
    format.
    """
    return Trace(path, format, keep_going)


def guess_format(sample: Sample, path: str = "the trace") -> Guess:
    """The format that the sample looks most like. Raises TraceError if it looks like none."""
    guesses = [Guess(name, *format_class.recognise(sample)) for name, format_class in known_formats().items()]
    best = max(guesses, key=lambda guess: guess.score)
    if best.score >= _LEAST_SCORE:
        return best
    begins = shown(sample.data.split(b"\n", 1)[0], 60 if sample.is_text else 16)
    known = ", ".join(sorted(known_formats()))
    unit = "line" if sample.is_text else "record"
    raise TraceError(path, f"the format isn't recognised; it begins with {begins} (known formats: {known})", unit, 1)


def _parse_format(given: str) -> tuple[str, dict[str, str]]:
    """The name and the options of ``name:key=value,key=value``. Raises VmsimError."""
    name, _, rest = given.partition(":")
    options = {}
    for part in rest.split(",") if rest else []:
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise VmsimError(f"expected options of a trace format as NAME:KEY=VALUE,KEY=VALUE, got {given!r}")
        options[key.strip()] = value.strip() or value
    return name.strip(), options
