"""AMD64 and Intel 64, with the TLBs of a Haswell."""

from vmsim.arch.profile import PageTables, Profile, TlbLevel, register
from vmsim.units import KIB

X86_64 = register(
    Profile(
        name="x86_64",
        title="x86-64 (Haswell)",
        page_tables={4 * KIB: PageTables((9, 9, 9, 9), 48, (1 << 47) - 4 * KIB)},
        l1=TlbLevel(64, 4),
        l2=TlbLevel(1024, 8),
        walk_cache=TlbLevel(32, 4),
        asid_bits=0,
        hw_young=True,
        hw_dirty=True,
        flush_ceiling=33,
        broadcast_flush=False,
        map_32bit=True,
        syscalls={
            "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25, "msync": 26, "mincore": 27, "madvise": 28,
            "fork": 57,
            "mlock": 149, "munlock": 150, "mlockall": 151, "munlockall": 152, "mlock2": 325,
        },
        flags={"MAP_32BIT": 0x40},
        sources={
            "page_tables": "arch/x86/include/asm/pgtable_64_types.h: PGDIR_SHIFT 39, PUD_SHIFT 30, PMD_SHIFT 21, "
            "512 entries a table",
            "task_size": "arch/x86/include/asm/processor.h: TASK_SIZE_MAX, (1UL << 47) - PAGE_SIZE",
            "l1": "Intel 64 and IA-32 Optimization Reference Manual, Haswell: DTLB of 64 entries, 4 ways",
            "l2": "CPUID leaf 2 descriptor 0xc1 (Haswell): shared second-level TLB of 1024 entries, 8 ways",
            "walk_cache": "Intel SDM vol. 3, 4.10.3 describes paging-structure caches without sizes; AMD "
            "publishes 16 PDE entries for family 16h "
            "(AMD 52128). Model: 32 entries of 4 ways for each level",
            "asid_bits": "PCIDs exist but v4.4 doesn't use them: arch/x86/include/asm/mmu_context.h, switch_mm "
            "loads CR3",
            "hw_young": "Intel SDM vol. 3, 4.8: accessed and dirty flags are set by the processor",
            "hw_dirty": "Intel SDM vol. 3, 4.8",
            "flush_ceiling": "arch/x86/mm/tlb.c: tlb_single_page_flush_ceiling = 33",
            "broadcast_flush": "arch/x86/mm/tlb.c: native_flush_tlb_others sends an IPI",
            "syscalls": "arch/x86/entry/syscalls/syscall_64.tbl",
            "flags": "arch/x86/include/uapi/asm/mman.h: MAP_32BIT; the others are the generic ones",
        },
    )
)  # fmt: skip
