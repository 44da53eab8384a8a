"""What the calls answered on a 6.18.44 kernel (asked with ctypes as root), where recordings don't go, and what earlier versions say."""

from __future__ import annotations

import pytest
from call_rig import ANON, BASE, PRIVATE, RO_FD, RW_FD, SHARED, P, Process

ADVICE = {
    "FREE": 8, "REMOVE": 9, "MERGEABLE": 12, "UNMERGEABLE": 13, "HUGEPAGE": 14, "NOHUGEPAGE": 15, "DONTDUMP": 16, "DODUMP": 17,
    "WIPEONFORK": 18, "KEEPONFORK": 19, "COLD": 20, "PAGEOUT": 21, "POPULATE_READ": 22, "POPULATE_WRITE": 23, "DONTNEED_LOCKED": 24,
    "HWPOISON": 100, "SOFT_OFFLINE": 101,
}  # fmt: skip
# anonymous, locked, shared file, private file, shared file read-only, PROT_NONE, read-only, hole behind, hole before, length 0,
# unaligned, beyond the end of the file
WHERE = ("anon", "locked", "shared", "private", "shared_ro", "none", "readonly", "hole", "hole_first", "empty", "unaligned", "eof")
E, M, F, A = "EINVAL", "ENOMEM", "EFAULT", "EACCES"
SEEN = {
    "FREE": (0, E, E, E, E, 0, 0, M, M, 0, E, E),
    "REMOVE": (E, E, 0, A, 0, E, E, E, E, 0, E, 0),
    "MERGEABLE": (0, 0, 0, 0, 0, 0, 0, M, M, 0, E, 0),
    "UNMERGEABLE": (0, 0, 0, 0, 0, 0, 0, M, M, 0, E, 0),
    "HUGEPAGE": (0, 0, 0, 0, 0, 0, 0, M, M, 0, E, 0),
    "NOHUGEPAGE": (0, 0, 0, 0, 0, 0, 0, M, M, 0, E, 0),
    "DONTDUMP": (0, 0, 0, 0, 0, 0, 0, M, M, 0, E, 0),
    "DODUMP": (0, 0, 0, 0, 0, 0, 0, M, M, 0, E, 0),
    "WIPEONFORK": (0, 0, E, E, E, 0, 0, M, M, 0, E, E),
    "KEEPONFORK": (0, 0, 0, 0, 0, 0, 0, M, M, 0, E, 0),
    "COLD": (0, E, 0, 0, 0, 0, 0, M, M, 0, E, 0),
    "PAGEOUT": (0, E, 0, 0, 0, 0, 0, M, M, 0, E, 0),
    "POPULATE_READ": (0, 0, 0, 0, 0, E, 0, M, M, 0, E, F),
    "POPULATE_WRITE": (0, 0, 0, 0, E, E, E, M, M, 0, E, F),
    "DONTNEED_LOCKED": (0, 0, 0, 0, 0, 0, 0, M, M, 0, E, 0),
    "HWPOISON": (E, E, E, E, E, E, E, E, E, E, E, E),
    "SOFT_OFFLINE": (E, E, E, E, E, E, E, E, E, E, E, E),
}


def advise(process: Process, where: str, advice: int) -> int | str:
    """The advice for a page of a fresh mapping of that kind."""
    prot = {"none": 0, "readonly": 1, "shared_ro": 1}.get(where, 3)
    if where in ("shared", "shared_ro", "private", "eof"):
        process.map(pages=20, prot=prot, flags=PRIVATE if where == "private" else SHARED, fd=RW_FD)
        return process.at("madvise", 8 if where == "eof" else 0, 1, advice)
    process.map(prot=prot)
    if where == "locked":
        process.at("mlock", 0, 1)
    if where.startswith("hole"):
        process.at("munmap", 0 if where == "hole_first" else 1, 1)
        return process.at("madvise", 0, 3, advice)
    if where == "unaligned":
        return process.call("madvise", BASE + 1, 0, advice)
    return process.at("madvise", 0, 0 if where == "empty" else 1, advice)


