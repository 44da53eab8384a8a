"""TLBs of two levels and page-walk caches: what they hold, how they are flushed, and address-space identifiers.

Each level is set-associative with any number of ways (fully associative: one set).  A set is a queue: a new
translation enters at its front and pushes out the oldest.  Filling, flushing and refilling a set of w ways in order
therefore keeps any w pages, as in hardware, and a flushed entry leaves room at the end, so a set never evicts while it
has room.  This is round-robin replacement without a pointer.  The pseudo-LRU trees of x86 differ where some pages of a
set are used more often than others: a hit protects an entry there and doesn't here, so a hot page among a stream of
cold ones is evicted once in `ways` fills of its set.  For uniformly random pages the rates are the same; a
cyclic sweep just beyond the capacity always misses here and not quite always there.  The reason for the choice is
speed: a set is compared and shifted as one vector, and a hit writes nothing.

`k.tlb_tag[cpu]` holds the sets of the first level, then those of the second; `k.pwc_tag[cpu]` holds PWC_LEVEL_ENTRIES
entries for each upper level of the page tables, top level first.  An entry is a tag; 0 is an empty way.
"""

from __future__ import annotations

from vmsim.struct.costs import C_IPI, C_IPI_RECEIVED, C_TLB_FLUSH_FULL, C_TLB_FLUSH_PAGE
from vmsim.struct.jit import compiled, entry
from vmsim.struct.kernel import (
    G_ASIDS,
    G_BROADCAST_FLUSH,
    G_FLUSH_CEILING,
    G_L1_SETS,
    G_L1_WAYS,
    G_L2_SETS,
    G_L2_WAYS,
    G_LEVELS,
    SC_ASID_NEXT,
    SC_NR_CPUS,
)
from vmsim.struct.ledger import L_IPI, L_RECLAIM, L_SYSCALL
from vmsim.struct.rules import R_LAZY_TLB_SKIPPED
from vmsim.struct.vmas import MM_ASID, MM_CPUMASK
from vmsim.struct.ways import match_ways

# A tag: asid << TAG_ASID | vpn << TAG_VPN | TAG_VALID, and TAG_WRITE if writes are allowed and the page is dirty
# already.
TAG_WRITE = 1
TAG_VALID = 2
TAG_VPN = 2
TAG_ASID = 46

# An entry of a walk cache has a table's part of the vpn instead, both low bits set, and the epoch in which it was made:
# a flush begins a new epoch.
TAG_EPOCH = 40
WALK_EPOCHS = 1 << (TAG_ASID - TAG_EPOCH)

PWC_LEVEL_ENTRIES = 64
LAST_CPU_BIT = 62  # of mm[MM_CPUMASK]; stands for all CPUs from there up

# Columns of `tlb_stat`, one row a CPU.
TS_MM = 0  # address space whose page tables are loaded, 0: none
TS_RESERVED_ASID = 1  # identifier that was loaded when the generation rolled over
TS_IPIS = 2  # sent by this CPU
TS_L1_HITS = 3
TS_L2_HITS = 4
TS_WALKS = 5  # completed
TS_WALK_REFS = 6  # tables read by them
TS_FAULTS = 7  # walks that ended in a fault
TS_FLUSHED_ALL = 8
TS_FLUSHED_PAGES = 9
TS_WALK_EPOCH = 10
TS_LAZY = 11  # it runs nothing of the address space that is loaded: it idles, or runs a kernel thread
TS_INTERRUPTED_NS = 12  # taken by other CPUs' flushes from what it runs, and not charged yet

# mm[MM_ASID] and sc[SC_ASID_NEXT] are generation << ASID_BITS | identifier; 0 is none.
ASID_BITS = 16
ASID_MASK = (1 << ASID_BITS) - 1


@compiled
def asid_tag(k, mm):
    """The address-space bits of a tag; 0 where the hardware has no identifiers."""
    if k.geo[G_ASIDS] == 0:
        return 0
    return (k.mm[mm, MM_ASID] & ASID_MASK) << TAG_ASID


@compiled
def tlb_entries(k):
    """Entries of both levels of a CPU's TLB."""
    geo = k.geo
    return geo[G_L1_SETS] * geo[G_L1_WAYS] + geo[G_L2_SETS] * geo[G_L2_WAYS]


