"""64-bit ARM with pages of 4, 16 or 64 KiB, with the TLBs of a Cortex-A53."""

from vmsim.arch.profile import PageTables, Profile, TlbLevel, register
from vmsim.units import KIB

AARCH64 = register(
    Profile(
        name="aarch64",
        title="64-bit ARM (Cortex-A53)",
        page_tables={
            4 * KIB: PageTables((9, 9, 9), 39, 1 << 39),
            16 * KIB: PageTables((11, 11, 11), 47, 1 << 47),
            64 * KIB: PageTables((13, 13), 42, 1 << 42),
        },
        l1=TlbLevel(10, 10),
        l2=TlbLevel(512, 4),
        walk_cache=TlbLevel(64, 4),
        asid_bits=16,
        hw_young=False,
        hw_dirty=False,
        flush_ceiling=1024,
        broadcast_flush=True,
        syscalls={
            "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "msync": 227, "mlock": 228,
            "munlock": 229, "mlockall": 230, "munlockall": 231, "mincore": 232, "madvise": 233, "mlock2": 284,
        },
        sources={
            "page_tables": "arch/arm64/Kconfig: ARM64_VA_BITS_39, 47 and 42 are the defaults for pages of 4, 16, "
            "64 KiB",
            "task_size": "arch/arm64/include/asm/memory.h: TASK_SIZE_64, 1 << VA_BITS",
            "l1": "Cortex-A53 TRM (ARM DDI 0500), 5.2.1: micro TLB of ten entries, fully associative",
            "l2": "Cortex-A53 TRM (ARM DDI 0500), 5.2.2: main TLB of 512 entries, 4 ways",
            "walk_cache": "Cortex-A53 TRM (ARM DDI 0500), 5.2.4: walk cache RAM of 64 entries, 4 ways. Model: "
            "for each level",
            "asid_bits": "Cortex-A53 TRM (ARM DDI 0500): 16-bit ASIDs; arch/arm64/mm/context.c",
            "hw_young": "arch/arm64/include/asm/pgtable.h: PTE_AF is set by software before ARMv8.1",
            "hw_dirty": "arch/arm64/include/asm/pgtable.h: PTE_RDONLY until the page is dirty",
            "flush_ceiling": "arch/arm64/include/asm/tlbflush.h: MAX_TLB_RANGE, 1024 pages",
            "broadcast_flush": "arch/arm64/include/asm/tlbflush.h: TLBI ...IS",
            "syscalls": "include/uapi/asm-generic/unistd.h",
        },
    )
)  # fmt: skip
