"""Replaying sequences: each recorded step is carried out by the simulator, and what it answers is compared."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmsim.errors import VmsimError
from vmsim.experiment.conform.contents import Contents
from vmsim.experiment.conform.recording import Json, Sequence, Step, fail
from vmsim.experiment.conform.rig import CHILD, PAGE_SIZE, PARENT, Rig, as_signed
from vmsim.experiment.conform.state import Difference, StateText, state_differences
from vmsim.mm.task_mmu import VW_CODE, VW_MAJFLT, VW_MINFLT, VW_NVALUES, VW_RESULT, VW_SIGNAL, VW_VSZ
from vmsim.struct.errno import ERRNO_NAMES, SIGBUS, SIGSEGV
from vmsim.struct.files import FMODE_READ, FMODE_WRITE
from vmsim.struct.rules import R_LOCKONFAULT_MNEMONIC
from vmsim.struct.syscalls import SYSCALL_NAMES
from vmsim.struct.tasks import RLIMIT_AS, RLIMIT_MEMLOCK
from vmsim.workload.replay import FILE, STEP_TOUCH, WINDOW_START

_FDS = {"rw": FILE << 2 | FMODE_READ | FMODE_WRITE, "ro": FILE << 2 | FMODE_READ, "bad": 3, "none": -1}
_RESOURCES = {"MEMLOCK": RLIMIT_MEMLOCK, "AS": RLIMIT_AS}
_SIGNALS = {SIGSEGV: "SIGSEGV", SIGBUS: "SIGBUS"}
_MAX_TOUCHES = 512
_LARGEST_MAPPING = 1 << 20  # pages
_BASE = WINDOW_START * PAGE_SIZE
# The arguments of each call after address and length.
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "munmap": (), "mlock": (), "munlock": (), "mincore": (), "mprotect": ("prot",), "madvise": ("advice",), "msync": ("flags",),
    "mlock2": ("flags",),
}  # fmt: skip
_NUMBERS = {name: number for number, name in enumerate(SYSCALL_NAMES)}


@dataclass(frozen=True)
class Divergence:
    """The first step of a sequence that the simulator answers differently; `child` is the index of a child's operation."""

    sequence: Sequence
    index: int
    child: int | None
    differences: list[Difference]


@dataclass
class Tally:
    """What a replay found."""

    sequences: int = 0
    steps: int = 0
    divergences: list[Divergence] = field(default_factory=list)


def _address(pair: Any) -> int:
    page, byte = pair
    return as_signed((_BASE + page * PAGE_SIZE + byte) % (1 << 64))


