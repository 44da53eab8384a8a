"""Filling in what a scenario leaves open: lengths of regions, devices of files, the kernel's own defaults."""

from __future__ import annotations

from typing import Any

from vmsim.spec.experiment import Scenario
from vmsim.spec.expr import Expr, Reg
from vmsim.spec.files import FileSpec
from vmsim.spec.kernel import KernelSpec
from vmsim.spec.machine import MachineSpec
from vmsim.spec.rlimits import default_rlimits
from vmsim.spec.steps import (
    AccessStep,
    DrawStep,
    IfStep,
    LoopStep,
    OnSignalStep,
    PhaseStep,
    Program,
    Step,
    inner_steps,
)
from vmsim.spec.syscalls import MmapStep, MremapStep
from vmsim.spec.tasks import TaskSpec
from vmsim.units import MIB

Lengths = dict[str, Expr]


def completed(scenario: Scenario) -> dict[str, Any]:
    """The parts of a checked scenario by field name, with nothing left open but what the kernel computes at boot."""
    kernel = _kernel(scenario.kernel, scenario.machine)
    return {
        "machine": scenario.machine,
        "kernel": kernel,
        "files": {name: _file(file, scenario.machine) for name, file in scenario.files.items()},
        "tasks": tuple(_task(task, kernel, scenario.machine) for task in scenario.tasks),
    }


def _kernel(kernel: KernelSpec, machine: MachineSpec) -> KernelSpec:
    if kernel.sysctl["vm.page-cluster"] is not None:
        return kernel
    cluster = 2 if machine.ram < 16 * MIB else 3  # mm/swap.c: swap_setup
    return kernel.model_copy(update={"sysctl": {**kernel.sysctl, "vm.page-cluster": cluster}})


def _file(file: FileSpec, machine: MachineSpec) -> FileSpec:
    if file.fs == "tmpfs":
        return file
    device = file.device or next(iter(machine.devices))
    read_ahead = machine.devices[device].read_ahead if file.read_ahead is None else file.read_ahead
    return file.model_copy(update={"device": device, "read_ahead": read_ahead})


def _task(task: TaskSpec, kernel: KernelSpec, machine: MachineSpec) -> TaskSpec:
    rlimits = {**default_rlimits(kernel.line, machine.page_size), **task.rlimits}
    last: Lengths = {}
    _note_lengths(task.program, last)
    return task.model_copy(update={"rlimits": rlimits, "program": _program(task.program, {}, last)})


def _note_lengths(program: Program, lengths: Lengths) -> None:
    """The length of the last mmap of each register, in the order of the text."""
    for step in program:
        _note_length(step, lengths)
        _note_lengths(inner_steps(step), lengths)


def _note_length(step: Step, lengths: Lengths) -> None:
    if isinstance(step, MmapStep) and step.as_:
        lengths[step.as_] = step.length
    elif isinstance(step, MremapStep) and step.as_:
        lengths[step.as_] = step.new_length


def _program(program: Program, lengths: Lengths, last: Lengths) -> Program:
    """The steps with lengths filled in; `lengths` are those of the mmaps so far, `last` those of all."""
    steps: list[Step] = []
    for step in program:
        steps.append(_step(step, lengths, last))
        _note_length(step, lengths)
    return tuple(steps)


def _step(step: Step, lengths: Lengths, last: Lengths) -> Step:
    match step:
        case AccessStep(region=Reg(name), length=None) | DrawStep(region=Reg(name), length=None):
            return step.model_copy(update={"length": lengths.get(name, last.get(name))})
        case LoopStep() | PhaseStep():
            return step.model_copy(update={"steps": _program(step.steps, lengths, last)})
        case OnSignalStep():
            return step.model_copy(update={"steps": _program(step.steps, dict(last), last)})
        case IfStep():
            then = _program(step.then, lengths, last)
            return step.model_copy(update={"then": then, "else_": _program(step.else_, lengths, last)})
    return step
