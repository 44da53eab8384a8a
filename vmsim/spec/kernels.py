"""Which Linux releases can be simulated, and how a version is written."""

from __future__ import annotations

import re
from typing import Final

from vmsim.errors import unknown_name

KERNEL_LINES: Final = ("4.3", "4.4", "6.1", "6.18")
_VERSION: Final = re.compile(r"(\d{1,3}\.\d{1,3})(?:\.\d{1,5})?(?:-[\w.+-]{1,64})?", re.ASCII)


def kernel_line(version: str) -> str:
    """The release line of a version: `4.4` of `4.4.1` or `4.4.0-21-generic`. Raises ValueError if it isn't modelled."""
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        raise ValueError(f"expected a kernel version such as '4.4' or '6.1.177', got {version!r}")
    if match.group(1) not in KERNEL_LINES:
        raise ValueError(unknown_name("kernel", match.group(1), KERNEL_LINES))
    return match.group(1)
