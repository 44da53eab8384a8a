"""Replaying sequences: each recorded step is carried out by the simulator, and what it answers is compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmsim.errors import VmsimError
from vmsim.experiment.conform.contents import Contents
from vmsim.experiment.conform.recording import Json, RecordedState, RecordingError, Sequence, Step, fail
from vmsim.experiment.conform.rig import CHILD, PAGE_SIZE, PARENT, Rig, as_signed
from vmsim.experiment.conform.state import Difference, StateText, answer_differences, state_differences
from vmsim.mm.task_mmu import VW_CODE, VW_MAJFLT, VW_MINFLT, VW_NVALUES, VW_RESULT, VW_SIGNAL
from vmsim.struct.errno import ERRNO_NAMES, SIGBUS, SIGSEGV
from vmsim.struct.files import FMODE_READ, FMODE_WRITE
from vmsim.struct.rules import R_LOCKONFAULT_MNEMONIC
from vmsim.struct.syscalls import SYSCALL_NAMES
from vmsim.struct.tasks import RLIMIT_AS, RLIMIT_MEMLOCK
from vmsim.workload.replay import FILE, FILE_PAGES, STEP_TOUCH, WINDOW_START

_FDS = {"rw": FILE << 2 | FMODE_READ | FMODE_WRITE, "ro": FILE << 2 | FMODE_READ, "bad": 3, "none": -1}
_RESOURCES = {"MEMLOCK": RLIMIT_MEMLOCK, "AS": RLIMIT_AS}
_SIGNALS = {SIGSEGV: b"SIGSEGV", SIGBUS: b"SIGBUS"}
_RET, _DONE, _STATE, _SAME = b',"ret":', b',"done":', b',"st":', b',"same":true}'
_scan = json.JSONDecoder().raw_decode
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


def _address(pair: Any) -> int:
    page, byte = pair
    return as_signed((_BASE + page * PAGE_SIZE + byte) % (1 << 64))


def _mapping_pages(length: int) -> int:
    """The length of a mapping in pages. Raises ValueError for one that a kernel would make but no recording has."""
    pages = (length % (1 << 64) + PAGE_SIZE - 1) // PAGE_SIZE
    if _LARGEST_MAPPING < pages < (1 << 47) // PAGE_SIZE:
        raise ValueError(f"a mapping of {length} bytes; at most {_LARGEST_MAPPING} pages can be replayed")
    return pages


def _inputs(step: Step) -> tuple[Json, int]:
    """What an operation was given, and where in its line the results begin. Raises VmsimError if the line is none."""
    text = step.text
    end = text.find(_RET)
    if end < 0:
        end = text.find(_DONE)
    if end >= 0:
        head = text[:end].decode("latin-1") + "}"
        try:
            inputs, used = _scan(head)
        except ValueError:
            return step.record, end
        if used == len(head):
            return inputs, end
    return step.record, end


def _result(name: str, result: int) -> bytes:
    if -4096 < result < 0:
        return b',"ret":-1,"err":"%s"' % str(ERRNO_NAMES.get(-result, result)).encode()
    if name == "mmap" or name == "mremap":
        return b',"ret":[%d,%d]' % (result // PAGE_SIZE - WINDOW_START, result % PAGE_SIZE)
    return b',"ret":%d' % result


def _results(answer: bytes) -> Json:
    """An answer as an object."""
    results: Json = json.loads(b"{" + answer[1:] + b"}")
    return results


def _differences(record: Json, answer: bytes, state: bytes, before: bytes) -> list[Difference]:
    """What answer and state differ from a record in."""
    return answer_differences(record, _results(answer)) + _changes(record, state, before)


def _changes(record: Json, state: bytes, before: bytes) -> list[Difference]:
    """What a state differs from a record's in, whose state may be the same as the one before."""
    if record.get("same") is True:
        return state_differences(RecordedState(before), state)
    return state_differences(record["st"], state)


def _diverging(sequence: Sequence, index: int, child: int | None, differences: list[Difference]) -> Divergence:
    """A divergence. Raises VmsimError if a line after it is no operation, since nothing else looks at those."""
    for step in sequence.steps[index + 1 :]:
        if not isinstance(step.record.get("op"), str):
            raise fail(step.path, step.line, "the field 'op' is missing or has an unknown value")
    return Divergence(sequence, index, child, differences)


def _file_size(size: int) -> int:
    """A size that the test file is given. Raises ValueError for one whose contents can't be followed."""
    signed = as_signed(size)
    if signed > FILE_PAGES * PAGE_SIZE or (signed > 0 and signed % PAGE_SIZE):
        raise ValueError(f"a file size of {size}; whole pages up to {FILE_PAGES} can be replayed")
    return signed


