"""VMAs: splitting and merging by mmap, munmap, mprotect and mlock, against a naive list; and the limit on their
number.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shell import Shell
from vma_twin import Twin

from vmsim.struct.kernel import SYS_MAX_MAP_COUNT
from vmsim.struct.vmas import MM_LOCKED_VM, MM_MAP_COUNT, MM_TOTAL_VM, VM_OPEN_SHIFT

BASE = 0x10000  # a page far from everything else
PAGES = 24
PAGE = 4096
ANON, PRIVATE, SHARED = (0x32, 0), (0x12, 1), (0x11, 1)  # MAP_FIXED and kind, whether of a file
ENOMEM = 12
KERNEL_FLAGS = (1 << VM_OPEN_SHIFT) - 1  # above them: which opening of the file, here always the same

_where = st.tuples(st.integers(0, PAGES - 1), st.integers(1, 8)).map(lambda at: (at[0], min(at[1], PAGES - at[0])))
_prot = st.sampled_from([0, 1, 3])
_operations = st.one_of(
    st.tuples(st.just("mmap"), _where, _prot, st.sampled_from([ANON, ANON, PRIVATE, SHARED])),
    st.tuples(st.just("munmap"), _where),
    st.tuples(st.just("mprotect"), _where, _prot),
    st.tuples(st.just("mlock"), _where),
    st.tuples(st.just("mlock2"), _where),
    st.tuples(st.just("munlock"), _where),
    st.tuples(st.just("write"), _where),
)


def make_shell() -> Shell:
    return Shell(files={"data": {"size": PAGES * PAGE, "cached": "all"}}, capabilities=["CAP_IPC_LOCK"], ram="16 MiB")


def both(shell: Shell, twin: Twin, operation: tuple[Any, ...]) -> tuple[int, int]:
    """Do an operation in the machine and in the twin; the results of both."""
    name, (at, pages), *rest = operation
    page = BASE + at
    address, length = page * PAGE, pages * PAGE
    if name == "mmap":
        prot, (flags, is_file) = rest
        fd, file = (shell.fd("data"), shell.built.file_ids["data"]) if is_file else (-1, 0)
        result = shell.call("mmap", address, length, prot, flags, fd, at * PAGE if is_file else 0)
        return min(result, 0), twin.mmap(page, pages, prot, flags & 3 == 1, file, at)
    if name == "write":
        area = twin.at(page)
        if area is None or not area.flags & 2:
            return 0, 0
        twin.write(page)
        return shell.touch(address, write=True), 0
    if name == "mprotect":
        return shell.call(name, address, length, rest[0]), twin.mprotect(page, pages, rest[0])
    if name == "mlock2":
        return shell.call(name, address, length, 1), twin.mlock(page, pages, onfault=True)
    return shell.call(name, address, length), getattr(twin, name)(page, pages)


def compare(shell: Shell, twin: Twin) -> None:
    """The same VMAs, with the same pages sharing an anon_vma; the same totals."""
    names: dict[int, int] = {}
    anons: dict[int, int] = {}
    here = [
        [start, end, flags & KERNEL_FLAGS, file, pgoff, names.setdefault(anon, len(names)) if anon else -1]
        for start, end, flags, file, pgoff, anon in shell.vmas()
    ]
    there = [
        [a.start, a.end, a.flags, a.file, a.pgoff, -1 if a.anon is None else anons.setdefault(id(a.anon), len(anons))]
        for a in twin.areas
    ]
    assert here == there
    assert shell.mm(MM_MAP_COUNT) == len(twin.areas)
    assert shell.mm(MM_TOTAL_VM) == twin.total_vm
    assert shell.mm(MM_LOCKED_VM) == twin.locked_vm


@settings(max_examples=60, deadline=None)
@given(limit=st.sampled_from([65530, 65530, 5]), operations=st.lists(_operations, min_size=5, max_size=25))
def test_against_the_naive_list(limit: int, operations: list[tuple[Any, ...]]) -> None:
    """After every call the machine's VMAs are those of a list that follows the notes' rules, also at a low
    max_map_count.
    """
    shell, twin = make_shell(), Twin(limit)
    shell.kernel.sysctl[SYS_MAX_MAP_COUNT] = limit
    for operation in operations:
        here, there = both(shell, twin, operation)
        assert here == there, operation
        compare(shell, twin)
        shell.verify()


def test_golden_three_pages_split_and_merge() -> None:
    """L.5, the selftest test_vma_management: lock three pages, unlock the middle one: 3 VMAs; unlock all: 1 again."""
    shell = make_shell()
    address = BASE * PAGE
    shell.call("mmap", address, 3 * PAGE, 3, ANON[0], -1, 0)
    assert shell.call("mlock2", address, 3 * PAGE, 1) == 0
    assert len(shell.vmas()) == 1
    assert shell.call("munlock", address + PAGE, PAGE) == 0
    assert [row[:2] for row in shell.vmas()] == [[BASE + i, BASE + i + 1] for i in range(3)]
    assert shell.call("munlock", address, 3 * PAGE) == 0
    assert [row[:2] for row in shell.vmas()] == [[BASE, BASE + 3]]


@pytest.mark.parametrize("limit", [6, 7])
def test_mmap_reaches_one_more_than_the_limit(limit: int) -> None:
    """Quirk 7: mmap tests map_count > max, so it can make max + 1 VMAs, which don't merge as pages lie between them."""
    shell = make_shell()
    shell.kernel.sysctl[SYS_MAX_MAP_COUNT] = limit
    results = [min(0, shell.call("mmap", (BASE + 2 * i) * PAGE, PAGE, 3, ANON[0], -1, 0)) for i in range(limit + 2)]
    assert results == [0] * (limit + 1) + [-ENOMEM]
    assert shell.mm(MM_MAP_COUNT) == limit + 1


