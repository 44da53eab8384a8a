"""The zones of a machine from its RAM: what the firmware leaves out, what the kernel keeps, what its allocator manages.

Model: the map and the kernel are those of the recorded virtual machines (QEMU's i440fx, a small 4.4.1 without modules; Debian's 6.1.177).
Of RAM the kernel keeps its image and, in proportion to RAM, page structs and hash tables; what remains was fitted to MemTotal of machines
from 64 MiB to 4 GiB: exact for 4.4, within 70 pages for 6.1.  Machines below 64 MiB, and those that such a
kernel would fill, keep at least 15/16 of their memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmsim.units import GIB, KIB, MIB


@dataclass(frozen=True)
class ZoneMap:
    """One zone: frames [start, end); of its `present` ones the allocator manages `managed`, all above `first`.

    `late` of them reach it after the watermarks were computed; `used` are taken by the kernel itself before any program runs.
    """

    name: str
    start: int
    end: int
    present: int
    managed: int
    late: int = 0
    used: int = 0
    top_hole: int = 0  # frames that lack at the upper end

    @property
    def first(self) -> int:
        """The lowest frame that the allocator manages; those above are contiguous."""
        return self.end - self.top_hole - self.managed


@dataclass(frozen=True)
class KernelImage:
    """How much of memory a kernel keeps for itself."""

    image: int  # pages of text, data and bss
    late: int  # pages of initialisation code and data that are freed after boot
    low: int  # pages of the DMA zone that stay reserved
    other: int  # pages of early allocations, apart from CPUs' own


_KERNELS = {
    "4.4": KernelImage(image=1152, late=191, low=21, other=101),
    "6.1": KernelImage(image=11311, late=3608, low=158, other=91),
}
_PER_CPU = 29  # pages: percpu's first chunk
_VIDEO_HOLE = 97  # frames 9fh to 100h: video memory and BIOS below 1 MiB
_ACPI = 38  # frames of ACPI tables at the end of low RAM
_SWIOTLB = 64 * MIB + 416 * KIB  # bounce buffers and their tables, where RAM goes beyond 4 GiB (pci_swiotlb_detect_4gb)
_SECTION = 128 * MIB  # memory is described by whole sections (SECTION_SIZE_BITS 27)
_PCI_HOLE = 0xE000_0000  # QEMU hw/i386/pc_piix.c: RAM that would reach here is cut at 3 GiB and goes on at 4 GiB
_PAGE_STRUCT = 64
_SECOND_RANGE = 11  # pages more where RAM goes on beyond 4 GiB
ARM_LOWMEM = 760 * MIB  # arch/arm/mm/mmu.c: 240 MiB of vmalloc below the vectors' page with VMSPLIT_3G


def memory_map(arch: str, ram: int, page: int, cpus: int, line: str) -> list[ZoneMap]:
    """The zones, lowest first, of a machine with `ram` bytes in pages of `page` bytes under a kernel of that line."""
    kernel = _KERNELS["6.1" if line.startswith("6") else "4.4"]
    if ram < 64 * MIB:
        return _small(arch, ram, page)
    if arch == "x86_64":
        zones = _x86_64(ram, page, cpus, kernel)
        return zones if all(zone.managed > 2 * zone.late for zone in zones) else _small(arch, ram, page)
    frames = ram // page
    kept = kernel.image * 4 * KIB // page + _allocated(ram, page, cpus, kernel)
    if arch == "arm" and ram > ARM_LOWMEM:
        low = ARM_LOWMEM // page
        return [
            ZoneMap("Normal", 1, low + 1, low, low - kept, kernel.late),
            ZoneMap("HighMem", low + 1, frames + 1, frames - low, frames - low),
        ]
    return [ZoneMap("Normal", 1, frames + 1, frames, frames - kept, kernel.late)]


def _x86_64(ram: int, page: int, cpus: int, kernel: KernelImage) -> list[ZoneMap]:
    """DMA to 16 MiB, DMA32 to 4 GiB, Normal above; the kernel's image is low, what it allocated early is high."""
    beyond = ram - 3 * GIB if ram >= _PCI_HOLE else 0
    dma, dma32 = 16 * MIB // page, 4 * GIB // page
    present = dma - 1 - _VIDEO_HOLE
    zones = [ZoneMap("DMA", 1, dma, present, present - kernel.low)]
    low_end = (ram - beyond) // page
    kept = kernel.image + (_SWIOTLB // page if beyond else 0) + (0 if beyond else _allocated(ram, page, cpus, kernel))
    present = low_end - dma - _ACPI
    end, hole = (dma32, dma32 - low_end + _ACPI) if beyond else (low_end - _ACPI, 0)
    zones.append(ZoneMap("DMA32", dma, end, present, present - kept, kernel.late, top_hole=hole))
    if beyond:
        frames = beyond // page
        zones.append(ZoneMap("Normal", dma32, dma32 + frames, frames, frames - _allocated(ram, page, cpus, kernel)))
    return zones


def _allocated(ram: int, page: int, cpus: int, kernel: KernelImage) -> int:
    """Pages that the kernel takes while it boots: page structs, hash tables of dentries, inodes and pids, page tables, per-CPU areas.

    A dentry chain's head (8 bytes) for each 8 KiB and an inode's for each 16 KiB, rounded up to a power of two (fs/dcache.c, fs/inode.c:
    `scale` 13 and 14 of alloc_large_system_hash); at most 4096 of pids, one for each 256 KiB (kernel/pid.c).
    """
    structs = -(-ram // _SECTION) * _SECTION // page * _PAGE_STRUCT
    rounded = 1 << (ram - 1).bit_length()
    hashes = rounded // (8 * KIB) * 8 + rounded // (16 * KIB) * 8 + min(max(rounded // (256 * KIB), 16), 4096) * 8
    tables = round(6 * ram / GIB) + (_SECOND_RANGE if ram >= _PCI_HOLE else 0)
    return -(-(structs + hashes) // page) + _PER_CPU * cpus + kernel.other + tables


def _small(arch: str, ram: int, page: int) -> list[ZoneMap]:
    """A machine as it never was: one sixteenth is the kernel's."""
    frames = ram // page
    kept = ram // 16 // page
    edge = 16 * MIB // page
    if arch == "x86_64" and frames > edge:
        return [
            ZoneMap("DMA", 1, edge, edge - 1, edge - 1),
            ZoneMap("DMA32", edge, frames + 1, frames + 1 - edge, frames + 1 - edge - kept),
        ]
    return [ZoneMap("DMA" if arch == "x86_64" else "Normal", 1, frames + 1, frames, frames - kept)]