class Replayer:
    """Replays sequences on one machine, one after the other; `version` replaces the kernel that a recording names.

    What the simulator answers is written as recorders write it, so that most lines need only be compared with theirs.
    """

    def __init__(self, switched: Mapping[str, bool] | None = None, version: str | None = None) -> None:
        self._rig = Rig(switched, version)
        self._numbers = self._rig.kernel.shown
        self._shown = self._rig.shown
        self._text = StateText("lf", True)
        self._contents = Contents(0, PAGE_SIZE)
        self._last: dict[int, bytes] = {}
        self.steps = 0

    def replay(self, sequence: Sequence) -> Divergence | None:
        """Replay a sequence up to its end or its first difference. Raises VmsimError, with the line, for what can't be replayed."""
        line = sequence.line
        try:
            self._begin(sequence)
            differences = state_differences(sequence.start["st"], self._last[PARENT])
            if differences:
                return _diverging(sequence, -1, None, differences)
            for index, step in enumerate(sequence.steps):
                line = step.line
                child, differences = self._step(step)
                if differences:
                    return _diverging(sequence, index, child, differences)
        except RecordingError:
            raise
        except VmsimError as error:
            raise fail(sequence.path, line, str(error)) from None
        except KeyError as error:
            raise fail(sequence.path, line, f"the field {error.args[0]!r} is missing or has an unknown value") from None
        except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise fail(sequence.path, line, f"not a record of this format ({error})") from None
        return None

    def _begin(self, sequence: Sequence) -> None:
        self._rig.begin(sequence.header)
        named = self._rig.kernel.rule[R_LOCKONFAULT_MNEMONIC] != 0
        terms = "lf" if named else "??", bool(sequence.header["zero_page_known"])
        if self._text.terms != terms:
            self._text = StateText(*terms)
        self._text.begin()
        self._contents = Contents(int(sequence.header["file"]["size"]), PAGE_SIZE)
        self._last = {PARENT: self._text.text(self._numbers)}

    def _step(self, step: Step) -> tuple[int | None, list[Difference]]:
        """One operation: the index of a child's operation that differs (None: it is no child's), and the differences."""
        inputs, end = _inputs(step)
        if inputs["op"] == "fork":
            return self._fork(step.record)
        before = self._last[PARENT]
        answer, state = self._carry_out(PARENT, inputs)
        expected = answer + (_SAME if state == before else _STATE + state + b"}")
        if step.text.startswith(expected, end) and len(step.text) == end + len(expected):
            return None, []
        return None, _differences(step.record, answer, state, before)

    def _carry_out(self, tid: int, inputs: Json) -> tuple[bytes, bytes]:
        """One operation of a task: what a recorder would write of its results, and of the state that it leaves."""
        self.steps += 1
        name = inputs["op"]
        if name == "read" or name == "write":
            answer = self._touch(tid, inputs, name == "write")
        else:
            answer = self._call(tid, inputs, name)
        return answer + self._faults(), self._state(tid)

    def _faults(self) -> bytes:
        return b',"minflt":%d,"majflt":%d' % (self._shown[VW_MINFLT], self._shown[VW_MAJFLT])

    def _state(self, tid: int) -> bytes:
        state = self._last[tid] = self._text.text(self._numbers)
        return state

    def _fork(self, record: Json) -> tuple[int | None, list[Difference]]:
        """A fork with what the child does, up to its exit."""
        self._rig.fork()
        self.steps += 1
        result = self._shown[VW_RESULT]
        found = answer_differences(record, _results(_result("fork", 0 if result == CHILD else result) + self._faults()))
        if result < 0 or found:
            return None, found
        found = state_differences(record["child"]["st"], self._state(CHILD))
        if found:
            return None, found
        for index, operation in enumerate(record["child"]["ops"]):
            before = self._last[CHILD]
            found = _differences(operation, *self._carry_out(CHILD, operation), before)
            if found:
                return index, found
        self._rig.child_exit()
        before = self._last[PARENT]
        return None, _changes(record, self._state(PARENT), before)

    def _touch(self, tid: int, inputs: Json, write: bool) -> bytes:
        page, offset = inputs["addr"]
        count, stride = inputs["n"], inputs["stride"]
        if not (0 <= page < 4096 and 0 <= offset < PAGE_SIZE and 0 <= count <= _MAX_TOUCHES and 0 < stride <= _MAX_TOUCHES):
            raise ValueError("accesses outside of what can be replayed")
        self._rig.do(tid, STEP_TOUCH, WINDOW_START + page, count, stride, int(write), self._contents.next)
        done, signal = self._shown[VW_RESULT], self._shown[VW_SIGNAL]
        answer = b',"done":%d' % done
        if signal:
            answer += b',"sig":"%s","code":%d,"at":[%d,%d]' % (_SIGNALS[signal], self._shown[VW_CODE], page + done * stride, offset)
        if done:
            numbers = self._rig.values(done)
            if write:
                self._contents.store(numbers, offset, inputs["val"] & 0xFF)
            else:
                load = self._contents.load
                answer += b',"vals":"%s"' % bytes([load(number, offset) for number in numbers]).hex().encode()
        return answer

    def _call(self, tid: int, inputs: Json, name: str) -> bytes:
        self._rig.do(tid, _NUMBERS[name], *self._arguments(inputs, name))
        answer = _result(name, self._shown[VW_RESULT])
        if name == "mincore":
            runs = self._rig.values(self._shown[VW_NVALUES])
            answer += b',"vec":"%s"' % b"".join([b"%d%c" % (run >> 2, b".r"[run & 3]) for run in runs])
        return answer

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
        if name == "ftruncate":
            return [_FDS[record["fd"]], _file_size(record["size"])]
        if name == "mlockall":
            return [as_signed(record["flags"])]
        if name == "munlockall":
            return []
        if name == "setrlimit":
            return [_RESOURCES[record["res"]], as_signed(record["cur"]), as_signed(record["max"])]
        raise ValueError(f"the operation {name!r} is not known")