@pytest.mark.parametrize("name", SEEN)
def test_advice_of_6_18(name: str) -> None:
    """Each piece of advice for each kind of mapping."""
    assert {where: advise(Process(), where, ADVICE[name]) for where in WHERE} == dict(zip(WHERE, SEEN[name], strict=True))


def test_advice_of_4_4() -> None:
    """Section A.9: unknown advice, shared mappings of huge pages, holes of a file that is mapped read-only, permission first."""
    process = Process("4.4")
    for name in ("FREE", "WIPEONFORK", "COLD", "PAGEOUT", "POPULATE_READ", "DONTNEED_LOCKED"):
        assert advise(process, "anon", ADVICE[name]) == "EINVAL"
    assert advise(process, "shared", ADVICE["HUGEPAGE"]) == "EINVAL"
    assert advise(process, "anon", ADVICE["HUGEPAGE"]) == 0
    assert process.at("madvise", 0, 1, ADVICE["HUGEPAGE"]) == 0
    assert advise(process, "shared_ro", ADVICE["REMOVE"]) == "EACCES"
    assert advise(process, "shared", ADVICE["REMOVE"]) == 0
    old = Process("4.3")
    advise(old, "anon", ADVICE["HUGEPAGE"])
    assert old.at("madvise", 0, 1, ADVICE["HUGEPAGE"]) == "EINVAL"


def test_flags_that_advice_leaves() -> None:
    """VmFlags as smaps shows them after each piece of advice that sets one."""
    for name, mnemonic in {"MERGEABLE": "mg", "HUGEPAGE": "hg", "NOHUGEPAGE": "nh", "DONTDUMP": "dd", "WIPEONFORK": "wf"}.items():
        process = Process()
        process.map()
        process.at("madvise", 2, 2, ADVICE[name])
        assert process.vma(2)[:2] == [2, 2]
        assert process.vma(2)[8].split() == sorted(["ac", mnemonic], key=["ac", "wf", "dd", "hg", "nh", "mg"].index)


def test_a_hole_is_zero_again() -> None:
    """MADV_REMOVE frees the object's pages, and whoever maps them faults again."""
    process = Process()
    process.map(flags=SHARED, fd=RW_FD)
    assert process.touch(0, 8) == 0
    assert (process.pages(), process.cached()) == ("8F504.", "8c56.")
    assert process.at("madvise", 2, 3, ADVICE["REMOVE"]) == 0
    assert (process.pages(), process.cached()) == ("2F3.3F504.", "2c3.3c56.")
    process.rig.end()


def test_a_hole_leaves_private_copies() -> None:
    """Truncation takes them away, a hole does not (unmap_mapping_range with and without even_cows)."""
    process = Process()
    process.map(0, 2, flags=SHARED, fd=RW_FD)
    process.map(2, 2, flags=PRIVATE, fd=RW_FD)
    process.touch(0, 4)
    assert process.at("madvise", 0, 2, ADVICE["REMOVE"]) == 0
    assert process.pages() == "2.2A508."
    assert process.call("ftruncate", RW_FD, 0) == 0
    assert process.pages() == "512."


def test_populating_stops_where_it_can_not_go_on() -> None:
    """MADV_POPULATE_WRITE up to a hole makes the pages before it present; POPULATE_READ maps the zero page."""
    process = Process()
    process.map(0, 4)
    assert process.at("madvise", 0, 8, ADVICE["POPULATE_WRITE"]) == "ENOMEM"
    assert process.pages() == "4A508."
    process.map(8, 4)
    assert process.at("madvise", 8, 2, ADVICE["POPULATE_READ"]) == 0
    assert process.pages() == "4A4.2Z502."


