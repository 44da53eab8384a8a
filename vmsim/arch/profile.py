"""Architectures: what the hardware's MMU is like and where Linux's interface differs, as facts with their sources.

Each architecture is one file of this room with one `Profile` in it; `register` makes it known by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vmsim.errors import VmsimError, unknown_name
from vmsim.struct import kernel as kn
from vmsim.units import format_bytes

NO_CEILING = 1 << 40  # pages are flushed one by one however many they are
MAX_LEVELS = 6
MAX_VPN_BITS = 44  # that hw/tlb.py keeps of an address
MAX_UPPER_BITS = 38  # of a vpn that all levels but the last index, as hw/tlb.py keeps them
MAX_WALK_CACHE = kn.PWC_COLUMNS // 8


@dataclass(frozen=True)
class PageTables:
    """The page tables that go with one page size:

    index bits of each level, top level first, and the user's part of the addresses.
    """

    index_bits: tuple[int, ...]
    va_bits: int
    task_size: int  # bytes
    pte_bytes: int = 8


@dataclass(frozen=True)
class TlbLevel:
    """One TLB, or one level's walk cache; as many ways as entries: fully associative; 0 entries: there is none."""

    entries: int
    ways: int


@dataclass(frozen=True)
class Profile:
    """An architecture as Linux 4.4 runs on it.  `sources` says for each fact where it is from."""

    name: str
    title: str
    page_tables: Mapping[int, PageTables]  # by page size in bytes
    l1: TlbLevel
    l2: TlbLevel
    walk_cache: TlbLevel  # of each upper level
    asid_bits: int  # 0: Linux 4.4 uses no address-space identifiers
    hw_young: bool  # the MMU sets the accessed bit
    hw_dirty: bool
    flush_ceiling: int  # pages
    broadcast_flush: bool
    syscalls: Mapping[str, int]  # numbers of the system calls that this simulator knows
    sources: Mapping[str, str]
    software_refill: bool = False
    # values that differ from the generic ones (include/uapi/asm-generic)
    flags: Mapping[str, int] = field(default_factory=dict)
    errnos: Mapping[str, int] = field(default_factory=dict)
    signals: Mapping[str, int] = field(default_factory=dict)
    rlimit_memlock: int = 8  # RLIMIT_MEMLOCK as setrlimit(2) takes it
    map_32bit: bool = False  # mmap knows MAP_32BIT

    @property
    def page_sizes(self) -> tuple[int, ...]:
        """Page sizes that a kernel can be built for, bytes."""
        return tuple(self.page_tables)


class TlbChoice(Protocol):
    """A machine's own TLBs: what is None is the profile's."""

    @property
    def l1(self) -> TlbLevelLike | None:
        """First level."""

    @property
    def l2(self) -> TlbLevelLike | None:
        """Second level."""

    @property
    def walk_cache(self) -> TlbLevelLike | None:
        """Walk cache of each upper level."""


class TlbLevelLike(Protocol):
    """Entries and ways, as TlbLevel."""

    @property
    def entries(self) -> int:
        """Number of entries."""

    @property
    def ways(self) -> int:
        """Associativity."""


_PROFILES: dict[str, Profile] = {}


def register(profile: Profile) -> Profile:
    """Make a profile known by its name; its facts are checked by `geometry`."""
    _PROFILES[profile.name] = profile
    return profile


def profile_names() -> tuple[str, ...]:
    """The names of all architectures, sorted."""
    import vmsim.arch as room

    for module in iter_modules(room.__path__, "vmsim.arch."):
        import_module(module.name)
    return tuple(sorted(_PROFILES))


def get_profile(name: str) -> Profile:
    """The profile of an architecture. Raises VmsimError with the nearest name for one that isn't known."""
    names = profile_names()
    if name not in _PROFILES:
        raise VmsimError(unknown_name("architecture", name, names))
    return _PROFILES[name]


