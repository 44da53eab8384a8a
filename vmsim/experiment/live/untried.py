"""What a session can't try on this machine, and why: told, so that no difference found does not pass for more than it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vmsim.arch.rules import VERSIONS, nearest_version
from vmsim.errors import VmsimError
from vmsim.experiment.live.program import HARD_MEMLOCK

_SUBJECT_VMAS = 2  # its code and its data


def modelled_version(header: Mapping[str, Any]) -> str:
    """The modelled kernel to compare with. Raises VmsimError if too little of the state can be read."""
    if any(vma[5] < 0 for vma in header["outside"]):
        raise VmsimError("/proc/PID/smaps can't be read here, so nothing can be compared; --no-compare only records")
    return nearest_version(str(header["kernel"]))


def not_tried(header: Mapping[str, Any], compare: bool) -> list[str]:
    """What a header and this process tell of limits to what is tried."""
    return [*_of_the_kernel(header, compare), *_of_rights(header), *_by_design()]


def _of_the_kernel(header: Mapping[str, Any], compare: bool) -> Iterator[str]:
    release = str(header["kernel"])
    version = nearest_version(release)
    if compare and not release.startswith(version):
        yield f"kernel {release} is not modelled ({', '.join(VERSIONS)} are): compared with the rules of {version}"
    if len(header["outside"]) > _SUBJECT_VMAS:
        kept = len(header["outside"]) - _SUBJECT_VMAS
        yield f"an address space with nothing but our mappings: the kernel keeps {kept} more of its own there"
    if header["overcommit"][0] == 2:
        yield "the commit limit: with vm.overcommit_memory=2 it depends on all other processes, and calls may fail because of them"
    if not header["thp_disabled"]:
        yield "a process without huge pages: this kernel has no PR_SET_THP_DISABLE, so page states may differ"


def _of_rights(header: Mapping[str, Any]) -> Iterator[str]:
    if not header["cap_ipc_lock"]:
        yield "CAP_IPC_LOCK: this user doesn't have it, so every sequence runs under RLIMIT_MEMLOCK"
    hard = header["rlimit_memlock"][1]
    if 0 <= hard < HARD_MEMLOCK:
        yield f"locking more than {hard} bytes: the hard RLIMIT_MEMLOCK can't be raised"
    if not header["zero_page_known"]:
        yield "telling the zero page from anonymous pages: pagemap hides frame numbers without CAP_SYS_ADMIN"
    if header["fault_around_bytes"] < 0:
        pages = header["fault_around_measured"]["pages"]
        yield f"reading fault_around_bytes (debugfs is not mounted or not readable): {pages} pages as measured are used"
    if _status("Seccomp") not in ("", "0"):
        yield "calls that a seccomp filter refuses: they show as differences"


def _by_design() -> Iterator[str]:
    yield "swap, huge pages, sysctls and files on disks: sequences stay in a process of their own with a file on tmpfs"


def _status(name: str) -> str:
    """A value of /proc/self/status, empty if it isn't there."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name + ":")), "")