MAPS = {  # flags: answer for anonymous memory
    "growsdown": (0x122, "mapped"), "growsdown shared": (0x121, "EINVAL"), "stack": (0x20022, "mapped"), "noreserve": (0x4022, "mapped"),
    "shared_validate": (0x23, "EINVAL"), "huge": (0x40022, "ENOMEM"), "unknown flag": (0x1000022, "mapped"), "no type": (0x20, "EINVAL"),
    "type 4": (0x24, "EINVAL"), "huge 2 MiB": (0x40022 | 21 << 26, "ENOMEM"), "huge 1 GiB": (0x40022 | 30 << 26, "ENOMEM"),
    "huge 4 KiB": (0x40022 | 12 << 26, "EINVAL"), "huge 1 MiB": (0x40022 | 20 << 26, "EINVAL"),
}  # fmt: skip
FILE_MAPS = {
    "validate": (3, "mapped"), "validate and unknown": (0x1000003, "EOPNOTSUPP"), "validate and sync": (0x80003, "EOPNOTSUPP"),
    "shared and unknown": (0x1000001, "mapped"), "growsdown": (0x101, "EINVAL"), "growsdown private": (0x102, "EINVAL"),
    "huge": (0x40001, "EINVAL"), "type 4": (4, "EINVAL"), "no type": (0, "EINVAL"),
    "validate and 32 bits": (0x43, "mapped"), "validate and stack": (0x20003, "mapped"),
}  # fmt: skip


@pytest.mark.parametrize(("maps", "fd"), [(MAPS, -1), (FILE_MAPS, RW_FD)])
def test_mmap_flags(maps: dict[str, tuple[int, str]], fd: int) -> None:
    """Flags without MAP_FIXED, at an address that is free (0x100000000 here; the kernel was asked with 0 and with a free hint)."""
    process = Process()
    answers = {name: process.call("mmap", 1 << 32, 8 * P, 3, flags, fd, 0) for name, (flags, _) in maps.items()}
    told = {name: answer if isinstance(answer, str) else "mapped" for name, answer in answers.items()}
    assert told == {name: expected for name, (_, expected) in maps.items()}


def test_fixed_noreplace() -> None:
    """EEXIST over a mapping, EINVAL unaligned; 4.4 does not know the flag and takes the address as a hint."""
    process = Process()
    process.map()
    assert process.call("mmap", BASE + P, P, 3, 0x100022, -1, 0) == "EEXIST"
    assert process.call("mmap", BASE + P + 1, P, 3, 0x100022, -1, 0) == "EINVAL"
    assert process.call("mmap", BASE + P, P, 3, 0x100032, -1, 0) == "EEXIST"
    assert process.call("mmap", BASE + 8 * P, P, 3, 0x100022, -1, 0) == BASE + 8 * P
    assert process.call("mmap", BASE + 16 * P, P, 3, 0x100003, RW_FD, 0) == "EOPNOTSUPP"
    old = Process("4.4")
    old.map()
    placed = old.call("mmap", BASE + P, P, 3, 0x100022, -1, 0)
    assert isinstance(placed, int) and not BASE <= placed < BASE + 8 * P


def test_map_32bit() -> None:
    """Between 1 and 2 GiB from below; a hint below 2 GiB is taken, one above is not; 1 GiB does not fit beside something else."""
    process = Process()
    flags = PRIVATE | ANON | 0x40
    assert process.call("mmap", 0, P, 3, flags, -1, 0) == 0x40000000
    assert process.call("mmap", 0, P, 3, flags, -1, 0) == 0x40001000
    for hint, place in ((0x10000000, 0x10000000), (0x50000000, 0x50000000), (0x90000000, 0x40002000), (BASE, 0x40003000)):
        assert process.call("mmap", hint, P, 3, flags, -1, 0) == place
    assert process.call("mmap", 0, 0x40000000, 3, flags | 0x4000, -1, 0) == "ENOMEM"


def test_mmap_order_of_errors() -> None:
    """A bad size of huge pages, a huge page of a file and a bad descriptor come before length 0."""
    process = Process()
    assert process.call("mmap", 0, 0, 3, 0x40022 | 12 << 26, -1, 0) == "EINVAL"
    assert process.call("mmap", 0, 0, 3, SHARED, RW_FD, 0) == "EINVAL"
    assert process.call("mmap", 0, 0, 3, SHARED, -1, 0) == "EBADF"
    assert process.call("mmap", BASE + P, P, 3, 0x40032, -1, 0) == "EINVAL"  # not aligned to the huge page


