"""What vmsim leaves out on purpose: a call that answers differently because of it is counted under the rule, not as a divergence."""

from __future__ import annotations

import errno

from vmsim.spec.flags import (
    MADV_COLLAPSE,
    MADV_HUGEPAGE,
    MADV_HWPOISON,
    MADV_MERGEABLE,
    MADV_NOHUGEPAGE,
    MADV_REMOVE,
    MADV_SOFT_OFFLINE,
    MADV_UNMERGEABLE,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    PROT_EXEC,
)
from vmsim.workload.strace.files import Opening

HUGE_PAGES = "hugetlbfs"
DEVICES = "device mappings"
MACHINE_MEMORY = "more memory than the simulated machine has"
NUMA = "NUMA placement"
DROPPABLE = "droppable memory"
COMPAT = "32-bit programs"
RULES = {
    HUGE_PAGES: "mappings of huge pages, by MAP_HUGETLB, hugetlbfs or SHM_HUGETLB",
    DEVICES: "mappings of devices and of anonymous inodes (io_uring, perf, KVM, dma-buf), whose drivers decide",
    MACHINE_MEMORY: "locking or populating more pages than the simulated machine has frames",
    NUMA: "mbind, set_mempolicy, migrate_pages and the like",
    "file system": "answers that a file system or its mount decides: noexec, append-only, no hole punching, no mmap in /proc",
    "memfd seals": "seals of memory files",
    "seccomp": "calls that a filter of the process answers",
    "protection keys": "pkey_mprotect with a key",
    "memory errors": "MADV_HWPOISON and MADV_SOFT_OFFLINE",
    "transparent huge pages": "whether the kernel has them and what MADV_COLLAPSE finds",
    "KSM": "whether the kernel merges pages",
    "sealed mappings": "mseal",
    "remap_file_pages": "non-linear mappings",
    "process_madvise": "advice for another process",
    "shadow stacks": "map_shadow_stack",
    "SysV shared memory": "a segment whose size the log doesn't tell",
    "guard regions": "MADV_GUARD_INSTALL and MADV_GUARD_REMOVE",
    DROPPABLE: "memory that the kernel may drop, by MAP_DROPPABLE",
    "hidden argument": "the address that mremap takes with MREMAP_DONTUNMAP, which strace shows with MREMAP_FIXED only",
    COMPAT: "programs of 32 bits, whose address space ends elsewhere",
    "interrupted": "a call that a signal stopped, and that is made again",
    "injected": "a result that strace itself put in",
}
UNCOMPARED = {
    "mbind": NUMA, "set_mempolicy": NUMA, "get_mempolicy": NUMA, "migrate_pages": NUMA, "move_pages": NUMA, "set_mempolicy_home_node": NUMA,
    "remap_file_pages": "remap_file_pages", "process_madvise": "process_madvise", "map_shadow_stack": "shadow stacks",
    "mseal": "sealed mappings", "syscall_0x1ce": "sealed mappings",
}  # fmt: skip
_FILE_SYSTEM = frozenset({errno.EACCES, errno.EPERM, errno.ETXTBSY, errno.EIO, errno.ENODEV, errno.ENXIO, errno.EAGAIN, errno.EOPNOTSUPP})
_FILTERED = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS})
_ADVICE = {
    MADV_HWPOISON: "memory errors", MADV_SOFT_OFFLINE: "memory errors", MADV_COLLAPSE: "transparent huge pages",
    MADV_HUGEPAGE: "transparent huge pages", MADV_NOHUGEPAGE: "transparent huge pages", MADV_MERGEABLE: "KSM", MADV_UNMERGEABLE: "KSM",
}  # fmt: skip
_GUARDS = frozenset({102, 103})
_SURE_ADVICE = frozenset({"KSM", "transparent huge pages"})


def of_answer(name: str, numbers: list[int], expected: int, opening: Opening | None, filtered: bool) -> str | None:
    """The rule that explains why a call answered `expected` in the log and otherwise here; None if none does."""
    error = -expected if expected < 0 else 0
    if filtered and error in _FILTERED:
        return "seccomp"
    if error == errno.EINTR:
        return "interrupted"
    if name == "mremap" and error == errno.EINVAL and numbers[3] & (MREMAP_DONTUNMAP | MREMAP_FIXED) == MREMAP_DONTUNMAP:
        return "hidden argument"
    if name == "madvise" and numbers[2] in _GUARDS:
        return "guard regions"
    if name == "madvise":
        rule = _ADVICE.get(numbers[2])
        if rule is not None and (rule not in _SURE_ADVICE or error == errno.EINVAL or numbers[2] == MADV_COLLAPSE):
            return rule
        if numbers[2] == MADV_REMOVE and error == errno.EOPNOTSUPP:
            return "file system"
    if name == "mmap" and opening is not None and error in _FILE_SYSTEM:
        return "memfd seals" if opening.inode.sealed and error == errno.EPERM else "file system"
    if name == "mprotect" and error in (errno.EACCES, errno.EPERM) and numbers[2] & PROT_EXEC:
        return "file system"
    return None
