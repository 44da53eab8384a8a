"""Arguments as strace prints them: numbers, names of bits, strings, structures, descriptors with their paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|/\*.*?\*/|<(?:->|[^<>]|<[^<>]*>)*>|<<|[\[\](){}<,]|[^"/\[\](){}<,]+|/', re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:0x[0-9a-fA-F]+|\d+)")
_DESCRIPTOR = re.compile(r"(-?\d+)(?:<(?P<path>.*)>(?P<deleted>\(deleted\))?)?", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|([0-7]{1,3})|(.))", re.DOTALL)
_FIELD = re.compile(r"([a-z_][a-z0-9_]*)=")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "f": "\f"}
_MOST = 1 << 16


class Descriptor(NamedTuple):
    """A file descriptor; `path` is what -y shows of it."""

    fd: int
    path: str | None


def split_args(text: str) -> list[str]:
    """The arguments of a call, by the commas that stand outside of strings, comments, paths and brackets."""
    if '"' not in text and "{" not in text and "[" not in text and "<" not in text and "/*" not in text:
        return text.split(", ") if text else []
    found: list[str] = []
    part: list[str] = []
    depth = 0
    for token in _TOKEN.findall(text):
        if token == "," and depth == 0:
            found.append("".join(part).strip())
            part = []
            continue
        if token in "[({":
            depth += 1
        elif token in "])}":
            depth -= 1
        part.append(token)
    if part or found:
        found.append("".join(part).strip())
    return found


def without_comments(text: str) -> str:
    """An argument as -X verbose prints it, without the names that stand beside the numbers."""
    if "/*" not in text:
        return text.strip()
    while (inner := text.rfind("/*")) >= 0:  # a value without a name has a comment of its own inside the comment
        end = text.find("*/", inner)
        text = text[:inner].rstrip(" ") + (text[end + 2 :] if end >= 0 else "")
    return text.strip()


class Numbers:
    """Numbers made of names and bits: `PROT_READ|PROT_WRITE`, `0x3 /* ... */`, `8192*1024`, `21<<MAP_HUGE_SHIFT`, `NULL`."""

    def __init__(self, names: Mapping[str, int]) -> None:
        self._names = names
        self._known: dict[str, int] = {}

    def number(self, text: str) -> int:
        """The value of an argument. Raises ValueError for what isn't one."""
        value = self._known.get(text)
        if value is None:
            value = self._sum(without_comments(text))
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[text] = value
        return value

    def _sum(self, text: str) -> int:
        if len(text) > 4096:
            raise ValueError("an argument of more than 4096 characters")
        value = 0
        for part in text.split("|"):
            value |= self._product(part.strip())
        if not -(1 << 63) <= value < 1 << 64:
            raise ValueError(f"{text!r} has more than 64 bits")
        return value

    def _product(self, text: str) -> int:
        left, shifted, right = text.partition("<<")
        if shifted:
            places = self._atom(right)
            if not 0 <= places < 64:
                raise ValueError(f"not a number: {text!r}")
            return self._atom(left) << places
        left, multiplied, right = text.partition("*")
        return self._atom(left) * self._atom(right) if multiplied else self._atom(left)

    def _atom(self, text: str) -> int:
        if _NUMBER.fullmatch(text):
            return int(text, 8) if text[0] == "0" and len(text) > 1 and text.isdigit() else int(text, 0)
        if text in self._names:
            return self._names[text]
        raise ValueError(f"not a number: {text!r}")


def descriptor(text: str) -> Descriptor:
    """A descriptor, with its path if the log has it. Raises ValueError for anything else."""
    text = without_comments(text)
    if text == "AT_FDCWD" or text.startswith("AT_FDCWD<"):
        return Descriptor(-100, None)
    found = _DESCRIPTOR.fullmatch(text)
    if found is None:
        raise ValueError(f"not a file descriptor: {text!r}")
    fd = int(found[1])
    if not -(1 << 31) <= fd < 1 << 32:
        raise ValueError(f"not a file descriptor: {text!r}")
    return Descriptor(fd - (1 << 32) if fd >= 1 << 31 else fd, found["path"])


def noted_path(note: str) -> str | None:
    """The path that -y shows behind the descriptor that a call returned."""
    found = re.match(r"<((?:->|[^<>]|<[^<>]*>)*)>", note, re.DOTALL)
    return found[1] if found else None


def string(text: str) -> str:
    """A string without its quotation marks and escapes; what strace left off stays off. Raises ValueError for anything else."""
    end = text.rfind('"')
    if not text.startswith('"') or end == 0:
        raise ValueError(f"not a string: {text!r}")
    return _ESCAPE.sub(_unescaped, text[1:end])


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    if found[2]:
        return chr(int(found[2], 8) & 0xFF)
    return _LETTERS.get(found[3], found[3])


def fields(text: str) -> dict[str, str]:
    """The fields of a structure `{name=value, ...}`; what strace abbreviates is missing. Empty for anything else, such as NULL."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return {}
    found = {}
    for part in split_args(text[1:-1]):
        named = _FIELD.match(part)
        if named:
            found[named[1]] = part[named.end() :].strip()
    return found
