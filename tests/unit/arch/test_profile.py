"""Architectures: the geometry adds up, and the facts agree with the kernel's own numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from mmu_rig import small_profile

from vmsim.arch.profile import Profile, TlbLevel, geometry, get_profile, profile_names
from vmsim.errors import VmsimError
from vmsim.struct import kernel as kn

ALL = [(name, size) for name in profile_names() for size in get_profile(name).page_sizes]


def test_the_architectures() -> None:
    assert {"x86_64", "arm", "s390x"} <= set(profile_names())


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(VmsimError, match=r"no architecture 'x86-64'; did you mean 'x86_64'\?"):
        get_profile("x86-64")


@pytest.mark.parametrize(("name", "page_size"), ALL)
def test_geometry_adds_up(name: str, page_size: int) -> None:
    """Each level's shift is the sum of the index bits below it; TASK_SIZE fits; a table of leaf entries fits into a
    page.
    """
    tables = get_profile(name).page_tables[page_size]
    geo = geometry(get_profile(name), page_size)
    levels = int(geo[kn.G_LEVELS])
    bits = [int(b) for b in geo[kn.G_BITS : kn.G_BITS + levels]]
    shifts = [int(s) for s in geo[kn.G_SHIFT : kn.G_SHIFT + levels]]
    assert 1 << int(geo[kn.G_PAGE_SHIFT]) == page_size
    assert shifts == [sum(bits[i + 1 :]) for i in range(levels)]
    assert int(geo[kn.G_PAGE_SHIFT]) + sum(bits) == tables.va_bits
    assert 0 < int(geo[kn.G_TASK_PAGES]) * page_size == tables.task_size <= 1 << tables.va_bits
    assert tables.pte_bytes << bits[-1] <= page_size


@pytest.mark.parametrize(
    ("name", "page_size", "shifts", "task_size"),
    [
        ("x86_64", 4096, (39, 30, 21, 12), 0x7FFF_FFFF_F000),
        ("arm", 4096, (21, 12), 0xBF00_0000),
        ("s390x", 4096, (31, 20, 12), 1 << 42),
        ("aarch64", 65536, (29, 16), 1 << 42),
    ],
)
def test_shifts_are_the_kernels(name: str, page_size: int, shifts: tuple[int, ...], task_size: int) -> None:
    """PGDIR_SHIFT, PUD_SHIFT, PMD_SHIFT, PAGE_SHIFT and TASK_SIZE of v4.4."""
    geo = geometry(get_profile(name), page_size)
    levels = int(geo[kn.G_LEVELS])
    assert tuple(int(s) + int(geo[kn.G_PAGE_SHIFT]) for s in geo[kn.G_SHIFT : kn.G_SHIFT + levels]) == shifts
    assert int(geo[kn.G_TASK_PAGES]) * page_size == task_size


@pytest.mark.parametrize(("name", "number"), [("x86_64", 325), ("arm", 390), ("s390x", 374), ("aarch64", 284)])
def test_mlock2_number(name: str, number: int) -> None:
    assert get_profile(name).syscalls["mlock2"] == number


@pytest.mark.parametrize("name", profile_names())
def test_every_fact_has_its_source(name: str) -> None:
    facts = {
        "page_tables",
        "task_size",
        "l1",
        "l2",
        "walk_cache",
        "asid_bits",
        "hw_young",
        "hw_dirty",
        "flush_ceiling",
        "broadcast_flush",
        "syscalls",
    }
    assert facts <= set(get_profile(name).sources)


@dataclass
class Choice:
    """A machine's own TLBs."""

    l1: TlbLevel | None = None
    l2: TlbLevel | None = None
    walk_cache: TlbLevel | None = None


def test_machine_may_have_other_tlbs() -> None:
    geo = geometry(get_profile("x86_64"), 4096, Choice(l2=TlbLevel(1536, 12), walk_cache=TlbLevel(0, 1)))
    columns = [kn.G_L1_SETS, kn.G_L1_WAYS, kn.G_L2_SETS, kn.G_L2_WAYS, kn.G_PWC_SETS, kn.G_PWC_WAYS]
    assert [int(geo[column]) for column in columns] == [16, 4, 128, 12, 0, 0]


@pytest.mark.parametrize(
    ("profile", "choice", "message"),
    [
        (get_profile("x86_64"), Choice(l1=TlbLevel(48, 4)), "power of two"),
        (get_profile("x86_64"), Choice(l2=TlbLevel(100, 8)), "power of two"),
        (get_profile("x86_64"), Choice(l1=TlbLevel(0, 1)), "first level"),
        (get_profile("x86_64"), Choice(l2=TlbLevel(8192, 8)), "at most 8192"),
        (get_profile("x86_64"), Choice(walk_cache=TlbLevel(128, 4)), "at most 64"),
    ],
)
def test_impossible_tlbs(profile: Profile, choice: Choice, message: str) -> None:
    with pytest.raises(VmsimError, match=message):
        geometry(profile, 4096, choice)


def test_impossible_page_tables() -> None:
    with pytest.raises(VmsimError, match="pages of 4 KiB, got 64 KiB"):
        geometry(get_profile("x86_64"), 65536)
    good = small_profile((9, 9))
    for change in ({"va_bits": 31}, {"task_size": 1 << 40}, {"task_size": 4095}, {"index_bits": (18,)}):
        tables = replace(good.page_tables[4096], **change)
        with pytest.raises(VmsimError):
            geometry(replace(good, page_tables={4096: tables}), 4096)
