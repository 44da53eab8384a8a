"""Which pages of the oldest generation are worth keeping: tiers, weighed by refaults.   Follows mm/vmscan.c and workingset.c of v6.1.

A tier's refaults are set against the refaults of the first tier, as a controller sets a process variable against its set point.
A shadow is -((min_seq << 2 | refs - 1) << 1 | the page was used more than once) - 1.
"""

from vmsim.mm.mglru import refs_of, tier_of
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_LRU_FAULT
from vmsim.struct.pages import MAX_NR_TIERS, MIN_LRU_BATCH, P_FLAGS, PG_REFS_MASK, PG_SWAPBACKED, PG_WORKINGSET
from vmsim.struct.reclaim import N_AVG_REFAULTED, N_AVG_TOTAL, N_EVICTED, N_MIN_SEQ, N_PROTECTED, N_REFAULTED
from vmsim.struct.vmstat import WORKINGSET_REFAULT, WORKINGSET_REFAULT_ANON, WORKINGSET_RESTORE_ANON

MAX_REFS = 4


@compiled
def _refaulted(k, row):
    return k.node[N_AVG_REFAULTED + row] + k.node[N_REFAULTED + row]


@compiled
def _total(k, row):
    return k.node[N_AVG_TOTAL + row] + k.node[N_EVICTED + row] + k.node[N_PROTECTED + row]


@compiled
def _positive(k, base, base_gain, row, gain):
    """Whether a tier has few refaults, or for what was evicted of it no more than the set point (positive_ctrl_err)."""
    refaulted = _refaulted(k, row)
    if refaulted < MIN_LRU_BATCH:
        return True
    return refaulted * (_total(k, base) + MIN_LRU_BATCH) * base_gain <= (_refaulted(k, base) + 1) * _total(k, row) * gain


@compiled
def last_tier(k, other, base_gain, file, gain):
    """The last tier of a kind of pages that is evicted, by the refaults of the first tier of a kind `other` (get_tier_idx)."""
    tier = 1
    while tier < MAX_NR_TIERS and _positive(k, other * MAX_NR_TIERS, base_gain, file * MAX_NR_TIERS + tier, gain):
        tier += 1
    return tier - 1


@compiled
def type_to_scan(k, swappiness):
    """Which kind of pages comes back less often, weighed by swappiness: 0 anonymous, 1 files (get_type_to_scan)."""
    return 1 if _positive(k, 0, swappiness, MAX_NR_TIERS, 200 - swappiness) else 0


@compiled
def reset_ctrl_pos(k, file):
    """The oldest generation of a kind is gone: its counts fade into the averages (reset_ctrl_pos)."""
    node = k.node
    for row in range(file * MAX_NR_TIERS, (file + 1) * MAX_NR_TIERS):
        node[N_AVG_REFAULTED + row] = _refaulted(k, row) // 2
        node[N_AVG_TOTAL + row] = _total(k, row) // 2
        node[N_REFAULTED + row] = 0
        node[N_EVICTED + row] = 0
        node[N_PROTECTED + row] = 0


@compiled
def lru_gen_eviction(k, pfn):
    """The shadow of an evicted page (lru_gen_eviction)."""
    flags = k.frame[pfn, P_FLAGS]
    file = 0 if flags & PG_SWAPBACKED != 0 else 1
    refs = refs_of(flags)
    k.node[N_EVICTED + file * MAX_NR_TIERS + tier_of(refs)] += 1
    token = k.node[N_MIN_SEQ + file] * MAX_REFS + max(refs - 1, 0)
    return -(token << 1 | (1 if refs > 0 else 0)) - 1


@compiled
def lru_gen_refault(k, pfn, shadow, file):
    """A page comes back that was evicted from what is still the oldest generation (lru_gen_refault)."""
    packed = -shadow - 1
    token = packed >> 1
    if token // MAX_REFS != k.node[N_MIN_SEQ + file]:
        return
    refs = token % MAX_REFS + (packed & 1)
    k.node[N_REFAULTED + file * MAX_NR_TIERS + tier_of(refs)] += 1
    k.vmstat[WORKINGSET_REFAULT if file != 0 else WORKINGSET_REFAULT_ANON] += 1
    if k.sc[SC_LRU_FAULT] != 0 or refs >= MAX_REFS - 1:
        k.vmstat[WORKINGSET_RESTORE_ANON + file] += 1
        k.frame[pfn, P_FLAGS] |= PG_WORKINGSET | PG_REFS_MASK
