"""Calls that don't concern memory themselves, but tell what memory calls need: files, limits, privileges, settings, segments."""

from __future__ import annotations

import re
from collections.abc import Callable

from vmsim.struct import kernel as kn
from vmsim.struct import tasks as t
from vmsim.struct.files import FMODE_READ, FMODE_WRITE
from vmsim.workload.strace import names as n
from vmsim.workload.strace.calls import MemoryCalls
from vmsim.workload.strace.files import HUGETLB, OTHER, PLAIN_ZERO, Files, Inode, Opening, mode_of
from vmsim.workload.strace.left_out import HUGE_PAGES
from vmsim.workload.strace.line import Line
from vmsim.workload.strace.names import number
from vmsim.workload.strace.process import Privileges, Processes, Task
from vmsim.workload.strace.target import ALL_CAPS, PAGE_SHIFT, Target
from vmsim.workload.strace.values import descriptor, fields, noted_path, split_args, string, without_comments

Handler = Callable[["Bookkeeping", Task, Line, list[str]], None]
_HANDLERS: dict[str, Handler] = {}
_SETTINGS = {
    "/proc/sys/vm/max_map_count": kn.SYS_MAX_MAP_COUNT, "/proc/sys/vm/overcommit_memory": kn.SYS_OVERCOMMIT_MEMORY,
    "/proc/sys/vm/overcommit_ratio": kn.SYS_OVERCOMMIT_RATIO, "/proc/sys/vm/mmap_min_addr": kn.SYS_MMAP_MIN_ADDR,
}  # fmt: skip
_LIMITS = frozenset({t.RLIMIT_MEMLOCK, t.RLIMIT_AS, t.RLIMIT_DATA, t.RLIMIT_STACK})
_CAPS = {14: t.CAP_IPC_LOCK, 17: t.CAP_SYS_RAWIO, 21: t.CAP_SYS_ADMIN, 23: t.CAP_SYS_NICE, 24: t.CAP_SYS_RESOURCE}
_UNCHANGED = ((1 << 32) - 1, (1 << 64) - 1, -1)
_FD_PAIR = re.compile(r"(\d+)(?:<((?:->|[^<>])*)>)?")


def _handles(*calls: str) -> Callable[[Handler], Handler]:
    def enter(handler: Handler) -> Handler:
        for call in calls:
            _HANDLERS[call] = handler
        return handler

    return enter


def tells(name: str) -> bool:
    """Whether a call is one of these."""
    return name in _HANDLERS


class Bookkeeping:
    """Notes what such calls tell; one whose arguments have a form that isn't known tells nothing."""

    def __init__(self, machine: Target, processes: Processes, files: Files, calls: MemoryCalls) -> None:
        self.machine = machine
        self.processes = processes
        self.files = files
        self.calls = calls
        self.segments: dict[int, tuple[int, bool]] = {}

    def note(self, task: Task, line: Line) -> None:
        """Note what a call that has returned tells."""
        if line.result is None or (line.result == -1 and line.error):
            return
        try:
            _HANDLERS[line.name](self, task, line, split_args(line.args))
        except (ValueError, IndexError, KeyError, OverflowError):
            return

    def opened(self, task: Task, line: Line, inode: Inode, flags: int) -> None:
        """A call returned a descriptor of a file."""
        assert line.result is not None
        mode = 0 if flags & n.O_PATH else mode_of(flags)
        opening = self.files.opening(inode, mode, bool(flags & n.O_APPEND))
        task.files.put(line.result, opening, bool(flags & n.O_CLOEXEC))

    def file_of(self, task: Task, text: str) -> Opening | None:
        """What a descriptor means."""
        return task.files.open.get(descriptor(text).fd)


