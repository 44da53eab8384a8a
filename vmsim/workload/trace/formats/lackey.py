"""Valgrind's lackey: ``valgrind --tool=lackey --trace-mem=yes PROGRAM 2> FILE``, one line for each instruction and
data access."""

from __future__ import annotations

import re

from vmsim.struct.jit import entry
from vmsim.workload.trace.format import FETCH, MODIFY, READ, WRITE, Sample, register
from vmsim.workload.trace.lines import (
    BAD,
    COMMA,
    COUNT,
    END,
    LINE,
    POS,
    SPACE,
    Column,
    LineFormat,
    Text,
    after_spaces,
    at_line_end,
    decimal_number,
    hex_number,
    next_line,
)

_LETTER_I, _LETTER_L, _LETTER_S, _LETTER_M, _LETTER_B = (ord(letter) for letter in "ILSMB")
_EQUALS, _MINUS, _STAR = (ord(letter) for letter in "=-*")
LARGEST_ACCESS = 4096
"""Bytes of one access. Model: lackey itself stops at MAX_DSIZE = 512 (lackey/lk_main.c); more is left to lines made
by others."""
_ACCESS = re.compile(rb"(I| [LSM]) +[0-9a-fA-F]+,[0-9]+")
_MESSAGE = re.compile(rb"(==|--|\*\*)[0-9]+(==|--|\*\*)|SB |$")


@entry
def parse_lackey(data: Text, state: Column, addr: Column, size: Column, op: Column, params: Column) -> None:
    """Parse ``I  ADDR,SIZE`` and `` L|S|M ADDR,SIZE`` lines; Valgrind's own messages, superblocks and empty lines
    are passed over."""
    i = int(state[POS])
    end = int(state[END])
    line = int(state[LINE])
    n = int(state[COUNT])
    state[BAD] = 0
    while i < end:
        first = data[i]
        kind = -1
        p = i + 1
        if first == _LETTER_I:
            kind = FETCH
        elif first == SPACE:
            letter = data[p]
            p += 1
            if letter == _LETTER_L:
                kind = READ
            elif letter == _LETTER_S:
                kind = WRITE
            elif letter == _LETTER_M:
                kind = MODIFY
        good = False
        if kind >= 0:
            start = after_spaces(data, p)
            address, stop = hex_number(data, start)
            if start > p and stop > start and data[stop] == COMMA:
                length, last = decimal_number(data, stop + 1)
                if last > stop + 1 and 0 < length <= LARGEST_ACCESS and at_line_end(data, last):
                    addr[n] = address
                    size[n] = length
                    op[n] = kind
                    n += 1
                    good = True
                    i = next_line(data, last)
        elif (
            at_line_end(data, i)
            or (data[i + 1] == first and first in (_EQUALS, _MINUS, _STAR))
            or (first == _LETTER_S and data[i + 1] == _LETTER_B)
        ):
            good = True
            i = next_line(data, i)
        if not good:
            state[BAD] = 1
            break
        line += 1
    state[POS] = i
    state[LINE] = line
    state[COUNT] = n


@register
class Lackey(LineFormat):
    """Valgrind lackey's memory trace. Every line is an access: I fetches an instruction, L reads, S writes, M reads
    and writes."""

    name = "lackey"
    title = "Valgrind lackey (--trace-mem=yes)"
    shortest = len(" L 0,1\n")
    parse = staticmethod(parse_lackey)

    @classmethod
    def recognise(cls, sample: Sample) -> tuple[float, str]:
        """By the share of lines that are lackey's or Valgrind's, and by Valgrind naming its tool."""
        lines = sample.lines
        accesses = sum(1 for line in lines if _ACCESS.fullmatch(line))
        messages = sum(1 for line in lines if _MESSAGE.match(line))
        names_itself = any(b"== Lackey, an example Valgrind tool" in line for line in lines[:20])
        if not accesses:
            return (0.9, "Valgrind names its tool, but there is no access yet") if names_itself else (0.0, "")
        share = (accesses + messages) / len(lines)
        why = f"{accesses} of the first {len(lines)} lines are accesses as lackey prints them"
        return (max(share, 0.96), why + ", and Valgrind names its tool") if names_itself else (share, why)

    def expected(self, line: bytes) -> str:
        """The form of an access, or what is wrong with this one."""
        if _ACCESS.fullmatch(line):
            return f"a 64-bit address and a size from 1 to {LARGEST_ACCESS} bytes"
        return (
            "'I  ADDRESS,SIZE' or ' L ADDRESS,SIZE' (I, L, S or M; address hexadecimal, size decimal; "
            "valgrind --log-file=FILE keeps the program's own output out)"
        )
