"""What a log tells of files: which descriptor is which file, how it was opened, and how long it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmsim.struct.files import FD_OPEN_SHIFT, FILE_TMPFS, FILE_WITHOUT_MMAP, FMODE_READ, FMODE_WRITE
from vmsim.workload.strace.target import Target

FILE, PLAIN_ZERO, OTHER, DEVICE, HUGETLB = range(5)
"""Kinds: a file; /dev/zero; what can't be mapped; a device or another thing with rules of its own; a file of huge pages."""
_SHARED_MEMORY = ("/dev/shm/", "/dev/mqueue/")
_UNMAPPABLE = (
    "pipe:", "socket:", "TCP", "UDP", "UNIX", "NETLINK", "anon_inode:[event", "anon_inode:[signalfd", "anon_inode:[timerfd",
    "anon_inode:[pidfd", "anon_inode:inotify", "anon_inode:[fanotify", "anon_inode:[userfaultfd", "pidfd:", "/proc/", "/sys/",
)  # fmt: skip


@dataclass
class Inode:
    """A file; `size` is None as long as the log hasn't told it."""

    path: str
    kind: int = FILE
    size: int | None = None
    row: int = 0
    reach: int = 0  # end of the part that was mapped, where the size isn't known
    sealed: bool = False


@dataclass
class Opening:
    """A file as it was opened (`struct file`)."""

    inode: Inode
    mode: int
    number: int
    position: int = 0
    append: bool = False
    assumed: bool = False  # how it was opened isn't known


@dataclass
class Descriptors:
    """A process's table of descriptors. `closed` has those that are known not to be open."""

    open: dict[int, Opening] = field(default_factory=dict)
    cloexec: set[int] = field(default_factory=set)
    closed: set[int] = field(default_factory=set)

    def copy(self) -> Descriptors:
        """The table of a forked child."""
        return Descriptors(self.open.copy(), self.cloexec.copy(), self.closed.copy())

    def put(self, fd: int, opening: Opening, cloexec: bool) -> None:
        """A descriptor means an opening from now on."""
        self.open[fd] = opening
        self.closed.discard(fd)
        (self.cloexec.add if cloexec else self.cloexec.discard)(fd)

    def close(self, fd: int) -> None:
        """A descriptor means nothing any more."""
        self.open.pop(fd, None)
        self.cloexec.discard(fd)
        self.closed.add(fd)

    def exec(self) -> None:
        """A new program: descriptors that close on exec are closed."""
        for fd in list(self.cloexec):
            self.close(fd)


def kind_of(path: str) -> int:
    """What a path is, by its name alone."""
    if path.startswith("/dev/"):
        if path.startswith(("/dev/hugepages", "/dev/huge")):
            return HUGETLB
        if path == "/dev/zero" or path.startswith("/dev/zero<"):
            return PLAIN_ZERO
        if path.startswith(("/dev/null", "/dev/pts/", "/dev/tty", "/dev/urandom", "/dev/random", "/dev/fd/")):
            return OTHER
        return FILE if path.startswith(_SHARED_MEMORY) else DEVICE
    if path.startswith("/anon_hugepage"):
        return HUGETLB
    if path.startswith(_UNMAPPABLE):
        return OTHER
    return DEVICE if path.startswith(("anon_inode:", "/dev-", "/secretmem")) else FILE


class Files:
    """All files of a log, by path; those that are mapped have a row in the machine."""

    def __init__(self, machine: Target) -> None:
        self._machine = machine
        self._by_path: dict[str, Inode] = {}
        self._mapped: list[Inode] = []

    def at(self, path: str) -> Inode:
        """The file of a path."""
        found = self._by_path.get(path)
        if found is None:
            found = self._by_path[path] = Inode(path, kind_of(path))
        return found

    def create(self, path: str) -> Inode:
        """A new, empty file, which has the path from now on."""
        found = self._by_path[path] = Inode(path, kind_of(path), 0)
        return found

    def unlink(self, path: str) -> None:
        """The path means nothing any more."""
        self._by_path.pop(path, None)

    def rename(self, old: str, new: str) -> None:
        """The file has another path."""
        found = self._by_path.pop(old, None)
        if found is not None:
            self._by_path[new] = found
        else:
            self._by_path.pop(new, None)

    def opening(self, inode: Inode, mode: int, append: bool = False, assumed: bool = False) -> Opening:
        """A file is opened."""
        return Opening(inode, mode, self._machine.new_opening(), append=append, assumed=assumed)

    def resize(self, inode: Inode, size: int) -> None:
        """The log says how long a file is."""
        inode.size = size
        if inode.row:
            self._machine.resize_file(inode.row, size)

    def extend(self, inode: Inode, size: int) -> None:
        """A file is at least so long."""
        if inode.size is not None and size > inode.size:
            self.resize(inode, size)

    def kernel_fd(self, opening: Opening, end: int) -> int:
        """The descriptor as compiled code takes it, for a mapping that ends at byte `end` of the file."""
        inode = opening.inode
        if not inode.row:
            self._make_room()
            kind = FILE_WITHOUT_MMAP if inode.kind == OTHER else FILE_TMPFS
            inode.row = self._machine.new_file(0, kind, inode.path)
            self._machine.resize_file(inode.row, inode.size or 0)
            self._mapped.append(inode)
        if inode.size is None and end > inode.reach:
            inode.reach = end
            self._machine.resize_file(inode.row, end)
        return opening.number << FD_OPEN_SHIFT | inode.row << 2 | opening.mode

    def _make_room(self) -> None:
        """Give back the rows of files that nobody maps, when there are many."""
        if not self._machine.files_are_scarce() or len(self._mapped) < 256:
            return
        kept = []
        for inode in self._mapped:
            if self._machine.is_mapped(inode.row):
                kept.append(inode)
            else:
                self._machine.forget_file(inode.row)
                inode.row = inode.reach = 0
        self._mapped = kept


def mode_of(flags: int) -> int:
    """FMODE_* bits of open(2)'s access mode."""
    return (FMODE_READ, FMODE_WRITE, FMODE_READ | FMODE_WRITE, 0)[flags & 3]
