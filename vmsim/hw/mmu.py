"""A task's accesses: the burst of its buffer is run, charged and counted, and the access that faults is reported."""

from __future__ import annotations

from vmsim.hw.burst import (
    ACCESS_FAULT,
    LOOP_HUGE,
    LOOP_OWN,
    N_FIRST,
    N_FIRST_NS,
    N_HUGE_WALKS,
    N_L1,
    N_L2,
    N_WALKS,
    NR_COUNTS,
    burst_any,
    burst_huge,
    burst_own,
    failed_walk_any,
    failed_walk_huge,
    failed_walk_own,
    loop_of,
    refill_ns,
    spent_ns,
    walk_ns,
)
from vmsim.hw.tlb import TS_L1_HITS, TS_L2_HITS, TS_WALK_REFS, TS_WALKS
from vmsim.struct.costs import C_TLB_L2_HIT, C_USER_ACCESS
from vmsim.struct.histogram import hist_bucket
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_LEVELS, SC_FAULT_VPN, SC_FAULT_WRITE, SC_NOW
from vmsim.struct.ledger import L_TLB, L_TRAP, L_USER, L_WALK
from vmsim.struct.tasks import (
    KIND_MINOR,
    KIND_TLB_HIT,
    KIND_WALK,
    NR_KINDS,
    T_ACC_BEGAN,
    T_ACC_KIND,
    T_ACCESSES,
    T_BUF_POS,
)
from vmsim.struct.ways import scratch_row


@compiled
def _settle_walks(k, cpu, tid, counts, kind, spared, depth):
    """Charge and count the walks of one kind, which read `depth` upper tables but for those spared; how many they are."""
    led, stat, number = k.led, k.tlb_stat[cpu], counts[kind]
    number_ns = walk_ns(k, spared, depth)
    led[L_WALK] += number * number_ns
    led[L_TRAP] += number * refill_ns(k)
    stat[TS_WALKS] += number
    stat[TS_WALK_REFS] += number * (depth - spared + 1)
    shown = number - (1 if counts[N_FIRST] == kind else 0)
    k.hist[tid * NR_KINDS + KIND_WALK, hist_bucket(k.cost[C_USER_ACCESS] + number_ns + refill_ns(k))] += shown
    return number


@compiled
def _settle(k, cpu, tid, work_ns, counts):
    """Charge and count the accesses that a burst completed; one that was told apart is not in the histogram."""
    cost, led, stat = k.cost, k.led, k.tlb_stat[cpu]
    upper = k.geo[G_LEVELS] - 1
    user_ns, l2_ns = cost[C_USER_ACCESS], cost[C_TLB_L2_HIT]
    accesses = counts[N_L1] + counts[N_L2]
    if accesses > 0:
        led[L_TLB] += counts[N_L2] * l2_ns
        stat[TS_L1_HITS] += counts[N_L1]
        stat[TS_L2_HITS] += counts[N_L2]
        hits = k.hist[tid * NR_KINDS + KIND_TLB_HIT]
        hits[hist_bucket(user_ns)] += counts[N_L1] - (1 if counts[N_FIRST] == N_L1 else 0)
        hits[hist_bucket(user_ns + l2_ns)] += counts[N_L2] - (1 if counts[N_FIRST] == N_L2 else 0)
    for spared in range(upper + 1):
        if counts[N_WALKS + spared] > 0:
            accesses += _settle_walks(k, cpu, tid, counts, N_WALKS + spared, spared, upper)
        if counts[N_HUGE_WALKS + spared] > 0:
            accesses += _settle_walks(k, cpu, tid, counts, N_HUGE_WALKS + spared, spared, upper - 1)
    led[L_USER] += accesses * (user_ns + work_ns)
    k.task[tid, T_ACCESSES] += accesses


@compiled
def access_burst(k, cpu, tid, work_ns):
    """Run the accesses in a task's buffer, `work_ns` of the program's own work each, from T_BUF_POS on:

    why it stopped.

    ACCESS_DONE: all are done.  ACCESS_FAULT: the one at T_BUF_POS faults (SC_FAULT_VPN, SC_FAULT_WRITE); its walk is
    charged, and T_ACC_BEGAN says when it began, if it hadn't faulted before.  ACCESS_BUDGET: the slice's time is used
    up; only the last access may go beyond it. When T_ACC_KIND says that the first access had faulted, its latency is
    counted from T_ACC_BEGAN under that kind.
    """
    task, counts = k.task[tid], scratch_row(NR_COUNTS)
    for i in range(NR_COUNTS):
        counts[i] = 0
    counts[N_FIRST] = -1
    apart = 1 if task[T_ACC_KIND] >= KIND_MINOR else 0
    begun_ns = k.sc[SC_NOW] + spent_ns(k) if apart != 0 else 0
    loop = loop_of(k)
    if loop == LOOP_OWN:
        reason = burst_own(k, cpu, tid, apart, work_ns, counts)
    elif loop == LOOP_HUGE:
        reason = burst_huge(k, cpu, tid, apart, work_ns, counts)
    else:
        reason = burst_any(k, cpu, tid, apart, work_ns, counts)
    if counts[N_FIRST] >= 0:
        latency_ns = begun_ns + counts[N_FIRST_NS] - work_ns - task[T_ACC_BEGAN]
        k.hist[tid * NR_KINDS + task[T_ACC_KIND], hist_bucket(latency_ns)] += 1
        task[T_ACC_KIND] = KIND_TLB_HIT
    _settle(k, cpu, tid, work_ns, counts)
    if reason == ACCESS_FAULT:
        _report_fault(k, cpu, tid, loop)
    return reason


@compiled
def _report_fault(k, cpu, tid, loop):
    task = k.task
    access = k.abuf[tid, task[tid, T_BUF_POS]]
    if task[tid, T_ACC_KIND] < KIND_MINOR:
        task[tid, T_ACC_BEGAN] = k.sc[SC_NOW] + spent_ns(k)
    k.sc[SC_FAULT_VPN] = access >> 1
    k.sc[SC_FAULT_WRITE] = access & 1
    if loop == LOOP_OWN:
        failed_walk_own(k, cpu, tid, access >> 1)
    elif loop == LOOP_HUGE:
        failed_walk_huge(k, cpu, tid, access >> 1)
    else:
        failed_walk_any(k, cpu, tid, access >> 1)