def test_dontunmap() -> None:
    """The old mapping stays, empty and unlocked; only with MAYMOVE, without a change of length; locked_vm grows on 6.18."""
    process = Process()
    process.map()
    assert process.call("mremap", BASE, 2 * P, 2 * P, 4, BASE + 32 * P) == "EINVAL"
    assert process.call("mremap", BASE, 2 * P, 3 * P, 5, 0) == "EINVAL"
    assert process.call("mremap", BASE, 2 * P, 2 * P, 8, 0) == "EINVAL"
    process.touch(0, 1)
    process.at("mlock", 0, 4)
    assert process.locked == 4
    assert process.call("mremap", BASE, 2 * P, 2 * P, 7, BASE + 32 * P) == BASE + 32 * P
    assert process.locked == 6
    assert process.pages() == "2.2A28.2A478."
    assert "lo" not in process.vma(0)[8]
    assert process.vma(32)[8] == "lo ac"
    assert process.call("mremap", BASE + 4 * P, 2 * P, 2 * P, 5, BASE + 48 * P) == BASE + 48 * P
    old = Process("4.4")
    old.map()
    assert old.call("mremap", BASE, P, P, 5, BASE + 32 * P) == "EINVAL"


def test_ftruncate_shrinks() -> None:
    """Pages behind the new end go, private copies too; an access there is SIGBUS; what is grown again is a hole."""
    process = Process()
    process.map(0, 8, flags=SHARED, fd=RW_FD)
    process.map(8, 8, flags=PRIVATE, fd=RW_FD)
    process.touch(0, 16)
    assert process.pages() == "8F8A496."
    assert process.call("ftruncate", RW_FD, 2 * P + 1) == 0
    assert (process.pages(), process.cached()) == ("3F5.3A501.", "3c61.")
    assert process.touch(3) == process.touch(11) == 7
    assert process.touch(2) == 0
    assert process.call("ftruncate", RW_FD, 5 * P) == 0
    assert process.touch(4) == 0
    assert process.cached() == "3c1.1c59."
    process.rig.end()


def test_ftruncate_errors() -> None:
    """A negative length before a bad descriptor, then a descriptor that is not open for writing."""
    process = Process()
    assert [process.call("ftruncate", fd, length) for fd, length in ((RO_FD, P), (999 << 2, 1), (RW_FD, -1), (999 << 2, -1))] == [
        "EINVAL", "EBADF", "EINVAL", "EINVAL",
    ]  # fmt: skip


def test_fallocate() -> None:
    """Modes, lengths and descriptors; PUNCH_HOLE needs KEEP_SIZE and frees whole pages only."""
    process = Process()
    asked = ((0, 0, P), (1, 0, P), (2, 0, P), (3, 0, P), (3, 0, 0), (3, -1, P), (4, 0, P), (8, 0, P), (0x10, 0, P), (3, 1, 10))
    answers = [process.call("fallocate", RW_FD, *arguments) for arguments in asked]
    assert answers == [0, 0, "EOPNOTSUPP", 0, "EINVAL", "EINVAL", "EOPNOTSUPP", "EOPNOTSUPP", "EOPNOTSUPP", 0]
    assert process.call("fallocate", RO_FD, 3, 0, P) == process.call("fallocate", 999 << 2, 3, 0, P) == "EBADF"
    assert process.call("fallocate", RW_FD, 0, 0, 4 * P) == 0
    process.map(0, 4, flags=SHARED, fd=RW_FD)
    assert process.touch(0) == 0
    assert (process.pages(), process.cached()) == ("1F511.", "1c63.")  # what was never used is not mapped with it
    process.touch(0, 4)
    assert process.call("fallocate", RW_FD, 3, 100, 2 * P) == 0
    assert process.cached() == "1c1.2c60."


