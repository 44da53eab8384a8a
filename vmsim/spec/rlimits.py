"""Resource limits: names, units and the defaults that a kernel starts the first process with.

Source: include/uapi/asm-generic/resource.h and include/asm-generic/resource.h (INIT_RLIMITS) of v4.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vmsim.struct.tasks import RLIM_INFINITY
from vmsim.units import KIB, MIB

UNLIMITED: Final = ("unlimited", "infinity", "RLIM_INFINITY")


@dataclass(frozen=True)
class Rlimit:
    """A soft and a hard limit, in the resource's unit; `RLIM_INFINITY` is no limit."""

    soft: int
    hard: int


@dataclass(frozen=True)
class Resource:
    """What a limit limits: its number in setrlimit(2), its unit (`bytes`, `seconds`, `us` or `count`), its default."""

    number: int
    unit: str
    default: Rlimit
    what: str


def _resource(number: int, unit: str, soft: int, hard: int, what: str) -> Resource:
    return Resource(number, unit, Rlimit(soft, hard), what)


_INF: Final = RLIM_INFINITY

# Model: RLIMIT_NPROC and RLIMIT_SIGPENDING start at half of the threads that fit in memory (kernel/fork.c: fork_init);
# no program here comes near, so they are unlimited.  Only MEMLOCK, AS, DATA and STACK change what the kernel does.
RESOURCES: Final[Mapping[str, Resource]] = {
    "RLIMIT_CPU": _resource(0, "seconds", _INF, _INF, "CPU time"),
    "RLIMIT_FSIZE": _resource(1, "bytes", _INF, _INF, "size of a file"),
    "RLIMIT_DATA": _resource(2, "bytes", _INF, _INF, "data segment (4.4: brk only; from 4.5 private writable memory)"),
    "RLIMIT_STACK": _resource(3, "bytes", 8 * MIB, _INF, "growth of the stack; decides where mmap_base lies"),
    "RLIMIT_CORE": _resource(4, "bytes", 0, _INF, "size of a core file"),
    "RLIMIT_RSS": _resource(5, "bytes", _INF, _INF, "resident memory (not enforced by Linux)"),
    "RLIMIT_NPROC": _resource(6, "count", _INF, _INF, "processes of a user"),
    "RLIMIT_NOFILE": _resource(7, "count", 1024, 4096, "open files"),
    "RLIMIT_MEMLOCK": _resource(8, "bytes", 64 * KIB, 64 * KIB, "locked memory; not for a holder of CAP_IPC_LOCK"),
    "RLIMIT_AS": _resource(9, "bytes", _INF, _INF, "address space"),
    "RLIMIT_LOCKS": _resource(10, "count", _INF, _INF, "file locks"),
    "RLIMIT_SIGPENDING": _resource(11, "count", _INF, _INF, "pending signals"),
    "RLIMIT_MSGQUEUE": _resource(12, "bytes", 819_200, 819_200, "POSIX message queues"),
    "RLIMIT_NICE": _resource(13, "count", 0, 0, "highest nice priority"),
    "RLIMIT_RTPRIO": _resource(14, "count", 0, 0, "highest real-time priority"),
    "RLIMIT_RTTIME": _resource(15, "us", _INF, _INF, "real-time CPU time without sleeping"),
}

_MLOCK_LIMIT_6 = 8 * MIB  # 9dcc38e2813e (5.16) raised MLOCK_LIMIT from 64 KiB to 8 MiB


def default_rlimits(line: str, page_size: int) -> dict[str, Rlimit]:
    """All limits as a kernel of that line (`4.4`, `6.1`, ...) gives them to a new process; `page_size` in bytes."""
    limits = {name: resource.default for name, resource in RESOURCES.items()}
    memlock = 64 * KIB if line.startswith("4.") else _MLOCK_LIMIT_6
    limits["RLIMIT_MEMLOCK"] = Rlimit(max(page_size, memlock), max(page_size, memlock))
    return limits
