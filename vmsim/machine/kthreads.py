"""The kernel's own threads and its swap areas, as a machine is built with them."""

from __future__ import annotations

from vmsim.machine.streams import Streams
from vmsim.machine.task import Task
from vmsim.mm.swapfile import add_swap_area
from vmsim.spec.devices import DeviceSpec, Hdd
from vmsim.spec.machine import MachineSpec
from vmsim.struct import reclaim as rc
from vmsim.struct import swaps as sw
from vmsim.struct import tasks as t
from vmsim.struct.kernel import Kernel
from vmsim.struct.writeback import BD_TID, DAEMON_FLUSHER
from vmsim.workload.instructions import CODE_ARG, CODE_OP, OP_DAEMON


def daemon_count(machine: MachineSpec) -> int:
    """The kernel's threads on a machine: kswapd, and a flusher for each device."""
    return 1 + len(machine.devices)


def _add_daemon(kernel: Kernel, tid: int, pc: int, kind: int, name: str) -> Task:
    kernel.code[pc, CODE_OP] = OP_DAEMON
    kernel.code[pc, CODE_ARG] = kind
    row = kernel.task[tid]
    row[t.T_PC] = pc
    row[t.T_SEGV_PC] = row[t.T_BUS_PC] = row[t.T_SAVED_PC] = row[t.T_ACC_LEFT] = -1
    row[t.T_OOM_ADJ] = -1000
    return Task(tid, name, daemon=True)


def make_daemons(kernel: Kernel, machine: MachineSpec, first_tid: int, first_pc: int) -> dict[int, Task]:
    """The kernel's threads, asleep, by their bit of SC_WAKE.

    They have rows of `task` from `first_tid` on, and programs of one instruction each from `first_pc` on.
    """
    daemons = {rc.DAEMON_KSWAPD: _add_daemon(kernel, first_tid, first_pc, rc.DAEMON_KSWAPD, "kswapd0")}
    kernel.node[rc.N_KSWAPD_TID] = first_tid
    kernel.node[rc.N_KSWAPD_ASLEEP] = 1
    for number, device in enumerate(machine.devices):
        kind, tid = DAEMON_FLUSHER + number, first_tid + 1 + number
        daemons[kind] = _add_daemon(kernel, tid, first_pc + 1 + number, kind, f"flush-{device}")
        kernel.bdi[number, BD_TID] = tid
    return daemons


def swap_slots(machine: MachineSpec) -> int:
    """Pages of all swap areas."""
    return machine.swap.size // machine.page_size if machine.swap else 0


def _is_rotational(device: DeviceSpec) -> bool:
    return isinstance(device, Hdd) or device.rotational


def add_swap(kernel: Kernel, machine: MachineSpec, streams: Streams) -> None:
    """swapon: the area lies at the end of its device; on a solid-state device it begins to be used at a random place."""
    for number, device in enumerate(machine.devices.values()):
        kernel.dev[number, sw.D_ROTATIONAL] = _is_rotational(device)
    if machine.swap is None:
        return
    spec = machine.devices[machine.swap.device]
    slots = swap_slots(machine)
    solid = not _is_rotational(spec)
    start = int(streams.generator("swap").integers(1, slots)) if solid else 1
    block = max(spec.size // machine.page_size - slots, 0)
    add_swap_area(kernel.k, list(machine.devices).index(machine.swap.device), block, slots, -1, int(solid), start)
