"""The VMAs of one address space, naively: a sorted Python list, and the kernel's rules of splitting and merging one
by one.

Written from sections A.1 to A.7 of the behaviour notes of v4.4, not from vmsim's code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

EINVAL, ENOMEM = 22, 12
READ, WRITE, EXEC, SHARED = 1, 2, 4, 8
MAYS = 0x70
MAYSHARE = 0x80
LOCKED, ONFAULT, ACCOUNT = 0x2000, 0x80000, 0x100000
RIGHTS = READ | WRITE | EXEC


@dataclass
class Area:
    """A VMA: pages [start, end), and which anon_vma its written pages belong to (None: none was written)."""

    start: int
    end: int
    flags: int
    file: int
    pgoff: int
    anon: object | None = None

    def cut(self, at: int) -> Area:
        """Keep what is below page `at`; the rest as a new area."""
        upper = replace(self, start=at, pgoff=self.pgoff + at - self.start)
        self.end = at
        return upper


class Twin:
    """An address space with `limit` as vm.max_map_count."""

    def __init__(self, limit: int = 65530) -> None:
        self.areas: list[Area] = []
        self.limit = limit
        self.locked_vm = 0

    @property
    def total_vm(self) -> int:
        return sum(a.end - a.start for a in self.areas)

    def at(self, page: int) -> Area | None:
        return next((a for a in self.areas if a.start <= page < a.end), None)

    def _neighbours(self, area: Area) -> tuple[Area | None, Area | None]:
        i = self.areas.index(area)
        before = self.areas[i - 1] if i and self.areas[i - 1].end == area.start else None
        after = self.areas[i + 1] if i + 1 < len(self.areas) and self.areas[i + 1].start == area.end else None
        return before, after

    @staticmethod
    def _fits(low: Area, high: Area) -> bool:
        return low.flags == high.flags and low.file == high.file and high.pgoff == low.pgoff + low.end - low.start

    @staticmethod
    def _anon_fits(neighbour: Area, area: Area) -> bool:
        """A faulted area doesn't join an unfaulted neighbour (quirk 8), but the other way round it does."""
        return area.anon is neighbour.anon or (area.anon is None and neighbour.anon is not None)

    def _merges(self, area: Area) -> tuple[bool, bool]:
        """Whether an area, cut out and with its new flags, joins the one before and the one after it."""
        before, after = self._neighbours(area)
        down = before is not None and self._fits(before, area) and self._anon_fits(before, area)
        up = after is not None and self._fits(area, after) and self._anon_fits(after, area)
        if down and up and before and after and None not in (before.anon, after.anon) and before.anon is not after.anon:
            up = False
        return down, up

    def _join(self, low: Area, high: Area) -> Area:
        low.end = high.end
        low.anon = low.anon if low.anon is not None else high.anon
        self.areas.remove(high)
        return low

    def _change(self, area: Area, start: int, end: int, flags: int) -> int:
        """Give pages [start, end) of an area new flags: 0 or -ENOMEM. The split below stays when the one above
        fails.
        """
        piece = replace(area, start=start, end=end, pgoff=area.pgoff + start - area.start, flags=flags)
        trial = Twin()
        trial.areas = [a for a in self.areas if a is not area]
        rest = [replace(area, end=start)] if start > area.start else []
        rest += [piece]
        rest += [replace(area, start=end, pgoff=area.pgoff + end - area.start)] if end < area.end else []
        trial.areas = sorted(trial.areas + rest, key=lambda a: a.start)
        down, up = trial._merges(piece)
        if not (down or up):
            for at in (start, end):
                if area.start < at < area.end:
                    if len(self.areas) >= self.limit:
                        return -ENOMEM
                    upper = area.cut(at)
                    self.areas.insert(self.areas.index(area) + 1, upper)
                    if at == start:
                        area = upper
            area.flags = flags
            return 0
        before, after = trial._neighbours(piece)
        if down and before:
            piece = trial._join(before, piece)
        if up and after:
            trial._join(piece, after)
        self.areas = trial.areas
        return 0

    def _walk(self, start: int, end: int, flags_of: object) -> int:
        """Change each area of [start, end) in turn; at a hole -ENOMEM, with what is before it changed."""
        at = start
        while at < end:
            area = self.at(at)
            if area is None:
                return -ENOMEM
            last = min(end, area.end)
            error = self._fixup(area, at, last, flags_of(area.flags))  # type: ignore[operator]
            if error:
                return error
            at = last
        return 0

    def _fixup(self, area: Area, start: int, end: int, flags: int) -> int:
        old = area.flags
        if flags == old:
            return 0
        error = self._change(area, start, end, flags)
        if error:
            return error
        if (flags ^ old) & (LOCKED | ONFAULT):
            if flags & LOCKED:
                self.locked_vm += end - start  # also where only the on-fault bit changed (quirk 1)
            else:
                self.locked_vm -= end - start
        return 0

    def mmap(self, start: int, pages: int, prot: int, shared: bool, file: int, pgoff: int) -> int:
        """A mapping with MAP_FIXED."""
        if len(self.areas) > self.limit:
            return -ENOMEM
        if self.munmap(start, pages):
            return -ENOMEM
        flags = prot | MAYS | (SHARED | MAYSHARE if shared else 0)
        if prot & WRITE and not shared:
            flags |= ACCOUNT
        area = Area(start, start + pages, flags, file, pgoff if file else start)
        self.areas = sorted([*self.areas, area], key=lambda a: a.start)
        down, up = self._merges(area)
        before, after = self._neighbours(area)
        if down and before:
            area = self._join(before, area)
        if up and after:
            self._join(area, after)
        return 0

    def munmap(self, start: int, pages: int) -> int:
        end = start + pages
        around = self.at(start)
        if around and around.start < start and end < around.end and len(self.areas) >= self.limit:
            return -ENOMEM
        kept = []
        for area in self.areas:
            if area.end <= start or area.start >= end:
                kept.append(area)
                continue
            if area.flags & LOCKED:
                self.locked_vm -= min(end, area.end) - max(start, area.start)
            if area.start < start:
                kept.append(replace(area, end=start))
            if area.end > end:
                kept.append(replace(area, start=end, pgoff=area.pgoff + end - area.start))
        self.areas = kept
        return 0

    def mprotect(self, start: int, pages: int, prot: int) -> int:
        def flags_of(old: int) -> int:
            gains = prot & WRITE and not old & (ACCOUNT | WRITE | SHARED)
            return old & ~RIGHTS | prot | (ACCOUNT if gains else 0)

        at, end = start, start + pages
        while at < end:
            area = self.at(at)
            if area is None:
                return -ENOMEM
            old, last = area.flags, min(end, area.end)
            error = self._fixup(area, at, last, flags_of(old))
            if error:
                return error
            if old & (LOCKED | SHARED | WRITE) == LOCKED and prot & WRITE:
                self._populate(at, last)
            at = last
        return 0

    def mlock(self, start: int, pages: int, onfault: bool = False) -> int:
        new = LOCKED | (ONFAULT if onfault else 0)
        error = self._walk(start, start + pages, lambda old: old & ~(LOCKED | ONFAULT) | new)
        return error or self._populate(start, start + pages)

    def munlock(self, start: int, pages: int) -> int:
        return self._walk(start, start + pages, lambda old: old & ~(LOCKED | ONFAULT))

    def _populate(self, start: int, end: int) -> int:
        """Private writable pages that are locked are written to ahead of use; no access at all ends it."""
        for area in self.areas:
            if area.end > start and area.start < end:
                if not area.flags & RIGHTS:
                    return -ENOMEM
                if not area.flags & ONFAULT and area.flags & (WRITE | SHARED) == WRITE:
                    self._write(area)
        return 0

    def write(self, page: int) -> None:
        """A write to a page whose area allows it."""
        area = self.at(page)
        assert area is not None
        if not area.flags & SHARED:
            self._write(area)

    def _write(self, area: Area) -> None:
        """The first written page: an adjacent area's anon_vma if they differ in their rights at most, else a new
        one.
        """
        if area.anon is not None:
            return
        before, after = self._neighbours(area)
        for near in (after, before):
            if near is None or near.anon is None:
                continue
            low, high = (area, near) if near is after else (near, area)
            if (
                (low.flags ^ high.flags) & ~RIGHTS == 0
                and low.file == high.file
                and high.pgoff == low.pgoff + low.end - low.start
            ):
                area.anon = near.anon
                return
        area.anon = object()