@pytest.mark.parametrize("call", ["mprotect", "mlock", "munmap"])
def test_a_split_needs_less_than_the_limit(call: str) -> None:
    """Quirk 7: at exactly max_map_count VMAs nothing is split any more; one below that, one split is possible."""
    shell = make_shell()
    address = BASE * PAGE
    shell.call("mmap", address, 8 * PAGE, 3, ANON[0], -1, 0)
    shell.call("mmap", address + 16 * PAGE, PAGE, 1, ANON[0], -1, 0)
    arguments = (PAGE, 1) if call == "mprotect" else (PAGE,)
    shell.kernel.sysctl[SYS_MAX_MAP_COUNT] = 2
    assert shell.call(call, address + 4 * PAGE, *arguments) == -ENOMEM
    assert shell.mm(MM_MAP_COUNT) == 2
    shell.kernel.sysctl[SYS_MAX_MAP_COUNT] = 3
    expected = 0 if call == "munmap" else -ENOMEM  # munmap's own splits ignore the limit; the others need a second one
    assert shell.call(call, address + 4 * PAGE, *arguments) == expected
    assert shell.mm(MM_MAP_COUNT) == 3


def test_munmap_at_an_end_ignores_the_limit() -> None:
    """A.3: only a hole punched inside a VMA is refused at max_map_count."""
    shell = make_shell()
    address = BASE * PAGE
    shell.call("mmap", address, 8 * PAGE, 3, ANON[0], -1, 0)
    shell.kernel.sysctl[SYS_MAX_MAP_COUNT] = 1
    assert shell.call("munmap", address + 2 * PAGE, 2 * PAGE) == -ENOMEM
    assert shell.call("munmap", address, 2 * PAGE) == 0
    assert shell.call("munmap", address + 6 * PAGE, 2 * PAGE) == 0
    assert [row[:2] for row in shell.vmas()] == [[BASE + 2, BASE + 6]]


def test_a_faulted_piece_does_not_join_an_unfaulted_neighbour() -> None:
    """Quirk 8: which of two neighbours was written to decides whether they become one."""
    for written, vmas in ((0, 1), (1, 2)):
        shell = make_shell()
        address = BASE * PAGE
        shell.call("mmap", address, 2 * PAGE, 3, ANON[0], -1, 0)
        shell.call("mlock2", address, PAGE, 1)
        shell.touch(address + written * PAGE, write=True)
        shell.call("mlock2", address + PAGE, PAGE, 1)
        assert len(shell.vmas()) == vmas
