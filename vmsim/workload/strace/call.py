"""A memory call as the log shows it: its numbers and its result."""

from __future__ import annotations

from dataclasses import dataclass

from vmsim.workload.strace.files import Opening
from vmsim.workload.strace.log import Entry
from vmsim.workload.strace.names import ERRNOS, number
from vmsim.workload.strace.process import Task
from vmsim.workload.strace.target import PAGE_SHIFT
from vmsim.workload.strace.values import descriptor, split_args

PAGE = 1 << PAGE_SHIFT
SHOWN = -1  # instead of the address of a vector whose contents the log shows
# How many arguments each call has; those that stand for ranges begin with address and length.
ARGUMENTS = {
    "mmap": 6, "munmap": 2, "mprotect": 3, "pkey_mprotect": 4, "mremap": 4, "brk": 1, "madvise": 3, "mincore": 3, "msync": 3, "mlock": 2,
    "mlock2": 3, "munlock": 2, "mlockall": 1, "munlockall": 0,
}  # fmt: skip


@dataclass
class Call:
    """A memory call with its numbers and the result in the log: a value, or -errno."""

    task: Task
    name: str
    numbers: list[int]
    expected: int
    opening: Opening | None = None
    rule: str | None = None  # under which it is left out


@dataclass(frozen=True)
class Difference:
    """A call that the simulator answers otherwise."""

    expected: int
    simulated: int


def pages_of(address: int, length: int) -> tuple[int, int]:
    """The pages that [address, address + length) touches."""
    return address >> PAGE_SHIFT, (address + length + PAGE - 1) >> PAGE_SHIFT


def read_call(task: Task, entry: Entry) -> Call:
    """A call as the log shows it. Raises ValueError for one that can't have been made like this."""
    line = entry.line
    texts = split_args(line.args)
    wanted = ARGUMENTS[line.name]
    if len(texts) < wanted or (wanted == 0 and texts not in ([], [""])):
        raise ValueError(f"{line.name} has {wanted} arguments, here are {len(texts)}")
    numbers = [SHOWN if _is_vector(line.name, i, text) else _number(line.name, i, text) for i, text in enumerate(texts)]
    if line.result is None:
        raise ValueError(f"{line.name} has no result")
    expected = line.result
    if line.result == -1:
        if line.error not in ERRNOS:
            raise ValueError(f"{line.name} failed with an unknown error {line.error!r}")
        expected = -ERRNOS[line.error]
    elif not 0 <= expected < 1 << 63:
        raise ValueError(f"{line.name} can't return {expected}")
    return Call(task, line.name, numbers, expected)


def _is_vector(name: str, index: int, text: str) -> bool:
    return name == "mincore" and index == 2 and text.startswith("[")


def _number(name: str, index: int, text: str) -> int:
    if name == "mmap" and index == 4:
        return descriptor(text).fd
    return number(text)