def test_memfd() -> None:
    """A new object without pages: SIGBUS until it has a size; its pages are free when descriptor and mapping are gone."""
    process = Process()
    assert [process.call("memfd_create", flags) for flags in (0x18, 0x20)] == ["EINVAL", "EINVAL"]
    fd = process.call("memfd_create", 3)
    assert isinstance(fd, int)
    assert process.map(0, 4, flags=SHARED, fd=fd) == 0
    assert process.touch(0) == 7
    assert process.call("ftruncate", fd, 2 * P) == 0
    assert process.touch(0, 4) == 7
    assert process.pages() == "2F510."
    assert process.call("close", fd) == 0
    assert process.call("close", fd) == process.call("mmap", 0, P, 3, SHARED, fd, 0) == "EBADF"
    assert process.touch(1) == 0
    assert process.at("munmap", 0, 4) == 0
    process.rig.end()


def test_prlimit() -> None:
    """Order of the errors: resource, process, soft above hard, permission."""
    process = Process(privileged=False)
    process.call("setrlimit", 9, -1, 1 << 61)
    asked = [(0, 16, 1, 1), (0, 16, 2, 1), (0, 9, 2, 1), (0, 9, 1 << 60, 1 << 61), (0, 9, -1, -1), (0, -1, 1, 1), (999, 9, 1, 1)]
    answers = [process.call("prlimit", *arguments) for arguments in asked]
    assert answers == ["EINVAL", "EINVAL", "EINVAL", 0, "EPERM", "EINVAL", "ESRCH"]
    assert [process.call("getrlimit", 9, hard) for hard in (0, 1)] == [1 << 60, 1 << 61]
    assert process.call("getrlimit", 16, 0) == "EINVAL"


def test_prctl() -> None:
    """PR_SET_THP_DISABLE and PR_GET_THP_DISABLE: unused arguments must be 0; until 4.13 new VMAs get a flag."""
    process = Process()
    asked = ((41, 0), (42,), (41, 1), (42,), (41, 1, 0, 0, 1), (41, 1, 1), (42, 1), (41, 0), (42,), (7777,))
    answers = [process.call("prctl", *(*arguments, 0, 0, 0, 0)[:5]) for arguments in asked]
    assert answers == [0, 0, 0, 1, "EINVAL", "EINVAL", "EINVAL", 0, 0, "EINVAL"]
    old = Process("4.4")
    old.call("prctl", 41, 1, 0, 0, 0)
    old.map(0, 1)
    old.call("prctl", 41, 0, 0, 0, 0)
    old.map(2, 1)
    assert (old.vma(0)[8], old.vma(2)[8]) == ("ac nh", "ac")


def test_getrusage() -> None:
    """Who must be SELF, CHILDREN or THREAD; faults and the largest resident size in KiB, which unmapping does not lower."""
    process = Process()
    assert [process.call("getrusage", who, 0) for who in (0, -1, 1, 2, -2)] == [0, 0, 0, "EINVAL", "EINVAL"]
    process.map()
    process.touch(0, 8)
    process.at("munmap", 0, 4)
    assert [process.call("getrusage", 0, field) for field in (0, 1, 4)] == [8, 0, 8 * P // 1024]


def test_exec_takes_the_locks() -> None:
    """A new address space: nothing mapped, nothing locked, MCL_FUTURE over, THP still disabled."""
    process = Process("4.4")
    process.call("prctl", 41, 1, 0, 0, 0)
    process.map()
    process.call("mlockall", 3)
    assert process.locked == 8
    assert process.call("exec") == 0
    assert (process.locked, process.pages()) == (0, "512.")
    process.map(0, 1)
    assert (process.locked, process.vma(0)[8]) == (0, "ac nh")
    process.rig.end()


def test_a_flag_needs_a_free_place() -> None:
    """A mapping below a stack keeps clear of its guard gap on 6.18, whether placed or asked for by a hint."""
    process = Process()
    top = process.call("mmap", 0, 4 * P, 3, 0x122, -1, 0)
    assert isinstance(top, int)
    assert process.call("mmap", 0, P, 3, PRIVATE | ANON, -1, 0) == top - 257 * P
