"""Separated values with columns of any order: libCacheSim's CSV traces, block traces, tables of addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from vmsim.struct.jit import compiled, entry
from vmsim.workload.trace.format import READ, WRITE, Sample, register
from vmsim.workload.trace.formats.plain import prefixed_number
from vmsim.workload.trace.lines import (
    BAD,
    COUNT,
    END,
    LINE,
    NEWLINE,
    POS,
    RETURN,
    Column,
    LineFormat,
    Text,
    after_spaces,
    next_line,
)
from vmsim.workload.trace.sizes import LARGEST_REQUEST

_DELIMITER, _ID, _SIZE, _OP, _TEXT, _UNIT, _SIZE_BOUND, _HEADER = range(8)
_QUOTE = ord('"')
_PRIME = (1 << 31) - 1
_DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "space": " ", "colon": ":"}
_HEADINGS = {
    "addr": ("addr", "address", "vaddr", "va", "offset"),
    "id": (
        "id",
        "obj_id",
        "object_id",
        "objid",
        "obj",
        "object",
        "key",
        "obj_name",
        "lbn",
        "lba",
        "block",
        "blockid",
        "page",
    ),
    "size": ("size", "obj_size", "object_size", "objsize", "length", "len", "bytes", "nbytes"),
    "op": ("op", "operation", "opcode", "rw", "type", "cmd", "command", "access"),
}
_READ_LETTERS = np.zeros(256, np.int8) - 1
_READ_LETTERS[[ord(letter) for letter in "rRgGlLhH"]] = READ
_READ_LETTERS[[ord(letter) for letter in "wWsSpPaAcCdDiIuUmM"]] = WRITE
_READ_LETTERS[ord("0")] = READ
_READ_LETTERS[ord("1")] = WRITE


@compiled
def operation(data: Text, start: int, stop: int) -> int:
    """READ or WRITE for an operation's name by its first letter (read get load head; write set put add cas append
    delete incr update modify), for 0 and 1, and for the SCSI codes of READ and WRITE (08 28 88 a8, 0a 2a 8a aa); -1
    for anything else."""
    if stop - start == 2:
        first = data[start]
        second = data[start + 1]
        # 0 2 8 a, then 8 or a.
        if first == 48 or first == 50 or first == 56 or first == 97 or first == 65:
            if second == 56:
                return READ
            if second == 97 or second == 65:
                return WRITE
    if stop == start or (stop - start > 1 and data[start] < 58):
        return -1
    return int(_READ_LETTERS[data[start]])


@compiled
def text_id(data: Text, start: int, stop: int) -> int:
    """A 62-bit number for the name of an object: two polynomials modulo 2^31 - 1, so that no product needs more than
    62 bits."""
    low, high = 0, 0
    for i in range(start, stop):
        low = (low * 1_103_515_245 + data[i] + 1) % _PRIME
        high = (high * 1_664_525_013 + data[i] + 1) % _PRIME
    return low << 31 | high


@compiled
def field_end(data: Text, i: int, delimiter: int) -> tuple[int, int, int]:
    """Where the field at `i` begins and ends without its quotes, and the position of what follows it; that is -1 if
    a quote is open."""
    start = i
    if data[i] == _QUOTE:
        start = i + 1
        i = start
        while data[i] != _QUOTE:
            if data[i] == NEWLINE:
                return start, i, -1
            i += 1
        stop = i
        i += 1
        if data[i] == RETURN:
            i += 1
        return start, stop, (i if data[i] == delimiter or data[i] == NEWLINE else -1)
    while data[i] != delimiter and data[i] != NEWLINE:
        i += 1
    stop = i
    if data[i] == NEWLINE and stop > start and data[stop - 1] == RETURN:
        stop -= 1
    return start, stop, i


@compiled
def whole_number(data: Text, start: int, stop: int) -> tuple[int, bool]:
    """The number that is all of this field, and whether it is one."""
    start = after_spaces(data, start)
    value, last = prefixed_number(data, start, 10)
    return value, start < last <= stop and after_spaces(data, last) >= stop


@entry
def parse_csv(data: Text, state: Column, addr: Column, size: Column, op: Column, params: Column) -> None:
    """Parse lines of fields; `params` holds the delimiter, the numbers of the columns (from 1, 0 for none) and how
    to read them."""
    i = int(state[POS])
    end = int(state[END])
    line = int(state[LINE])
    n = int(state[COUNT])
    state[BAD] = 0
    delimiter, id_column, size_column = int(params[_DELIMITER]), int(params[_ID]), int(params[_SIZE])
    op_column, unit, bound = int(params[_OP]), int(params[_UNIT]), int(params[_SIZE_BOUND])
    while i < end:
        if data[i] == NEWLINE or (data[i] == RETURN and data[i + 1] == NEWLINE) or (line == 1 and params[_HEADER]):
            i = next_line(data, i)
            line += 1
            continue
        wanted = 1 + (size_column > 0) + (op_column > 0)
        address, length, kind = 0, 0, 0
        column, p, good = 1, i, True
        while True:
            start, stop, p = field_end(data, p, delimiter)
            if p < 0:
                good = False
                break
            if column == id_column:
                wanted -= 1
                if params[_TEXT]:
                    address = text_id(data, start, stop)
                    good = good and stop > start
                else:
                    address, right = whole_number(data, start, stop)
                    good = good and right and (unit == 1 or 0 <= address < (1 << 62) // unit)
            elif column == size_column:
                wanted -= 1
                length, right = whole_number(data, start, stop)
                good = good and right and 0 <= length <= bound
            elif column == op_column:
                wanted -= 1
                kind = operation(data, start, stop)
                good = good and kind >= 0
            if data[p] == NEWLINE:
                break
            p += 1
            column += 1
        if not good or wanted > 0:
            state[BAD] = 1
            break
        addr[n] = address * unit
        size[n] = length
        op[n] = kind
        n += 1
        i = p + 1
        line += 1
    state[POS] = i
    state[LINE] = line
    state[COUNT] = n


@register
class Csv(LineFormat):
    """Separated values. Columns are given by number (from 1) or by heading; headings that name themselves need not
    be given."""

    name = "csv"
    title = "separated values"
    options = {
        "id": "the column of object numbers or names: each object stands for one page",
        "addr": "the column of byte addresses, instead of id",
        "size": "the column of sizes in bytes",
        "op": "the column of operations",
        "time": "the column of times (not used)",
        "header": "yes or no: whether the first line holds headings",
        "delimiter": "comma, tab, semicolon, pipe, space, colon, or the character",
        "ids": "number or text: how object names are written",
        "unit": "bytes of one step of addr, such as 512 where it counts sectors",
    }
    shortest = len("0\n")
    parse = staticmethod(parse_csv)

    def __init__(self, sample: Sample, options: Mapping[str, str]) -> None:
        super().__init__(sample, options)
        first = sample.lines[0].decode("utf-8-sig", "replace") if sample.lines else ""
        self.delimiter = _delimiter(options.get("delimiter"), first)
        headings = [heading.strip().strip('"').lower() for heading in first.split(self.delimiter)]
        self.header = _yes(options["header"]) if "header" in options else _looks_like_headings(headings)
        columns = _columns(options, headings if self.header else [])
        if "addr" in columns and "id" in columns:
            raise ValueError("both addr and id are given: a record has one of them")
        self.addressing = "bytes" if "addr" in columns else "objects"
        self.columns = columns
        self.text = _one_of(options, "ids", ("number", "text")) == "text"
        if self.text and self.addressing == "bytes":
            raise ValueError("ids=text names objects: give their column as id, not as addr")
        unit = options.get("unit", "1")
        if (
            not unit.isdecimal()
            or not 0 < int(unit) <= LARGEST_REQUEST
            or (self.addressing == "objects" and unit != "1")
        ):
            raise ValueError(f"unit is a number of bytes and needs addr, got {unit!r}")
        bound = LARGEST_REQUEST if self.addressing == "bytes" else 2**31 - 1
        key = columns.get("addr", 0) or columns.get("id", 0)
        numbers = [
            ord(self.delimiter),
            key,
            columns.get("size", 0),
            columns.get("op", 0),
            self.text,
            int(unit),
            bound,
            self.header,
        ]
        self.params = np.array(numbers, np.int64)

    @classmethod
    def recognise(cls, sample: Sample) -> tuple[float, str]:
        """By headings that name the columns and by lines of as many fields."""
        lines = [line.decode("utf-8-sig", "replace") for line in sample.lines if line]
        if not sample.is_text or not lines:
            return 0.0, ""
        delimiter = _delimiter(None, lines[0])
        fields = len(lines[0].split(delimiter))
        if fields < 2 or delimiter == " ":
            return 0.0, ""
        same = sum(1 for line in lines if len(line.split(delimiter)) == fields) / len(lines)
        headings = [heading.strip().strip('"').lower() for heading in lines[0].split(delimiter)]
        try:
            named = ", ".join(f"{what} in {headings[column - 1]!r}" for what, column in _columns({}, headings).items())
        except ValueError:
            return 0.3 * same, f"most lines have {fields} fields, but nothing says which is the id (csv:id=N)"
        return 0.9 * same, f"headings name the columns ({named}), and {same:.0%} of lines have {fields} fields"

    def expected(self, line: bytes) -> str:
        """The fields that a line must have."""
        at = {what: f"{what} in column {column}" for what, column in self.columns.items() if what != "time"}
        kinds = {
            "id": " (text)" if self.text else " (a number; ids=text takes names)",
            "addr": " (a number)",
            "op": " (such as read or write)",
        }
        bound = LARGEST_REQUEST if self.addressing == "bytes" else 2**31 - 1
        kinds["size"] = f" (at most {bound})"
        return ", ".join(text + kinds[what] for what, text in at.items())

    def described(self) -> str:
        """The format and its columns."""
        columns = ", ".join(f"{what} = column {column}" for what, column in self.columns.items())
        return (
            f"{self.title} ({'with' if self.header else 'without'} headings; {columns}; delimiter {self.delimiter!r})"
        )


def _delimiter(given: str | None, first: str) -> str:
    """The delimiter as given, else the one that the first line has most of; of equals the earlier of , tab ; | :
    space."""
    if given is not None:
        character = _DELIMITERS.get(given, given)
        if len(character) != 1 or not 0 < ord(character) < 128 or character.isalnum() or character in '"\r\n\0':
            raise ValueError(f"delimiter is one character or one of {', '.join(_DELIMITERS)}, got {given!r}")
        return character
    found = max(",\t;|: ", key=first.count)
    return found if found in first else ","


def _columns(options: Mapping[str, str], headings: list[str]) -> dict[str, int]:
    """Numbers of the columns: as given (a number or a heading), else by their headings. Raises ValueError if there
    is no id."""
    columns: dict[str, int] = {}
    for what in ("addr", "id", "size", "op", "time"):
        given = options.get(what)
        if given is None:
            continue
        if given.isdecimal() and 0 < int(given) < 1000:
            columns[what] = int(given)
        elif given.lower() in headings:
            columns[what] = headings.index(given.lower()) + 1
        else:
            raise ValueError(
                f"{what}={given}: no such column"
                + (f" (headings: {', '.join(headings)})" if headings else ": it has no headings")
            )
    keyed = "id" in columns or "addr" in columns
    for what, names in _HEADINGS.items():
        number = next((headings.index(name) + 1 for name in names if name in headings), 0)
        if number and what not in columns and not (keyed and what in ("id", "addr")) and number not in columns.values():
            columns[what] = number
            keyed = keyed or what in ("id", "addr")
    if not keyed:
        raise ValueError(
            "which column is the id? Give its number (from 1) or heading as csv:id=2, or csv:addr=2 for byte addresses"
        )
    if len(set(columns.values())) < len(columns):
        raise ValueError(
            "one column can't be two things: " + ", ".join(f"{what}={number}" for what, number in columns.items())
        )
    return columns


def _looks_like_headings(fields: list[str]) -> bool:
    """Whether the first line is words: at least one field begins with a letter, and none is a number."""
    number = re.compile(r"[-+]?(0x[0-9a-f]+|[0-9]+(\.[0-9]*)?)")
    return any(field[:1].isalpha() for field in fields) and not any(number.fullmatch(field) for field in fields)


def _one_of(options: Mapping[str, str], key: str, values: tuple[str, ...]) -> str:
    value = options.get(key, values[0])
    if value not in values:
        raise ValueError(f"{key} is {' or '.join(values)}, got {value!r}")
    return value


def _yes(value: str) -> bool:
    if value.lower() not in ("yes", "no", "true", "false"):
        raise ValueError(f"header is yes or no, got {value!r}")
    return value.lower() in ("yes", "true")
