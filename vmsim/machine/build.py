"""Building a simulated machine from a resolved run: the only place where all parts meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from vmsim.arch.profile import geometry, get_profile
from vmsim.arch.rules import rules_of
from vmsim.errors import VmsimError
from vmsim.machine.boot import boot, machine_zones
from vmsim.machine.devices import make_device
from vmsim.machine.dmesg import Dmesg
from vmsim.machine.image import IMAGE_FILES, SMALL_PAGE, code_page, dynamic_image, image_files
from vmsim.machine.kthreads import add_swap, daemon_count, make_daemons, swap_slots
from vmsim.machine.machine import Machine, Options
from vmsim.machine.patterns import fill_patterns, table_size
from vmsim.machine.procfs import ProcFs, Shown
from vmsim.machine.series import Series
from vmsim.machine.streams import Streams
from vmsim.machine.switch import compiled_entries
from vmsim.machine.task import Task
from vmsim.mm.boot import boot_writeback, clear_ledger
from vmsim.mm.exec import fill_page_cache, image_create, mm_create
from vmsim.mm.ext2 import indirect_blocks
from vmsim.mm.super import fill_super
from vmsim.spec.counters import PSI_COUNTERS
from vmsim.spec.devices import Hdd
from vmsim.spec.experiment import OutputsSpec, Scenario
from vmsim.spec.files import FileSpec
from vmsim.spec.rlimits import RESOURCES, default_rlimits
from vmsim.spec.show import PRESSURE_FILES
from vmsim.spec.steps import all_steps
from vmsim.spec.tasks import TaskSpec
from vmsim.spec.traces import TraceStep
from vmsim.struct import files as f
from vmsim.struct import kernel as kn
from vmsim.struct import pages as pg
from vmsim.struct import tasks as t
from vmsim.struct.costs import C_COPY_PAGE, C_ZERO_PAGE, COST_NAMES
from vmsim.struct.kernel import Kernel, table_rows
from vmsim.struct.rules import R_PSI
from vmsim.struct.vmas import INDEX_BITS
from vmsim.struct.writeback import BD_BLOCKS, BD_NEXT_BLOCK
from vmsim.units import KIB, MIB, format_bytes
from vmsim.workload.assembly import Assembly, signed
from vmsim.workload.program import MAX_TASKS, Assembler
from vmsim.workload.strace.source import is_log, scan_log
from vmsim.workload.sysctls import SYSCTL_NUMBERS
from vmsim.workload.trace.places import code_file, log_file_names, trace_request
from vmsim.workload.trace.source import TraceRequest, check_places, scan_areas

_CAPABILITIES = {
    "CAP_IPC_LOCK": t.CAP_IPC_LOCK, "CAP_SYS_RESOURCE": t.CAP_SYS_RESOURCE, "CAP_SYS_ADMIN": t.CAP_SYS_ADMIN,
    "CAP_SYS_NICE": t.CAP_SYS_NICE, "CAP_SYS_RAWIO": t.CAP_SYS_RAWIO,
}  # fmt: skip
_MEMORY_FILES = ("/dev/shm/", "/memfd:", "/dev/zero")
_STACK_GAP_BYTES = 128 * MIB  # arch/x86/mm/mmap.c: MIN_GAP, without address-space randomisation


@dataclass(frozen=True)
class Built:
    """A machine ready to run, with its tables and what its programs were made of."""

    machine: Machine
    kernel: Kernel
    assembly: Assembly
    tasks: tuple[Task, ...]
    file_ids: Mapping[str, int]
    registers: tuple[Mapping[str, int], ...]  # of each task: numbers by name
    proc: ProcFs
    shown: list[Shown]  # by the programs' `show` steps so far
    dmesg: Dmesg


def _file_table(scenario: Scenario) -> dict[str, tuple[FileSpec | None, int]]:
    """All files by name with their sizes in pages: the experiment's, then those of the programs' images."""
    page = scenario.machine.page_size
    table: dict[str, tuple[FileSpec | None, int]] = {name: (spec, -(-spec.size // page)) for name, spec in scenario.files.items()}
    task_pages = _geometry(scenario)[kn.G_TASK_PAGES]
    for task, step, request in _traces(scenario):
        if is_log(request):
            table.update(_files_of_log(scenario, task, request, int(task_pages)))
        elif step.map == "recorded":
            table.update(_code_of_trace(task, request, int(task_pages)))
    if any(task.image == "dynamic" for task in scenario.tasks):
        table.update({f" {name}": (None, pages) for name, pages in image_files(page).items()})
    return table


def _geometry(scenario: Scenario) -> list[int]:
    return list(geometry(get_profile(scenario.machine.arch), scenario.machine.page_size, scenario.machine.tlb))


def _traces(scenario: Scenario) -> Iterator[tuple[TaskSpec, TraceStep, TraceRequest]]:
    """Every trace step with its task and what it asks for."""
    for task in scenario.tasks:
        for step in all_steps(task.program):
            if isinstance(step, TraceStep):
                yield task, step, trace_request(step, scenario.machine.page_size)


def _code_of_trace(task: TaskSpec, request: TraceRequest, task_pages: int) -> dict[str, tuple[FileSpec | None, int]]:
    """The file that holds the code of a trace which runs where it was recorded."""
    if task.image != "none":
        raise VmsimError(f"task {task.name}: {request.path} brings its own code: map: recorded needs image: none")
    check_places(request, scan_areas(request), task_pages)
    name, pages = code_file(request)
    return {name: (None, pages)} if pages else {}


def _files_of_log(scenario: Scenario, task: TaskSpec, request: TraceRequest, task_pages: int) -> dict[str, tuple[FileSpec | None, int]]:
    """The files that a log of calls maps: on the machine's first device if it has one, else in memory."""
    if task.image != "none":
        raise VmsimError(f"task {task.name}: {request.path} is a log of calls, whose addresses are its own: it needs image: none")
    facts = scan_log(request, task_pages)
    names = log_file_names(request, facts)
    in_memory = [not scenario.machine.devices or file.path.startswith(_MEMORY_FILES) for file in facts.files]
    specs = [FileSpec(size=0, fs="tmpfs" if memory else "ext4") for memory in in_memory]
    return {name: (spec, file.pages) for name, spec, file in zip(names, specs, facts.files, strict=True)}


