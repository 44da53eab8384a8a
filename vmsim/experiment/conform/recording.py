"""Reading recordings: gzip'd or plain JSON lines, sequences one after the other, each with a header and an end line."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from vmsim.errors import VmsimError

LONGEST_LINE = 1 << 22  # bytes
_STATE = re.compile(rb'"st":(\{[^{}]*\})')
_OPERATION = b'{"i":'
_LAST = b'{"end":'
_RUN = re.compile(r"(\d{1,9})([^\d])")
Json = dict[str, Any]


class RecordedState:
    """A state as the recording has it: compared as text, and taken apart only where the texts differ."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text

    def parsed(self) -> Json:
        """The state as an object. Raises ValueError or TypeError if it isn't one."""
        state = json.loads(self.text)
        if not isinstance(state, dict):
            raise TypeError("a state is not an object")
        return state


class Step:
    """One recorded operation with its line and the line's number; it is taken apart when it is asked for."""

    __slots__ = ("_record", "line", "path", "text")

    def __init__(self, path: str, line: int, text: bytes) -> None:
        self.path = path
        self.line = line
        self.text = text
        self._record: Json | None = None

    @property
    def record(self) -> Json:
        """Inputs and results as the recording has them. Raises VmsimError if the line holds something else."""
        if self._record is None:
            self._record = _record(self.path, self.line, self.text)
        return self._record


@dataclass(frozen=True)
class Sequence:
    """One recorded sequence: the machine that it ran on, the state before the first operation, the operations."""

    path: str
    line: int
    header: Json
    start: Json
    steps: list[Step]


class RecordingError(VmsimError):
    """A recording is none, or can't be replayed; the message names file and line."""


def fail(path: str, line: int, message: str) -> RecordingError:
    """An error that names the line of a recording."""
    return RecordingError(f"{path}:{line}: {message}")


def _open(path: Path) -> BinaryIO:
    try:
        file = path.open("rb")
    except OSError as error:
        raise VmsimError(f"{path}: {error.strerror or error}") from None
    magic = file.read(2)
    file.seek(0)
    return gzip.open(file, "rb") if magic == b"\x1f\x8b" else file  # type: ignore[return-value]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    with _open(path) as file:
        while True:
            try:
                line = file.readline(LONGEST_LINE)
            except (OSError, EOFError, zlib.error) as error:
                raise fail(str(path), number + 1, f"the file is damaged or cut short ({error})") from None
            if not line:
                return
            number += 1
            if len(line) == LONGEST_LINE:
                raise fail(str(path), number, f"a line is longer than {LONGEST_LINE} bytes")
            yield number, line


def _record(name: str, number: int, line: bytes) -> Json:
    """What a line holds. Raises VmsimError."""
    try:
        record = _parse(line)
    except (ValueError, RecursionError) as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else "not text"
        raise fail(name, number, f"not a JSON line of a recording ({what})") from None
    if not isinstance(record, dict):
        raise fail(name, number, "expected a JSON object")
    return record


def _parse(line: bytes) -> Any:
    """A line as an object, in which states stay text. Raises ValueError."""
    states = _STATE.findall(line)
    record = json.loads(_STATE.sub(b'"st":{}', line))
    if isinstance(record, dict) and states and not _put_back(record, states):
        return json.loads(line)
    return record


def _put_back(record: Json, states: list[bytes]) -> bool:
    """Put the texts of states where they were taken from; whether they fit as recorders write them."""
    child = record.get("child")
    holders = [record]
    if isinstance(child, dict) and isinstance(child.get("ops"), list):
        holders = [child, *child["ops"], record]
    holders = [holder for holder in holders if isinstance(holder, dict) and holder.get("st") == {}]
    if len(holders) != len(states):
        return False
    for holder, state in zip(holders, states, strict=True):
        holder["st"] = RecordedState(state)
    return True


class Part(NamedTuple):
    """Whole sequences of a recording, as lines; `first` is the number of the first one."""

    path: str
    first: int
    lines: list[bytes]


def parts_of(path: Path, size: int) -> Iterator[Part]:
    """A recording in parts of at least `size` bytes; an empty one is one part. Raises VmsimError if it can't be read."""
    lines: list[bytes] = []
    first, held, number = 1, 0, 0
    for number, line in _lines(path):
        lines.append(line)
        held += len(line)
        if held >= size and line.startswith(_LAST):
            yield Part(str(path), first, lines)
            first, held, lines = number + 1, 0, []
    if lines or not number:
        yield Part(str(path), first, lines)


def read_sequences(path: Path) -> Iterator[Sequence]:
    """All sequences of a recording. Raises VmsimError, naming file and line, for what isn't one."""
    return sequences_of(str(path), _lines(path))


def sequences_of(name: str, lines: Iterable[tuple[int, bytes]]) -> Iterator[Sequence]:
    """All sequences of numbered lines. Raises VmsimError, with `name` and the line, for what isn't a recording."""
    header: Json | None = None
    start: Json | None = None
    steps: list[Step] = []
    first = last = 0
    for number, line in lines:
        text = line.strip()
        if not text:
            continue
        last = number
        if start is not None and text.startswith(_OPERATION):
            steps.append(Step(name, number, text))
            continue
        record = _record(name, number, text)
        if "header" in record:
            if header is not None:
                raise fail(name, number, f"a sequence begins before the one of line {first} has ended")
            if not isinstance(record["header"], dict):
                raise fail(name, number, "the header is not an object")
            header, start, steps, first = record["header"], None, [], number
        elif header is None:
            raise fail(name, number, "expected a line with a header")
        elif "end" in record:
            if start is None:
                raise fail(name, number, "the sequence has no start line")
            if record["end"] != len(steps):
                raise fail(name, number, f"the end line says {record['end']!r} operations, but {len(steps)} stand before it")
            yield Sequence(name, first, header, start, steps)
            header = start = None
        elif record.get("op") == "start":
            start = record
        elif start is None:
            raise fail(name, number, "expected the start line")
        else:
            steps.append(Step(name, number, text))
    if header is not None:
        raise fail(name, last, f"the file ends within the sequence of line {first}")
    if not last:
        raise VmsimError(f"{name}: the file is empty")


def runs(text: Any, length: int) -> str:
    """The characters of a run-length string such as `3c1.`; raises ValueError unless it has `length` characters."""
    if not isinstance(text, str) or _RUN.sub("", text):
        raise ValueError(f"not a run-length string: {text!r}")
    pairs = [(int(count), char) for count, char in _RUN.findall(text)]
    if sum(count for count, _ in pairs) != length:
        raise ValueError(f"a run-length string of other than {length} characters: {text!r}")
    return "".join(char * count for count, char in pairs)
