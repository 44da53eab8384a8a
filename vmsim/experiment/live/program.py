"""Programs of memory calls and touches: what a recording's operations were made from, and how the recorder is told of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from vmsim.errors import VmsimError

PAGE = 4096
ARENA = 0x200000000000
ARENA_PAGES = 512
FILE_PAGES = 64
HARD_MEMLOCK = 8 << 20
NOWHERE = -1  # RLIM_INFINITY, as recordings have it
FDS = ("none", "rw", "ro", "bad")
RESOURCES = {"MEMLOCK": 8, "AS": 9}
_WORD = 1 << 64

Op = dict[str, Any]  # an operation as a recording has it, without results; a fork has its child's under "ops"

# The arguments of each operation in the order in which the recorder takes them.
FIELDS: dict[str, tuple[str, ...]] = {
    "mmap": ("addr", "len", "prot", "flags", "fd", "off"),
    "munmap": ("addr", "len"),
    "mprotect": ("addr", "len", "prot"),
    "mremap": ("addr", "len", "new", "flags", "naddr"),
    "madvise": ("addr", "len", "advice"),
    "mincore": ("addr", "len"),
    "msync": ("addr", "len", "flags"),
    "mlock": ("addr", "len"),
    "mlock2": ("addr", "len", "flags"),
    "munlock": ("addr", "len"),
    "mlockall": ("flags",),
    "munlockall": (),
    "setrlimit": ("res", "cur", "max"),
    "read": ("addr", "n", "stride"),
    "write": ("addr", "n", "stride", "val"),
    "ftruncate": ("fd", "size"),
}


@dataclass(frozen=True)
class Program:
    """Operations for one process, and the machine that they start on; `cached` has a bit for each file page in the page cache."""

    seed: int
    profile: str
    ops: tuple[Op, ...]
    drop_caps: bool = False
    soft_memlock: int = HARD_MEMLOCK
    file_size: int = FILE_PAGES * PAGE
    cached: int = (1 << FILE_PAGES) - 1

    @property
    def steps(self) -> int:
        """Operations, those of children included."""
        return sum(1 + len(op.get("ops", ())) for op in self.ops)

    def having(self, ops: Iterable[Op]) -> Program:
        """The same machine with other operations."""
        return replace(self, ops=tuple(ops))


def _number(op: Op, field: str) -> int:
    if field == "fd":
        return FDS.index(op["fd"])
    if field == "res":
        return RESOURCES[op["res"]]
    if field == "naddr" and field not in op:
        return 0
    value = op[field]
    if field in ("addr", "naddr"):
        value = ARENA + value[0] * PAGE + value[1]
    return int(value) % _WORD


def _lines(op: Op) -> Iterator[str]:
    if op["op"] == "fork":
        yield f"fork {len(op['ops'])}"
        for child in op["ops"]:
            yield from _lines(child)
    else:
        yield " ".join([op["op"], *(str(_number(op, field)) for field in FIELDS[op["op"]])])


def recorder_text(program: Program) -> str:
    """A program as the recorder reads it."""
    cached = program.cached & (1 << FILE_PAGES) - 1
    head = (
        f"program {program.seed % _WORD} {program.profile} {int(program.drop_caps)} {program.soft_memlock} "
        f"{program.file_size} {cached} {len(program.ops)}"
    )
    return "\n".join([head, *(line for op in program.ops for line in _lines(op))]) + "\n"


def inputs_of(record: Op) -> Op:
    """The operation that a line of a recording tells the results of. Raises VmsimError for an unknown one."""
    name = record["op"]
    if name == "fork":
        children = record["child"]["ops"] if "child" in record else []
        return {"op": name, "ops": [inputs_of(child) for child in children]}
    if name not in FIELDS:
        raise VmsimError(f"the operation {name!r} is not known")
    return {"op": name, **{field: record[field] for field in FIELDS[name] if field in record}}