@compiled
def walk_cache_epoch(k, cpu):
    """The bits of a walk-cache entry that hold the epoch, with both bits below TAG_VPN."""
    return k.tlb_stat[cpu, TS_WALK_EPOCH] << TAG_EPOCH | TAG_VALID | TAG_WRITE


@compiled
def _drop_walk_cache(k, cpu):
    """Make all entries of the walk caches too old to match; they are the oldest of their sets and go first."""
    epoch = k.tlb_stat[cpu, TS_WALK_EPOCH] + 1
    if epoch == WALK_EPOCHS:
        epoch = 0
        pwc = k.pwc_tag[cpu]
        for i in range((k.geo[G_LEVELS] - 1) * PWC_LEVEL_ENTRIES):
            pwc[i] = 0
    k.tlb_stat[cpu, TS_WALK_EPOCH] = epoch


@compiled
def tlb_flush_all(k, cpu):
    """Drop everything that a CPU's TLB and walk caches hold.  Takes no simulated time."""
    tags = k.tlb_tag
    for i in range(tlb_entries(k)):
        tags[cpu, i] = 0
    _drop_walk_cache(k, cpu)
    k.tlb_stat[cpu, TS_FLUSHED_ALL] += 1


@compiled
def _sweep(k, cpu, first_tag, end_tag):
    """Drop the entries whose tags lie in first_tag..end_tag - 1; what remains of each set closes ranks."""
    geo, tags = k.geo, k.tlb_tag
    base = 0
    for level in range(2):
        ways = geo[G_L1_WAYS] if level == 0 else geo[G_L2_WAYS]
        for _ in range(geo[G_L1_SETS] if level == 0 else geo[G_L2_SETS]):
            kept = base
            for i in range(base, base + ways):
                tag = tags[cpu, i]
                tags[cpu, i] = 0
                if tag < first_tag or tag >= end_tag:
                    tags[cpu, kept] = tag
                    kept += 1
            base += ways


@compiled
def _drop_from_set(k, cpu, tag, base, ways):
    tags = k.tlb_tag[cpu]
    way = match_ways(tags, base, ways, tag | TAG_WRITE, TAG_WRITE)
    if way >= 0:
        for i in range(base + way, base + ways - 1):
            tags[i] = tags[i + 1]
        tags[base + ways - 1] = 0


@compiled
def _drop_page(k, cpu, tag, vpn):
    geo = k.geo
    _drop_from_set(k, cpu, tag, (vpn & (geo[G_L1_SETS] - 1)) * geo[G_L1_WAYS], geo[G_L1_WAYS])
    second = geo[G_L1_SETS] * geo[G_L1_WAYS]
    _drop_from_set(k, cpu, tag, second + (vpn & (geo[G_L2_SETS] - 1)) * geo[G_L2_WAYS], geo[G_L2_WAYS])


@compiled
def tlb_flush_page(k, cpu, mm, vpn):
    """Drop one page's entries on one CPU, and all of its walk caches.  Takes no simulated time.

    INVLPG drops all paging-structure caches, whatever the address (Intel SDM vol. 3, 4.10.4.1).
    """
    _drop_page(k, cpu, asid_tag(k, mm) | vpn << TAG_VPN | TAG_VALID, vpn)
    _drop_walk_cache(k, cpu)
    k.tlb_stat[cpu, TS_FLUSHED_PAGES] += 1


@compiled
def _tlb_flush_pages(k, cpu, mm, start, end):
    """Drop the entries of the pages start..end - 1 on one CPU, one by one or by a sweep, whichever the host does
    faster.
    """
    asid = asid_tag(k, mm)
    if end - start <= 64:
        for vpn in range(start, end):
            _drop_page(k, cpu, asid | vpn << TAG_VPN | TAG_VALID, vpn)
    else:
        _sweep(k, cpu, asid | start << TAG_VPN, asid | end << TAG_VPN)
    _drop_walk_cache(k, cpu)
    k.tlb_stat[cpu, TS_FLUSHED_PAGES] += end - start


@compiled
def tlb_flush_mm(k, cpu, mm):
    """Drop an address space's entries on one CPU; all entries where there are no identifiers.

    Takes no simulated time.
    """
    if k.geo[G_ASIDS] == 0:
        tlb_flush_all(k, cpu)
        return
    first = asid_tag(k, mm)
    _sweep(k, cpu, first, first + (1 << TAG_ASID))
    _drop_walk_cache(k, cpu)
    k.tlb_stat[cpu, TS_FLUSHED_ALL] += 1


