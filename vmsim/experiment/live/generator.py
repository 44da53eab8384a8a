"""The generator of programs: seeded, with profiles that stress different calls; the ones of recorder version 1 give its sequences."""

from __future__ import annotations

from collections.abc import Callable

from vmsim.experiment.live.draw import Beliefs, Draw
from vmsim.experiment.live.mappings import gen_mmap, gen_mremap
from vmsim.experiment.live.program import ARENA_PAGES, FILE_PAGES, HARD_MEMLOCK, NOWHERE, PAGE, Op, Program
from vmsim.experiment.live.ranges import Maker, decorated, pick_prot, pick_range, small, split

KINDS = (
    "mmap", "munmap", "mprotect", "mremap", "madvise", "mincore", "msync", "mlock", "mlock2", "munlock", "mlockall", "munlockall",
    "setrlimit", "read", "write", "fork", "ftruncate",
)  # fmt: skip
# How often each of KINDS comes; the profiles of recorder version 1 know the first 16.
_WEIGHTS = {
    "basic": (18, 8, 12, 8, 10, 5, 3, 1, 1, 1, 0, 0, 0, 15, 17, 1),
    "mlock": (14, 5, 6, 5, 6, 2, 2, 10, 13, 9, 5, 2, 4, 7, 9, 1),
    "file": (20, 5, 8, 6, 10, 8, 6, 3, 3, 2, 0, 0, 0, 15, 12, 2),
    "fork": (16, 4, 8, 4, 10, 1, 1, 4, 4, 2, 2, 1, 0, 12, 15, 16),
    "limits": (20, 6, 5, 10, 2, 0, 0, 12, 10, 6, 7, 3, 10, 4, 5, 0),
    "all": (17, 6, 8, 7, 8, 3, 3, 5, 6, 4, 3, 2, 2, 11, 12, 3),
    "calls": (16, 5, 6, 5, 24, 4, 2, 3, 3, 2, 1, 1, 0, 10, 14, 4, 6),
}
PROFILES = tuple(_WEIGHTS)
_CHILD_KINDS = (
    "read", "read", "read", "write", "write", "write", "write", "madvise", "mprotect", "munmap", "mlock", "mlock2", "mmap", "mremap",
    "mincore",
)  # fmt: skip
_MOST_CHILD_OPS = 5
_ADVICE = (0, 1, 2, 3, 4, 4, 4, 8, 8, 10, 11, 7777, -1)  # the last two are no advice
# No MADV_PAGEOUT and MADV_COLLAPSE: what they do is up to swap and huge pages.
_MORE_ADVICE = (3, 4, 8, 9, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 22, 23, 23, 24, 26)
_MSYNC_FLAGS = (1, 2, 4, 6, 0, 3, 5, 8, 7)
_FILE_SIZES = (FILE_PAGES * PAGE, FILE_PAGES * PAGE, FILE_PAGES * PAGE - 2048, 40 * PAGE + 1, 23 * PAGE)
_LAYOUTS: tuple[Callable[[int], bool], ...] = (  # which pages of the file are cached
    lambda page: True,
    lambda page: page < FILE_PAGES // 2,
    lambda page: page // 4 % 2 == 0,
    lambda page: page % 7 != 3,
    lambda page: False,
)
_MASK = (1 << 64) - 1


