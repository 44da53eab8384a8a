"""Slab caches shrink as the LRU lists are scanned.   Follows mm/vmscan.c of v4.4 (shrink_slab, do_shrink_slab, drop_slab; section C.12).

By rules that of v6.1: there the priority of reclaim says how much.  Model: a call isn't interrupted, whatever it takes.
"""

from vmsim.mm.super import super_cache_count, super_cache_scan
from vmsim.mm.workingset import count_shadow_nodes, scan_shadow_nodes
from vmsim.struct.costs import C_SLAB_OBJECT
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NR_ZONES
from vmsim.struct.ledger import L_RECLAIM, L_SYSCALL
from vmsim.struct.pages import Z_PRESENT
from vmsim.struct.reclaim import (
    N_KSWAPD_FAILURES,
    S_END_ZONE,
    S_IS_KSWAPD,
    S_LRU_PAGES,
    S_PRIORITY,
    S_RECLAIMED,
    S_SCAN_BEGAN,
    S_SCANNED,
    SWAP_CLUSTER_MAX,
)
from vmsim.struct.rules import R_DROP_SLAB_DOUBLES, R_NODE_LRU, R_SHADOW_NODES_HALVE, R_SLAB_BY_PRIORITY
from vmsim.struct.slab import NR_SHRINKERS, SB_DENTRIES, SB_INODES, SHRINKER_SHADOW_NODES
from vmsim.struct.vmstat import NR_SLAB_RECLAIMABLE, SLABS_SCANNED

DEFAULT_SEEKS = 2  # what it takes to get an object back
SHRINK_BATCH = 128
_SUPER_BATCH = 1024  # fs/super.c: alloc_super
_ALL = 1000  # scanned and eligible of drop_slab_node: as if everything had been


@compiled
def _count_objects(k, shrinker):
    """Objects that a shrinker could free."""
    return count_shadow_nodes(k) if shrinker == SHRINKER_SHADOW_NODES else super_cache_count(k)


@compiled
def _scan_objects(k, shrinker, nr_to_scan):
    """Look at so many of them: how many it freed."""
    return scan_shadow_nodes(k, nr_to_scan) if shrinker == SHRINKER_SHADOW_NODES else super_cache_scan(k, nr_to_scan)


@compiled
def _is_empty(k, shrinker):
    """Whether a superblock has no unused object left, though more were to be scanned (vm.vfs_cache_pressure above 100)."""
    return shrinker != SHRINKER_SHADOW_NODES and k.sb[SB_DENTRIES] + k.sb[SB_INODES] == 0


@compiled
def _delta(k, shrinker, freeable, scanned, eligible, priority):
    """Objects to scan this time: the share that reclaim scanned of the eligible pages, or what its priority says."""
    seeks = 0 if shrinker == SHRINKER_SHADOW_NODES and k.rule[R_SHADOW_NODES_HALVE] != 0 else DEFAULT_SEEKS
    if seeks == 0:
        return freeable // 2
    if k.rule[R_SLAB_BY_PRIORITY] != 0:
        return (freeable >> priority) * 4 // seeks
    return 4 * scanned // seeks * freeable // (eligible + 1)


@compiled
def do_shrink_slab(k, shrinker, scanned, eligible, priority):
    """Let a shrinker scan, in batches; what is less than one is put off until it is asked again. Objects freed."""
    freeable = _count_objects(k, shrinker)
    if freeable == 0:
        return 0
    deferred = k.nr_deferred[shrinker]
    delta = _delta(k, shrinker, freeable, scanned, eligible, priority)
    by_priority = k.rule[R_SLAB_BY_PRIORITY] != 0
    total = delta + (deferred >> priority if by_priority else deferred)
    if not by_priority and delta < freeable // 4:
        total = min(total, freeable // 2)
    total = min(total, 2 * freeable)
    batch = SHRINK_BATCH if shrinker == SHRINKER_SHADOW_NODES else _SUPER_BATCH
    left = total
    freed = 0
    while left >= batch or left >= freeable:
        count = min(batch, left)
        if _is_empty(k, shrinker):
            count = left if freeable < batch and left % batch >= freeable else left - left % batch
        else:
            freed += _scan_objects(k, shrinker, count)
        k.vmstat[SLABS_SCANNED] += count
        left -= count
    k.nr_deferred[shrinker] = min(max(deferred + delta - (total - left), 0), 2 * freeable) if by_priority else left
    return freed


@compiled
def shrink_slab(k, scanned, eligible, priority, ledger):
    """Let every shrinker scan its share: objects freed. What that takes is charged to a column of the ledger."""
    freed = 0
    for shrinker in range(NR_SHRINKERS):
        freed += do_shrink_slab(k, shrinker, scanned if scanned != 0 else SWAP_CLUSTER_MAX, eligible, priority)
    k.led[ledger] += freed * k.cost[C_SLAB_OBJECT]
    return freed


@compiled
def _is_classzone(k, s, lruvec):
    """Whether the zone is the highest that the reclaimer wants memory of; a node's lists are for all."""
    if k.rule[R_NODE_LRU] != 0:
        return True
    if s[S_IS_KSWAPD] != 0:
        return lruvec == s[S_END_ZONE]
    highest = k.sc[SC_NR_ZONES] - 1
    while k.zone[highest, Z_PRESENT] == 0:
        highest -= 1
    return lruvec == highest


@compiled
def shrink_slab_of_pass(k, s, lruvec):
    """After a pass over the lists of a zone or node: pages freed, which count as reclaimed (shrink_zone, shrink_node)."""
    if not _is_classzone(k, s, lruvec):
        return 0
    before = k.vmstat[NR_SLAB_RECLAIMABLE]
    shrink_slab(k, s[S_SCANNED] - s[S_SCAN_BEGAN], s[S_LRU_PAGES], s[S_PRIORITY], L_RECLAIM)
    pages = before - k.vmstat[NR_SLAB_RECLAIMABLE]
    s[S_RECLAIMED] += pages
    if pages > 0:
        k.node[N_KSWAPD_FAILURES] = 0
    return pages


@compiled
def drop_slab(k):
    """Shrink all slab caches until a round frees hardly anything (drop_slab_node)."""
    doubles = k.rule[R_DROP_SLAB_DOUBLES] != 0
    enough = 1 if doubles else 10
    while shrink_slab(k, _ALL, _ALL, 0, L_SYSCALL) > enough:
        enough = 2 * enough + 1 if doubles else enough
