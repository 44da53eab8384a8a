"""The access loop: each access of a task probes the TLBs and, on a miss, walks the page tables.

An access costs ``user_access`` and the work that the program does with it; a hit in the second level adds ``tlb_l2_hit``; a walk adds
one reference for each table that it reads.  The lowest upper table entry that the page-walk caches hold costs ``walk_cached_ref`` and
spares all tables above; each table read from there down, the leaf included, costs ``walk_memory_ref``.  A machine that refills its TLB in software
also pays a ``trap``.  The search of the TLBs before a walk is part of the walk's cost.
"""

from __future__ import annotations

from vmsim.hw.tlb import (
    PWC_LEVEL_ENTRIES,
    TAG_VALID,
    TAG_VPN,
    TAG_WRITE,
    TS_FAULTS,
    TS_L1_HITS,
    TS_L2_HITS,
    TS_WALK_REFS,
    TS_WALKS,
    asid_tag,
)
from vmsim.hw.walk import NODE_ENTRIES
from vmsim.struct.costs import C_TLB_L2_HIT, C_TRAP, C_USER_ACCESS, C_WALK_CACHED_REF, C_WALK_MEMORY_REF
from vmsim.struct.histogram import hist_bucket
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import (
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
    SC_DEADLINE,
    SC_FAULT_VPN,
    SC_FAULT_WRITE,
    SC_NOW,
)
from vmsim.struct.ledger import NR_LEDGER, L_TLB, L_TRAP, L_USER, L_WALK
from vmsim.struct.pages import PTE_DIRTY, PTE_PRESENT, PTE_PROTNONE, PTE_WRITE, PTE_YOUNG
from vmsim.struct.tasks import (
    KIND_MINOR,
    KIND_TLB_HIT,
    KIND_WALK,
    NR_KINDS,
    T_ACC_BEGAN,
    T_ACC_KIND,
    T_ACCESSES,
    T_BUF_LEN,
    T_BUF_POS,
    T_MM,
)
from vmsim.struct.vmas import MM_PGD
from vmsim.struct.ways import inlined, match_ways, prefetch, push_way, scratch_row

ACCESS_DONE = 0
ACCESS_FAULT = 1
ACCESS_BUDGET = 2

BLOCK = 32  # accesses whose leaf entries are fetched together, a block ahead
FETCHED = 2 * BLOCK
WALKED = 1 + BLOCK

# What a burst counts: hits in both TLB levels, then walks by the number of upper levels that the walk caches spared.
N_L1 = 0
N_L2 = 1
N_WALKS = 2
NR_COUNTS = 10

# What a burst keeps at hand of `k.geo`: shift and mask of each upper level's index, the mask of the walk caches' sets.
SHAPE_PWC_SETS = 12
SHAPE_PWC_TAG = 13
NR_SHAPES = 14


@inlined
def _shapes_of(k, asid, shapes):
    geo = k.geo
    for level in range(geo[G_LEVELS] - 1):
        shapes[2 * level] = geo[G_SHIFT + level]
        shapes[2 * level + 1] = (1 << geo[G_BITS + level]) - 1
    shapes[SHAPE_PWC_SETS] = geo[G_PWC_SETS] - 1
    shapes[SHAPE_PWC_TAG] = asid | TAG_VALID


@inlined
def _spent(k):
    """CPU time charged in this slice so far, ns."""
    led = k.led
    total = 0
    for column in range(NR_LEDGER):
        total += led[column]
    return total


@inlined
def _demands_of(k, demands):
    """Pairs for a read and a write: mask and value of a leaf entry that is fit as it is, and of one that the MMU may make fit."""
    young = 0 if k.geo[G_HW_YOUNG] != 0 else PTE_YOUNG
    dirty = 0 if k.geo[G_HW_DIRTY] != 0 else PTE_DIRTY
    demands[2] = PTE_PRESENT | PTE_YOUNG
    demands[3] = PTE_PRESENT | PTE_YOUNG | PTE_WRITE | PTE_DIRTY
    demands[6] = PTE_PRESENT | young
    demands[7] = PTE_PRESENT | young | PTE_WRITE | dirty
    for i in range(2):
        demands[i] = demands[2 + i] | PTE_PROTNONE
        demands[4 + i] = demands[6 + i] | PTE_PROTNONE