def _forbid_mmap(kernel: Kernel, scenario: Scenario, ids: Mapping[str, int]) -> None:
    """Pipes, sockets and directories of logs of calls: they are open, but can't be mapped."""
    for _, _, request in _traces(scenario):
        if is_log(request):
            facts = scan_log(request, int(kernel.geo[kn.G_TASK_PAGES]))
            for name, file in zip(log_file_names(request, facts), facts.files, strict=True):
                if file.kind == f.FILE_WITHOUT_MMAP:
                    kernel.file[ids[name], f.FI_KIND] = f.FILE_WITHOUT_MMAP


def _instances(tasks: tuple[TaskSpec, ...]) -> list[tuple[str, TaskSpec]]:
    """Every task of the run with its name: `web`, or `web/0`, `web/1`, ... where one spec stands for several."""
    return [(spec.name if spec.count == 1 else f"{spec.name}/{i}", spec) for spec in tasks for i in range(spec.count)]


def _fill_settings(kernel: Kernel, scenario: Scenario) -> None:
    machine, spec = scenario.machine, scenario.kernel
    kernel.geo[:] = geometry(get_profile(machine.arch), machine.page_size, machine.tlb)
    va_bits = int(kernel.geo[kn.G_PAGE_SHIFT]) + sum(int(bits) for bits in kernel.geo[kn.G_BITS : kn.G_BITS + int(kernel.geo[kn.G_LEVELS])])
    kernel.sc[kn.SC_INDEX_DEPTH] = -(-(va_bits - int(kernel.geo[kn.G_PAGE_SHIFT])) // INDEX_BITS)
    kernel.cost[:] = [machine.costs[name] for name in COST_NAMES]
    kernel.cost[[C_ZERO_PAGE, C_COPY_PAGE]] *= machine.page_size // SMALL_PAGE
    for name, index in SYSCTL_NUMBERS.items():
        value = spec.sysctl.get(name)
        kernel.sysctl[index] = value if isinstance(value, int) else 0
    kernel.sysctl[kn.SYS_FAULT_AROUND_PAGES] = max(1, spec.fault_around_bytes // machine.page_size)
    kernel.sysctl[kn.SYS_ADMIN_RESERVE_KBYTES] = min(machine.ram // KIB // 32, 8192)
    kernel.sysctl[kn.SYS_USER_RESERVE_KBYTES] = min(machine.ram // KIB // 32, 131072)
    kernel.sysctl[kn.SYS_STACK_GUARD_PAGES] = 256
    rules = rules_of(spec.version, {"lru_gen": spec.lru_gen, **spec.rules})
    kernel.rule[: len(rules)] = rules
    kernel.sc[kn.SC_NR_CPUS] = machine.cpus
    submit_ns = machine.costs["io_submit"]
    flash = [spec.read_latency for spec in machine.devices.values() if not isinstance(spec, Hdd)]
    kernel.sc[kn.SC_SLOW_SUBMIT] = 1 if any(latency < 4 * submit_ns for latency in flash) else 0


def _fill_files(kernel: Kernel, scenario: Scenario, table: Mapping[str, tuple[FileSpec | None, int]]) -> dict[str, int]:
    """The rows of files, their places on devices, and what the page cache holds of them."""
    machine = scenario.machine
    devices = list(machine.devices)
    for index, name in enumerate(devices):
        kernel.bdi[index, BD_BLOCKS] = machine.devices[name].size // machine.page_size
    ids: dict[str, int] = {}
    extra: list[int] = []
    for number, (name, (spec, pages)) in enumerate(table.items(), start=1):
        row = kernel.file[number]
        row[f.FI_SIZE] = spec.size if spec else pages * machine.page_size
        row[f.FI_CACHE] = kernel.sc[kn.SC_PCACHE_NEXT]
        row[f.FI_CAPACITY] = row[f.FI_LINEAR] = pages
        row[f.FI_REFS] = 1
        row[f.FI_PREV_POS] = -1
        row[f.FI_FAULT_AROUND] = 1
        row[f.FI_DEVICE] = -1
        kernel.sc[kn.SC_PCACHE_NEXT] = f.next_slots(int(kernel.sc[kn.SC_PCACHE_NEXT]), pages)
        kernel.sc[kn.SC_FILE_NEXT] = number
        if spec and spec.fs == "tmpfs":
            row[f.FI_KIND] = f.FILE_TMPFS
        elif spec:
            device = spec.device or devices[0]
            row[f.FI_DEVICE] = devices.index(device)
            row[f.FI_BLOCK] = kernel.bdi[devices.index(device), BD_NEXT_BLOCK]
            kernel.bdi[devices.index(device), BD_NEXT_BLOCK] += pages
            read_ahead = machine.devices[device].read_ahead if spec.read_ahead is None else spec.read_ahead
            row[f.FI_RA_PAGES] = row[f.FI_BDI_RA] = read_ahead // machine.page_size
        if spec and spec.fs == "ext2":
            extra.append(number)
        cached = spec.cached_pages(machine.page_size) if spec else pages
        if fill_page_cache(kernel.k, number, cached) < cached:
            size, memory = format_bytes(cached * machine.page_size), format_bytes(machine.ram)
            if spec is None:
                raise VmsimError(f"{memory} of memory don't hold the programs' {name.strip()} ({size}); tasks with image: none do without")
            raise VmsimError(f"file {name!r}: {size} in the page cache at the start do not fit in memory")
        ids[name] = number
    for number in extra:
        _add_indirect_blocks(kernel, number, machine.page_size)
    return ids


def _fill_super(kernel: Kernel, scenario: Scenario, table: Mapping[str, tuple[FileSpec | None, int]]) -> None:
    """Dentries and inodes: those that the kernel's `slab` states, and one of each for every file on a device."""
    slab = scenario.kernel.slab
    if slab.dentries + slab.inodes == 0:
        return
    files = sum(spec is not None and spec.fs != "tmpfs" for spec, _ in table.values())
    if not fill_super(kernel.k, files, slab.dentries, slab.inodes):
        memory = format_bytes(scenario.machine.ram)
        raise VmsimError(f"kernel slab: {slab.dentries} dentries and {slab.inodes} inodes do not fit in {memory} of memory")


def _add_indirect_blocks(kernel: Kernel, file: int, page_size: int) -> None:
    """The file of an ext2 file's indirect blocks."""
    pages = sum(indirect_blocks(int(kernel.file[file, f.FI_LINEAR]), page_size))
    if pages == 0:
        return
    kernel.sc[kn.SC_FILE_NEXT] += 1
    number = int(kernel.sc[kn.SC_FILE_NEXT])
    kernel.file[file, f.FI_META] = number
    row = kernel.file[number]
    row[f.FI_SIZE] = pages * page_size
    row[f.FI_CACHE] = kernel.sc[kn.SC_PCACHE_NEXT]
    row[f.FI_CAPACITY] = row[f.FI_LINEAR] = pages
    row[f.FI_REFS] = 1
    row[f.FI_PREV_POS] = -1
    row[f.FI_DEVICE] = kernel.file[file, f.FI_DEVICE]
    row[f.FI_BLOCK] = kernel.bdi[row[f.FI_DEVICE], BD_NEXT_BLOCK]
    kernel.bdi[row[f.FI_DEVICE], BD_NEXT_BLOCK] += pages
    kernel.sc[kn.SC_PCACHE_NEXT] = f.next_slots(int(kernel.sc[kn.SC_PCACHE_NEXT]), pages)


def _layout(kernel: Kernel, page_size: int) -> tuple[int, int]:
    """TASK_SIZE and the base of the mapping area, in pages."""
    size = int(kernel.geo[kn.G_TASK_PAGES])
    return size, size - max(_STACK_GAP_BYTES // page_size, 64)


def _fill_image(kernel: Kernel, page_size: int, files: Mapping[str, int]) -> None:
    """The table of what a program starts with; without the files of the dynamic image it is an empty address space."""
    size, base = _layout(kernel, page_size)
    head = kernel.image[0]
    head[kn.IM_TASK_SIZE], head[kn.IM_MMAP_BASE] = size, base
    if f" {IMAGE_FILES[0]}" not in files:
        return
    pieces = dynamic_image(base, size, page_size)
    head[kn.IM_START], head[kn.IM_TEXT] = len(pieces), code_page(base, page_size)
    for row, (start, piece) in zip(kernel.image[1:], pieces, strict=False):
        file = files[f" {piece.file}"] if piece.file else 0
        row[:] = start, piece.pages, piece.flags, file, piece.pgoff if piece.file else start, 0
        if piece.heap:
            head[kn.IM_HEAP], head[kn.IM_HEAP_PAGES] = start, piece.pages


def _start_task(kernel: Kernel, scenario: Scenario, tid: int, spec: TaskSpec) -> None:
    """The row, limits and address space of a task."""
    machine = scenario.machine
    row = kernel.task[tid]
    row[t.T_TGID] = tid
    row[t.T_OOM_ADJ] = spec.oom_score_adj
    row[t.T_CAPS] = sum(_CAPABILITIES.get(name, 0) for name in spec.capabilities)
    row[t.T_SEGV_PC] = row[t.T_BUS_PC] = row[t.T_SAVED_PC] = row[t.T_ACC_LEFT] = -1
    limits = {**default_rlimits(scenario.kernel.line, machine.page_size), **spec.rlimits}
    for name, limit in limits.items():
        number = RESOURCES[name].number
        kernel.rlim[tid, 2 * number : 2 * number + 2] = limit.soft, limit.hard
    size, base = _layout(kernel, machine.page_size)
    if not mm_create(kernel.k, tid, tid, size, base):
        raise VmsimError(f"task {spec.name}: no memory for its page tables")
    if spec.image == "dynamic" and image_create(kernel.k, tid) != 0:
        raise VmsimError(f"task {spec.name}: its image does not fit in memory")
    kernel.sc[kn.SC_NR_TASKS] += 1


def _assemble(
    scenario: Scenario, instances: list[tuple[str, TaskSpec]], files: Mapping[str, int]
) -> tuple[Assembly, list[tuple[int, Assembler]]]:
    assembly = Assembly(swap_areas={area.label: number for number, area in enumerate(scenario.machine.swap_areas)})
    task_pages = int(_geometry(scenario)[kn.G_TASK_PAGES])
    entries = []
    for name, spec in instances:
        assembler = Assembler(assembly, name, scenario.machine.page_size, files, spec.vars, task_pages)
        entries.append((assembler.assemble(spec.program), assembler))
    return assembly, entries


def _room_for_tasks(programs: list[tuple[int, Assembler]], assembly: Assembly) -> tuple[int, int]:
    """How many tasks the programs make at most, and the patterns of the program that has most."""
    made = min(sum(assembler.forks for _, assembler in programs), MAX_TASKS)
    return made, max((assembler.nr_patterns for _, assembler in programs), default=0)


def _measures_pressure(scenario: Scenario, assembly: Assembly, outputs: OutputsSpec) -> bool:
    """Whether anything asks for pressure, and the kernel has it."""
    shown = {file for files in assembly.shows for file in files} & set(PRESSURE_FILES)
    sampled = set(outputs.series.counters if outputs.series else ()) & set(PSI_COUNTERS)
    return bool(shown or sampled) and bool(rules_of(scenario.kernel.version, scenario.kernel.rules)[R_PSI])


def build(scenario: Scenario, seed: int = 1, index: int = 0, outputs: OutputsSpec | None = None) -> Built:
    """A machine for a scenario, with the random streams of run `index` under `seed`. Raises VmsimError for what can't be built."""
    machine = scenario.machine
    outputs = outputs or OutputsSpec()
    table = _file_table(scenario)
    instances = _instances(scenario.tasks)
    ids = {name: number for number, name in enumerate(table, start=1)}
    assembly, programs = _assemble(scenario, instances, ids)
    zones = machine_zones(scenario)
    made, most_patterns = _room_for_tasks(programs, assembly)
    rows = table_rows(
        zones[-1].end, machine.cpus, len(instances) + daemon_count(machine) + made, sum(pages for _, pages in table.values()),
        len(assembly.code) + daemon_count(machine), len(assembly.patterns) + made * most_patterns,
        sum(table_size(use) for use in assembly.patterns), len(assembly.traces), swap_slots(machine),
        scenario.kernel.slab.dentries + scenario.kernel.slab.inodes,
    )  # fmt: skip
    kernel = Kernel(rows)
    streams = Streams(seed, index)
    _fill_settings(kernel, scenario)
    boot(kernel, zones, scenario)
    _fill_files(kernel, scenario, table)
    _fill_super(kernel, scenario, table)
    _forbid_mmap(kernel, scenario, ids)
    _fill_image(kernel, machine.page_size, ids)
    if assembly.code:
        kernel.code[: len(assembly.code)] = np.array(assembly.code, np.int64)
    fill_patterns(kernel, assembly.patterns, streams)
    tasks = []
    for tid, ((name, spec), (pc, assembler)) in enumerate(zip(instances, programs, strict=True), start=1):
        _start_task(kernel, scenario, tid, spec)
        kernel.task[tid, t.T_PC] = pc
        kernel.task[tid, t.T_PAT_FIRST : t.T_PAT_COUNT + 1] = assembler.first_pattern, assembler.nr_patterns
        for register, value in spec.vars.items():
            kernel.reg[tid, assembler.registers[register]] = signed(value)
        tasks.append(Task(tid, name, spec.start, spec.nice))
    boot_writeback(kernel.k, len(machine.devices))
    kernel.sc[kn.SC_TASK_NEXT] = int(np.flatnonzero(kernel.task.any(axis=1)).max(initial=0)) + 1
    kernel.sc[kn.SC_TASK_LIMIT] = kernel.sc[kn.SC_TASK_NEXT] + made
    kernel.sc[kn.SC_PATTERN_NEXT] = len(assembly.patterns) + 1
    daemons = make_daemons(kernel, machine, int(kernel.sc[kn.SC_TASK_LIMIT]), len(assembly.code))
    add_swap(kernel, machine, streams)
    clear_ledger(kernel.k)
    series = Series(outputs.series.interval, outputs.series.counters) if outputs.series else None
    devices = [make_device(name, spec, machine.page_size, streams) for name, spec in machine.devices.items()]
    texts: list[Shown] = []
    dmesg = Dmesg(kernel, [zone.name for zone in zones], machine.arch == "x86_64")
    proc = ProcFs(kernel, ids, dmesg.text, tuple(machine.devices))

    def show(number: int, task: Task) -> None:
        texts.extend(Shown(task.name, task.since_ns, name, proc.read(name, task.tid, task.name)) for name in assembly.shows[number])

    measured = _measures_pressure(scenario, assembly, outputs)
    options = Options(
        phase_names=tuple(assembly.phases), child_names=tuple(assembly.children), event_names=tuple(assembly.events), series=series,
        show=show, pressure=measured, traces=tuple(assembly.traces), daemons=daemons, dmesg=dmesg,
    )  # fmt: skip
    registers = tuple(assembler.registers for _, assembler in programs)
    whole = Machine(kernel, devices, tasks, compiled_entries(), options)
    if whole.pressure is not None:
        proc.pressure = lambda resource: whole.pressure.text(resource, whole.clock.now) if whole.pressure else ""
    whole.waits.enough_memory = int(kernel.zone[:, pg.Z_MIN].sum()) // 2
    return Built(whole, kernel, assembly, tuple(tasks), ids, registers, proc, texts, dmesg)
