"""Files: their size, where they lie, and how much of them the page cache holds at the start."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from vmsim.spec.flags import shown
from vmsim.spec.model import SpecModel
from vmsim.spec.values import Bytes, Checked, Choice, Name


def _read_cached(given: object) -> float:
    """The cached share of a file. Raises ValueError."""
    if given in ("all", "none"):
        return 1.0 if given == "all" else 0.0
    match = re.fullmatch(r"\s*([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%\s*", given) if isinstance(given, str) else None
    if isinstance(given, float) and 0 <= given <= 1:
        return given
    if match is None or float(match.group(1)) > 100:
        raise ValueError(f"expected all, none or a percentage such as '50 %', got {shown(given)}")
    return float(match.group(1)) / 100


def _dump_cached(share: float) -> str:
    return {1.0: "all", 0.0: "none"}.get(share, f"{round(share * 100, 9):.15g} %")


_CACHED_SCHEMA = {
    "title": "all, none or a percentage",
    "anyOf": [{"enum": ["all", "none"]}, {"type": "string", "pattern": r"%\s*$|\$\{"}],
}


class FileSpec(SpecModel):
    """One file."""

    size: Bytes = Field(description="length; the last page may be partial")
    fs: Annotated[str, Choice("file system", ("ext4", "ext2", "tmpfs"))] = Field(
        default="ext4", description="on a device ext4, or ext2, whose indirect blocks are read as well; tmpfs in memory"
    )
    device: Name | None = Field(default=None, description="where it lies; default: the machine's only device")
    cached: Annotated[float, Checked(_read_cached, _CACHED_SCHEMA, _dump_cached)] = Field(
        default=0.0,
        description="how much of it is in the page cache at the start, from its beginning: all, none, or '50 %'",
    )
    read_ahead: Bytes | None = Field(default=None, description="read-ahead window; default: the device's")

    @field_validator("device")
    @classmethod
    def _tmpfs_has_none(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("fs") == "tmpfs":
            raise ValueError("a file on tmpfs lies in memory, not on a device")
        return value

    def cached_pages(self, page_size: int) -> int:
        """Pages in the page cache at the start; `page_size` in bytes."""
        pages = -(-self.size // page_size)
        return pages if self.cached == 1.0 else int(pages * self.cached)