@inlined
def _walk_ns(k, spared, depth):
    """What a walk costs that finds `depth` upper tables, of which the walk caches spare the reading of `spared`."""
    cost = k.cost
    return (cost[C_WALK_CACHED_REF] if spared > 0 else 0) + (depth - spared + 1) * cost[C_WALK_MEMORY_REF]


@inlined
def _refill_ns(k):
    return k.cost[C_TRAP] if k.geo[G_SOFTWARE_REFILL] != 0 else 0


@inlined
def _below(pt, node, shapes, level, vpn):
    """The table below `node`, a table of `level`, that covers `vpn`; 0 if there is none."""
    if node == 0:
        return 0
    return pt[node + NODE_ENTRIES + ((vpn >> shapes[2 * level]) & shapes[2 * level + 1])]


@inlined
def _leaf_below(pt, node, shapes, upper, vpn):
    """The last-level table that covers `vpn` below `node`, a table of level 1; 0 if there is none."""
    if upper == 3:
        return _below(pt, _below(pt, node, shapes, 1, vpn), shapes, 2, vpn)
    for level in range(1, upper):
        node = _below(pt, node, shapes, level, vpn)
    return node


@inlined
def _count_walks(pwc, shapes, upper, ways, vpns, counts):
    """Count walks that found all tables by the number of upper levels that the walk caches spare; the caches hold them from now on.

    `vpns` begins with the number of walks; their pages follow, in order.  A level's cache sees the walks that missed in those below it.
    """
    walks = vpns[0]
    for level in range(upper - 1, -1, -1):
        missed = 0
        shift, sets = shapes[2 * level], shapes[SHAPE_PWC_SETS]
        for i in range(1, walks + 1):
            vpn = vpns[i]
            region = vpn >> shift
            base = level * PWC_LEVEL_ENTRIES + (region & sets) * ways
            tag = shapes[SHAPE_PWC_TAG] | region << TAG_VPN
            if match_ways(pwc, base, ways, tag, 0) < 0:
                push_way(pwc, base, ways, tag)
                missed += 1
                vpns[missed] = vpn
        counts[N_WALKS + level + 1] += walks - missed
        walks = missed
    counts[N_WALKS] += walks


@inlined
def _enter(tlb, base, ways, way, tag):
    """Put a translation into a set; `way` is where it stands already, without the right to write, or -1."""
    if way >= 0:
        tlb[base + way] = tag
    else:
        push_way(tlb, base, ways, tag)


