"""The memory calls of a log: each is carried out by the simulator where the log says, and its result compared."""

from __future__ import annotations

from collections import Counter

from vmsim.spec.flags import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_TYPE,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    PROT_WRITE,
)
from vmsim.struct import tasks as t
from vmsim.struct import vmas as v
from vmsim.struct.errno import EACCES, EAGAIN, EBADF, EBUSY, EEXIST, EFAULT, ENOMEM, EPERM
from vmsim.struct.files import FMODE_READ, FMODE_WRITE
from vmsim.struct.kernel import SYS_MMAP_MIN_ADDR
from vmsim.struct.syscalls import SYS_MINCORE, SYS_MUNLOCK, SYS_MUNMAP, SYSCALL_NAMES
from vmsim.workload.strace.assumed import Assumptions
from vmsim.workload.strace.call import PAGE, SHOWN, Call, Difference, pages_of
from vmsim.workload.strace.files import DEVICE, HUGETLB, PLAIN_ZERO, Files
from vmsim.workload.strace.intervals import Intervals
from vmsim.workload.strace.left_out import COMPAT, DEVICES, DROPPABLE, HUGE_PAGES, MACHINE_MEMORY, of_answer
from vmsim.workload.strace.names import MAP_DROPPABLE, MAP_HUGE_SHIFT, number
from vmsim.workload.strace.process import Memory, Pending, Task
from vmsim.workload.strace.target import PAGE_SHIFT, VM_MAY, Target
from vmsim.workload.strace.values import split_args

_NUMBERS = {name: index for index, name in enumerate(SYSCALL_NAMES)}
_HUGE_SHIFT = 21
_RANGES = frozenset({"mprotect", "pkey_mprotect", "madvise", "mincore", "msync", "mlock", "mlock2", "munlock"})
_LOCKS = frozenset({"mlock", "mlock2", "mlockall", "mmap", "mremap"})
_LIMITED = frozenset({-ENOMEM, -EAGAIN, -EPERM})
_FOUND_MAPPED = frozenset({0, -EACCES, -EBUSY, -EAGAIN})