def geometry(profile: Profile, page_size: int, tlb: TlbChoice | None = None) -> NDArray[np.int64]:
    """The table `geo` (shape (NR_GEOMETRY,)) of a profile with one of its page sizes, and a machine's own TLBs.

    Raises VmsimError for a page size that the architecture doesn't have, and for TLBs that can't be.
    """
    if page_size not in profile.page_tables:
        sizes = ", ".join(format_bytes(size) for size in profile.page_sizes)
        raise VmsimError(f"{profile.name} has pages of {sizes}, got {format_bytes(page_size)}")
    tables = profile.page_tables[page_size]
    geo = np.zeros(kn.NR_GEOMETRY, np.int64)
    _fill_page_tables(geo, profile.name, page_size, tables)
    levels = {"l1": profile.l1, "l2": profile.l2, "walk_cache": profile.walk_cache}
    columns = {"l1": kn.G_L1_SETS, "l2": kn.G_L2_SETS, "walk_cache": kn.G_PWC_SETS}
    for name, default in levels.items():
        chosen: TlbLevelLike = (getattr(tlb, name) if tlb is not None else None) or default
        geo[columns[name] : columns[name] + 2] = _sets_and_ways(name, chosen)
    entries = int(geo[kn.G_L1_SETS] * geo[kn.G_L1_WAYS] + geo[kn.G_L2_SETS] * geo[kn.G_L2_WAYS])
    if geo[kn.G_L1_SETS] == 0 or entries > kn.TLB_COLUMNS:
        raise VmsimError(f"a CPU's TLBs have a first level and at most {kn.TLB_COLUMNS} entries in both, got {entries}")
    geo[kn.G_ASIDS] = 1 << profile.asid_bits if profile.asid_bits else 0
    geo[kn.G_HW_YOUNG] = profile.hw_young
    geo[kn.G_HW_DIRTY] = profile.hw_dirty
    geo[kn.G_SOFTWARE_REFILL] = profile.software_refill
    geo[kn.G_FLUSH_CEILING] = profile.flush_ceiling
    geo[kn.G_BROADCAST_FLUSH] = profile.broadcast_flush
    geo[kn.G_MAP_32BIT] = profile.map_32bit
    return geo


def _fill_page_tables(geo: NDArray[np.int64], name: str, page_size: int, tables: PageTables) -> None:
    shift = page_size.bit_length() - 1
    levels = len(tables.index_bits)
    covered = shift + sum(tables.index_bits)
    if 1 << shift != page_size or not 2 <= levels <= MAX_LEVELS or covered != tables.va_bits:
        raise VmsimError(
            f"{name}: {levels} levels of {tables.index_bits} bits and pages of {page_size} bytes cover {covered} bits, "
            f"not {tables.va_bits}"
        )
    if sum(tables.index_bits[:-1]) > MAX_UPPER_BITS or covered - shift > MAX_VPN_BITS:
        raise VmsimError(f"{name}: {tables.index_bits} index more bits than a TLB entry holds")
    if max(tables.index_bits) > kn.MAX_INDEX_BITS:
        raise VmsimError(f"{name}: {tables.index_bits} index more bits in one table than {kn.MAX_INDEX_BITS}")
    if tables.task_size > 1 << covered or tables.task_size % page_size:
        raise VmsimError(f"{name}: TASK_SIZE {tables.task_size:#x} is beyond {covered} bits or not whole pages")
    geo[kn.G_PAGE_SHIFT] = shift
    geo[kn.G_LEVELS] = levels
    geo[kn.G_BITS : kn.G_BITS + levels] = tables.index_bits
    geo[kn.G_SHIFT : kn.G_SHIFT + levels] = [sum(tables.index_bits[level + 1 :]) for level in range(levels)]
    geo[kn.G_TASK_PAGES] = tables.task_size >> shift
    geo[kn.G_PTE_BYTES] = tables.pte_bytes


def _sets_and_ways(name: str, level: TlbLevelLike) -> tuple[int, int]:
    if level.entries == 0:
        return 0, 0
    sets, rest = divmod(level.entries, level.ways) if level.ways > 0 else (0, 1)
    if rest or sets & (sets - 1) or sets < 1:
        raise VmsimError(
            f"{name}: expected entries = ways times a power of two, got {level.entries} entries of {level.ways} ways"
        )
    if name == "walk_cache" and level.entries > MAX_WALK_CACHE:
        raise VmsimError(f"walk_cache: expected at most {MAX_WALK_CACHE} entries for each level, got {level.entries}")
    return sets, level.ways
