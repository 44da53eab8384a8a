"""Signals of a program: a handler begins, with what the access that faulted was doing put aside, and returns."""

from vmsim.mm.exit import do_exit
from vmsim.mm.fault import note_error
from vmsim.struct.costs import C_SIGNAL_DELIVER, C_SIGRETURN
from vmsim.struct.errno import SIGSEGV
from vmsim.struct.jit import compiled
from vmsim.struct.ledger import L_SIGNAL
from vmsim.struct.tasks import (
    EXIT_SIGNAL,
    SLICE_EXIT,
    T_ACC_BEGAN,
    T_ACC_KIND,
    T_ACC_LEFT,
    T_BUF_LEN,
    T_BUF_POS,
    T_BUS_PC,
    T_BUS_REG,
    T_NSIGNALS,
    T_PC,
    T_SAVED_BEGAN,
    T_SAVED_KIND,
    T_SAVED_LEFT,
    T_SAVED_LEN,
    T_SAVED_PC,
    T_SAVED_POS,
    T_SEGV_PC,
    T_SEGV_REG,
    T_SI_ADDR,
)
from vmsim.workload.instructions import GO_ON


@compiled
def deliver_signal(k, tid, signal):
    """Start the program's handler, or end the task if it has none or is in one already."""
    target = k.task[tid, T_SEGV_PC if signal == SIGSEGV else T_BUS_PC]
    if target < 0 or k.task[tid, T_SAVED_PC] >= 0:
        note_error(k, tid)
        do_exit(k, tid, EXIT_SIGNAL, signal)
        return SLICE_EXIT
    task = k.task[tid]
    k.led[L_SIGNAL] += k.cost[C_SIGNAL_DELIVER]
    task[T_NSIGNALS] += 1
    task[T_SAVED_PC] = task[T_PC]
    task[T_SAVED_POS] = task[T_BUF_POS]
    task[T_SAVED_LEN] = task[T_BUF_LEN]
    task[T_SAVED_KIND] = task[T_ACC_KIND]
    task[T_SAVED_BEGAN] = task[T_ACC_BEGAN]
    task[T_SAVED_LEFT] = task[T_ACC_LEFT]
    task[T_ACC_KIND] = 0
    task[T_ACC_LEFT] = -1
    k.reg[tid, task[T_SEGV_REG if signal == SIGSEGV else T_BUS_REG]] = task[T_SI_ADDR]
    task[T_PC] = target
    return GO_ON


@compiled
def sigreturn(k, tid):
    task = k.task[tid]
    k.led[L_SIGNAL] += k.cost[C_SIGRETURN]
    task[T_PC] = task[T_SAVED_PC]
    task[T_BUF_POS] = task[T_SAVED_POS]
    task[T_BUF_LEN] = task[T_SAVED_LEN]
    task[T_ACC_KIND] = task[T_SAVED_KIND]
    task[T_ACC_BEGAN] = task[T_SAVED_BEGAN]
    task[T_ACC_LEFT] = task[T_SAVED_LEFT]
    task[T_SAVED_PC] = -1