def generate(seed: int, profile: str, count: int = 40) -> Program:
    """The program of a seed: `count` operations, those of children not counted."""
    draw = Draw(seed * 0xD1342543DE82EF95 + PROFILES.index(profile) * 0x5851F42D4C957F2D + 1)
    for _ in range(4):
        draw.next()
    drops = draw.chance(50) if profile in ("mlock", "limits") else draw.chance(25) if profile == "all" else False
    layout = _LAYOUTS[draw.below(len(_LAYOUTS))]
    size = _FILE_SIZES[draw.below(len(_FILE_SIZES))]
    soft = _soft_limit(draw, drops)
    width = 48 + 16 * draw.below(8)
    start = 0 if draw.chance(50) else 16 * draw.below((ARENA_PAGES - width) // 16)
    make = Maker(draw, Beliefs(), profile, start, width)
    ops = [_generate(make, "mmap" if i < 3 else KINDS[draw.weighted(_WEIGHTS[profile])], i) for i in range(count)]
    cached = sum(1 << page for page in range(FILE_PAGES) if layout(page) and page * PAGE < size)
    return Program(seed, profile, tuple(ops), drops, soft, size, cached)


def _soft_limit(draw: Draw, drops: bool) -> int:
    choice = draw.below(100)
    if not drops or choice < 40:
        return HARD_MEMLOCK
    if choice < 50:
        return 0
    if choice < 80:
        return (1 + draw.below(48)) * PAGE
    return 65536 if choice < 90 else 1 + draw.below(200000)


def _generate(make: Maker, kind: str, index: int) -> Op:
    if kind == "mmap":
        return gen_mmap(make)
    if kind == "mremap":
        return gen_mremap(make)
    if kind in ("read", "write"):
        return _touch(make, kind, index)
    if kind == "fork":
        return _fork(make, index)
    if kind == "mlockall":
        return {"op": kind, "flags": _mlockall_flags(make.draw)}
    if kind == "munlockall":
        return {"op": kind}
    if kind == "setrlimit":
        return _setrlimit(make)
    if kind == "ftruncate":
        return _ftruncate(make.draw)
    return _ranged(make, kind)


def _ranged(make: Maker, kind: str) -> Op:
    """A call for a range of addresses."""
    draw = make.draw
    first, count = pick_range(make)
    addr, length = decorated(draw, first, count, kind != "mincore")
    op: Op = {"op": kind, "addr": split(addr), "len": length}
    if kind == "munmap":
        if length == 1 << 40 and draw.chance(60):
            op["len"] = length = count * PAGE
        make.beliefs.unmap(addr, length)
    elif kind == "mprotect":
        op["prot"] = pick_prot(draw)
        if draw.chance(2):
            op["prot"] |= 0x10
        elif length <= ARENA_PAGES * PAGE and addr % PAGE == 0:
            make.beliefs.protect(first, count, op["prot"])
    elif kind == "madvise":
        advice = _MORE_ADVICE if make.profile == "calls" else _ADVICE
        op["advice"] = advice[draw.below(len(advice) if make.profile == "calls" or not draw.chance(90) else 11)]
    elif kind == "msync":
        op["flags"] = _MSYNC_FLAGS[draw.below(4 if draw.chance(70) else 9)]
    elif kind == "mlock2":
        choice = draw.below(100)
        op["flags"] = 1 if choice < 60 else 0 if choice < 94 else 2 if choice < 96 else 3 if choice < 98 else 1 << 31
    return op


def _mlockall_flags(draw: Draw) -> int:
    choice = draw.below(100)
    return 1 + draw.below(7) if choice < 90 else 0 if choice < 93 else 8 if choice < 96 else 9 if choice < 98 else 0xFFFFFFFF


def _setrlimit(make: Maker) -> Op:
    draw = make.draw
    if make.profile == "limits" and draw.chance(18):
        unlimited = draw.chance(25)
        cur = NOWHERE if unlimited else (2 + draw.below(300)) * PAGE + (draw.below(4096) if draw.chance(20) else 0)
        return {"op": "setrlimit", "res": "AS", "cur": cur, "max": NOWHERE}
    choice = draw.below(100)
    if choice < 10:
        cur = 0
    elif choice < 60:
        cur = (1 + draw.below(40)) * PAGE
    elif choice < 75:
        cur = (1 + draw.below(160)) * PAGE
    elif choice < 85:
        cur = 1 + draw.below(200000)
    else:
        cur = HARD_MEMLOCK if choice < 94 else HARD_MEMLOCK + PAGE
    return {"op": "setrlimit", "res": "MEMLOCK", "cur": cur, "max": HARD_MEMLOCK}


def _ftruncate(draw: Draw) -> Op:
    """Whole pages, since a page that is cut would need its bytes followed; sometimes what is no size, or a file that can't be changed."""
    fd = "rw" if draw.chance(90) else "ro" if draw.chance(60) else "bad"
    size = FILE_PAGES * PAGE if draw.chance(40) else draw.below(FILE_PAGES + 1) * PAGE
    return {"op": "ftruncate", "fd": fd, "size": 1 << 63 if draw.chance(4) else size}


def _touch(make: Maker, kind: str, index: int) -> Op:
    draw, beliefs = make.draw, make.beliefs
    need = 2 if kind == "write" else 7
    page = -1
    for _ in range(6):
        if page >= 0 and beliefs.prot[page] & need:
            break
        page = beliefs.pick(draw)
    if page < 0 or draw.chance(6):
        page = make.start + draw.below(make.width)
    if draw.chance(40) and beliefs.region[page]:
        page = beliefs.first_of(page)
    count = 1 if draw.chance(35) else small(draw, 48)
    stride = 1 if draw.chance(75) else 2 + draw.below(3)
    if page + (count - 1) * stride >= ARENA_PAGES:
        count = 1 + (ARENA_PAGES - 1 - page) // stride
    if draw.chance(75):  # stay inside what should work
        within = 1
        while within < count and beliefs.region[at := page + within * stride] and beliefs.prot[at] & need:
            within += 1
        count = within
    offset = 0 if draw.chance(70) else draw.below(4096)
    op: Op = {"op": kind, "addr": [page, offset], "n": count, "stride": stride}
    return op if kind == "read" else {**op, "val": 0x80 | (index & 0x7F)}


def _fork(make: Maker, index: int) -> Op:
    before = make.beliefs
    make.beliefs = before.copy()
    ops = [_generate(make, _CHILD_KINDS[make.draw.below(15)], index) for _ in range(make.draw.below(_MOST_CHILD_OPS + 1))]
    make.beliefs = before
    return {"op": "fork", "ops": ops}