@compiled
def _cpu_bit(cpu):
    return 1 << min(cpu, LAST_CPU_BIT)


@compiled
def _interrupt(k, cpu, cpus):
    """A CPU has interrupted others for a flush, and waited for all of them."""
    if cpus > 0 and k.geo[G_BROADCAST_FLUSH] == 0:
        k.led[L_IPI] += k.cost[C_IPI]
        k.tlb_stat[cpu, TS_IPIS] += cpus


@compiled
def _flush_lazy(k, cpu, mm):
    """A CPU that doesn't run the loaded address space leaves it, and takes no part in its flushes any more (leave_mm); since 4.20 it isn't
    even interrupted, and flushes when it comes back. Whether it was.
    """
    tlb_flush_all(k, cpu)
    if k.rule[R_LAZY_TLB_SKIPPED] != 0:
        return False
    k.tlb_stat[cpu, TS_MM] = 0
    k.mm[mm, MM_CPUMASK] &= ~_cpu_bit(cpu)
    return True


@compiled
def should_defer_flush(k, cpu, mm):
    """Whether unmapping a page for reclaim leaves its flush for later, together with others: where other CPUs must be interrupted."""
    others = k.mm[mm, MM_CPUMASK] & ~_cpu_bit(cpu)
    return others != 0 and k.geo[G_ASIDS] == 0 and k.geo[G_BROADCAST_FLUSH] == 0


@compiled
def flush_cpus(k, cpu, mask):
    """Flush all of the TLBs of the CPUs of a mask, with one interrupt for the others.   mm/rmap.c: try_to_unmap_flush of v4.4.

    Who is lazy stays in the masks of its address space: unlike `_flush_lazy`, this only flushes (percpu_flush_tlb_batch_pages).
    """
    cpus = 0
    for other in range(k.sc[SC_NR_CPUS]):
        if mask & _cpu_bit(other) == 0:
            continue
        tlb_flush_all(k, other)
        if other == cpu:
            k.led[L_RECLAIM] += k.cost[C_TLB_FLUSH_FULL]
        elif k.tlb_stat[other, TS_LAZY] == 0 or k.rule[R_LAZY_TLB_SKIPPED] == 0:
            k.tlb_stat[other, TS_INTERRUPTED_NS] += k.cost[C_IPI_RECEIVED]
            cpus += 1
    _interrupt(k, cpu, cpus)


@compiled
def _flush_others(k, cpu, mm, start, end):
    """Drop pages (end 0: all) of an address space on the other CPUs that may hold them; the number of these CPUs."""
    cpus = 0
    if k.mm[mm, MM_CPUMASK] & ~_cpu_bit(cpu) == 0 and cpu < LAST_CPU_BIT:
        return 0
    for other in range(k.sc[SC_NR_CPUS]):
        if other == cpu or k.mm[mm, MM_CPUMASK] & _cpu_bit(other) == 0:
            continue
        if k.geo[G_ASIDS] == 0 and k.tlb_stat[other, TS_MM] != mm:
            continue
        if k.geo[G_ASIDS] == 0 and k.tlb_stat[other, TS_LAZY] != 0:
            if not _flush_lazy(k, other, mm):
                continue
        elif end != 0:
            _tlb_flush_pages(k, other, mm, start, end)
        else:
            tlb_flush_mm(k, other, mm)
        if k.geo[G_BROADCAST_FLUSH] == 0:
            k.tlb_stat[other, TS_INTERRUPTED_NS] += k.cost[C_IPI_RECEIVED]
        cpus += 1
    _interrupt(k, cpu, cpus)
    return cpus


@compiled
def flush_range_as(k, cpu, mm, start, end, column):
    """Flush pages start..end - 1 of an address space everywhere:

    one by one up to the ceiling, above it all of the address space.

    The time that this CPU takes for its own TLB goes to the ledger's `column`.  Other CPUs are reached by interrupt:
    `ipi` once, to L_IPI, for sending and waiting for all of them, and `ipi_received` on each, in its next slice; or by
    the flush instruction itself where that is broadcast.   Follows arch/x86/mm/tlb.c: flush_tlb_mm_range
    of v4.4, whose ceiling is 33 pages.
    """
    whole = end - start > k.geo[G_FLUSH_CEILING]
    loaded = k.tlb_stat[cpu, TS_MM]
    if loaded == mm or loaded == 0 or k.geo[G_ASIDS] != 0:
        if whole:
            tlb_flush_mm(k, cpu, mm)
            k.led[column] += k.cost[C_TLB_FLUSH_FULL]
        else:
            _tlb_flush_pages(k, cpu, mm, start, end)
            k.led[column] += (end - start) * k.cost[C_TLB_FLUSH_PAGE]
    elif k.geo[G_BROADCAST_FLUSH] == 0:
        whole = True
    _flush_others(k, cpu, mm, start, 0 if whole else end)


