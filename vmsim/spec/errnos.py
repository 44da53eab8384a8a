"""Errors that a step may expect, by name (include/uapi/asm-generic/errno-base.h and errno.h of v4.4)."""

from __future__ import annotations

from typing import Final

_BASE: Final = (
    "EPERM", "ENOENT", "ESRCH", "EINTR", "EIO", "ENXIO", "E2BIG", "ENOEXEC", "EBADF", "ECHILD", "EAGAIN", "ENOMEM",
    "EACCES", "EFAULT", "ENOTBLK", "EBUSY", "EEXIST", "EXDEV", "ENODEV", "ENOTDIR", "EISDIR", "EINVAL", "ENFILE",
    "EMFILE", "ENOTTY", "ETXTBSY", "EFBIG", "ENOSPC", "ESPIPE", "EROFS", "EMLINK", "EPIPE", "EDOM", "ERANGE",
    "EDEADLK", "ENAMETOOLONG", "ENOLCK", "ENOSYS",
)  # fmt: skip
ERRNOS: Final = {name: number for number, name in enumerate(_BASE, 1)} | {
    "EOVERFLOW": 75,
    "EOPNOTSUPP": 95,
    "EHWPOISON": 133,
}
