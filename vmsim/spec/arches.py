"""What a machine file may say about its architecture; its geometry stands in the profiles of vmsim/arch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vmsim.units import GIB, KIB, TIB


@dataclass(frozen=True)
class ArchChoice:
    """The limits of an architecture: page sizes and memory in bytes, number of CPUs."""

    page_sizes: tuple[int, ...]
    max_ram: int
    max_cpus: int
    huge_pages: bool = True  # Kconfig: HAVE_ARCH_TRANSPARENT_HUGEPAGE


ARCHES: Final[Mapping[str, ArchChoice]] = {
    # arch/x86/include/asm/sparsemem.h: MAX_PHYSMEM_BITS 46; arch/x86/Kconfig: NR_CPUS up to 8192
    "x86_64": ArchChoice((4 * KIB,), 64 * TIB, 8192),
    # arch/arm64/include/asm/sparsemem.h: MAX_PHYSMEM_BITS 48; arch/arm64/Kconfig: NR_CPUS up to 4096
    "aarch64": ArchChoice((4 * KIB, 16 * KIB, 64 * KIB), 256 * TIB, 4096),
    # two-level tables without LPAE: 32 physical address bits; arch/arm/Kconfig: NR_CPUS up to 32
    "arm": ArchChoice((4 * KIB,), 4 * GIB, 32, huge_pages=False),
    # arch/s390/include/asm/sparsemem.h: MAX_PHYSMEM_BITS 46; arch/s390/Kconfig: NR_CPUS up to 512
    "s390x": ArchChoice((4 * KIB,), 64 * TIB, 512),
}