@compiled
def flush_range(k, cpu, mm, start, end):
    """`flush_range_as` of a system call: this CPU's part is charged to L_SYSCALL."""
    flush_range_as(k, cpu, mm, start, end, L_SYSCALL)


@compiled
def flush_mm(k, cpu, mm):
    """Flush an address space everywhere (fork, exit), charged as `flush_range`.   flush_tlb_mm."""
    tlb_flush_mm(k, cpu, mm)
    k.led[L_SYSCALL] += k.cost[C_TLB_FLUSH_FULL]
    _flush_others(k, cpu, mm, 0, 0)


@compiled
def _is_reserved(k, identifier):
    for cpu in range(k.sc[SC_NR_CPUS]):
        if k.tlb_stat[cpu, TS_RESERVED_ASID] == identifier:
            return True
    return False


@compiled
def _roll_over(k, cpu):
    """Begin a new generation of identifiers: all TLBs are flushed; address spaces on other CPUs keep theirs."""
    generation = (k.sc[SC_ASID_NEXT] >> ASID_BITS) + 1
    k.sc[SC_ASID_NEXT] = generation << ASID_BITS | 1
    stat = k.tlb_stat
    for other in range(k.sc[SC_NR_CPUS]):
        running = stat[other, TS_MM] if other != cpu else 0
        stat[other, TS_RESERVED_ASID] = k.mm[running, MM_ASID] & ASID_MASK if running != 0 else 0
        if running != 0:
            k.mm[running, MM_ASID] = generation << ASID_BITS | stat[other, TS_RESERVED_ASID]
        tlb_flush_all(k, other)


@compiled
def _take_asid(k, cpu, mm):
    """Make sure that an address space has an identifier of this generation: True if all TLBs had to be flushed for it.

    Follows arch/arm/mm/context.c: check_and_switch_context and new_context of v4.4.
    """
    generation = k.sc[SC_ASID_NEXT] >> ASID_BITS
    if generation != 0 and k.mm[mm, MM_ASID] >> ASID_BITS == generation:
        return False
    rolled_over = False
    if generation == 0:
        k.sc[SC_ASID_NEXT] = 1 << ASID_BITS | 1
    while True:
        identifier = k.sc[SC_ASID_NEXT] & ASID_MASK
        if identifier == 0 or identifier >= k.geo[G_ASIDS]:
            _roll_over(k, cpu)
            rolled_over = True
            if k.mm[mm, MM_ASID] >> ASID_BITS == k.sc[SC_ASID_NEXT] >> ASID_BITS:
                return True
        elif _is_reserved(k, identifier):
            k.sc[SC_ASID_NEXT] += 1
        else:
            k.mm[mm, MM_ASID] = k.sc[SC_ASID_NEXT]
            k.sc[SC_ASID_NEXT] += 1
            return rolled_over


@entry
def switch_mm(k, cpu, mm):
    """Load the page tables of `mm` on a CPU: what that costs beyond the context switch, in ns; nothing is charged.

    Without identifiers the TLB is dropped, as x86 of v4.4 does even where the CPU has PCIDs; with them it is kept.  A
    CPU that idles keeps its address space, lazily (`_flush_lazy`).
    """
    stat = k.tlb_stat
    previous = stat[cpu, TS_MM]
    if previous == mm and k.mm[mm, MM_CPUMASK] & _cpu_bit(cpu) != 0:
        return 0
    stat[cpu, TS_MM] = mm
    k.mm[mm, MM_CPUMASK] |= _cpu_bit(cpu)
    if k.geo[G_ASIDS] != 0:
        return k.cost[C_TLB_FLUSH_FULL] if _take_asid(k, cpu, mm) else 0
    if previous != 0 and previous != mm and cpu < LAST_CPU_BIT:
        k.mm[previous, MM_CPUMASK] &= ~_cpu_bit(cpu)
    tlb_flush_all(k, cpu)
    return k.cost[C_TLB_FLUSH_FULL]
