"""Virtual memory areas, their index, and address spaces (`vm_area_struct`, `mm_struct`)."""

# Columns of `vma`; id 0 is "no VMA".  Addresses are page numbers (vpn); V_END is the first page after the VMA.
V_START = 0
V_END = 1
V_FLAGS = 2  # VM_* bits
V_FILE = 3  # file id, 0 for anonymous
V_PGOFF = 4  # page offset in the file; private anonymous: vpn at creation
V_ANON = 5  # anon_vma id << 1 | chain is not singular; 0: no page was ever written
V_PREV = 6  # neighbours in the address space, 0 at the ends
V_NEXT = 7  # also the link of free rows
VMA_COLUMNS = 8

VM_READ = 1
VM_WRITE = 2
VM_EXEC = 4
VM_SHARED = 8
VM_MAYREAD = 0x10
VM_MAYWRITE = 0x20
VM_MAYEXEC = 0x40
VM_MAYSHARE = 0x80
VM_GROWSDOWN = 0x100
VM_PFNMAP = 0x400
VM_LOCKED = 0x2000
VM_IO = 0x4000
VM_SEQ_READ = 0x8000
VM_RAND_READ = 0x10000
VM_DONTCOPY = 0x20000
VM_DONTEXPAND = 0x40000
VM_LOCKONFAULT = 0x80000
VM_ACCOUNT = 0x100000
VM_NORESERVE = 0x200000
VM_HUGETLB = 0x400000
VM_WIPEONFORK = 0x02000000
VM_DONTDUMP = 0x04000000
VM_SOFTDIRTY = 0x08000000
VM_MIXEDMAP = 0x10000000
VM_HUGEPAGE = 0x20000000
VM_NOHUGEPAGE = 0x40000000
VM_MERGEABLE = 0x80000000
VM_OPEN_SHIFT = 40  # from here up: which opening of its file (`struct file`) a VMA was made from; 0 without a file
VM_ACCESS = VM_READ | VM_WRITE | VM_EXEC
VM_LOCK_MASK = VM_LOCKED | VM_LOCKONFAULT
VM_SPECIAL = VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP

# The index of VMAs by start page: a radix tree of 1024-way nodes, each a bitmap of 32 words of 32 bits with a summary word.
INDEX_BITS = 10
INDEX_FANOUT = 1 << INDEX_BITS
INDEX_WORDS = 32
INDEX_SUMMARY = 32  # column of the summary word
INDEX_COUNT = 33  # column of the number of children; links free nodes
INDEX_COLUMNS = 34

# Columns of `mm`; id 0 is "no address space".
MM_USERS = 0  # tasks
MM_PGD = 1  # offset of the top table in `pt`
MM_INDEX = 2  # root of the VMA index
MM_FIRST = 3  # lowest VMA
MM_MAP_COUNT = 4
MM_TOTAL_VM = 5  # pages of all VMAs
MM_LOCKED_VM = 6
MM_DEF_FLAGS = 7
MM_FILEPAGES = 8
MM_ANONPAGES = 9
MM_SWAPENTS = 10
MM_SHMEMPAGES = 11
MM_NR_PTES = 12
MM_NR_PMDS = 13
MM_MMAP_BASE = 14  # first page above the area in which mmap places mappings, top down
MM_START_BRK = 15  # bytes
MM_BRK = 16  # bytes
MM_HIWATER_RSS = 17
MM_TASK_SIZE = 18  # pages
MM_ASID = 19
MM_CPUMASK = 20  # CPUs whose TLBs may hold entries of this mm
MM_START_STACK = 21
MM_DATA_VM = 23
MM_STACK_VM = 24
MM_EXEC_VM = 25
MM_SHARED_VM = 26
MM_TEXT = 27  # page that the program's instructions are fetched from, 0 if not modelled
MM_END_DATA = 28  # bytes
MM_HIWATER_VM = 29
MM_OWNER = 30  # tid of the process that the limits are taken from
MM_SEARCH = 31  # every gap of the mapping area above this page is at most MM_HOLE pages (0: nothing is known)
MM_HOLE = 32
MM_VMACACHE_SEQ = 33  # counts removals of VMAs: tasks' cached ones are void then
MM_START_DATA = 34  # bytes
MM_FLAGS = 35  # MMF_* bits
MM_COLUMNS = 40

MMF_DISABLE_THP = 1 << 24
