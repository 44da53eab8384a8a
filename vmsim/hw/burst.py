"""The access loop: each access of a burst probes the TLBs and, on a miss, walks the page tables.

An access costs ``user_access`` and the work that the program does with it; a hit in the second level adds
``tlb_l2_hit``; a walk adds one reference for each table that it reads.  The lowest upper table entry that the page-
walk caches hold costs ``walk_cached_ref`` and spares all tables above; each table read from there down, the leaf
included, costs ``walk_memory_ref``.  A machine that refills its TLB in software also pays a ``trap``.  The search of
the TLBs before a walk is part of the walk's cost.
"""

from __future__ import annotations

from vmsim.arch.profile import geometry, get_profile
from vmsim.hw.lookahead import FETCHED, look_at, lookahead_for, ready_of, set_ready
from vmsim.hw.tlb import (
    PWC_LEVEL_ENTRIES,
    TAG_VALID,
    TAG_VPN,
    TAG_WRITE,
    TS_FAULTS,
    asid_tag,
    walk_cache_epoch,
)
from vmsim.hw.walk import NODE_COUNT, TABLE_HUGE
from vmsim.struct.costs import C_TLB_L2_HIT, C_TRAP, C_USER_ACCESS, C_WALK_CACHED_REF, C_WALK_MEMORY_REF
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import (
    G_ASIDS,
    G_BITS,
    G_HW_DIRTY,
    G_HW_YOUNG,
    G_L1_SETS,
    G_L1_WAYS,
    G_L2_SETS,
    G_L2_WAYS,
    G_LEVELS,
    G_PWC_SETS,
    G_PWC_WAYS,
    G_SHIFT,
    G_SOFTWARE_REFILL,
    NR_GEOMETRY,
    SC_DEADLINE,
    SC_HUGE_BITS,
)
from vmsim.struct.ledger import L_TRAP, L_WALK, NR_CPU_WORK
from vmsim.struct.pages import PTE_DIRTY, PTE_PRESENT, PTE_PROTNONE, PTE_WRITE, PTE_YOUNG, READY_READ, READY_WRITE
from vmsim.struct.tasks import (
    T_BUF_LEN,
    T_BUF_POS,
    T_MM,
)
from vmsim.struct.vmas import MM_NR_PTES, MM_PGD
from vmsim.struct.ways import has_tag, inlined, match_ways, push_way, scratch_row

ACCESS_DONE = 0
ACCESS_FAULT = 1
ACCESS_BUDGET = 2

COUNT_BITS = 7  # hold BLOCK
BLOCK = FETCHED // 2  # accesses whose leaf entries are fetched together, a block ahead
FIRST_BLOCK = 4  # of a burst, doubling from there: where accesses fault, bursts are short
# From so many last-level tables on, the entries that lead to them are fetched too, a block before the leaf entries and
# in smaller blocks: they no longer stay in the host's cache.
WIDE_TABLES = 1 << 13
WIDE_BLOCK = BLOCK // 2

# What a burst counts: hits in both TLB levels, then walks by the number of upper levels that the walk caches spared.
N_L1 = 0
N_L2 = 1
N_WALKS = 2
NR_KINDS_COUNTED = 8
N_FIRST = 8  # which of these the first access counts in, -1 if it isn't told apart
N_FIRST_NS = 9  # and what that took
N_HUGE_WALKS = 10  # the same of walks that end at a huge page, a level earlier
NR_COUNTS = 16


@inlined
def spent_ns(k):
    """CPU time charged in this slice so far, ns."""
    led = k.led
    total = 0
    for column in range(NR_CPU_WORK):
        total += led[column]
    return total


@inlined
def _translate(pte, write, young, dirty):
    """A leaf entry as an access leaves it, 0 if the access faults; `young` and `dirty`:

    the bits that the MMU sets itself.
    """
    need = PTE_PRESENT
    if not young:
        need |= PTE_YOUNG
    if write != 0:
        need |= PTE_WRITE if dirty else PTE_WRITE | PTE_DIRTY
    if pte & (need | PTE_PROTNONE) != need:
        return 0
    return pte | PTE_YOUNG | PTE_DIRTY if write != 0 else pte | PTE_YOUNG


