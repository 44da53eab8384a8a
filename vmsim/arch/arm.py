"""32-bit ARM with two-level page tables (without LPAE), with the TLBs of a Cortex-A9."""

from vmsim.arch.profile import NO_CEILING, PageTables, Profile, TlbLevel, register
from vmsim.units import KIB, MIB

ARM = register(
    Profile(
        name="arm",
        title="32-bit ARM (Cortex-A9)",
        page_tables={4 * KIB: PageTables((11, 9), 32, 0xC000_0000 - 16 * MIB, pte_bytes=4)},
        l1=TlbLevel(32, 32),
        l2=TlbLevel(128, 2),
        walk_cache=TlbLevel(0, 0),
        asid_bits=8,
        hw_young=False,
        hw_dirty=False,
        flush_ceiling=NO_CEILING,
        broadcast_flush=True,
        syscalls={
            "fork": 2, "brk": 45, "munmap": 91, "mprotect": 125, "msync": 144, "mlock": 150, "munlock": 151,
            "mlockall": 152,
            "munlockall": 153, "mremap": 163, "mmap2": 192, "mincore": 219, "madvise": 220, "mlock2": 390,
        },
        sources={
            "page_tables": "arch/arm/include/asm/pgtable-2level.h: the hardware's 4096 x 256 entries are used as "
            "2048 x 512, in pairs",
            "task_size": "arch/arm/include/asm/memory.h: TASK_SIZE, PAGE_OFFSET - 16 MiB with VMSPLIT_3G",
            "l1": "Cortex-A9 TRM (ARM DDI 0388), 6.2.1: micro TLB of 32 entries on the data side, fully associative",
            "l2": "Cortex-A9 TRM (ARM DDI 0388), TLBTR: main TLB of 2 x 64 entries, the smaller usual choice",
            "walk_cache": "Model: none; the TRM describes none",
            "asid_bits": "arch/arm/mm/context.c: ASID_BITS 8",
            "hw_young": "arch/arm/include/asm/pgtable-2level.h: an entry without L_PTE_YOUNG is a fault entry "
            "for the hardware",
            "hw_dirty": "arch/arm/include/asm/pgtable-2level.h: an entry without L_PTE_DIRTY is read-only for "
            "the hardware",
            "flush_ceiling": "arch/arm/mm/tlb-v7.S: v7wbi_flush_user_tlb_range goes page by page",
            "broadcast_flush": "arch/arm/include/asm/tlbflush.h: TLB_V7_UIS_PAGE, inner-shareable operations",
            "syscalls": "arch/arm/include/uapi/asm/unistd.h",
        },
    )
)  # fmt: skip
