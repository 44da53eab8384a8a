"""RLIMIT_MEMLOCK without CAP_IPC_LOCK (A.7, golden vectors L.6 to L.8)."""

from __future__ import annotations

from typing import Any

import pytest
from shell import Shell

from vmsim.struct.vmas import MM_LOCKED_VM

PAGE = 4096
EPERM, EAGAIN, ENOMEM, EINVAL = 1, 11, 12, 22
LIMIT = 16 * PAGE  # the kernel's default, 64 KiB


def limited(limit: Any = LIMIT, **given: Any) -> Shell:
    return Shell(rlimits={"RLIMIT_MEMLOCK": limit}, **given)


def mapping(shell: Shell, pages: int, prot: int = 3, flags: int = 0x22) -> int:
    return shell.call("mmap", 0, pages * PAGE, prot, flags, -1, 0)


@pytest.mark.parametrize(("version", "again"), [("4.4", -ENOMEM), ("6.1", 0)])
def test_what_is_locked_counts_again(version: str, again: int) -> None:
    """L.7: 16 pages of 64 KiB are allowed (VmLck 64 kB); the same again is 16 + 16 > 16 in 4.4; munlock goes back
    to 0.
    """
    shell = limited(version=version)
    address = mapping(shell, 16)
    assert shell.call("mlock", address, 16 * PAGE) == 0
    assert shell.mm(MM_LOCKED_VM) == 16
    assert shell.call("mlock", address, 16 * PAGE) == again
    assert shell.call("munlock", address, 16 * PAGE) == 0
    assert shell.mm(MM_LOCKED_VM) == 0


def test_other_mode_within_the_limit() -> None:
    """L.8: mlock2(ONFAULT) of 8 pages, then mlock of them: 16 <= 16 is allowed, and VmLck says 16 pages for 8."""
    shell = limited()
    address = mapping(shell, 8)
    assert shell.call("mlock2", address, 8 * PAGE, 1) == 0
    assert shell.call("mlock", address, 8 * PAGE) == 0
    assert shell.mm(MM_LOCKED_VM) == 16


@pytest.mark.parametrize("prot", [0, 1, 3])
@pytest.mark.parametrize("pages", [16, 17, 32])
def test_mmap_under_mcl_future(prot: int, pages: int) -> None:
    """L.6: under MCL_FUTURE|MCL_ONFAULT an mmap beyond the limit fails with EAGAIN, whatever its protection; at it,
    it works.
    """
    shell = limited()
    assert shell.call("mlockall", 2 | 4) == 0
    result = mapping(shell, pages, prot)
    assert (result if result < 0 else 0) == (0 if pages <= 16 else -EAGAIN)


def test_mcl_current_tests_the_whole_address_space() -> None:
    """L.6: mlockall with MCL_CURRENT fails when total_vm is above the limit, even where nothing would be faulted in."""
    shell = limited()
    mapping(shell, 16)
    assert shell.call("mlockall", 1 | 4) == 0
    shell.call("munlockall")
    mapping(shell, 1)
    assert shell.call("mlockall", 1 | 4) == -ENOMEM
    assert shell.call("mlockall", 2 | 4) == 0


@pytest.mark.parametrize(
    ("limit", "pages", "result"),
    [(LIMIT, 16, 0), (LIMIT, 17, -ENOMEM), (LIMIT - 1, 16, -ENOMEM), (LIMIT + PAGE - 1, 17, -ENOMEM)],
)
def test_the_limit_is_rounded_down_to_pages(limit: int, pages: int, result: int) -> None:
    """A.12: bytes >> 12; one page more than that is refused."""
    shell = limited(limit)
    assert shell.call("mlock", mapping(shell, 32), pages * PAGE) == result


def test_zero_forbids_locking() -> None:
    """A.7: EPERM of mlock, mlockall and MAP_LOCKED when the limit is 0; munlock is always allowed."""
    shell = limited(0)
    address = mapping(shell, 1)
    assert shell.call("mlock", address, PAGE) == -EPERM
    assert shell.call("mlock2", address, PAGE, 8) == -EINVAL  # tested before anything else
    assert shell.call("mlockall", 2) == -EPERM
    assert mapping(shell, 1, flags=0x2022) == -EPERM
    assert shell.call("munlock", address, PAGE) == 0


def test_map_locked_is_eagain() -> None:
    """A.1 step 7."""
    shell = limited()
    assert mapping(shell, 17, flags=0x2022) == -EAGAIN
    assert mapping(shell, 16, flags=0x2022) > 0
    assert shell.vmstat("nr_mlock") == 16


def test_cap_ipc_lock_has_no_limit() -> None:
    shell = limited(0, capabilities=["CAP_IPC_LOCK"])
    assert shell.call("mlock", mapping(shell, 100), 100 * PAGE) == 0


def test_lowering_the_limit_unlocks_nothing() -> None:
    """A.12, through setrlimit(RLIMIT_MEMLOCK = 8): what is locked stays, the next lock is refused."""
    shell = limited()
    address = mapping(shell, 16)
    assert shell.call("mlock", address, 8 * PAGE) == 0
    assert shell.call("setrlimit", 8, 4 * PAGE, LIMIT) == 0
    assert shell.mm(MM_LOCKED_VM) == 8
    assert shell.call("mlock", address + 8 * PAGE, PAGE) == -ENOMEM
    assert shell.call("setrlimit", 8, 4 * PAGE, 2 * LIMIT) == -EPERM
