"""Tasks (`task_struct`), what they wait for, and the program that each runs."""

# Columns of `task`; tid 0 is the idle task.
T_STATE = 0
T_MM = 1
T_PC = 2  # next instruction in `code`
T_CPU = 3
T_WAIT = 4  # WAIT_*: what the kernel sleeps for
T_WAIT_ARG = 5
T_MIN_FLT = 6
T_MAJ_FLT = 7
T_NSIGNALS = 8
T_NSYSCALLS = 9
T_ACCESSES = 10
T_NVCSW = 11
T_NIVCSW = 12
T_CAPS = 13  # CAP_* bits
T_SEGV_PC = 14  # handler programs, -1: default action
T_BUS_PC = 15
T_SEGV_REG = 16  # register that gets si_addr
T_BUS_REG = 17
T_SAVED_PC = 18  # interrupted instruction while a handler runs, -1 outside
T_SI_CODE = 19
T_SI_ADDR = 20
T_EXIT = 21  # 0 running or exited; else EXIT_*
T_STOP_NR = 22  # system call that ended the program
T_STOP_ERRNO = 23
T_STOP_PC = 24
T_STAGE = 25  # restart point of the system call in progress, 0 at its start
T_STAGE_ARG = 26
T_STAGE_ARG2 = 27
T_FAULT_TRIED = 28  # how far the fault in progress has come: FAULT_*
T_FAULT_MAJOR = 29
T_ACC_LEFT = 30  # accesses of the current burst not begun, -1 before it
T_ACC_BEGAN = 32  # when it began: task's CPU and wait time so far, ns
T_ACC_KIND = 33  # worst that happened to it: KIND_*
T_BUF_POS = 34
T_BUF_LEN = 35
T_START_NS = 38
T_TGID = 39
T_PARENT = 40
T_OOM_ADJ = 41
T_SIG = 43  # signal that ended the task
T_SAVED_POS = 46  # the interrupted burst while a handler runs
T_SAVED_LEN = 47
T_SAVED_KIND = 48
T_SAVED_BEGAN = 49
T_VMAS = 50  # of its address space when the task ended
T_LOCKED = 51
T_RSS = 52
T_PTES = 53
T_TOTAL_VM = 54
T_SAVED_LEFT = 56
T_VMACACHE = 57  # the VMAs found last, four slots by page number (4.4: task_struct.vmacache)
T_VMACACHE_SEQ = 61  # the address space that they were found in, and its MM_VMACACHE_SEQ then
T_SUBMIT_NS = 62  # CPU time of a submission that a fault in progress still has to spend
T_NO_PROGRESS = 63  # tries in a row in which direct reclaim freed nothing (no_progress_loops)
T_RECLAIMING = 64  # the task is in direct reclaim, to be gone on with before it allocates: RECLAIMING or RECLAIMING_AHEAD
T_KILLED = 65  # SIGKILL is pending; KILLED_BY_OOM: from the OOM killer
T_MEMDIE = 66  # chosen by the OOM killer: it may use the reserves (TIF_MEMDIE)
T_MEM_RETRY = 67  # the fault in progress waited for memory, so that it isn't counted twice
T_PAT_FIRST = 68  # first row of `pattern` that its program's code names, and how many there are
T_PAT_COUNT = 69
T_PAT_SHIFT = 70  # from those rows to the task's own copies
T_CMIN_FLT = 71  # of the children that it has waited for, and of those that these had (RUSAGE_CHILDREN)
T_CMAJ_FLT = 72
T_CNVCSW = 73
T_CNIVCSW = 74
T_NR_CHILDREN = 75  # that it has not waited for
T_SI_ERROR = 76  # of the fault that T_SI_CODE is about: X86_PF_* bits
T_NR_DIRTIED = 80  # pages that it dirtied since it last paused or looked at the limits
T_NR_DIRTIED_PAUSE = 81  # after how many it does so again
T_DIRTY_PAUSED_WHEN = 82
T_THROTTLED = 83  # it pauses in balance_dirty_pages
T_DIRTIED_FILE = 84  # a fault dirtied a page of this file: the limits are looked at when it is over
T_WB_INDEX = 85  # where the writing of a file that the task is at goes on, where it ends, and how many pages it may still be
T_WB_END = 86
T_WB_LEFT = 87
T_SYNC = 88  # how far its synchronous write has come, and of which file sync(2) is writing
T_SYNC_FILE = 89
T_WB_LAST = 90  # and the page that was written last
T_LOG = 91  # which task of a log of calls it is: stream << 16 | its number there; and the capabilities that it began with
T_LOG_CAPS = 92
T_SWAPOFF = 93  # area + 1 that it is switching off
TASK_COLUMNS = 96

