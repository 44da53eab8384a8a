"""IBM System z (64 bits), with the three-level page tables that a process begins with and the TLBs of a z990."""

from vmsim.arch.profile import PageTables, Profile, TlbLevel, register
from vmsim.units import KIB

S390X = register(
    Profile(
        name="s390x",
        title="IBM System z (z990)",
        page_tables={4 * KIB: PageTables((11, 11, 8), 42, 1 << 42)},
        l1=TlbLevel(512, 4),
        l2=TlbLevel(4096, 4),
        walk_cache=TlbLevel(64, 4),
        asid_bits=16,
        hw_young=False,
        hw_dirty=False,
        flush_ceiling=0,
        broadcast_flush=True,
        syscalls={
            "fork": 2, "brk": 45, "mmap": 90, "munmap": 91, "mprotect": 125, "msync": 144, "mlock": 150, "munlock": 151,
            "mlockall": 152, "munlockall": 153, "mremap": 163, "mincore": 218, "madvise": 219, "mlock2": 374,
        },
        sources={
            "page_tables": "arch/s390/include/asm/pgtable.h: region-third and segment tables of 2048 entries, "
            "page tables of 256",
            "task_size": "arch/s390/include/asm/processor.h: asce_limit 1 << 42 until a mapping needs more",
            "l1": "The IBM eServer z990 Microprocessor, IBM J. R&D 48 (3/4), 2004: TLB1 of 512 entries. Model: 4 ways",
            "l2": "the same: TLB2 of 4,096 page-table entries. Model: 4 ways",
            "walk_cache": "the same: TLB2 also holds combined region and segment table entries. Model: 64 of 4 "
            "ways for each level",
            "asid_bits": "Model: entries are tagged with the ASCE, which is as good as an identifier that never "
            "runs out; 16 bits",
            "hw_young": "arch/s390/include/asm/pgtable.h: _PAGE_YOUNG is a software bit, an old page is invalid",
            "hw_dirty": "arch/s390/include/asm/pgtable.h: _PAGE_DIRTY is a software bit, a clean page is protected",
            "flush_ceiling": "arch/s390/include/asm/tlbflush.h: flush_tlb_range is __tlb_flush_mm_lazy, IDTE of "
            "the whole ASCE. "
            "Model: so is the flush of one page (IPTE), which v4.4 defers in the same way while one CPU is attached",
            "broadcast_flush": "arch/s390/include/asm/tlbflush.h: IDTE and CSP reach all CPUs",
            "syscalls": "arch/s390/include/uapi/asm/unistd.h",
        },
    )
)  # fmt: skip
