"""RLIMIT_MEMLOCK and VmLck are charged when a range is locked, whether or not a page of it is there (A.7 step 9)."""

from __future__ import annotations

import pytest
from shell import Shell

from vmsim.struct.vmas import MM_ANONPAGES, MM_LOCKED_VM

PAGE = 4096
PAGES = 64


@pytest.mark.parametrize(("flags", "resident"), [(0, PAGES), (1, 0)])
def test_charged_in_full(flags: int, resident: int) -> None:
    """mlock2 of 64 pages counts 64 pages at once; MLOCK_ONFAULT leaves them absent and counts the same."""
    shell = Shell(capabilities=["CAP_IPC_LOCK"])
    address = shell.call("mmap", 0, PAGES * PAGE, 3, 0x22, -1, 0)
    assert shell.call("mlock2", address, PAGES * PAGE, flags) == 0
    assert (shell.mm(MM_LOCKED_VM), shell.mm(MM_ANONPAGES)) == (PAGES, resident)
    shell.touch(address, write=True)
    assert shell.mm(MM_LOCKED_VM) == PAGES
    assert shell.call("munlock", address, PAGES * PAGE) == 0
    assert (shell.mm(MM_LOCKED_VM), shell.mm(MM_ANONPAGES)) == (0, max(resident, 1))
    shell.verify()


def test_mlock_of_no_access_fails_but_stays_charged() -> None:
    """Quirk 3: mlock of PROT_NONE memory returns ENOMEM although the VMA is locked and counted."""
    shell = Shell(capabilities=["CAP_IPC_LOCK"])
    address = shell.call("mmap", 0, PAGES * PAGE, 0, 0x22, -1, 0)
    assert shell.call("mlock", address, PAGES * PAGE) == -12
    assert shell.mm(MM_LOCKED_VM) == PAGES


def test_a_hole_fails_with_what_is_before_it_locked() -> None:
    """A.7 step 7: VMAs before the hole stay locked, and are not faulted in."""
    shell = Shell(capabilities=["CAP_IPC_LOCK"])
    address = shell.call("mmap", 0, 8 * PAGE, 3, 0x22, -1, 0)
    shell.call("munmap", address + 4 * PAGE, PAGE)
    assert shell.call("mlock", address, 8 * PAGE) == -12
    assert (shell.mm(MM_LOCKED_VM), shell.mm(MM_ANONPAGES)) == (4, 0)


@pytest.mark.parametrize(("version", "residue"), [("4.4", 16), ("6.1", 0)])
def test_relocking_in_another_mode_counts_twice(version: str, residue: int) -> None:
    """Quirks 1 and 12, L.8: on-fault lock, then full lock of 16 pages: 4.4 counts 32; munlock takes off 16."""
    shell = Shell(version=version, capabilities=["CAP_IPC_LOCK"])
    address = shell.call("mmap", 0, 16 * PAGE, 3, 0x22, -1, 0)
    assert shell.call("mlock2", address, 16 * PAGE, 1) == 0
    assert shell.call("mlock2", address, 16 * PAGE, 1) == 0
    assert shell.mm(MM_LOCKED_VM) == 16
    assert shell.call("mlock", address, 16 * PAGE) == 0
    assert shell.mm(MM_LOCKED_VM) == 16 + residue
    assert shell.call("munlock", address, 16 * PAGE) == 0
    assert shell.mm(MM_LOCKED_VM) == residue
