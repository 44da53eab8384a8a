"""One line of an strace log: whose it is, and whether it is a call, the rest of one, a signal, an exit or a remark.

Follows what strace 4 to 6 print (its print.c, syscall.c, strace.c): `-f` with and without `-o`, all kinds of time stamps, `-i`, `-n`,
`-k`, `-T`, `-y`, and every `-X`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

CALL, BEGUN, RESUMED, SIGNAL, EXIT, REMARK = range(6)
"""Kinds of lines: a whole call; the first part of one; the last part; a signal; the end of a process; anything that says nothing of
calls."""

_PREFIX = re.compile(
    r"(?:\[pid +(?P<pid>\d+)(?:<[^>]*>)?\] +|(?P<column>\d{1,10})(?:<[^>]*>)? +(?![0-9.]* *=))?"
    r"(?: *(?:\d\d:\d\d:\d\d(?:\.\d+)?|\d+\.\d+)(?: +\(\+ +\d+(?:\.\d+)?\))? +)?"
    r"(?: *\[ *[0-9a-f?]{1,16}\] +){0,2} *"
)
_CALL = re.compile(r"(?P<name>[a-z_][a-z0-9_]*)\((?P<args>.*)\) *= (?P<result>0x[0-9a-f]+|-?\d+|\?)(?P<rest>(?:[ <(].*)?)", re.DOTALL)
_BEGUN = re.compile(r"(?P<name>[a-z_][a-z0-9_]*)\((?P<args>.*?),? *(?:<unfinished \.\.\.>|<detached \.\.\.>)", re.DOTALL)
_RESUMED = re.compile(
    r"<\.\.\. (?P<name>[a-z_][a-z0-9_]*) resumed>,? ?(?P<args>.*)\) *= (?P<result>0x[0-9a-f]+|-?\d+|\?)(?P<rest>(?:[ <(].*)?)", re.DOTALL
)
_CUT_AGAIN = re.compile(r"<\.\.\. (?P<name>[a-z_][a-z0-9_]*) resumed>.*<unfinished \.\.\.>", re.DOTALL)
_SIGNAL = re.compile(r"--- (?P<name>[A-Z0-9_]+|stopped by [A-Z0-9_]+) ?.*---", re.DOTALL)
_EXIT = re.compile(r"\+\+\+ (?P<what>exited with \d+|killed by \S+(?: \(core dumped\))?|superseded by execve in pid (?P<by>\d+)) ?\+\+\+")
_REMARK = re.compile(
    r"$|strace: | > |\[ Process PID=\d+ runs in |Process \d+ (?:at|de)tached|% time +seconds|[ -]*-+ -"
    r"| *\d+\.\d+ +\d+\.\d+ +\d* +\d+ +(?:\d+ +)?[a-z_0-9]+$"
)
_OCTAL = re.compile(r"-?0[0-7]+$")  # as umask returns
_ERROR = re.compile(r" (E[A-Z0-9]+|ERESTART[A-Z_]+)\b")

_OUTSIDE = re.compile(r" /\* (\d{1,10}) in strace's PID NS \*/")
CLONES = frozenset({"clone", "clone2", "clone3", "fork", "vfork"})


class Line(NamedTuple):
    """What a line says. `args` is the text between the parentheses as far as the line has it; `error` the errno's name."""

    kind: int
    pid: int
    name: str = ""
    args: str = ""
    result: int | None = None  # None: the log says '?'
    error: str = ""
    note: str = ""  # what stands behind the result


def parse_line(text: str) -> Line:
    """The meaning of a line without its line end. Raises ValueError if strace doesn't print such lines."""
    prefix = _PREFIX.match(text)
    assert prefix is not None  # every part of it may be missing
    pid = int(prefix["pid"] or prefix["column"] or 0)
    rest = text[prefix.end() :]
    found = _CALL.fullmatch(rest)
    if found:
        return _whole(CALL, pid, found)
    if rest.startswith("<... "):
        found = _RESUMED.fullmatch(rest)
        if found:
            return _whole(RESUMED, pid, found)
        if _CUT_AGAIN.fullmatch(rest):
            return Line(REMARK, pid)
    found = _BEGUN.fullmatch(rest)
    if found:
        return Line(BEGUN, pid, found["name"], found["args"])
    return _event(pid, rest, text)


def _event(pid: int, rest: str, text: str) -> Line:
    found = _SIGNAL.fullmatch(rest)
    if found:
        return Line(SIGNAL, pid, found["name"], rest)
    found = _EXIT.fullmatch(rest)
    if found:
        return Line(EXIT, pid, found["what"].partition(" ")[0], result=int(found["by"]) if found["by"] else None)
    if _REMARK.match(rest) or _REMARK.match(text):
        return Line(REMARK, pid)
    raise ValueError("expected a call, signal or exit as strace prints it")


def _whole(kind: int, pid: int, found: re.Match[str]) -> Line:
    shown = found["result"]
    result = None if shown == "?" else int(shown, 8 if _OCTAL.match(shown) else 0)
    rest = found["rest"]
    error = ""
    if rest.startswith(" /* ") and found["name"] in CLONES:
        outside = _OUTSIDE.match(rest)
        result = int(outside[1]) if outside else result
    if rest and (result == -1 or result is None):
        named = _ERROR.match(rest)
        if named:
            error = named[1]
    return Line(kind, pid, found["name"], found["args"], result, error, rest)