TASK_RUNNABLE = 1
TASK_BLOCKED = 2
TASK_DEAD = 3

RECLAIMING = 1  # values of T_RECLAIMING: for a page that the task can't do without,
RECLAIMING_AHEAD = 2  # or for one that it reads ahead

WAIT_NONE = 0
WAIT_PAGE = 1  # a locked page's I/O; argument pfn
WAIT_TIMER = 2  # argument ns
WAIT_MEMORY = 3
WAIT_TASK = 4
WAIT_WRITEBACK = 5
WAIT_THROTTLE = 6
WAIT_EVENT = 7  # a daemon: until its bit of SC_WAKE is set; argument: ns, or 0 for ever
WAIT_QUEUE = 8  # until a device's queue has room for a write; argument device
WAIT_CONGESTION = 9  # as a timer, for what only devices that write can change; argument ns
WAIT_CHILD = 10  # until a child of the process has ended; argument: which child, or 0 for any << 32 | the process
WAIT_POST = 11  # until an event has enough posts; argument: event << 32 | how many
WAIT_TURN = 12  # until another task has carried out its part of a log; argument: which task
WAIT_ISOLATED = 13  # as a timer, for what only other reclaimers can change; argument ns

KILLED_BY_OOM = 2

EXIT_DONE = 1
EXIT_SYSCALL = 2  # a system call failed that the program expects to succeed
EXIT_SIGNAL = 3  # killed by a signal

# Why a slice ended.
SLICE_BUDGET = 0
SLICE_BLOCKED = 1
SLICE_IO = 2  # requests were submitted: start them now, then go on
SLICE_EXIT = 3
SLICE_PHASE = 4
SLICE_FORK = 5  # there is a new task; T_WAIT_ARG: number of its name << 32 | tid
SLICE_REFILL = 7  # the buffer of a trace is empty, T_WAIT_ARG
SLICE_POST = 6  # an event was posted, T_WAIT_ARG, that tasks may wait for

CAP_IPC_LOCK = 1
CAP_SYS_RESOURCE = 2
CAP_SYS_ADMIN = 4
CAP_SYS_NICE = 8
CAP_SYS_RAWIO = 16

FAULT_FRESH = 0
FAULT_TRIED = 1  # it has waited once (FAULT_FLAG_TRIED)
FAULT_REREAD = 2  # the page's read had failed and was repeated
FAULT_SUBMITTED = 3  # its requests are with the device, and the CPU is still busy submitting them
FAULT_LOCKING = 4  # and now the page's lock is tested

KIND_TLB_HIT = 0
KIND_WALK = 1
KIND_MINOR = 2
KIND_MAJOR = 3
NR_KINDS = 4
KIND_NAMES = ("tlb_hit", "walk", "minor", "major")

NR_REGISTERS = 64
ACCESS_BUFFER = 1024  # accesses of a task's buffer
ACCESS_BURST = ACCESS_BUFFER - 24  # those drawn at a time; the rest of the buffer is for single touches

RLIM_INFINITY = (1 << 63) - 1
RLIMIT_DATA = 2
RLIMIT_STACK = 3
RLIMIT_MEMLOCK = 8
RLIMIT_AS = 9
NR_RLIMITS = 16
