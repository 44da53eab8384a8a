"""Flags of the memory system calls as programs give them: names, values, and reading them from text.

Values: x86-64, which are the generic ones that ARM and s390x share (include/uapi/asm-generic/mman-common.h and mman.h
of v4.4; the names that later kernels added keep the value they were added with).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmsim.errors import unknown_name

PROT_NONE = 0
PROT_READ = 1
PROT_WRITE = 2
PROT_EXEC = 4
PROT_SEM = 8
PROT_GROWSDOWN = 0x0100_0000
PROT_GROWSUP = 0x0200_0000

MAP_SHARED = 1
MAP_PRIVATE = 2
MAP_SHARED_VALIDATE = 3  # from 4.15
MAP_TYPE = 0xF  # mask of the three above
MAP_FIXED = 0x10
MAP_ANONYMOUS = 0x20
MAP_32BIT = 0x40  # x86 only
MAP_GROWSDOWN = 0x100
MAP_DENYWRITE = 0x800
MAP_EXECUTABLE = 0x1000
MAP_LOCKED = 0x2000
MAP_NORESERVE = 0x4000
MAP_POPULATE = 0x8000
MAP_NONBLOCK = 0x1_0000
MAP_STACK = 0x2_0000
MAP_HUGETLB = 0x4_0000
MAP_SYNC = 0x8_0000  # from 4.15
MAP_FIXED_NOREPLACE = 0x10_0000  # from 4.17

MLOCK_ONFAULT = 1

MCL_CURRENT = 1
MCL_FUTURE = 2
MCL_ONFAULT = 4

MADV_NORMAL = 0
MADV_RANDOM = 1
MADV_SEQUENTIAL = 2
MADV_WILLNEED = 3
MADV_DONTNEED = 4
MADV_FREE = 8  # from 4.5
MADV_REMOVE = 9
MADV_DONTFORK = 10
MADV_DOFORK = 11
MADV_MERGEABLE = 12
MADV_UNMERGEABLE = 13
MADV_HUGEPAGE = 14
MADV_NOHUGEPAGE = 15
MADV_DONTDUMP = 16
MADV_DODUMP = 17
MADV_WIPEONFORK = 18  # from 4.14
MADV_KEEPONFORK = 19
MADV_COLD = 20  # from 5.4
MADV_PAGEOUT = 21
MADV_POPULATE_READ = 22  # from 5.14
MADV_POPULATE_WRITE = 23
MADV_DONTNEED_LOCKED = 24  # from 5.18
MADV_COLLAPSE = 25  # from 6.1
MADV_HWPOISON = 100
MADV_SOFT_OFFLINE = 101

FADV_NORMAL = 0  # include/uapi/linux/fadvise.h
FADV_RANDOM = 1
FADV_SEQUENTIAL = 2
FADV_WILLNEED = 3
FADV_DONTNEED = 4
FADV_NOREUSE = 5

FALLOC_FL_KEEP_SIZE = 1  # include/uapi/linux/falloc.h
FALLOC_FL_PUNCH_HOLE = 2

MFD_CLOEXEC = 1  # include/uapi/linux/memfd.h
MFD_ALLOW_SEALING = 2
MFD_NOEXEC_SEAL = 8  # from 6.3
MFD_EXEC = 0x10

SEEK_SET = 0
SEEK_CUR = 1
SEEK_END = 2

SYNC_FILE_RANGE_WAIT_BEFORE = 1  # include/uapi/linux/fs.h
SYNC_FILE_RANGE_WRITE = 2
SYNC_FILE_RANGE_WAIT_AFTER = 4

SWAP_FLAG_DISCARD = 0x10000  # include/linux/swap.h
SWAP_FLAG_DISCARD_ONCE = 0x20000
SWAP_FLAG_DISCARD_PAGES = 0x40000

MS_ASYNC = 1
MS_INVALIDATE = 2
MS_SYNC = 4

MREMAP_MAYMOVE = 1
MREMAP_FIXED = 2
MREMAP_DONTUNMAP = 4  # from 5.7

_MASKS = frozenset({"MAP_TYPE"})


@dataclass(frozen=True)
class FlagTable:
    """The flags of one argument: names with their common prefix, and their values.

    `combine` is false where exactly one value is given (the advice of madvise).
    """

    prefix: str
    values: Mapping[str, int]
    combine: bool = True

    def value(self, name: object) -> int:
        """The value of one name, with or without the prefix, in any case. Raises ValueError, naming the nearest."""
        if isinstance(name, int) and not isinstance(name, bool):
            return self._raw(name)
        if not isinstance(name, str):
            raise ValueError(f"expected a {self.prefix} flag by name, got {shown(name)}")
        word = name.strip().upper()
        if word.startswith(self.prefix):
            full = word
        else:
            full = word if "_" in word and word.split("_")[0] + "_" in _PREFIXES else self.prefix + word
        if full not in self.values:
            raise ValueError(unknown_name(f"{self.prefix} flag", full, self.values))
        return self.values[full]

    def _raw(self, value: int) -> int:
        if not 0 <= value < 1 << 32:
            raise ValueError(f"a {self.prefix} flag is a 32-bit number, got {shown(value)}")
        return value

    def parse(self, given: object) -> int:
        """The flags in a list of names, in one name, in `A|B`, or as a number. Raises ValueError."""
        if given is None:
            return 0
        if isinstance(given, str):
            given = given.split("|")
        if not isinstance(given, (list, tuple)):
            return self.value(given)
        if not self.combine and len(given) != 1:
            raise ValueError(f"expected exactly one {self.prefix} name, got {len(given)}")
        mask = 0
        for name in given:
            mask |= self.value(name)
        return mask

    def names(self, mask: int) -> tuple[str, ...] | int:
        """The names that make up the flags, or the number itself where they don't. `parse(names(mask)) == mask`."""
        if not self.combine or mask == 0:
            return next(((name,) for name, value in self.values.items() if value == mask), mask)
        found = []
        left = mask
        for name, value in sorted(self.values.items(), key=lambda item: -item[1].bit_count()):
            if value and left & value == value:
                found.append(name)
                left &= ~value
        return mask if left else tuple(sorted(found, key=self.values.__getitem__))


_PREFIXES = (
    "PROT_", "MAP_", "MLOCK_", "MCL_", "MADV_", "MS_", "MREMAP_", "FADV_", "SEEK_", "SYNC_FILE_RANGE_", "FALLOC_FL_", "MFD_",
    "SWAP_FLAG_",
)  # fmt: skip


def _table(prefix: str, *, combine: bool = True) -> FlagTable:
    names = {
        name: value
        for name, value in globals().items()
        if name.startswith(prefix) and isinstance(value, int) and name not in _MASKS
    }
    return FlagTable(prefix, names, combine)


def shown(value: object) -> str:
    """A value as an error message quotes it: short, whatever was given."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 80 else text[:76] + "...'"


PROT = _table("PROT_")
MAP = _table("MAP_")
MLOCK = _table("MLOCK_")
MCL = _table("MCL_")
MADV = _table("MADV_", combine=False)
MS = _table("MS_")
MREMAP = _table("MREMAP_")
FADV = _table("FADV_", combine=False)
SEEK = _table("SEEK_", combine=False)
SYNC_FILE_RANGE = _table("SYNC_FILE_RANGE_")
FALLOC = _table("FALLOC_FL_")
MFD = _table("MFD_")
SWAP_FLAG = _table("SWAP_FLAG_")
