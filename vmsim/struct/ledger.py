"""Who owns each nanosecond: the columns of the time ledger of a CPU and of a task."""

L_USER = 0
L_TLB = 1  # second-level TLB
L_WALK = 2
L_TRAP = 3  # exception entry and return
L_FAULT = 4
L_ZERO = 5
L_COPY = 6
L_RECLAIM = 7
L_SYSCALL = 8
L_VMA = 9  # finding, splitting and merging VMAs
L_SIGNAL = 10
L_SWITCH = 11
L_IPI = 12
L_IO = 13  # CPU time of submitting and completing I/O
L_IDLE = 14  # a CPU's only
L_RUNQ = 15  # a task's only, from here on: waiting for a CPU
L_WAIT_READ = 16
L_WAIT_SWAP = 17
L_WAIT_WRITE = 18
L_WAIT_MEMORY = 19
L_SLEEP = 20
NR_LEDGER = 21
NR_CPU_WORK = 14  # columns that a slice of CPU time can be spent on

LEDGER_NAMES = (
    "user", "tlb", "walk", "trap", "fault", "zero", "copy", "reclaim", "syscall", "vma", "signal", "switch", "ipi", "io", "idle",
    "runq_wait", "read_wait", "swap_wait", "write_wait", "memory_wait", "sleep",
)  # fmt: skip
