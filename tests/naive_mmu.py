"""The MMU once more, the slow and obvious way: lists of entries, dictionaries of pages, one access at a time."""

from __future__ import annotations

from collections import Counter, deque

from mmu_rig import COSTS

from vmsim.arch.profile import Profile, TlbLevel
from vmsim.struct.pages import PTE_DIRTY, PTE_PRESENT, PTE_PROTNONE, PTE_WRITE, PTE_YOUNG


class Cache:
    """A set-associative cache that pushes out the oldest entry of a set; entries are key -> whether writes are
    allowed.
    """

    def __init__(self, level: TlbLevel) -> None:
        self.ways = level.ways
        self.sets: list[deque[list[object]]] = [
            deque() for _ in range(level.entries // level.ways if level.ways else 0)
        ]

    def find(self, key: int, number: int | None = None) -> list[object] | None:
        """The entry of a key, in the set of `number`, the key itself if that isn't given."""
        place = key if number is None else number
        return next((e for e in self.sets[place % len(self.sets)] if e[0] == key), None) if self.sets else None

    def put(self, key: int, writable: bool, number: int | None = None) -> None:
        """Enter or change a key."""
        if not self.sets:
            return
        entry = self.find(key, number)
        if entry:
            entry[1] = writable
            return
        entries = self.sets[(key if number is None else number) % len(self.sets)]
        entries.appendleft([key, writable])
        if len(entries) > self.ways:
            entries.pop()

    def drop(self, keys: range) -> None:
        """Forget keys."""
        for i, entries in enumerate(self.sets):
            self.sets[i] = deque(e for e in entries if e[0] not in keys)

    def clear(self) -> None:
        """Forget everything."""
        for entries in self.sets:
            entries.clear()


class NaiveMmu:
    """One CPU with one address space; `ptes` are its page-table entries by vpn, all tables on the way to them exist."""

    def __init__(self, profile: Profile, page_size: int) -> None:
        self.profile = profile
        bits = profile.page_tables[page_size].index_bits
        self.shifts = [sum(bits[level + 1 :]) for level in range(len(bits))]
        self.ptes: dict[int, int] = {}
        self.huge: set[int] = set()  # first pages of huge pages, each with one entry in `ptes`
        self.huge_pages = 1 << bits[-1]
        self.l1, self.l2 = Cache(profile.l1), Cache(profile.l2)
        self.walk_caches = [Cache(profile.walk_cache) for _ in bits[:-1]]
        self.ledger: Counter[str] = Counter()
        self.latencies: Counter[tuple[str, int]] = Counter()  # kind, ns

    def flush(self, pages: range | None) -> None:
        """Drop pages, or everything; and the walk caches."""
        for cache in (self.l1, self.l2):
            if pages is None:
                cache.clear()
            else:
                cache.drop(pages)
        for cache in self.walk_caches:
            cache.clear()

    def _walk(self, vpn: int) -> int:
        """Read the tables: what that costs."""
        upper = len(self.walk_caches) - (vpn in self.huge)
        present = 0
        while present < upper and any(v >> self.shifts[present] == vpn >> self.shifts[present] for v in self.ptes):
            present += 1
        spared = 0
        for level in reversed(range(present)):
            if self.walk_caches[level].find(vpn >> self.shifts[level]):
                spared = level + 1
                break
        for level in range(spared, present):
            self.walk_caches[level].put(vpn >> self.shifts[level], False)
        return (COSTS["walk_cached_ref"] if spared else 0) + (present - spared + 1) * COSTS["walk_memory_ref"]

    def access(self, vpn: int, write: int, work_ns: int = 0) -> bool:
        """One access: False if it faults. Charges `ledger` and counts `latencies`."""
        user, number = COSTS["user_access"], vpn
        if vpn // self.huge_pages * self.huge_pages in self.huge:
            number = vpn // self.huge_pages
            vpn = number * self.huge_pages
        first, second = self.l1.find(vpn, number), self.l2.find(vpn, number)
        if first and (not write or first[1]):
            self.latencies["tlb_hit", user] += 1
        elif second and (not write or second[1]):
            self.l1.put(vpn, bool(second[1]), number)
            self.ledger["tlb"] += COSTS["tlb_l2_hit"]
            self.latencies["tlb_hit", user + COSTS["tlb_l2_hit"]] += 1
        else:
            walk_ns = self._walk(vpn)
            refill_ns = COSTS["trap"] if self.profile.software_refill else 0
            self.ledger["walk"] += walk_ns
            self.ledger["trap"] += refill_ns
            if not self._translate(vpn, write):
                return False
            pte = self.ptes[vpn]
            for cache in (self.l1, self.l2):
                cache.put(vpn, bool(pte & PTE_WRITE and pte & PTE_DIRTY), number)
            self.latencies["walk", user + walk_ns + refill_ns] += 1
        self.ledger["user"] += user + work_ns
        return True

    def _translate(self, vpn: int, write: int) -> bool:
        pte = self.ptes.get(vpn, 0)
        if not pte & PTE_PRESENT or pte & PTE_PROTNONE or (write and not pte & PTE_WRITE):
            return False
        if not self.profile.hw_young and not pte & PTE_YOUNG:
            return False
        if write and not self.profile.hw_dirty and not pte & PTE_DIRTY:
            return False
        self.ptes[vpn] = pte | PTE_YOUNG | (PTE_DIRTY if write else 0)
        return True