@_handles("open", "openat", "openat2", "creat")
def _open(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    at = 0 if line.name in ("open", "creat") else 1
    if line.name == "creat":
        flags = n.O_CREAT | n.O_TRUNC | 1
    elif line.name == "openat2":
        flags = number(fields(args[2])["flags"])
    else:
        flags = number(args[at + 1])
    path = noted_path(line.note)
    if path is None:
        path = string(args[at])
        if at and not path.startswith("/"):
            path = f"{without_comments(args[0])}/{path}"
    if flags & n.O_TMPFILE == n.O_TMPFILE:
        inode = Inode(path, size=0)
    elif flags & n.O_CREAT and flags & n.O_EXCL:
        inode = book.files.create(path)
    else:
        inode = book.files.at(path)
        if flags & n.O_TRUNC and flags & n.O_ACCMODE:
            book.files.resize(inode, 0)
    if flags & n.O_DIRECTORY and flags & n.O_TMPFILE != n.O_TMPFILE:
        inode.kind = OTHER
    book.opened(task, line, inode, flags)


@_handles("memfd_create")
def _memfd(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    flags = number(args[1])
    inode = Inode(f"/memfd:{string(args[0])}", size=0)
    if flags & 4:
        inode.kind = HUGETLB
    book.opened(task, line, inode, 2 | (n.O_CLOEXEC if flags & 1 else 0))


@_handles("socket", "accept", "accept4", "eventfd", "eventfd2", "epoll_create", "epoll_create1", "timerfd_create", "signalfd", "signalfd4",
          "inotify_init", "inotify_init1", "fanotify_init", "pidfd_open", "pidfd_getfd", "userfaultfd", "perf_event_open", "io_uring_setup",
          "bpf", "memfd_secret", "landlock_create_ruleset", "fsopen", "fsmount", "open_tree")  # fmt: skip
def _other_descriptor(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    assert line.result is not None
    if line.name in ("perf_event_open", "io_uring_setup", "bpf", "memfd_secret"):
        inode = book.files.at(f"anon_inode:[{line.name}]")
    elif line.name == "pidfd_getfd":
        return task.files.closed.discard(line.result)
    else:
        inode = Inode(noted_path(line.note) or line.name, OTHER)
    book.opened(task, line, inode, 2 | (n.O_CLOEXEC if "CLOEXEC" in line.args else 0))
    return None


@_handles("pipe", "pipe2", "socketpair")
def _pair(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    text = args[3] if line.name == "socketpair" else args[0]
    for index, (fd, _) in enumerate(_FD_PAIR.findall(text.strip("[]"))[:2]):
        flags = 2 if line.name == "socketpair" else index
        opening = book.files.opening(Inode("pipe:", OTHER), mode_of(flags))
        task.files.put(int(fd), opening, "CLOEXEC" in line.args)


@_handles("close")
def _close(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    task.files.close(descriptor(args[0]).fd)


@_handles("close_range")
def _close_range(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    first, last = number(args[0]), number(args[1])
    cloexec = number(args[2]) & 4
    for fd in [fd for fd in task.files.open if first <= fd <= last]:
        task.files.cloexec.add(fd) if cloexec else task.files.close(fd)


@_handles("dup", "dup2", "dup3", "fcntl", "fcntl64")
def _dup(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    assert line.result is not None
    opening = book.file_of(task, args[0])
    if line.name.startswith("fcntl"):
        command = number(args[1])
        if command == 2 and number(args[2]) & 1:
            task.files.cloexec.add(descriptor(args[0]).fd)
        elif command == 2:
            task.files.cloexec.discard(descriptor(args[0]).fd)
        elif command == 1033 and opening is not None:
            opening.inode.sealed = True
        if command not in (0, 1030):
            return
        cloexec = command == 1030
    else:
        cloexec = line.name == "dup3" and bool(number(args[2]) & n.O_CLOEXEC)
    if opening is None:
        path = descriptor(args[0]).path
        task.files.close(line.result)
        task.files.closed.discard(line.result)
        if path is None:
            return
        opening = book.files.opening(book.files.at(path), FMODE_READ | FMODE_WRITE, assumed=True)
    task.files.put(line.result, opening, cloexec)


@_handles("fstat", "newfstatat", "fstatat64", "stat", "lstat", "statx", "fstat64", "stat64")
def _stat(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    at = 1 if line.name in ("fstat", "stat", "lstat", "fstat64", "stat64") else 4 if line.name == "statx" else 2
    found = fields(args[at])
    size = found.get("st_size", found.get("stx_size"))
    mode = number(found["st_mode"] if "st_mode" in found else found["stx_mode"]) & 0o170000
    if line.name in ("fstat", "fstat64") or (at > 1 and args[1] == '""'):
        opening = book.file_of(task, args[0])
        path = descriptor(args[0]).path
        inode = opening.inode if opening is not None else book.files.at(path) if path is not None else None
    else:
        inode = book.files.at(string(args[at - 1] if at < 4 else args[1])) if line.name != "lstat" else None
    if inode is None:
        return
    if mode == 0o100000 and size is not None:
        if inode.kind != OTHER:
            book.files.resize(inode, number(size))
    elif mode == 0o20000 and "makedev(0x1, 0x5)" in found.get("st_rdev", ""):
        inode.kind = PLAIN_ZERO
    elif mode in (0o40000, 0o10000, 0o140000):
        inode.kind = OTHER


@_handles("ftruncate", "ftruncate64", "truncate", "fallocate")
def _truncate(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    if line.name == "truncate":
        book.files.resize(book.files.at(string(args[0])), number(args[1]))
        return
    opening = book.file_of(task, args[0])
    if opening is None:
        return
    if line.name == "fallocate":
        if number(args[1]) == 0:
            book.files.extend(opening.inode, number(args[2]) + number(args[3]))
    else:
        book.files.resize(opening.inode, number(args[1]))


@_handles("write", "pwrite64", "writev", "pwritev", "read", "lseek", "sendfile", "copy_file_range", "splice")
def _move_bytes(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    assert line.result is not None
    opening = book.file_of(task, args[2] if line.name in ("copy_file_range", "splice") else args[0])
    if opening is None:
        return
    inode = opening.inode
    if inode.path in _SETTINGS:
        if line.name in ("read", "write"):
            digits = re.match(r"\s*(\d{1,9})", string(args[1]))
            if digits:
                book.machine.kernel.sysctl[_SETTINGS[inode.path]] = int(digits[1])
    elif line.name == "lseek":
        opening.position = line.result
    elif line.name == "pwrite64":
        book.files.extend(inode, number(args[3]) + line.result)
    elif line.name == "read":
        opening.position += line.result
    elif line.name in ("write", "writev"):
        begin = inode.size or 0 if opening.append else opening.position
        opening.position = begin + line.result
        book.files.extend(inode, opening.position)
    elif not inode.row:
        inode.size = None


@_handles("unlink", "unlinkat", "rename", "renameat", "renameat2")
def _unlink(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    if line.name.startswith("unlink"):
        book.files.unlink(string(args[1 if line.name == "unlinkat" else 0]))
    else:
        first = 0 if line.name == "rename" else 1
        book.files.rename(string(args[first]), string(args[2 * first + 1]))


@_handles("prlimit64", "setrlimit", "getrlimit", "ugetrlimit")
def _limit(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    group = task.group
    if line.name == "prlimit64":
        pid = number(args[0])
        if pid and pid != task.pid:
            other = book.processes.alive.get(pid)
            if other is None:
                return
            group = other.group
        resource, new, old = number(args[1]), fields(args[2]), fields(args[3])
    else:
        resource, new, old = number(args[0]), fields(args[1]), {}
    if resource not in _LIMITS:
        return
    found = new or old
    if "rlim_cur" not in found:
        return
    soft, hard = (number(found[name]) % (1 << 64) for name in ("rlim_cur", "rlim_max"))
    infinity = t.RLIM_INFINITY
    book.machine.set_limit(group.tid, resource, min(soft, infinity), min(hard, infinity), bool(new))
    group.known_limits.add(resource)


@_handles("getuid", "geteuid", "getresuid", "setuid", "setreuid", "setresuid", "setuid32", "setresuid32", "geteuid32")
def _uid(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    privileges = task.privileges
    if line.name.startswith("get"):
        if line.name == "getuid":
            return
        shown = line.result if "geteuid" in line.name else number(args[1].strip("[]"))
        privileges.euid = shown
        if not privileges.sure and not privileges.decided:
            privileges.caps = ALL_CAPS if shown == 0 else 0
            book.processes.apply_privileges(task)
        return
    at = 0 if line.name.startswith("setuid") else 1
    euid = number(args[at])
    if euid in _UNCHANGED:
        return
    if euid == 0:
        if privileges.saved_caps is not None:
            privileges.caps, privileges.sure = privileges.saved_caps, privileges.saved_sure
    elif privileges.euid in (0, None):
        privileges.saved_caps = privileges.caps if at == 1 and number(args[0]) in _UNCHANGED else None
        privileges.saved_sure = privileges.sure
        privileges.sure |= privileges.euid == 0  # root that becomes another user has none left (cap_emulate_setxuid)
        privileges.caps = 0
        privileges.decided = False
    privileges.euid = euid
    book.processes.apply_privileges(task)


@_handles("capget", "capset")
def _capabilities(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    pid = number(fields(args[0])["pid"])
    if pid not in (0, task.pid) or "effective" not in fields(args[1]):
        return
    bits = number(fields(args[1])["effective"])
    task.privileges.caps = sum(cap for bit, cap in _CAPS.items() if bits >> bit & 1)
    task.privileges.sure = True
    book.processes.apply_privileges(task)


@_handles("unshare", "setns")
def _namespaces(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    if number(args[-1] if line.name == "setns" else args[0]) & n.CLONE_NEWUSER:
        task.privileges = Privileges(0, True, euid=None)  # the limit of locked memory asks for the first user namespace
        book.processes.apply_privileges(task)


@_handles("seccomp", "prctl")
def _filter(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    if line.name == "seccomp" or "PR_SET_SECCOMP" in args[0] or without_comments(args[0]) in ("22", "0x16"):
        task.filtered = True


@_handles("shmget", "shmctl")
def _segment(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    assert line.result is not None
    if line.name == "shmget":
        flags = 0
        for part in without_comments(args[2]).split("|"):
            flags |= number(part)
        if number(args[1]) or line.result not in book.segments:
            book.segments[line.result] = (number(args[1]), bool(flags & 0o4000))
    else:
        found = fields(args[2])
        if "shm_segsz" in found:
            book.segments[number(args[0])] = (number(found["shm_segsz"]), False)


@_handles("shmat")
def _attach(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    assert line.result is not None
    size, huge = book.segments.get(number(args[0]), (0, False))
    writable = 0 if number(args[2]) & 0o10000 else 2
    rule = HUGE_PAGES if huge else None if size else "SysV shared memory"
    pages = -(-max(size, 1) >> PAGE_SHIFT)
    book.calls.place(task, line.result, pages << PAGE_SHIFT, 1 | writable, rule, True)
    task.memory.segments[line.result] = pages
    if rule is not None:
        book.calls.rules[rule] += 1


@_handles("shmdt")
def _detach(book: Bookkeeping, task: Task, line: Line, args: list[str]) -> None:
    address = number(args[0])
    pages = task.memory.segments.pop(address, 0)
    if pages:
        book.calls.unplace(task, address, pages)
