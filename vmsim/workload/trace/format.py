"""What a trace format is: the chunk of columns that every reader yields, the errors, and the register of formats.

A format is one file in ``formats/``: a class derived from `LineFormat` (text) or `RecordFormat` (fixed-size binary
records) with `register` above it. Nothing else has to change.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from vmsim.errors import VmsimError, unknown_name

if TYPE_CHECKING:
    from vmsim.workload.trace.stream import ByteStream

READ, WRITE, FETCH, MODIFY = 0, 1, 2, 3
"""Values of a chunk's `op` column: data read, data write, instruction fetch, and read-modify-write by one
instruction."""

Addressing = Literal["bytes", "objects"]
"""Whether `addr` is a byte address, or names an object that stands for one page of its own."""


class TraceError(VmsimError):
    """A trace can't be read, or not further: says the file, the line or record (counted from 1), and what was
    expected."""

    def __init__(self, file: str, message: str, unit: str = "", number: int = 0) -> None:
        self.file, self.message, self.unit, self.number = file, message, unit, number
        where = f"{file}:{number}" if unit == "line" else f"{file}: {unit} {number}" if unit else file
        super().__init__(f"{where}: {message}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some consecutive accesses of a trace, as columns of equal length.

    `addr` is a byte address (or an object's number); `size` is in bytes, 0 where the format has none, and cut off at
    2^31-1; `op` is READ, WRITE, FETCH or MODIFY. `first_record` is the number (from 1) of the record that the first
    access is from, and `records` how many records the chunk is from: in most formats a record is one access, in
    ChampSim's it is one instruction.
    """

    first_record: int
    records: int
    addr: NDArray[np.uint64]
    size: NDArray[np.int32]
    op: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.addr)


@dataclass(frozen=True)
class Sample:
    """The beginning of a trace after decompression, for guessing: `whole` if nothing comes after it."""

    data: bytes
    whole: bool

    @cached_property
    def is_text(self) -> bool:
        """Whether the sample has no byte that a text file wouldn't have (a few bad ones are allowed)."""
        controls = self.data.translate(None, bytes([9, 10, 12, 13, *range(32, 127), *range(128, 256)]))
        return len(controls) * 100 <= len(self.data)

    @cached_property
    def lines(self) -> list[bytes]:
        """The sample's lines without their ends; a last line that is cut off by the sample's end is left out."""
        lines = [line.rstrip(b"\r") for line in self.data.split(b"\n")]
        if lines and (not self.whole or not lines[-1]):
            lines.pop()
        return lines


@dataclass(frozen=True)
class Guess:
    """Which format a sample looks like: `score` from 0 (not at all) to 1 (it can't be anything else), and the
    reason."""

    format: str
    score: float
    why: str

    @property
    def sureness(self) -> str:
        """The score in words."""
        for bound, word in ((0.95, "certain"), (0.75, "very likely"), (0.5, "likely")):
            if self.score >= bound:
                return word
        return "a mere guess"


class Faults:
    """The bad records of one reading: raised at once, or noted and passed over when the reader should keep going."""

    def __init__(self, file: str, keep_going: bool = False, limit: int = 1000) -> None:
        self.file, self.keep_going, self.limit = file, keep_going, limit
        self.first: TraceError | None = None
        self.count = 0
        self.stopped = False

    def note(self, error: TraceError, final: bool = False) -> None:
        """Take note of an error; `final` if nothing can be read after it. Raises it unless the reader keeps going."""
        if not self.keep_going:
            raise error
        self.first = self.first or error
        self.count += 1
        self.stopped = final or self.count >= self.limit


class TraceFormat(ABC):
    """One kind of trace file, with the options it is read with.

    `options` names the options that may stand after the format's name (``csv:id=2,size=3``) and says what each means.
    Derived classes get the sample and the options as given, and raise ValueError when an option can't be used.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = "line"
    options: ClassVar[Mapping[str, str]] = {}
    addressing: Addressing = "bytes"

    def __init__(self, sample: Sample, options: Mapping[str, str]) -> None:
        for key in options:
            if key not in self.options:
                raise ValueError(unknown_name(f"option of trace format {self.name}", key, self.options))

    @classmethod
    @abstractmethod
    def recognise(cls, sample: Sample) -> tuple[float, str]:
        """How much the sample looks like this format, from 0 to 1, and why."""

    @abstractmethod
    def chunks(self, stream: ByteStream, faults: Faults) -> Iterator[Chunk]:
        """Read the accesses. What comes before a bad record is yielded before `faults` is told of it."""

    def described(self) -> str:
        """The format and what was settled about this file, such as the columns of a CSV file."""
        return self.title


_formats: dict[str, type[TraceFormat]] = {}
T = TypeVar("T", bound=type[TraceFormat])


def register(format_class: T) -> T:
    """Make a format known under its name. To be used as a decorator."""
    _formats[format_class.name] = format_class
    return format_class


def known_formats() -> Mapping[str, type[TraceFormat]]:
    """All trace formats by name."""
    from vmsim.workload.trace import formats

    for module in pkgutil.iter_modules(formats.__path__):
        importlib.import_module(f"{formats.__name__}.{module.name}")
    return _formats


def find_format(name: str) -> type[TraceFormat]:
    """The format of this name. Raises VmsimError that lists the known ones."""
    known = known_formats()
    if name not in known:
        raise VmsimError(unknown_name("trace format", name, known))
    return known[name]


def shown(data: bytes, longest: int = 60) -> str:
    """Bytes of an input as they can be shown in a message: quoted, without control characters, not too long."""
    text = data[:longest].decode("ascii", "backslashreplace")
    return repr(text + ("..." if len(data) > longest else "")).replace("\\\\x", "\\x")