def _burst_for(ways_l1, ways_l2, ways_pwc, levels):
    """The loop over a burst for so many ways and levels of page tables; 0: what `k.geo` says, as in a machine without its own loop."""

    @compiled
    def burst(k, cpu, tid, end, work_ns, counts):
        """Complete accesses up to `end`, move T_BUF_POS to the first that isn't, count them in `counts`, say why it stopped."""
        geo, task, cost = k.geo, k.task[tid], k.cost
        pt, buffer = k.pt, k.abuf[tid]
        tlb, pwc = k.tlb_tag[cpu], k.pwc_tag[cpu]
        upper = (levels if levels else geo[G_LEVELS]) - 1
        l1_ways = ways_l1 if ways_l1 else geo[G_L1_WAYS]
        l2_ways = ways_l2 if ways_l2 else geo[G_L2_WAYS]
        pwc_ways = ways_pwc if ways_pwc else geo[G_PWC_WAYS]
        l1_mask, l2_mask = geo[G_L1_SETS] - 1, geo[G_L2_SETS] - 1
        l2_first = geo[G_L1_SETS] * l1_ways
        shapes, walk_ns = scratch_row(NR_SHAPES), scratch_row(NR_COUNTS)
        slots, walked, fresh, demands = scratch_row(FETCHED), scratch_row(WALKED), scratch_row(NR_COUNTS), scratch_row(8)
        mm = task[T_MM]
        pgd, asid = k.mm[mm, MM_PGD], asid_tag(k, mm)
        _shapes_of(k, asid, shapes)
        _demands_of(k, demands)
        leaf_mask = (1 << geo[G_BITS + upper]) - 1
        l1_ns = cost[C_USER_ACCESS] + work_ns
        l2_ns = l1_ns + cost[C_TLB_L2_HIT]
        longest_ns = l2_ns
        for spared in range(upper + 1):
            walk_ns[spared] = l1_ns + _walk_ns(k, spared, upper) + _refill_ns(k)
            longest_ns = max(longest_ns, walk_ns[spared])
        left_ns = k.sc[SC_DEADLINE] - _spent(k)
        top_shift, top, second = shapes[0], -1, 0
        pos = task[T_BUF_POS]
        fetched = pos
        fault = 0
        while pos < end and left_ns > 0 and fault == 0:
            stop = min(pos + BLOCK if left_ns > BLOCK * longest_ns else pos + 1, end)
            for i in range(fetched, min(stop + BLOCK, end)):
                vpn = buffer[i] >> 1
                if vpn >> top_shift != top:
                    top = vpn >> top_shift
                    second = _below(pt, pgd, shapes, 0, vpn)
                node = _leaf_below(pt, second, shapes, upper, vpn)
                slot = node + NODE_ENTRIES + (vpn & leaf_mask) if node != 0 else 0
                slots[i & (FETCHED - 1)] = slot
                prefetch(pt, slot)
            fetched = min(stop + BLOCK, end)
            in_l1, in_l2, walks = 0, 0, 0
            while pos < stop:
                access = buffer[pos]
                vpn, write = access >> 1, access & 1
                tag = asid | vpn << TAG_VPN | TAG_VALID
                l1_set = (vpn & l1_mask) * l1_ways
                l1_way = match_ways(tlb, l1_set, l1_ways, tag | TAG_WRITE, TAG_WRITE)
                if l1_way >= 0 and (write == 0 or tlb[l1_set + l1_way] & TAG_WRITE != 0):
                    in_l1 += 1
                    pos += 1
                    continue
                l2_set = l2_first + (vpn & l2_mask) * l2_ways
                l2_way = match_ways(tlb, l2_set, l2_ways, tag | TAG_WRITE, TAG_WRITE)
                if l2_way >= 0 and (write == 0 or tlb[l2_set + l2_way] & TAG_WRITE != 0):
                    push_way(tlb, l1_set, l1_ways, tlb[l2_set + l2_way])
                    in_l2 += 1
                    pos += 1
                    continue
                slot = slots[pos & (FETCHED - 1)]
                pte = pt[slot]
                if pte & demands[write] != demands[2 + write]:
                    if pte & demands[4 + write] != demands[6 + write]:
                        fault = 1
                        break
                    pte |= demands[2 + write]
                    pt[slot] = pte
                if pte & (PTE_WRITE | PTE_DIRTY) == PTE_WRITE | PTE_DIRTY:
                    tag |= TAG_WRITE
                _enter(tlb, l1_set, l1_ways, l1_way, tag)
                _enter(tlb, l2_set, l2_ways, l2_way, tag)
                walks += 1
                walked[walks] = vpn
                pos += 1
            walked[0] = walks
            for i in range(NR_COUNTS):
                fresh[i] = 0
            _count_walks(pwc, shapes, upper, pwc_ways, walked, fresh)
            left_ns -= in_l1 * l1_ns + in_l2 * l2_ns
            counts[N_L1] += in_l1
            counts[N_L2] += in_l2
            for spared in range(upper + 1):
                left_ns -= fresh[N_WALKS + spared] * walk_ns[spared]
                counts[N_WALKS + spared] += fresh[N_WALKS + spared]
        task[T_BUF_POS] = pos
        if fault != 0:
            return ACCESS_FAULT
        return ACCESS_DONE if pos >= end else ACCESS_BUDGET

    return burst


_burst_any = _burst_for(0, 0, 0, 0)
_burst_4_8_4 = _burst_for(4, 8, 4, 4)  # x86-64


@inlined
def _has_own_loop(k):
    geo = k.geo
    return geo[G_L1_WAYS] == 4 and geo[G_L2_WAYS] == 8 and geo[G_PWC_WAYS] == 4 and geo[G_LEVELS] == 4


@compiled
def _failed_walk(k, cpu, tid, vpn):
    """Charge the walk of an access that faults; the upper tables that it found stay in the walk caches."""
    pt, geo, mm = k.pt, k.geo, k.task[tid, T_MM]
    shapes, walked, counts = scratch_row(NR_SHAPES), scratch_row(2), scratch_row(NR_COUNTS)
    _shapes_of(k, asid_tag(k, mm), shapes)
    depth, upper = 0, geo[G_LEVELS] - 1
    node = _below(pt, k.mm[mm, MM_PGD], shapes, 0, vpn)
    while node != 0 and depth < upper:
        depth += 1
        if depth < upper:
            node = _below(pt, node, shapes, depth, vpn)
    for i in range(NR_COUNTS):
        counts[i] = 0
    walked[0], walked[1] = 1, vpn
    _count_walks(k.pwc_tag[cpu], shapes, depth, geo[G_PWC_WAYS], walked, counts)
    spared = 0
    while counts[N_WALKS + spared] == 0:
        spared += 1
    k.led[L_WALK] += _walk_ns(k, spared, depth)
    k.led[L_TRAP] += _refill_ns(k)
    k.tlb_stat[cpu, TS_FAULTS] += 1