def _pair(address: int) -> list[int]:
    return [address // PAGE_SIZE - WINDOW_START, address % PAGE_SIZE]


def _mapping_pages(length: int) -> int:
    """The length of a mapping in pages. Raises ValueError for one that a kernel would make but no recording has."""
    pages = (length % (1 << 64) + PAGE_SIZE - 1) // PAGE_SIZE
    if _LARGEST_MAPPING < pages < (1 << 47) // PAGE_SIZE:
        raise ValueError(f"a mapping of {length} bytes; at most {_LARGEST_MAPPING} pages can be replayed")
    return pages


class Replayer:
    """Replays sequences on one machine, one after the other; `version` replaces the kernel that a recording names."""

    def __init__(self, switched: Mapping[str, bool] | None = None, version: str | None = None) -> None:
        self._rig = Rig(switched, version)
        self._text = StateText("lf", True)
        self._contents = Contents(0, PAGE_SIZE)
        self._same: dict[int, list[int]] = {}
        self.steps = 0

    def replay(self, sequence: Sequence) -> Divergence | None:
        """Replay a sequence up to its end or its first difference. Raises VmsimError, with the line, for what can't be replayed."""
        line = sequence.line
        try:
            view = self._begin(sequence)
            differences = state_differences(sequence.start["st"], view, self._text)
            if differences:
                return Divergence(sequence, -1, None, differences)
            self._same[PARENT] = view[VW_VSZ:]
            for index, step in enumerate(sequence.steps):
                line = step.line
                found = self._fork(step) if step.record["op"] == "fork" else (None, self._step(PARENT, step.record))
                if found[1]:
                    return Divergence(sequence, index, found[0], found[1])
        except VmsimError as error:
            raise fail(sequence.path, line, str(error)) from None
        except KeyError as error:
            raise fail(sequence.path, line, f"the field {error.args[0]!r} is missing or has an unknown value") from None
        except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise fail(sequence.path, line, f"not a record of this format ({error})") from None
        return None

    def _begin(self, sequence: Sequence) -> list[int]:
        view = self._rig.begin(sequence.header)
        named = self._rig.kernel.rule[R_LOCKONFAULT_MNEMONIC] != 0
        self._text = StateText("lf" if named else "??", bool(sequence.header["zero_page_known"]))
        self._contents = Contents(int(sequence.header["file"]["size"]), PAGE_SIZE)
        return view

    def _fork(self, step: Step) -> tuple[int | None, list[Difference]]:
        """A fork with what the child does, up to its exit: the index of the child's operation that differs, and its differences."""
        record = step.record
        view = self._rig.fork()
        self.steps += 1
        if view[VW_RESULT] < 0:
            return None, self._call_differences(record, view)
        found = self._call_differences({**record, "ret": CHILD} if record["ret"] == 0 else record, view)
        if not found:
            found = state_differences(record["child"]["st"], view, self._text)
        if found:
            return None, found
        self._same[CHILD] = view[VW_VSZ:]
        for index, operation in enumerate(record["child"]["ops"]):
            found = self._step(CHILD, operation)
            if found:
                return index, found
        return None, self._compare_state(PARENT, record, self._rig.child_exit())

    def _step(self, tid: int, record: Json) -> list[Difference]:
        """One operation of a task: its differences."""
        self.steps += 1
        name = record["op"]
        if name == "read" or name == "write":
            found, view = self._touch(tid, record, name == "write")
        else:
            found, view = self._call(tid, record, name)
        for field_name, number in (("minflt", VW_MINFLT), ("majflt", VW_MAJFLT)):
            if record[field_name] != view[number]:
                found.append((field_name, record[field_name], view[number]))
        return found + self._compare_state(tid, record, view)

    def _compare_state(self, tid: int, record: Json, view: list[int]) -> list[Difference]:
        last = self._same[tid]
        now = self._same[tid] = view[VW_VSZ:]
        if record.get("same") is True:
            if now == last:
                return []
            before = self._text.state([0] * VW_VSZ + last)
            return state_differences(before, view, self._text)
        return state_differences(record["st"], view, self._text)

    def _touch(self, tid: int, record: Json, write: bool) -> tuple[list[Difference], list[int]]:
        page, offset = record["addr"]
        count, stride = record["n"], record["stride"]
        if not (0 <= page < 4096 and 0 <= offset < PAGE_SIZE and 0 <= count <= _MAX_TOUCHES and 0 < stride <= _MAX_TOUCHES):
            raise ValueError("accesses outside of what can be replayed")
        view = self._rig.step(tid, STEP_TOUCH, WINDOW_START + page, count, stride, int(write), self._contents.next)
        done, signal = view[VW_RESULT], view[VW_SIGNAL]
        found: list[Difference] = []
        if record["done"] != done:
            found.append(("done", record["done"], done))
        if signal or "sig" in record:
            expected = (record.get("sig"), record.get("code"), record.get("at"))
            simulated = (_SIGNALS.get(signal), view[VW_CODE], [page + done * stride, offset]) if signal else (None, None, None)
            if expected != simulated:
                found.append(("signal", expected, simulated))
        if done:
            numbers = self._rig.values(done)
            if write:
                self._contents.store(numbers, offset, record["val"] & 0xFF)
            else:
                load = self._contents.load
                values = bytes([load(number, offset) for number in numbers]).hex()
                if values != record["vals"]:
                    found.append(("vals", record["vals"], values))
        return found, view

    def _call(self, tid: int, record: Json, name: str) -> tuple[list[Difference], list[int]]:
        view = self._rig.step(tid, _NUMBERS[name], *self._arguments(record, name))
        found = self._call_differences(record, view, counted=False)
        if name == "mincore":
            runs = self._rig.values(view[VW_NVALUES])
            vector = "".join([f"{run >> 2}{'.r'[run & 3]}" for run in runs])
            if vector != record["vec"]:
                found.append(("vec", record["vec"], vector))
        return found, view

    def _call_differences(self, record: Json, view: list[int], counted: bool = True) -> list[Difference]:
        result = view[VW_RESULT]
        expected = record["err"] if record["ret"] == -1 else record["ret"]
        simulated: Any = result
        if -4096 < result < 0:
            simulated = ERRNO_NAMES.get(-result, result)
        elif isinstance(expected, list):
            simulated = _pair(result)
        found: list[Difference] = [] if expected == simulated else [("ret", expected, simulated)]
        if counted:
            for field_name, number in (("minflt", VW_MINFLT), ("majflt", VW_MAJFLT)):
                if record[field_name] != view[number]:
                    found.append((field_name, record[field_name], view[number]))
        return found

    def _arguments(self, record: Json, name: str) -> list[int]:
        """The arguments of a call, as signed 64-bit numbers. Raises KeyError, TypeError or ValueError."""
        if name in _ARGUMENTS:
            return [_address(record["addr"]), as_signed(record["len"]), *(as_signed(record[field]) for field in _ARGUMENTS[name])]
        if name == "mmap":
            _mapping_pages(record["len"])
            return [
                _address(record["addr"]), as_signed(record["len"]), as_signed(record["prot"]), as_signed(record["flags"]),
                _FDS[record["fd"]], as_signed(record["off"]),
            ]  # fmt: skip
        if name == "mremap":
            _mapping_pages(record["new"])
            target = _address(record["naddr"]) if "naddr" in record else 0
            return [_address(record["addr"]), as_signed(record["len"]), as_signed(record["new"]), as_signed(record["flags"]), target]
        if name == "mlockall":
            return [as_signed(record["flags"])]
        if name == "munlockall":
            return []
        if name == "setrlimit":
            return [_RESOURCES[record["res"]], as_signed(record["cur"]), as_signed(record["max"])]
        raise ValueError(f"the operation {name!r} is not known")


def replay_all(sequences: Iterable[Sequence], switched: Mapping[str, bool] | None = None) -> Tally:
    """Replay sequences; `switched` turns single version rules on or off."""
    tally = Tally()
    replayer = Replayer(switched)
    collects = gc.isenabled()
    gc.disable()  # nothing here makes cycles, and looking for them in thousands of records takes a tenth of the time
    try:
        for sequence in sequences:
            divergence = replayer.replay(sequence)
            tally.sequences += 1
            if divergence is not None:
                tally.divergences.append(divergence)
    finally:
        if collects:
            gc.enable()
    tally.steps = replayer.steps
    return tally
