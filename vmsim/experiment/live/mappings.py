"""Calls of mmap and mremap: beside, over and between what is there, of a file or not, and wrong ones."""

from __future__ import annotations

from vmsim.experiment.live.draw import Beliefs, Draw
from vmsim.experiment.live.program import ARENA, ARENA_PAGES, FILE_PAGES, PAGE, Op
from vmsim.experiment.live.ranges import Maker, overflowing, pick_prot, small, split

MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS = 1, 2, 0x10, 0x20
MAP_GROWSDOWN, MAP_LOCKED, MAP_NORESERVE, MAP_POPULATE = 0x100, 0x2000, 0x4000, 0x8000
MREMAP_MAYMOVE, MREMAP_FIXED = 1, 2
_BEYOND_ANY_FILE = 0xFFFFFFFFFFFFF000
_WORD = 1 << 64


def gen_mmap(make: Maker) -> Op:
    """An mmap; what it maps is believed to be there, unless it can't work."""
    draw = make.draw
    page, count, continues = _place(make)
    is_file = draw.chance({"file": 82, "basic": 35, "all": 35}.get(make.profile, 25))
    shared = draw.chance(50 if is_file else 22)
    op: Op = {"op": "mmap", "addr": [page, 0], "len": count * PAGE, "prot": pick_prot(draw)}
    op["flags"] = MAP_FIXED | (MAP_SHARED if shared else MAP_PRIVATE) | (0 if is_file else MAP_ANONYMOUS)
    op["fd"], op["off"] = _file(draw, continues) if is_file else ("none", 0)
    op["flags"] |= _more_flags(draw, make.profile, shared or is_file)
    if draw.chance(1):
        op["flags"] &= ~(MAP_SHARED | MAP_PRIVATE)
    choice = draw.below(100)
    if choice < 6:
        op["len"] -= 1 + draw.below(4095)
    elif choice < 7:
        op["addr"][1] = 1 + draw.below(4095)
    elif choice < 8:
        op["len"] = 0
    elif choice < 9:
        op["len"] = overflowing(draw, ARENA + page * PAGE)
    if _may_work(op):
        beliefs = make.beliefs
        beliefs.regions += 1
        for i in range(count):
            beliefs.set(page + i, beliefs.regions, op["off"] // PAGE + i + 1 if is_file else 0)
            beliefs.prot[page + i] = op["prot"]
    return op


def _place(make: Maker) -> tuple[int, int, int]:
    """First page and number of pages of a mapping, and the page of the file that would continue its neighbour (-1: none)."""
    draw, beliefs = make.draw, make.beliefs
    page = beliefs.pick(draw)
    count = small(draw, 64)
    mode = draw.below(100)
    continues = -1
    if page < 0 or mode >= 62:
        page = make.start + draw.below(make.width)
    elif mode < 35:  # right after a region
        page = beliefs.end_of(page)
        continues = beliefs.file[page - 1] or -1
    elif mode < 47:  # right before one
        page = beliefs.first_of(page)
        if beliefs.file[page] > count:
            continues = beliefs.file[page] - 1 - count
        page = max(0, page - count)
    page = min(page, ARENA_PAGES - 1)
    return page, min(count, ARENA_PAGES - page), continues


def _file(draw: Draw, continues: int) -> tuple[str, int]:
    """Descriptor and offset."""
    fd = "rw" if draw.chance(88) else "ro" if draw.chance(90) else "bad"
    if continues >= 0 and draw.chance(75):
        offset = continues * PAGE
    else:
        offset = 0 if draw.chance(50) else draw.below(FILE_PAGES + 4) * PAGE
    if draw.chance(2):
        offset += 1 + draw.below(4095)
    elif draw.chance(1):
        offset = _BEYOND_ANY_FILE
    return fd, offset


def _more_flags(draw: Draw, profile: str, has_object: bool) -> int:
    flags = MAP_LOCKED if draw.chance({"limits": 26, "mlock": 14}.get(profile, 4)) else 0
    if draw.chance(10):
        flags |= MAP_POPULATE
    if draw.chance(7):
        flags |= MAP_NORESERVE
    if profile == "all" and not has_object and draw.chance(5):
        flags |= MAP_GROWSDOWN
    return flags


def _may_work(op: Op) -> bool:
    aligned = op["addr"][1] == 0 and op["off"] % PAGE == 0
    return bool(aligned and 0 < op["len"] <= ARENA_PAGES * PAGE and op["fd"] != "bad" and op["off"] <= 1 << 40)


def gen_mremap(make: Maker) -> Op:
    """An mremap that grows, shrinks or moves, or a wrong one; it is believed to work unless it is wrong."""
    draw = make.draw
    page = make.beliefs.pick(draw)
    choice = draw.below(100)
    first, count = _old_range(make, page)
    op: Op = {"op": "mremap", "addr": [first, 0], "len": count * PAGE, "new": 0, "flags": 0}
    if choice >= 92:
        return _wrong_mremap(make, op)
    if choice < 35:  # grow in place
        op["new"] = min(count + small(draw, 24), ARENA_PAGES - first) * PAGE
    elif choice < 50:  # shrink in place
        op["new"] = (1 + draw.below(count)) * PAGE
        op["flags"] = MREMAP_MAYMOVE if draw.chance(50) else 0
    else:  # move to a given place
        op["flags"] = MREMAP_MAYMOVE | MREMAP_FIXED
        pages = count if draw.chance(65) else count + small(draw, 8) if draw.chance(50) else 1 + draw.below(count)
        target = make.start + draw.below(make.width)
        op["new"] = min(pages, ARENA_PAGES - target) * PAGE
        op["naddr"] = [target, 0]
        if draw.chance(5):
            op["len"] = 0  # a second mapping of the same pages, if they are shared
    if draw.chance(5):
        op["new"] -= draw.below(4096)
    if draw.chance(3) and op["len"]:
        op["len"] -= draw.below(4096)
    _believe_mremap(make.beliefs, op, first, count)
    return op


def _old_range(make: Maker, page: int) -> tuple[int, int]:
    draw, beliefs = make.draw, make.beliefs
    if page < 0:
        page = make.start + draw.below(make.width)
    if beliefs.region[page]:
        begin, end = beliefs.first_of(page), beliefs.end_of(page)
    else:
        begin, end = page, min(page + small(draw, 16), ARENA_PAGES)
    if draw.chance(60):
        first, count = begin, end - begin
    else:
        first = begin + draw.below(end - begin)
        count = end - first if draw.chance(40) else 1 + draw.below(end - first)
    if draw.chance(6):
        count += 1 + draw.below(6)  # over the end of the region
    return first, min(count, ARENA_PAGES - first)


def _wrong_mremap(make: Maker, op: Op) -> Op:
    draw = make.draw
    addr = ARENA + op["addr"][0] * PAGE
    op["new"] = op["len"]
    case = draw.below(7)
    if case == 0:
        op["flags"], op["naddr"] = MREMAP_FIXED, [make.start + draw.below(make.width), 0]
    elif case == 1:
        op["flags"] = 0x100
    elif case == 2:
        op["new"] = 0
    elif case == 3:
        op["addr"] = split(addr + 1 + draw.below(4095))
    elif case == 4:
        op["new"] = overflowing(draw, addr)
    elif case == 5:
        target = make.start + draw.below(make.width)
        op["flags"], op["naddr"] = MREMAP_MAYMOVE | MREMAP_FIXED, [target, 1 + draw.below(4095)]
    else:
        op["len"] = overflowing(draw, addr)
    return op


def _believe_mremap(beliefs: Beliefs, op: Op, first: int, count: int) -> None:
    new = (op["new"] + PAGE - 1) // PAGE
    end = first + count
    if "naddr" in op:
        _believe_move(beliefs, op, first, count, new)
    elif new < count:
        beliefs.unmap(ARENA + (first + new) * PAGE, (count - new) * PAGE)
    elif end < ARENA_PAGES and not beliefs.region[end]:
        for page in range(end, first + new):
            if beliefs.region[page]:
                break
            beliefs.set(page, beliefs.region[first], beliefs.file[page - 1] and beliefs.file[page - 1] + 1)
            beliefs.prot[page] = beliefs.prot[first]


def _believe_move(beliefs: Beliefs, op: Op, first: int, count: int, new: int) -> None:
    target = op["naddr"][0]
    if (target < first + count and first < target + new) or not op["len"]:
        return
    beliefs.regions += 1
    for i in range(min(new, ARENA_PAGES - target)):
        beliefs.set(target + i, beliefs.regions, beliefs.file[first] and beliefs.file[first] + i)
        beliefs.prot[target + i] = beliefs.prot[first]
    for page in range(first, first + count):
        beliefs.set(page, 0, 0)