@inlined
def walk_ns(k, spared, depth):
    """What a walk costs that finds `depth` upper tables, of which the walk caches spare the reading of `spared`."""
    cost = k.cost
    return (cost[C_WALK_CACHED_REF] if spared > 0 else 0) + (depth - spared + 1) * cost[C_WALK_MEMORY_REF]


@inlined
def refill_ns(k):
    return k.cost[C_TRAP] if k.geo[G_SOFTWARE_REFILL] != 0 else 0


@inlined
def _holds(tlb, base, ways, tag):
    """1 if a set holds a translation, with the right to write or without, else 0."""
    return has_tag(tlb, base, ways, tag | TAG_WRITE, TAG_WRITE)


@inlined
def _may_write(tlb, base, ways, tag):
    return has_tag(tlb, base, ways, tag | TAG_WRITE, 0) != 0


@inlined
def _enter(tlb, base, ways, tag):
    """Put a translation into a set, in which it may stand already without the right to write."""
    way = match_ways(tlb, base, ways, tag | TAG_WRITE, TAG_WRITE)
    if way >= 0:
        tlb[base + way] = tag
    else:
        push_way(tlb, base, ways, tag)


def _mmu_for(fixed, huge):
    """The loop over a burst and the failed walk for the geometry `fixed`, a tuple, whose numbers become constants;
    None: for any, from `k.geo`.  `huge`: for mappings of huge pages as well.
    """
    if fixed is None:

        @inlined
        def geo(k, column):
            return k.geo[column]

    else:

        @inlined
        def geo(k, column):
            return fixed[column]

    is_beyond, below, find, fetch = lookahead_for(geo, huge)

    @inlined
    def spared_levels(k, pwc, depth, prefix, vpn):
        """How many of the `depth` upper levels of a walk the walk caches spare; what they missed they hold from now
        on.
        """
        ways = geo(k, G_PWC_WAYS)
        level = depth - 1 if ways > 0 else -1
        while level >= 0:
            region = vpn >> geo(k, G_SHIFT + level)
            base = level * PWC_LEVEL_ENTRIES + (region & (geo(k, G_PWC_SETS) - 1)) * ways
            tag = prefix | vpn >> (geo(k, G_SHIFT + level) - TAG_VPN)  # the prefix covers what hangs over
            if has_tag(pwc, base, ways, tag, 0) != 0:
                return level + 1
            push_way(pwc, base, ways, tag)
            level -= 1
        return 0

    @inlined
    def asid_of(k, mm):
        return asid_tag(k, mm) if geo(k, G_ASIDS) != 0 else 0

    @inlined
    def refill(k, pt, slot, write, tag):
        """What a walk to the leaf entry at `slot` enters in the TLB for `tag`, 0 if the access faults; marks the entry."""
        pte = pt[slot]
        needed = PTE_PRESENT + PTE_YOUNG + PTE_PROTNONE + write * (PTE_WRITE + PTE_DIRTY)
        if ~(pte ^ PTE_PROTNONE) & needed != 0:
            pte = _translate(pte, write, geo(k, G_HW_YOUNG) != 0, geo(k, G_HW_DIRTY) != 0)
            if pte == 0:
                return 0
            pt[slot] = pte
        return tag | TAG_WRITE if pte & (PTE_WRITE | PTE_DIRTY) == PTE_WRITE | PTE_DIRTY else tag

    @compiled
    def burst(k, cpu, tid, apart, work_ns, counts):
        """Complete the accesses of the buffer, move T_BUF_POS to the first that isn't, count them in `counts`, say
        why it stopped.

        `apart` 1: the first is told apart (N_FIRST), if it is completed.
        """
        task, cost, pt, buffer = k.task[tid], k.cost, k.pt, k.abuf[tid]
        tlb, pwc = k.tlb_tag[cpu], k.pwc_tag[cpu]
        upper = geo(k, G_LEVELS) - 1
        l1_ways, l2_ways = geo(k, G_L1_WAYS), geo(k, G_L2_WAYS)
        l1_mask, l2_mask = geo(k, G_L1_SETS) - 1, geo(k, G_L2_SETS) - 1
        l2_first = geo(k, G_L1_SETS) * l1_ways
        slots, kind_ns = scratch_row(FETCHED), scratch_row(NR_KINDS_COUNTED)
        mm = task[T_MM]
        pgd, asid = k.mm[mm, MM_PGD], asid_of(k, mm)
        prefix = asid | walk_cache_epoch(k, cpu)
        l1_ns = cost[C_USER_ACCESS] + work_ns
        kind_ns[N_L1], kind_ns[N_L2] = l1_ns, l1_ns + cost[C_TLB_L2_HIT]
        most_ns = kind_ns[N_L2] + 1
        for spared in range(upper + 1):
            kind_ns[N_WALKS + spared] = l1_ns + walk_ns(k, spared, upper) + refill_ns(k)
            most_ns = max(most_ns, kind_ns[N_WALKS + spared])
        leaf_bits = geo(k, G_BITS + upper)
        before, deadline = spent_ns(k), k.sc[SC_DEADLINE]
        spent = before
        pos, end = task[T_BUF_POS], task[T_BUF_LEN]
        found, fetched, block = pos, pos, FIRST_BLOCK
        wide = k.mm[mm, MM_NR_PTES] >= WIDE_TABLES
        most = WIDE_BLOCK if wide else BLOCK
        # Whether entries have to be looked at, so that they are asked for as well: where a burst goes on after a fault, and after an
        # access that had to.
        looks = 0 if wide else pos
        reason = ACCESS_DONE
        while pos < end and reason == ACCESS_DONE:
            if wide:
                found = find(k, pgd, buffer, slots, found, min(pos + 3 * block, end), upper - 1)
                fetched = fetch(k, buffer, slots, fetched, min(pos + 2 * block, found))
            else:
                fetched = find(k, pgd, buffer, slots, fetched, min(pos + 2 * block, end), upper)
            if apart != 0:
                stop = min(pos + 1, fetched)
            else:
                stop = min(pos + block, fetched)
                block = min(2 * block, most)
            if spent + (stop - pos) * most_ns > deadline:  # so many begin before the deadline, whatever they cost
                stop = min(stop, pos + (deadline - spent + most_ns - 1) // most_ns)
            if stop <= pos:
                reason = ACCESS_BUDGET if spent >= deadline else ACCESS_FAULT
            if looks != 0:
                look_at(k, slots, pos, stop)
                looks = 0
            done = 0  # accesses of this block by kind, COUNT_BITS each
            while pos < stop:
                access = buffer[pos]
                vpn, write = access >> 1, access & 1
                number = vpn
                if huge and slots[pos & (FETCHED - 1)] < 0:  # one translation, under its first page, in the set of its number
                    number = vpn >> leaf_bits
                    vpn = number << leaf_bits
                tag = asid | vpn << TAG_VPN | TAG_VALID
                l1_set = (number & l1_mask) * l1_ways
                held = _holds(tlb, l1_set, l1_ways, tag)
                if held != 0 and (write == 0 or _may_write(tlb, l1_set, l1_ways, tag)):
                    done += 1 << N_L1 * COUNT_BITS
                    pos += 1
                    continue
                l2_set = l2_first + (number & l2_mask) * l2_ways
                held |= _holds(tlb, l2_set, l2_ways, tag)
                if held != 0:  # in the second level, or without the right to write: both levels agree on that
                    way = match_ways(tlb, l2_set, l2_ways, tag | TAG_WRITE, TAG_WRITE)
                    if way >= 0 and (write == 0 or tlb[l2_set + way] & TAG_WRITE != 0):
                        push_way(tlb, l1_set, l1_ways, tlb[l2_set + way])
                        done += 1 << N_L2 * COUNT_BITS
                        pos += 1
                        continue
                slot, level = slots[pos & (FETCHED - 1)], upper
                if huge and slot < 0:
                    slot, level = -slot, upper - 1
                known = 0 if wide else ready_of(k, slot)
                if known & (READY_READ << write) != 0:
                    tag |= (known & READY_WRITE) // READY_WRITE * TAG_WRITE
                else:
                    tag = refill(k, pt, slot, write, tag)
                    if tag == 0:
                        reason = ACCESS_FAULT
                        break
                    if not wide:
                        looks = 1
                        set_ready(k, slot, READY_READ | (READY_WRITE if tag & TAG_WRITE != 0 else 0))
                spared = spared_levels(k, pwc, level, prefix, vpn)
                if huge and level < upper:
                    counts[N_HUGE_WALKS + spared] += 1
                    spent += l1_ns + walk_ns(k, spared, level) + refill_ns(k)
                else:
                    done += 1 << (N_WALKS + spared) * COUNT_BITS
                if held == 0:
                    push_way(tlb, l1_set, l1_ways, tag)
                    push_way(tlb, l2_set, l2_ways, tag)
                else:
                    _enter(tlb, l1_set, l1_ways, tag)
                    _enter(tlb, l2_set, l2_ways, tag)
                pos += 1
            for kind in range(N_WALKS + upper + 1):
                number = (done >> kind * COUNT_BITS) & ((1 << COUNT_BITS) - 1)
                counts[kind] += number
                spent += number * kind_ns[kind]
            if apart != 0 and reason == ACCESS_DONE:
                counts[N_FIRST] = N_L1
                for kind in range(N_WALKS + upper + 1):
                    if counts[kind] != 0:
                        counts[N_FIRST] = kind
                for spared in range(upper if huge else 0):
                    if counts[N_HUGE_WALKS + spared] != 0:
                        counts[N_FIRST] = N_HUGE_WALKS + spared
                counts[N_FIRST_NS] = spent - before
                apart = 0
        task[T_BUF_POS] = pos
        return reason

    @compiled
    def failed_walk(k, cpu, tid, vpn):
        """Charge the walk of an access that faults; the upper tables that it found stay in the walk caches.

        There is no walk for an address that the page tables can't map (x86: not canonical).
        """
        k.tlb_stat[cpu, TS_FAULTS] += 1
        if is_beyond(k, vpn):
            return
        mm = k.task[tid, T_MM]
        depth, upper = 0, geo(k, G_LEVELS) - 1
        node = below(k, k.mm[mm, MM_PGD], 0, vpn)
        while node != 0 and depth < upper:
            depth += 1
            if depth < upper:
                node = below(k, node, depth, vpn)
            elif huge and k.pt[node + NODE_COUNT] & TABLE_HUGE != 0:
                depth -= 1
                break
        spared = spared_levels(k, k.pwc_tag[cpu], depth, asid_of(k, mm) | walk_cache_epoch(k, cpu), vpn)
        k.led[L_WALK] += walk_ns(k, spared, depth)
        k.led[L_TRAP] += refill_ns(k)

    return burst, failed_walk


burst_any, failed_walk_any = _mmu_for(None, True)
_OWN = tuple(int(number) for number in geometry(get_profile("x86_64"), 4096))
burst_own, failed_walk_own = _mmu_for(_OWN, False)
burst_huge, failed_walk_huge = _mmu_for(_OWN, True)

LOOP_ANY = 0
LOOP_OWN = 1
LOOP_HUGE = 2


@inlined
def loop_of(k):
    """Which loop this machine runs: that of its geometry, whose numbers are constants, if there is one, with or without huge pages."""
    different = 0
    for column in range(NR_GEOMETRY):
        different |= k.geo[column] ^ _OWN[column]
    own = LOOP_OWN if k.sc[SC_HUGE_BITS] == 0 else LOOP_HUGE
    return own if different == 0 else LOOP_ANY
