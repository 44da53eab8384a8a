"""The kernel's own threads and its swap areas, as a machine is built with them."""

from __future__ import annotations

from vmsim.machine.streams import Streams
from vmsim.machine.task import Task
from vmsim.mm.swapon import NO_PRIORITY, define_swap_area, enable_swap_area
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
    return sum(area.size // machine.page_size for area in machine.swap_areas)


def _is_rotational(device: DeviceSpec) -> bool:
    return isinstance(device, Hdd) or device.rotational


def add_swap(kernel: Kernel, machine: MachineSpec, streams: Streams) -> None:
    """The swap areas, switched on where they are to be: at the end of their devices, each before the one that was named before it.

    On a solid-state device an area begins to be used at a random place.
    """
    for number, spec in enumerate(machine.devices.values()):
        kernel.dev[number, sw.D_ROTATIONAL] = _is_rotational(spec)
        kernel.dev[number, sw.D_QUEUES] = spec.queues or machine.cpus
    ends = {name: spec.size // machine.page_size for name, spec in machine.devices.items()}
    generator = streams.generator("swap")
    for area in machine.swap_areas:
        slots = area.size // machine.page_size
        ends[area.device] = block = max(ends[area.device] - slots, 0)
        solid = not _is_rotational(machine.devices[area.device])
        start = int(generator.integers(1, slots)) if solid else 1
        device = list(machine.devices).index(area.device)
        number = define_swap_area(kernel.k, device, block, slots, int(solid), int(area.file), start)
        if area.on:
            enable_swap_area(kernel.k, number, NO_PRIORITY if area.priority is None else area.priority)
