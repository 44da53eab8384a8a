"""What surrounds a slice in the tables: the task's ledger before it, and after it what the machine must know of it.

`vmsim.machine.switch` makes one compiled call of this and the slice, because what a short slice costs most is the
border between Python and compiled code.
"""

from __future__ import annotations

from vmsim.struct.files import B_BLOCK, B_DEVICE, B_PAGES, B_STATE, B_WRITE, BIO_NEW, BIO_QUEUED
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import NR_BIOS, SC_NR_NEW_BIOS, SC_UNPLUGGED
from vmsim.struct.ledger import L_IO, L_RUNQ, L_SWITCH
from vmsim.struct.tasks import (
    SLICE_BLOCKED,
    T_CPU,
    T_NVCSW,
    T_STATE,
    T_WAIT,
    T_WAIT_ARG,
    TASK_BLOCKED,
    TASK_RUNNABLE,
    WAIT_NONE,
)

GOES_ON = -1  # instead of the ledger column of a wait: the task has not left the CPU


@compiled
def account(k, cpu, tid, since, ready, column, begin, switch_ns):
    """Bring a task's ledger from `since` up to its slice; returns when that begins: at `begin`, or after the switch.

    Up to `ready` the task slept (`column`; L_RUNQ: it didn't), and from there on it waited for the CPU. If it
    `GOES_ON`, there were only interrupts.
    """
    task = k.task[tid]
    led = k.task_led[tid]
    task[T_WAIT] = WAIT_NONE
    if column == GOES_ON:
        led[L_IO] += begin - since
        return begin
    task[T_STATE] = TASK_RUNNABLE
    task[T_CPU] = cpu
    if column != L_RUNQ:
        task[T_NVCSW] += 1
    led[column] += ready - since
    led[L_RUNQ] += begin - ready
    led[L_SWITCH] += switch_ns
    k.cpu_led[cpu, L_SWITCH] += switch_ns
    return begin + switch_ns


@compiled
def report(k, tid, begin, packed, row):
    """Ten numbers that the machine must know of a slice.

    Its end and reason; what the task waits for, and the argument of that; how many requests there are; and of the first
    its device, bio, direction, first page and pages.

    The kernel looks for free rows from SC_BIO_NEXT upwards, so the new ones are found by walking the same way from
    `row`, where that stood. The first now counts as queued; the others are left for `NewBios`. Where there is none, its
    bio is -1; and if there should be, the number is one too high, so that `NewBios` is asked and finds it missing.
    """
    reason = packed & 255
    task = k.task[tid]
    if reason == SLICE_BLOCKED:
        task[T_STATE] = TASK_BLOCKED
    new = k.sc[SC_NR_NEW_BIOS]
    bio = -1
    if new > 0:
        if k.sc[SC_UNPLUGGED] != 0:  # older than what the slice itself has made
            row = k.sc[SC_UNPLUGGED] - 1
            k.sc[SC_UNPLUGGED] = 0
        for i in range(row, row + NR_BIOS):
            if k.bio[i % NR_BIOS, B_STATE] == BIO_NEW:
                bio = i % NR_BIOS
                break
    b = k.bio[max(bio, 0)]
    if bio >= 0:
        b[B_STATE] = BIO_QUEUED
        k.sc[SC_NR_NEW_BIOS] = new - 1
    elif new > 0:
        new += 1
    return (
        begin + (packed >> 8), reason, task[T_WAIT], task[T_WAIT_ARG],
        new, b[B_DEVICE], bio, b[B_WRITE], b[B_BLOCK], b[B_PAGES],
    )  # fmt: skip
