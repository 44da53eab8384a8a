"""Simpler forms of operations and programs, each a little step, the boldest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmsim.experiment.live.mappings import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MREMAP_FIXED
from vmsim.experiment.live.program import ARENA_PAGES, FILE_PAGES, HARD_MEMLOCK, PAGE, Op, Program

_WHOLE_FILE = FILE_PAGES * PAGE
_ALL_CACHED = (1 << FILE_PAGES) - 1
_PROTS = (3, 1, 0, 2, 5, 7)  # the plainest first


def simpler_machines(program: Program) -> Iterator[Program]:
    """With all capabilities, an unlimited process, a whole file, all or nothing of it cached; with plainer seeds of children."""
    plain = replace(program, drop_caps=False, soft_memlock=HARD_MEMLOCK, file_size=_WHOLE_FILE, cached=_ALL_CACHED)
    for name in ("drop_caps", "soft_memlock", "file_size", "cached"):
        if getattr(program, name) != getattr(plain, name):
            yield replace(program, **{name: getattr(plain, name)})
    if program.soft_memlock % PAGE:
        yield replace(program, soft_memlock=program.soft_memlock // PAGE * PAGE)


def simpler_ops(op: Op) -> Iterator[Op]:
    """One operation in simpler forms."""
    if op["op"] == "fork":
        for index, child in enumerate(op["ops"]):
            for simpler in simpler_ops(child):
                yield {**op, "ops": [*op["ops"][:index], simpler, *op["ops"][index + 1 :]]}
        return
    if op["op"] == "mmap" and op["fd"] != "none":
        yield {**op, "flags": MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, "fd": "none", "off": 0}
    if op["op"] == "mlock2" and op["flags"] == 0:
        yield {"op": "mlock", "addr": op["addr"], "len": op["len"]}
    for name in op:
        if name in _SIMPLER:
            for value in _SIMPLER[name](op):
                if value != op[name]:
                    yield {**op, name: value}


def _address(name: str, op: Op) -> Iterator[list[int]]:
    page, byte = op[name]
    if byte:
        yield [page, 0]
    for smaller in _fewer(page):
        yield [smaller, byte]


def _fewer(count: int, least: int = 0) -> Iterator[int]:
    """Smaller numbers: the least, then by halves, then one less."""
    step = count - least
    while step > 0:
        yield count - step
        step //= 2


def _length(name: str, op: Op) -> Iterator[int]:
    length: int = op[name]
    if length % PAGE:
        yield -(-length // PAGE) * PAGE
    if length <= ARENA_PAGES * PAGE:
        for pages in _fewer(length // PAGE, 1):
            yield pages * PAGE
    else:
        yield ARENA_PAGES * PAGE


def _flags(op: Op) -> Iterator[int]:
    flags: int = op["flags"]
    needed = MAP_FIXED if op["op"] == "mmap" else MREMAP_FIXED if "naddr" in op else 0
    if op["op"] not in ("mmap", "mremap"):
        yield 0
    for bit in range(32, -1, -1):
        if flags & 1 << bit & ~needed:
            yield flags & ~(1 << bit)


def _offset(op: Op) -> Iterator[int]:
    for pages in _fewer(op["off"] // PAGE):
        yield pages * PAGE


def _limit(op: Op) -> Iterator[int]:
    if op["cur"] > 0:
        if op["cur"] % PAGE:
            yield op["cur"] // PAGE * PAGE
        for pages in _fewer(op["cur"] // PAGE):
            yield pages * PAGE


_SIMPLER = {
    "addr": lambda op: _address("addr", op),
    "naddr": lambda op: _address("naddr", op),
    "len": lambda op: _length("len", op),
    "new": lambda op: _length("new", op),
    "prot": lambda op: _PROTS[: _PROTS.index(op["prot"])] if op["prot"] in _PROTS else _PROTS,
    "flags": _flags,
    "fd": lambda op: ("rw",) if op["fd"] in ("ro", "bad") else (),
    "off": _offset,
    "n": lambda op: _fewer(op["n"], 1),
    "stride": lambda op: _fewer(op["stride"], 1),
    "val": lambda op: (0x80,),
    "cur": _limit,
    "size": lambda op: (pages * PAGE for pages in _fewer(op["size"] // PAGE)) if op["size"] <= _WHOLE_FILE else (),
}


def without_pages(program: Program, first: int, count: int) -> Program:
    """The program on an arena that lacks some pages."""
    return program.having(_without(op, first, count) for op in program.ops)


def _without(op: Op, first: int, count: int) -> Op:
    if op["op"] == "fork":
        return {**op, "ops": [_without(child, first, count) for child in op["ops"]]}
    if "addr" not in op:
        return op
    changed = dict(op)
    page, byte = op["addr"]
    changed["addr"] = [_moved(page, first, count), byte]
    if "len" in op:
        changed["len"] = _cut(page, op["len"], first, count)
    if "n" in op and op["stride"] == 1:
        changed["n"] = max(1, _moved(page + op["n"], first, count) - _moved(page, first, count))
    if "new" in op:
        target = op["naddr"][0] if "naddr" in op else page
        changed["new"] = changed["len"] if op["new"] == op["len"] else _cut(target, op["new"], first, count)
    if "naddr" in op:
        changed["naddr"] = [_moved(op["naddr"][0], first, count), op["naddr"][1]]
    return changed


def _moved(page: int, first: int, count: int) -> int:
    return page if page <= first else max(first, page - count)


def _cut(page: int, length: int, first: int, count: int) -> int:
    """The length of a range without the pages; what remains of a page stays, and so does the last page of a range."""
    if not 0 < length <= ARENA_PAGES * PAGE:
        return length
    lost = (page + -(-length // PAGE) - page) - (_moved(page + -(-length // PAGE), first, count) - _moved(page, first, count))
    return max(length - lost * PAGE, 1 + (length - 1) % PAGE)
