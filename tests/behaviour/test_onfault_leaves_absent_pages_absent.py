"""MLOCK_ONFAULT locks what is present and what comes later, and brings nothing in (golden vectors L.1 to L.4)."""

from __future__ import annotations

import pytest
from shell import Shell

from vmsim.struct.pages import P_FLAGS, PG_MLOCKED, PG_UNEVICTABLE
from vmsim.struct.vmas import MM_ANONPAGES, MM_FILEPAGES, V_FLAGS, VM_LOCKED, VM_LOCKONFAULT

PAGE = 4096


def unevictable(shell: Shell) -> int:
    flags = shell.kernel.frame[:, P_FLAGS]
    both = flags & (PG_MLOCKED | PG_UNEVICTABLE)
    assert set(both.tolist()) <= {0, PG_MLOCKED | PG_UNEVICTABLE}
    return int((both != 0).sum())


def two_pages(shell: Shell) -> int:
    return shell.call("mmap", 0, 2 * PAGE, 3, 0x22, -1, 0)


def test_full_lock_brings_all_in() -> None:
    """L.1: mlock2(., 0): both present and unevictable; munlock: neither is."""
    shell = Shell()
    address = two_pages(shell)
    assert shell.call("mlock2", address, 2 * PAGE, 0) == 0
    assert (shell.mm(MM_ANONPAGES), unevictable(shell), shell.vmstat("nr_mlock"), shell.vmstat("nr_unevictable")) == (
        2,
        2,
        2,
        2,
    )
    assert shell.vmas()[0][V_FLAGS] & VM_LOCKED
    shell.verify()
    assert shell.call("munlock", address, 2 * PAGE) == 0
    assert (shell.mm(MM_ANONPAGES), unevictable(shell), shell.vmstat("nr_mlock"), shell.vmstat("nr_unevictable")) == (
        2,
        0,
        0,
        0,
    )
    assert not shell.vmas()[0][V_FLAGS] & VM_LOCKED
    shell.verify()


def test_absent_pages_stay_absent_and_are_locked_when_written() -> None:
    """L.2: none present after the call; a write to page 0 brings in that page alone, unevictable."""
    shell = Shell()
    address = two_pages(shell)
    assert shell.call("mlock2", address, 2 * PAGE, 1) == 0
    assert (shell.mm(MM_ANONPAGES), shell.vmstat("nr_mlock")) == (0, 0)
    shell.touch(address, write=True)
    assert (shell.mm(MM_ANONPAGES), unevictable(shell), shell.vmstat("nr_mlock")) == (1, 1, 1)
    shell.verify()


@pytest.mark.parametrize("version", ["4.4", "6.1"])
def test_present_pages_are_locked_by_the_call(version: str) -> None:
    """L.3: page 0 was touched before: the call makes it unevictable, and page 1 stays absent."""
    shell = Shell(version=version)
    address = two_pages(shell)
    shell.touch(address, write=True)
    assert (unevictable(shell), shell.vmstat("nr_anon_pages")) == (0, 1)
    assert shell.call("mlock2", address, 2 * PAGE, 1) == 0
    assert (shell.mm(MM_ANONPAGES), unevictable(shell), shell.vmstat("nr_active_anon")) == (1, 1, 0)


def test_mlockall_likewise() -> None:
    """L.4: mlockall(MCL_CURRENT|MCL_ONFAULT) is the same for all mappings; munlockall resets."""
    shell = Shell()
    address = two_pages(shell)
    shell.touch(address, write=True)
    assert shell.call("mlockall", 1 | 4) == 0
    assert (shell.mm(MM_ANONPAGES), unevictable(shell)) == (1, 1)
    assert shell.vmas()[0][V_FLAGS] & (VM_LOCKED | VM_LOCKONFAULT) == VM_LOCKED | VM_LOCKONFAULT
    assert shell.call("munlockall") == 0
    assert (unevictable(shell), shell.vmas()[0][V_FLAGS] & VM_LOCKED) == (0, 0)


def test_read_only_pages_of_a_writable_mapping_are_passed_over() -> None:
    """Quirk 5: a present but read-only entry of a private writable VMA (here a file page) is not mlocked by the
    call in 4.4.
    """
    for prot, mlocked in ((1, 1), (3, 0)):
        shell = Shell(files={"data": {"size": PAGE, "cached": "all"}})
        address = shell.call("mmap", 0, PAGE, prot, 2, shell.fd("data"), 0)
        shell.touch(address)
        assert shell.call("mlock2", address, PAGE, 1) == 0
        assert (shell.mm(MM_FILEPAGES), shell.vmstat("nr_mlock")) == (1, mlocked)


def test_file_pages_are_locked_lazily_in_4_4() -> None:
    """Quirk 4, recorded on a 4.4.1 and a 6.1.177 kernel: nr_mlock stays 0 on 4.4 and counts the faulted pages on
    6.1.
    """
    for version, mlocked in (("4.4", 0), ("6.1", 1)):
        shell = Shell(
            version=version,
            files={"data": {"size": 64 * PAGE, "cached": "all"}},
            fault_around_bytes=PAGE,
            capabilities=["CAP_IPC_LOCK"],
        )
        address = shell.call("mmap", 0, 64 * PAGE, 1, 2, shell.fd("data"), 0)
        assert shell.call("mlock2", address, 64 * PAGE, 1) == 0
        shell.touch(address)
        assert (shell.mm(MM_FILEPAGES), shell.vmstat("nr_mlock")) == (1, mlocked)
        shell.verify()
