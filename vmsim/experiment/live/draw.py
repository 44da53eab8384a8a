"""The generator's random numbers and what it believes is mapped where; results of calls never reach it."""

from __future__ import annotations

from vmsim.experiment.live.program import ARENA, ARENA_PAGES, PAGE

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_MIX = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class Draw:
    """Numbers of SplitMix64 (Steele, Lea, Flood 2014)."""

    def __init__(self, state: int) -> None:
        self._state = state & _MASK

    def next(self) -> int:
        """64 random bits."""
        self._state = z = (self._state + _STEP) & _MASK
        z = ((z ^ (z >> 30)) * _MIX[0]) & _MASK
        z = ((z ^ (z >> 27)) * _MIX[1]) & _MASK
        return z ^ (z >> 31)

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1; nothing is drawn where there is no choice."""
        return 0 if bound <= 1 else (self.next() >> 20) % bound

    def chance(self, percent: int) -> bool:
        """True in so many of 100 cases."""
        return self.below(100) < percent

    def weighted(self, weights: tuple[int, ...]) -> int:
        """An index, as often as its weight says."""
        rest = self.below(sum(weights))
        for index, weight in enumerate(weights):
            if rest < weight:
                return index
            rest -= weight
        raise AssertionError("weights don't add up")


class Beliefs:
    """For each page of the arena: a region's number (0: nothing is there), its page in the file + 1 (0: no file), its protection."""

    def __init__(self) -> None:
        self.region = [0] * ARENA_PAGES
        self.file = [0] * ARENA_PAGES
        self.prot = [0] * ARENA_PAGES
        self.regions = 0
        self._mapped = bytearray(ARENA_PAGES)

    def copy(self) -> Beliefs:
        """The same beliefs, to go another way with."""
        other = Beliefs()
        other.region, other.file, other.prot = self.region[:], self.file[:], self.prot[:]
        other.regions, other._mapped = self.regions, self._mapped[:]
        return other

    def set(self, page: int, region: int, file: int) -> None:
        """Something is at a page now."""
        self.region[page], self.file[page] = region, file
        self._mapped[page] = region != 0

    def pick(self, draw: Draw) -> int:
        """A page where something is, -1 if there is none."""
        count = self._mapped.count(1)
        if not count:
            return -1
        page = -1
        for _ in range(draw.below(count) + 1):
            page = self._mapped.find(1, page + 1)
        return page

    def first_of(self, page: int) -> int:
        """The first page of the region of a page."""
        region = self.region
        while page > 0 and region[page - 1] == region[page]:
            page -= 1
        return page

    def end_of(self, page: int) -> int:
        """The page after the region of a page."""
        region, number = self.region, self.region[page]
        while page < ARENA_PAGES and region[page] == number:
            page += 1
        return page

    def unmap(self, addr: int, length: int) -> None:
        """Nothing is there any more, if munmap takes these arguments."""
        if addr % PAGE or not length or length > 1 << 41:
            return
        first = (addr - ARENA) // PAGE
        for page in range(first, min(ARENA_PAGES, first + (length + PAGE - 1) // PAGE)):
            self.set(page, 0, 0)

    def protect(self, first: int, count: int, prot: int) -> None:
        """What is there has this protection now."""
        for page in range(first, first + count):
            if self.region[page]:
                self.prot[page] = prot
