"""The kernel: its version and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from vmsim.spec.flags import shown
from vmsim.spec.kernels import KERNEL_LINES, kernel_line
from vmsim.spec.model import SpecModel
from vmsim.spec.sysctl import DEFAULTS, SYSCTLS, SysctlValue, parse_sysctl
from vmsim.spec.values import Checked, Choice, mapping, number_of, read_entries, size_of
from vmsim.struct.rules import RULE_NAMES
from vmsim.units import KIB, MIB


def _read_version(given: object) -> str:
    version = str(given) if isinstance(given, (str, int)) and not isinstance(given, bool) else ""
    kernel_line(version[:100])
    return version.strip()


def _sysctl_schema() -> dict[str, Any]:
    properties = {
        name: {"description": sysctl.what, **({} if sysctl.default is None else {"default": sysctl.default})}
        for name, sysctl in SYSCTLS.items()
    }
    return {"title": "sysctls", "type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _dump_sysctl(values: Mapping[str, SysctlValue]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


Version = Annotated[str, Checked(_read_version, {"title": "a kernel version", "type": ["string", "number"]})]
Sysctls = Annotated[
    Mapping[str, SysctlValue], Checked(lambda given: mapping(given, "sysctl"), _sysctl_schema(), _dump_sysctl)
]


def _read_switch(name: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise ValueError(f"expected true or false, got {shown(given)}")
    return given


def _read_rules(given: object) -> dict[str, bool]:
    return read_entries(given, "kernel rule", RULE_NAMES, _read_switch)


_NOT_WITH_HUGE_PAGES = ("lru_gen", "madv_free", "madv_cold", "mlock_is_page_cache")
_RULES_SCHEMA = {
    "title": "kernel rules", "type": ["object", "null"], "additionalProperties": False,
    "properties": {name: {"type": "boolean"} for name in RULE_NAMES},
}  # fmt: skip
Rules = Annotated[Mapping[str, bool], Checked(_read_rules, _RULES_SCHEMA)]


class SlabSpec(SpecModel):
    """Objects of the kernel that programs before these left behind, and that nobody uses."""

    dentries: Annotated[int, number_of(0, 1 << 32)] = Field(
        default=0, description="names of files that were looked up: 21 to a page of 4 KiB; each holds an inode while there are some"
    )
    inodes: Annotated[int, number_of(0, 1 << 32)] = Field(
        default=0, description="files of a file system (ext4): 30 to eight pages of 4 KiB; an inode can go once its dentry is gone"
    )


class KernelSpec(SpecModel):
    """The kernel that the machine runs."""

    version: Version = Field(
        default="4.4", description=f"release: {', '.join(KERNEL_LINES)}, or one of their updates such as 4.4.1"
    )
    sysctl: Sysctls = Field(
        default_factory=lambda: dict(DEFAULTS),
        description="settings by their own names; those left out keep the kernel's default",
    )
    fault_around_bytes: Annotated[int, size_of(4 * KIB, 2 * MIB)] = Field(
        default=64 * KIB, description="how much of a file one read fault maps at most (debugfs), a power of two"
    )
    transparent_hugepage: Annotated[str, Choice("mode", ("never", "madvise", "always"))] = Field(
        default="never",
        description="huge pages of anonymous memory (/sys/kernel/mm/transparent_hugepage/enabled), of kernels before 4.5",
    )
    lru_gen: bool = Field(
        default=False, description="the multi-generational LRU (/sys/kernel/mm/lru_gen/enabled), of kernels since 6.1"
    )
    slab: SlabSpec = Field(
        default=SlabSpec(),
        description="unused dentries and inodes in memory at the start; if there are any, each file on a device has one of each, in use",
    )
    rules: Rules = Field(
        default={}, description="single rules of kernel versions switched on or off, whatever the version says"
    )

    @property
    def line(self) -> str:
        """The release line, such as `4.4` of `4.4.1`."""
        return kernel_line(self.version)

    @field_validator("sysctl")
    @classmethod
    def _all_sysctls(cls, given: Mapping[str, object], info: ValidationInfo) -> dict[str, SysctlValue]:
        line = kernel_line(info.data.get("version", "4.4"))
        stated = read_entries(given, "sysctl", SYSCTLS, lambda name, value: parse_sysctl(name, value, line))
        return {**DEFAULTS, **stated}

    @field_validator("lru_gen")
    @classmethod
    def _has_lru_gen(cls, value: bool, info: ValidationInfo) -> bool:
        line = kernel_line(info.data.get("version", "4.4"))
        if value and line in ("4.3", "4.4"):
            raise ValueError(f"a kernel {line} has no multi-generational LRU; 6.1 and later have")
        return value

    @field_validator("transparent_hugepage")
    @classmethod
    def _knows_huge_pages(cls, value: str, info: ValidationInfo) -> str:
        line = kernel_line(info.data.get("version", "4.4"))
        if value != "never" and line not in ("4.3", "4.4"):
            raise ValueError(f"huge pages are modelled as kernels before 4.5 have them, not as {line} does; expected never")
        return value

    @field_validator("rules")
    @classmethod
    def _of_one_kernel(cls, rules: Mapping[str, bool], info: ValidationInfo) -> Mapping[str, bool]:
        newer = [name for name in _NOT_WITH_HUGE_PAGES if rules.get(name)]
        if newer and info.data.get("transparent_hugepage", "never") != "never":
            raise ValueError(f"{newer[0]} is not modelled for huge pages: it needs transparent_hugepage: never")
        return rules

    @field_validator("fault_around_bytes")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"expected a power of two, got {value} bytes")
        return value