@compiled
def _settle(k, cpu, tid, work_ns, counts, in_histogram):
    """Charge and count the accesses that a burst completed."""
    cost, led, stat = k.cost, k.led, k.tlb_stat[cpu]
    upper = k.geo[G_LEVELS] - 1
    user_ns, l2_ns = cost[C_USER_ACCESS], cost[C_TLB_L2_HIT]
    accesses = counts[N_L1] + counts[N_L2]
    led[L_TLB] += counts[N_L2] * l2_ns
    stat[TS_L1_HITS] += counts[N_L1]
    stat[TS_L2_HITS] += counts[N_L2]
    hits = k.hist[tid * NR_KINDS + KIND_TLB_HIT]
    walks = k.hist[tid * NR_KINDS + KIND_WALK]
    if in_histogram != 0:
        if counts[N_L1] > 0:
            hits[hist_bucket(user_ns)] += counts[N_L1]
        if counts[N_L2] > 0:
            hits[hist_bucket(user_ns + l2_ns)] += counts[N_L2]
    for spared in range(upper + 1):
        number = counts[N_WALKS + spared]
        if number > 0:
            walk_ns = _walk_ns(k, spared, upper)
            accesses += number
            led[L_WALK] += number * walk_ns
            led[L_TRAP] += number * _refill_ns(k)
            stat[TS_WALKS] += number
            stat[TS_WALK_REFS] += number * (upper - spared + 1)
            if in_histogram != 0:
                walks[hist_bucket(user_ns + walk_ns + _refill_ns(k))] += number
    led[L_USER] += accesses * (user_ns + work_ns)
    k.task[tid, T_ACCESSES] += accesses


@compiled
def access_burst(k, cpu, tid, work_ns):
    """Run the accesses in a task's buffer, `work_ns` of the program's own work each, from T_BUF_POS on: why it stopped.

    ACCESS_DONE: all are done.  ACCESS_FAULT: the one at T_BUF_POS faults (SC_FAULT_VPN, SC_FAULT_WRITE); its walk is charged, and T_ACC_BEGAN
    says when it began, if it hadn't faulted before.  ACCESS_BUDGET: the slice's time is used up; only the last access may go beyond it.
    When T_ACC_KIND says that the first access had faulted, its latency is counted from T_ACC_BEGAN under that kind.
    """
    task, counts = k.task[tid], scratch_row(NR_COUNTS)
    while True:
        is_retry = task[T_ACC_KIND] >= KIND_MINOR and task[T_BUF_POS] < task[T_BUF_LEN]
        end = task[T_BUF_POS] + 1 if is_retry else task[T_BUF_LEN]
        for i in range(NR_COUNTS):
            counts[i] = 0
        if _has_own_loop(k):
            reason = _burst_4_8_4(k, cpu, tid, end, work_ns, counts)
        else:
            reason = _burst_any(k, cpu, tid, end, work_ns, counts)
        _settle(k, cpu, tid, work_ns, counts, 0 if is_retry else 1)
        if reason == ACCESS_FAULT:
            _report_fault(k, cpu, tid)
        if not is_retry or reason != ACCESS_DONE:
            return reason
        latency_ns = k.sc[SC_NOW] + _spent(k) - work_ns - task[T_ACC_BEGAN]
        k.hist[tid * NR_KINDS + task[T_ACC_KIND], hist_bucket(latency_ns)] += 1
        task[T_ACC_KIND] = KIND_TLB_HIT


@compiled
def _report_fault(k, cpu, tid):
    task = k.task
    access = k.abuf[tid, task[tid, T_BUF_POS]]
    if task[tid, T_ACC_KIND] < KIND_MINOR:
        task[tid, T_ACC_BEGAN] = k.sc[SC_NOW] + _spent(k)
    k.sc[SC_FAULT_VPN] = access >> 1
    k.sc[SC_FAULT_WRITE] = access & 1
    _failed_walk(k, cpu, tid, access >> 1)
