"""Plain text: ``ADDRESS R`` or ``ADDRESS W``, one access a line, with a size behind if it is known. ``#`` begins a
comment line."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from vmsim.struct.jit import compiled, entry
from vmsim.workload.trace.format import READ, WRITE, Sample, register
from vmsim.workload.trace.lines import (
    BAD,
    COMMA,
    COUNT,
    END,
    HASH,
    LINE,
    POS,
    Column,
    LineFormat,
    Text,
    after_spaces,
    at_line_end,
    decimal_number,
    hex_number,
    next_line,
)
from vmsim.workload.trace.sizes import LARGEST_REQUEST

_ZERO, _X_LOW, _X = (ord(letter) for letter in "0xX")
_R, _R_LOW, _W, _W_LOW = (ord(letter) for letter in "RrWw")
_ACCESS = re.compile(rb"[ \t]*(0[xX])?([0-9a-fA-F]+)[ \t,]+[RrWw]([ \t,]+[0-9]+)?[ \t]*")


@compiled
def after_separator(data: Text, i: int) -> int:
    """The first position from `i` on after spaces and at most one comma."""
    i = after_spaces(data, i)
    if data[i] == COMMA:
        i = after_spaces(data, i + 1)
    return i


@compiled
def prefixed_number(data: Text, i: int, base: int) -> tuple[int, int]:
    """The number at `i`, hexadecimal after 0x and else of this base, and where it ends (as in `hex_number`)."""
    if data[i] == _ZERO and (data[i + 1] == _X_LOW or data[i + 1] == _X):
        value, stop = hex_number(data, i + 2)
        return value, (i if stop == i + 2 else stop)
    if base == 16:
        return hex_number(data, i)
    return decimal_number(data, i)


@entry
def parse_plain(data: Text, state: Column, addr: Column, size: Column, op: Column, params: Column) -> None:
    """Parse ``ADDRESS R|W [SIZE]`` lines; params[0] is the base of addresses without 0x."""
    i = int(state[POS])
    end = int(state[END])
    line = int(state[LINE])
    n = int(state[COUNT])
    base = int(params[0])
    state[BAD] = 0
    while i < end:
        start = after_spaces(data, i)
        address, stop = prefixed_number(data, start, base)
        good = False
        if stop > start:
            p = after_separator(data, stop)
            letter = data[p]
            kind = READ if letter in (_R, _R_LOW) else WRITE if letter in (_W, _W_LOW) else -1
            if p > stop and kind >= 0:
                q = after_separator(data, p + 1)
                length, last = decimal_number(data, q)
                if last == q or (q > p + 1 and last > q and length <= LARGEST_REQUEST):
                    last = after_spaces(data, last)
                    if at_line_end(data, last):
                        addr[n] = address
                        size[n] = length
                        op[n] = kind
                        n += 1
                        good = True
        elif stop == start:
            good = at_line_end(data, start) or data[start] == HASH
        if not good:
            state[BAD] = 1
            break
        i = next_line(data, start)
        line += 1
    state[POS] = i
    state[LINE] = line
    state[COUNT] = n


@register
class Plain(LineFormat):
    """``ADDRESS R|W [SIZE]`` lines. The base of bare addresses is settled once for the whole file, so that 1000 and
    7ffe can't mix."""

    name = "plain"
    title = "plain 'ADDRESS R|W' text"
    options = {"base": "10 or 16: the base of addresses without 0x (default: 16 if the first ones look so)"}
    shortest = len("0 R\n")
    parse = staticmethod(parse_plain)

    def __init__(self, sample: Sample, options: Mapping[str, str]) -> None:
        super().__init__(sample, options)
        given = options.get("base")
        if given not in (None, "10", "16"):
            raise ValueError(f"base is 10 or 16, got {given!r}")
        self.base = int(given) if given else 16 if _bare_hexadecimal(sample) else 10
        self.params = np.array([self.base], np.int64)

    @classmethod
    def recognise(cls, sample: Sample) -> tuple[float, str]:
        """By the share of lines that are an address and R or W."""
        lines = [line for line in sample.lines if line.strip() and not line.startswith(b"#")]
        accesses = sum(1 for line in lines if _ACCESS.fullmatch(line))
        if not accesses:
            return 0.0, ""
        return accesses / len(lines), f"{accesses} of the first {len(lines)} lines are an address and R or W"

    def expected(self, line: bytes) -> str:
        """The form of an access; tells of the base where a line would fit the other one."""
        if _ACCESS.fullmatch(line):
            if self.base == 10 and re.search(rb"[a-fA-F]", line.split()[0].removeprefix(b"0x")):
                return "a decimal address, as in the lines before (plain:base=16 reads all as hexadecimal)"
            return f"a 64-bit address and a size of at most {LARGEST_REQUEST} bytes"
        return "'ADDRESS R|W [SIZE]'"

    def described(self) -> str:
        """The format and the base of bare addresses."""
        return f"{self.title}, bare addresses {'hexadecimal' if self.base == 16 else 'decimal'}"


def _bare_hexadecimal(sample: Sample) -> bool:
    """Whether an address without 0x has a letter in it, or is padded with zeros to 8 digits or more as only
    hexadecimal ones are."""
    for line in sample.lines:
        match = _ACCESS.fullmatch(line)
        if (
            match
            and not match[1]
            and (re.search(rb"[a-fA-F]", match[2]) or (len(match[2]) >= 8 and match[2].startswith(b"0")))
        ):
            return True
    return False
