"""Choosing ranges of the arena, lengths and protections: mostly sensible, sometimes not."""

from __future__ import annotations

from dataclasses import dataclass

from vmsim.experiment.live.draw import Beliefs, Draw
from vmsim.experiment.live.program import ARENA, ARENA_PAGES, PAGE

_WORD = 1 << 64


@dataclass
class Maker:
    """What operations are made with: the draws, the beliefs, the profile, and the window of the arena that most of them fall into."""

    draw: Draw
    beliefs: Beliefs
    profile: str
    start: int
    width: int


def split(addr: int) -> list[int]:
    """An address as recordings have it: page of the arena, byte."""
    page, byte = divmod(addr - ARENA, PAGE)
    return [page, byte]


def small(draw: Draw, most: int) -> int:
    """A number of pages: mostly small, sometimes large."""
    bound = 8 if draw.chance(70) else 20 if draw.chance(80) else 64
    return min(most, 1 + draw.below(bound))


def pick_range(make: Maker) -> tuple[int, int]:
    """First page and number of pages: a region, a part of one, one and something beside it, or anything."""
    draw, beliefs = make.draw, make.beliefs
    page = beliefs.pick(draw)
    mode = draw.below(100)
    if page < 0 or mode >= 86:
        first, count = make.start + draw.below(make.width), small(draw, 64)
    elif mode < 80:
        begin, end = beliefs.first_of(page), beliefs.end_of(page)
        if mode < 34:
            first, count = begin, end - begin
        elif mode < 72:
            first = begin + draw.below(end - begin)
            count = 1 + draw.below(end - first)
        else:
            first = begin + draw.below(end - begin)
            count = end - first + 1 + draw.below(12)
    else:
        first = max(0, beliefs.first_of(page) - 1 - draw.below(8))
        count = page - first + 1 + draw.below(8)
    return first, min(count, ARENA_PAGES - first)


def overflowing(draw: Draw, addr: int) -> int:
    """A length with which a range wraps around or leaves the address space."""
    choice = draw.below(6)
    if choice < 5:
        return (_WORD - 1, _WORD - PAGE, 1 << 63, -addr % _WORD, 1 << 47)[choice]
    pages = 1 + draw.below(4)
    odd = draw.below(2)
    return (PAGE * pages + odd * draw.below(4096) - addr) % _WORD


def decorated(draw: Draw, first: int, count: int, big: bool) -> tuple[int, int]:
    """A range of pages as address and length, which sometimes aren't whole pages or aren't sensible."""
    choice = draw.below(100)
    addr, length = ARENA + first * PAGE, count * PAGE
    if choice < 9:
        length -= 1 + draw.below(4095)
    elif choice < 14:
        addr += 1 + draw.below(4095)
        if draw.chance(50):
            length -= addr % PAGE
    elif choice < 16:
        length = 0
        if draw.chance(30):
            addr += 1 + draw.below(4095)
    elif choice < 18:
        length = overflowing(draw, addr)
    elif choice < 19 and big:
        length = 1 << 40  # allowed, and far past the arena
    return addr, length % _WORD


def pick_prot(draw: Draw) -> int:
    """PROT_* bits."""
    choice = draw.below(100)
    for below, prot in ((55, 3), (72, 1), (80, 0), (87, 5), (93, 2), (97, 7)):
        if choice < below:
            return prot
    return 1
