"""The simulated state as recorders write it, from the numbers in `k.shown`: most states of a replay are compared as text only."""

from vmsim.mm.task_mmu import (
    PSS_SHIFT,
    VW_COLUMNS,
    VW_LCK,
    VW_NCACHED,
    VW_NRUNS,
    VW_NVMAS,
    VW_OUT,
    VW_STATE,
    VW_VSZ,
)
from vmsim.struct.jit import compiled, entry
from vmsim.struct.vmas import VM_EXEC, VM_LOCKED, VM_MAYSHARE, VM_READ, VM_WRITE
from vmsim.workload.replay import FILE, WINDOW_START

PGOFF_MASK = (1 << 52) - 1  # the file shows offsets in bytes, as 64-bit numbers

# What `words` begins with: the characters of PAGE_*, those of pages in the page cache or not; then bit, character, character of VmFlags.
WORD_PAGES = 0
WORD_CACHED = 4
WORD_FLAGS = 6

_MINUS, _ZERO, _COMMA, _SPACE, _OPEN = b"-0, ["


def word(text):
    """Up to 8 characters as a number, the first one in the lowest byte."""
    return int.from_bytes(text, "little")


_VMAS_1, _VMAS_2, _VMAS_END = word(b'{"vma'), word(b's":['), word(b'],"vs')
_VSZ, _LCK, _OUT = word(b'z":'), word(b',"lck":'), word(b',"out":')
_PAGES_1, _PAGES_2, _CACHED, _END = word(b',"pages'), word(b'":"'), word(b'","pc":"'), word(b'"}')
_ANON, _FILE, _SHM = word(b"anon"), word(b"file"), word(b"shm")
_TEXT, _NEXT_TEXT, _AFTER_TEXT, _LAST_TEXT = word(b',"'), word(b'","'), word(b'",'), word(b'"]')
_R, _W, _X, _S, _P, _DASH = b"rwxsp-"


@compiled
def _put_number(out, at, value):
    """Write a decimal number: the place after it."""
    if value < 0:
        out[at] = _MINUS
        at += 1
        value = -value
    digits = 1
    rest = value // 10
    while rest > 0:
        digits += 1
        rest //= 10
    for i in range(digits):
        out[at + digits - 1 - i] = _ZERO + value % 10
        value //= 10
    return at + digits


@compiled
def _put_word(out, at, word):
    """Write a text of up to 8 characters, the first one in the lowest byte."""
    while word != 0:
        out[at] = word & 255
        at += 1
        word >>= 8
    return at


@compiled
def _put_flags(out, at, flags, words):
    """Write the mnemonics of VmFlags."""
    first = 1
    for i in range(WORD_FLAGS, words.shape[0], 2):
        if flags & words[i] != 0:
            if first == 0:
                out[at] = _SPACE
                at += 1
            at = _put_word(out, at, words[i + 1])
            first = 0
    return at


@compiled
def _put_perms(out, at, flags):
    out[at] = _R if flags & VM_READ != 0 else _DASH
    out[at + 1] = _W if flags & VM_WRITE != 0 else _DASH
    out[at + 2] = _X if flags & VM_EXEC != 0 else _DASH
    out[at + 3] = _S if flags & VM_MAYSHARE != 0 else _P
    return at + 4


@compiled
def _put_object(out, at, file, serial, objects):
    """Write what a VMA maps; shared objects are numbered as they show up in a sequence."""
    if file == 0:
        return _put_word(out, at, _ANON)
    if file == FILE:
        return _put_word(out, at, _FILE)
    if objects[serial] == 0:
        objects[0] += 1
        objects[serial] = objects[0]
    return _put_number(out, _put_word(out, at, _SHM), objects[serial] - 1)


@compiled
def _put_vma(shown, row, out, at, words, objects):
    flags = shown[row + 2]
    file = shown[row + 3]
    out[at] = _OPEN
    at = _put_number(out, at + 1, shown[row] - WINDOW_START)
    out[at] = _COMMA
    at = _put_number(out, at + 1, shown[row + 1])
    at = _put_word(out, at, _TEXT)
    at = _put_perms(out, at, flags)
    at = _put_word(out, at, _NEXT_TEXT)
    at = _put_object(out, at, file, shown[row + 4], objects)
    at = _put_word(out, at, _AFTER_TEXT)
    at = _put_number(out, at, 0 if file == 0 else shown[row + 5] & PGOFF_MASK)
    out[at] = _COMMA
    at = _put_number(out, at + 1, shown[row + 6])
    out[at] = _COMMA
    at = _put_number(out, at + 1, shown[row + 7])
    out[at] = _COMMA
    at = _put_number(out, at + 1, shown[row + 8] >> (10 + PSS_SHIFT) if flags & VM_LOCKED != 0 else 0)
    at = _put_word(out, at, _TEXT)
    at = _put_flags(out, at, flags, words)
    return _put_word(out, at, _LAST_TEXT)


@compiled
def _put_runs(shown, row, count, out, at, words, chars):
    """Write runs; neighbours that show as the same character are one run."""
    i = 0
    while i < count:
        char = words[chars + (shown[row + i] & 3)]
        pages = 0
        while i < count and words[chars + (shown[row + i] & 3)] == char:
            pages += shown[row + i] >> 2
            i += 1
        at = _put_number(out, at, pages)
        out[at] = char
        at += 1
    return at


@entry
def shown_text(shown, out, words, objects):
    """Write the state in `shown` to `out`, as recorders do: its length, or -1 where `out` or `objects` may not be large enough.

    `objects[serial]` is the number of a shared object + 1, `objects[0]` how many there are.
    """
    vmas = shown[VW_NVMAS]
    runs = shown[VW_NRUNS]
    cached = shown[VW_NCACHED]
    if 256 + vmas * 256 + (runs + cached) * 24 > out.shape[0]:
        return -1
    at = _put_word(out, _put_word(out, 0, _VMAS_1), _VMAS_2)
    row = VW_STATE
    for i in range(vmas):
        if shown[row + 4] >= objects.shape[0]:
            return -1
        if i > 0:
            out[at] = _COMMA
            at += 1
        at = _put_vma(shown, row, out, at, words, objects)
        row += VW_COLUMNS
    at = _put_word(out, at, _VMAS_END)
    at = _put_number(out, _put_word(out, at, _VSZ), shown[VW_VSZ])
    at = _put_number(out, _put_word(out, at, _LCK), shown[VW_LCK])
    at = _put_number(out, _put_word(out, at, _OUT), shown[VW_OUT])
    at = _put_word(out, _put_word(out, at, _PAGES_1), _PAGES_2)
    at = _put_runs(shown, row, runs, out, at, words, WORD_PAGES)
    at = _put_runs(shown, row + runs, cached, out, _put_word(out, at, _CACHED), words, WORD_CACHED)
    return _put_word(out, at, _END)