class MemoryCalls:
    """Carries out memory calls; `rules` counts those that are left out."""

    def __init__(self, machine: Target, files: Files, assumed: Assumptions) -> None:
        self._machine = machine
        self._files = files
        self._assumed = assumed
        self.rules: Counter[str] = Counter()

    def replay(self, call: Call, path: str | None) -> Difference | None:
        """Carry out a call: how it differs, if it does. `path` is what the log shows of mmap's descriptor."""
        self._prepare(call, path)
        if call.rule is not None:
            self._leave_out(call)
            return None
        try:
            simulated = self._run(call)
        except MemoryError:
            self.rules[MACHINE_MEMORY] += 1
            call.rule = MACHINE_MEMORY
            self._settle(call, None)
            return None
        difference = None
        if simulated != call.expected and not self._explained(call, simulated):
            difference = Difference(call.expected, simulated)
        self._settle(call, simulated)
        return difference

    # Before a call.

    def _prepare(self, call: Call, path: str | None) -> None:
        """Let the state agree with what the answer tells of what the log doesn't show."""
        name, numbers = call.name, call.numbers
        if name == "mmap":
            self._prepare_mmap(call, path)
        elif name in _RANGES:
            start, end = pages_of(numbers[0], numbers[1])
            if call.expected in _FOUND_MAPPED and start < end <= self._machine.task_pages:
                self._assumed.mapped(call.task, start, end, numbers[2] if name == "mprotect" else 0)
            if name == "pkey_mprotect" and numbers[3] != -1 and numbers[3] != (1 << 32) - 1:
                call.rule = "protection keys"
            if name in ("mlock", "mlock2"):
                self._prepare_lock(call, end - start, start, end)
        elif name == "mremap":
            self._prepare_mremap(call)
        elif name == "brk":
            if not call.task.memory.heap_known:
                self._assumed.heap(call.task, call.expected)
            elif call.expected > 0:
                self._assumed.free(call.task, self._machine.heap_end(call.task.tid), (call.expected >> PAGE_SHIFT) + 2)
        elif name == "mlockall" and numbers[0] & 1:
            pages = int(self._machine.kernel.mm[call.task.memory.row, v.MM_TOTAL_VM])
            locked = int(self._machine.kernel.mm[call.task.memory.row, v.MM_LOCKED_VM])
            self._privileges(call, pages - locked, True)
        elif name == "mlockall":
            self._privileges(call, 0, True)

    def _prepare_lock(self, call: Call, pages: int, start: int, end: int) -> None:
        complete = start < end <= self._machine.task_pages and self._machine.first_gap(call.task.tid, start, end) is None
        self._privileges(call, pages, complete, start)

    def _privileges(self, call: Call, pages: int, complete: bool, start: int = 0) -> None:
        self._assumed.privileges(call.task, call.name, pages, True, -call.expected if call.expected < 0 else 0, complete, start)

    def _prepare_mmap(self, call: Call, path: str | None) -> None:
        task, (address, length, _, flags, fd, offset) = call.task, call.numbers
        if call.expected == -EPERM or address < 1 << 16:
            self._low_address(call)
        if call.expected >= 0:
            start, end = pages_of(call.expected, length)
            if not flags & MAP_FIXED:
                self._assumed.free(task, start, end)
                self._run_pending(task.memory, task, start, end)
                hint = address >> PAGE_SHIFT
                if hint and hint != start:
                    self._assumed.taken(task, hint, hint + end - start)
        elif call.expected == -EEXIST and flags & MAP_FIXED_NOREPLACE:
            self._assumed.taken(task, *pages_of(address, length))
        if not flags & MAP_ANONYMOUS:
            call.numbers[4] = self._descriptor(call, fd, path, offset + length)
        if flags & MAP_HUGETLB:
            call.rule = HUGE_PAGES
        elif flags & (MAP_TYPE | MAP_ANONYMOUS) == MAP_DROPPABLE | MAP_ANONYMOUS:
            call.rule = DROPPABLE
        elif call.opening is not None and call.opening.inode.kind in (DEVICE, HUGETLB):
            call.rule = DEVICES if call.opening.inode.kind == DEVICE else HUGE_PAGES
        elif flags & MAP_LOCKED or self._machine.kernel.mm[task.memory.row, v.MM_DEF_FLAGS] & v.VM_LOCKED:
            self._privileges(call, length + PAGE - 1 >> PAGE_SHIFT, True)

    def _low_address(self, call: Call) -> None:
        """Mappings at the lowest addresses tell of CAP_SYS_RAWIO and of mmap_min_addr."""
        privileges = call.task.privileges
        lowest = int(self._machine.kernel.sysctl[SYS_MMAP_MIN_ADDR])
        address = call.numbers[0]
        if call.expected == -EPERM and call.numbers[3] & MAP_FIXED and address < lowest and not privileges.sure:
            privileges.caps &= ~t.CAP_SYS_RAWIO
            self._machine.kernel.task[call.task.tid, t.T_CAPS] = privileges.caps
        fixed = call.numbers[3] & MAP_FIXED and not privileges.caps & t.CAP_SYS_RAWIO
        if PAGE <= call.expected == address < lowest and (fixed or not call.numbers[3] & MAP_FIXED):
            self._machine.kernel.sysctl[SYS_MMAP_MIN_ADDR] = address
            self._assumed.made["mappings that show mmap_min_addr to be lower than 65536"] += 1

    def _descriptor(self, call: Call, fd: int, path: str | None, end: int) -> int:
        """The descriptor as compiled code takes it; -1 if it is not open."""
        files = call.task.files
        if fd < 0 or fd in files.closed or call.expected == -EBADF and fd not in files.open:
            return -1
        opening = files.open.get(fd)
        if opening is None:
            inode = self._files.at(path if path is not None else f"descriptor {fd} of process {call.task.pid}")
            opening = self._files.opening(inode, FMODE_READ | FMODE_WRITE, assumed=True)
            files.put(fd, opening, False)
        if opening.mode == 0:
            return -1
        if opening.assumed and call.expected == -EACCES:
            opening.mode = FMODE_READ if call.numbers[2] & PROT_WRITE and call.numbers[3] & MAP_SHARED else FMODE_WRITE
        call.opening = opening
        if opening.inode.kind == PLAIN_ZERO:
            call.numbers[3] |= MAP_ANONYMOUS
        if opening.inode.kind in (DEVICE, HUGETLB):
            return -1
        return self._files.kernel_fd(opening, end if 0 <= end < 1 << 50 else 0)

    def _prepare_mremap(self, call: Call) -> None:
        task, numbers = call.task, call.numbers
        if len(numbers) < 5:
            numbers.append(0)
        address, length, new_length, flags, _ = numbers[:5]
        start, end = pages_of(address, length)
        if (call.expected >= 0 or call.expected in (-EAGAIN, -ENOMEM)) and start < self._machine.task_pages:
            self._assumed.mapped(task, start, min(max(end, start + 1), self._machine.task_pages))
        if call.expected >= 0:
            first, last = pages_of(call.expected, new_length)
            if first == start:
                self._assumed.free(task, end, last)
            elif not flags & MREMAP_FIXED:
                self._assumed.free(task, first, last)
                self._run_pending(task.memory, task, first, last)
        if new_length > length and self._machine.flags(task.tid, start) & v.VM_LOCKED:
            self._privileges(call, (new_length - length + PAGE - 1) >> PAGE_SHIFT, True)

    # A call.

    def _run(self, call: Call) -> int:
        name, numbers, tid = call.name, call.numbers, call.task.tid
        place = 0
        if call.expected > 0 and (name == "mmap" and not numbers[3] & MAP_FIXED or name == "mremap" and not numbers[3] & MREMAP_FIXED):
            place = call.expected >> PAGE_SHIFT
        if name == "mincore":
            return self._mincore(call)
        if name == "munmap":
            done = self._was_pending(call)
            if done is not None:
                return done
        if name == "pkey_mprotect":
            name, numbers = "mprotect", numbers[:3]
        return self._machine.call(tid, _NUMBERS[name], numbers[:6], place, call.expected)

    def _mincore(self, call: Call) -> int:
        """mincore, and the fault that a bad vector gives (do_mincore's answer first, then the copy)."""
        address, length, vector = call.numbers[:3]
        result = self._machine.call(call.task.tid, SYS_MINCORE, [address, length], 0, call.expected)
        if vector == SHOWN or result not in (0, -ENOMEM):
            return result
        page = vector >> PAGE_SHIFT
        if page >= self._machine.task_pages:
            return -EFAULT
        if not self._machine.flags(call.task.tid, page) & v.VM_WRITE:
            known = not call.task.memory.known.missing(page, page + 1)
            return -EFAULT if known or call.expected == -EFAULT else result
        return result

    def begin_unmapping(self, task: Task, line_args: str) -> None:
        """The line of an munmap is cut: it may be carried out when another call needs the place."""
        texts = split_args(line_args)
        if len(texts) >= 2:
            task.memory.pending.append(Pending(task.pid, number(texts[0]), number(texts[1])))

    def _run_pending(self, memory: Memory, task: Task, start: int, end: int) -> None:
        for pending in memory.pending:
            first, last = pages_of(pending.start, pending.length)
            if pending.result is None and first < end and start < last:
                pending.result = self._machine.call(task.tid, SYS_MUNMAP, [pending.start, pending.length])

    def _was_pending(self, call: Call) -> int | None:
        for pending in call.task.memory.pending:
            if pending.pid == call.task.pid:
                call.task.memory.pending.remove(pending)
                return pending.result
        return None

    # After a call.

    def _explained(self, call: Call, simulated: int) -> bool:
        """Whether a different answer comes from what is left out, or from what the log doesn't tell."""
        rule = COMPAT if call.task.memory.compat else self._outside(call)
        rule = rule or of_answer(call.name, call.numbers, call.expected, call.opening, call.task.filtered)
        if rule is not None:
            self.rules[rule] += 1
            call.rule = rule
            return True
        pages = self._growth(call)
        if simulated >= 0 and self._could_lock(call) and self._assumed.lower_limit(call.task, pages):
            return True
        if call.expected == -ENOMEM and simulated >= 0:
            return self._assumed.refused(call.task, pages)
        if call.name == "brk" and simulated > call.expected:
            return self._assumed.refused(call.task, pages)
        if call.expected >= 0 and simulated in _LIMITED:
            locks = call.name in _LOCKS and self._assumed.no_limit(call.task)
            if locks or (simulated == -ENOMEM and self._assumed.granted(call.task, pages)):
                try:
                    return self._run(call) == call.expected
                except MemoryError:
                    return True
        return False

    def _could_lock(self, call: Call) -> bool:
        """Whether a call failed in the log as one that meets the limit of locked memory; what it locked here is unlocked again."""
        if call.name in ("mlock", "mlock2") and call.expected == -ENOMEM:
            self._machine.call(call.task.tid, SYS_MUNLOCK, call.numbers[:2])
            return True
        return call.expected == -EAGAIN and call.name in ("mmap", "mremap")

    def _growth(self, call: Call) -> int:
        if call.name == "mremap":
            return max(call.numbers[2] - call.numbers[1], 0) >> PAGE_SHIFT
        if call.name == "brk":
            return max((call.numbers[0] >> PAGE_SHIFT) - (call.expected >> PAGE_SHIFT), 1)
        return call.numbers[1] + PAGE - 1 >> PAGE_SHIFT if len(call.numbers) > 1 else 0

    def _outside(self, call: Call) -> str | None:
        """The rule that a mapping which the call touches is left out by."""
        if call.name in ("brk", "mlockall", "munlockall") or (call.name == "mmap" and not call.numbers[3] & MAP_FIXED):
            return None
        start, end = pages_of(call.numbers[0], call.numbers[1])
        return next((rule for rule, part in call.task.memory.outside.items() if part.overlaps(start, end)), None)

    def _leave_out(self, call: Call) -> None:
        """Count a call under its rule; a mapping that it made is noted, so that later calls find something there."""
        assert call.rule is not None
        self.rules[call.rule] += 1
        if call.name != "mmap" or call.expected < 0:
            return
        _, length, prot, flags, _, _ = call.numbers
        if call.rule == HUGE_PAGES:
            size = 1 << ((flags >> MAP_HUGE_SHIFT) & 63 or _HUGE_SHIFT)
            length = -(-length // size) * size
        self.place(call.task, call.expected, length, prot, call.rule, bool(flags & MAP_SHARED))

    def place(self, task: Task, address: int, length: int, prot: int, rule: str | None, shared: bool) -> None:
        """Map memory that a call outside of the model made; `rule` is what it is left out by."""
        start, end = pages_of(address, length)
        may = VM_MAY if prot & PROT_WRITE or not shared else VM_MAY & ~v.VM_MAYWRITE
        self._machine.map(task.tid, start, end, prot & 7 | may | (v.VM_SHARED | v.VM_MAYSHARE if shared else 0))
        self._note(task.memory, start, end)
        if rule is not None:
            self.put_outside(task, address, length, rule)

    def put_outside(self, task: Task, address: int, length: int, rule: str) -> None:
        """What is mapped there answers by a rule that is left out, from now on."""
        task.memory.outside.setdefault(rule, Intervals()).add(*pages_of(address, length))

    def unplace(self, task: Task, address: int, pages: int) -> None:
        """Unmap what `place` mapped."""
        self._machine.call(task.tid, SYS_MUNMAP, [address, pages << PAGE_SHIFT])
        self._note(task.memory, address >> PAGE_SHIFT, (address >> PAGE_SHIFT) + pages)

    def _note(self, memory: Memory, start: int, end: int) -> None:
        """The log has told what is at [start, end)."""
        memory.told(start, min(end, self._machine.task_pages))

    def _settle(self, call: Call, simulated: int | None) -> None:
        """Let the state be as the log says, whatever the simulator answered."""
        name, numbers, expected = call.name, call.numbers, call.expected
        if name == "mmap":
            self._settle_mmap(call, simulated)
        elif name == "munmap":
            if expected == 0:
                self._note(call.task.memory, *pages_of(numbers[0], numbers[1]))
            elif simulated == 0:
                self._machine.map(call.task.tid, *pages_of(numbers[0], numbers[1]), v.VM_READ | v.VM_WRITE | VM_MAY)
        elif name == "mremap":
            self._settle_mremap(call, simulated)
        elif name == "brk":
            self._settle_brk(call, simulated)

    def _settle_mmap(self, call: Call, simulated: int | None) -> None:
        task, (_, length, prot, flags, _, _) = call.task, call.numbers
        if simulated is not None and simulated >= 0 and simulated != call.expected:
            self._machine.call(task.tid, SYS_MUNMAP, [simulated, length])
            if flags & MAP_FIXED:
                self._machine.map(task.tid, *pages_of(simulated, length), v.VM_READ | v.VM_WRITE | VM_MAY)
        if call.expected < 0:
            return
        start, end = pages_of(call.expected, length)
        if simulated != call.expected and simulated is not None:
            self._machine.map(task.tid, start, end, prot & 7 | VM_MAY | (v.VM_SHARED | v.VM_MAYSHARE if flags & MAP_TYPE != 2 else 0))
        self._note(task.memory, start, end)
        if prot & PROT_WRITE and flags & MAP_TYPE == MAP_PRIVATE and not flags & MAP_NORESERVE:
            self._assumed.charged(end - start)

    def _settle_mremap(self, call: Call, simulated: int | None) -> None:
        task, (address, length, new_length, flags, _) = call.task, call.numbers[:5]
        if call.expected < 0:
            return
        start, end = pages_of(address, length)
        first, last = pages_of(call.expected, new_length)
        rule = self._outside(call)
        if simulated is not None and simulated != call.expected:
            if simulated >= 0:
                self._machine.call(task.tid, SYS_MUNMAP, [simulated, new_length])
            if first != start:
                self._machine.call(task.tid, SYS_MUNMAP, [address, length])
            self._machine.map(task.tid, first, last, v.VM_READ | v.VM_WRITE | VM_MAY)
        if first != start and not flags & MREMAP_DONTUNMAP:
            self._note(task.memory, start, end)
        self._note(task.memory, first, last)
        if rule is not None:
            task.memory.outside[rule].add(first, last)

    def _settle_brk(self, call: Call, simulated: int | None) -> None:
        task = call.task
        wanted = -(-call.expected >> PAGE_SHIFT)
        if simulated is not None and simulated != call.expected and wanted <= self._machine.task_pages:
            now = self._machine.heap_end(task.tid)
            if wanted < now:
                self._machine.call(task.tid, SYS_MUNMAP, [wanted << PAGE_SHIFT, (now - wanted) << PAGE_SHIFT])
            elif now > 0:
                self._machine.map(task.tid, now, wanted, v.VM_READ | v.VM_WRITE | VM_MAY)
            self._machine.heap(task.tid, -1, call.expected)
        if task.memory.from_exec:
            self._note(task.memory, task.memory.heap_start, wanted)
