"""The system calls that programs can make, numbered for vmsim's own instructions (architectures number them differently)."""

SYSCALL_NAMES = (
    "mmap", "munmap", "mprotect", "mlock", "mlock2", "munlock", "mlockall", "munlockall", "madvise", "msync", "mincore", "mremap",
    "brk", "setrlimit", "fork", "exit", "wait", "getpid", "read", "write", "ftruncate", "fadvise", "fsync", "sysctl",
    "pread", "pwrite", "lseek", "readahead", "fdatasync", "sync_file_range", "sync",
    "memfd_create", "fallocate", "close", "prlimit", "getrlimit", "getrusage", "prctl", "exec", "clone",
    "swapon", "swapoff",
)  # fmt: skip

SYS_MMAP = SYSCALL_NAMES.index("mmap")
SYS_MUNMAP = SYSCALL_NAMES.index("munmap")
SYS_MPROTECT = SYSCALL_NAMES.index("mprotect")
SYS_MLOCK = SYSCALL_NAMES.index("mlock")
SYS_MLOCK2 = SYSCALL_NAMES.index("mlock2")
SYS_MUNLOCK = SYSCALL_NAMES.index("munlock")
SYS_MLOCKALL = SYSCALL_NAMES.index("mlockall")
SYS_MUNLOCKALL = SYSCALL_NAMES.index("munlockall")
SYS_MADVISE = SYSCALL_NAMES.index("madvise")
SYS_MSYNC = SYSCALL_NAMES.index("msync")
SYS_MINCORE = SYSCALL_NAMES.index("mincore")
SYS_MREMAP = SYSCALL_NAMES.index("mremap")
SYS_BRK = SYSCALL_NAMES.index("brk")
SYS_SETRLIMIT = SYSCALL_NAMES.index("setrlimit")
SYS_READ = SYSCALL_NAMES.index("read")
SYS_WRITE = SYSCALL_NAMES.index("write")
SYS_PREAD = SYSCALL_NAMES.index("pread")
SYS_PWRITE = SYSCALL_NAMES.index("pwrite")
SYS_LSEEK = SYSCALL_NAMES.index("lseek")
SYS_FADVISE = SYSCALL_NAMES.index("fadvise")
SYS_READAHEAD = SYSCALL_NAMES.index("readahead")
SYS_FSYNC = SYSCALL_NAMES.index("fsync")
SYS_FDATASYNC = SYSCALL_NAMES.index("fdatasync")
SYS_SYNC_FILE_RANGE = SYSCALL_NAMES.index("sync_file_range")
SYS_SYNC = SYSCALL_NAMES.index("sync")
SYS_SYSCTL = SYSCALL_NAMES.index("sysctl")
SYS_FORK = SYSCALL_NAMES.index("fork")
SYS_CLONE = SYSCALL_NAMES.index("clone")
SYS_WAIT = SYSCALL_NAMES.index("wait")
SYS_EXEC = SYSCALL_NAMES.index("exec")
SYS_FTRUNCATE = SYSCALL_NAMES.index("ftruncate")
SYS_MEMFD_CREATE = SYSCALL_NAMES.index("memfd_create")
SYS_FALLOCATE = SYSCALL_NAMES.index("fallocate")
SYS_CLOSE = SYSCALL_NAMES.index("close")
SYS_PRLIMIT = SYSCALL_NAMES.index("prlimit")
SYS_GETRLIMIT = SYSCALL_NAMES.index("getrlimit")
SYS_GETRUSAGE = SYSCALL_NAMES.index("getrusage")
SYS_PRCTL = SYSCALL_NAMES.index("prctl")
SYS_EXEC = SYSCALL_NAMES.index("exec")
SYS_SWAPON = SYSCALL_NAMES.index("swapon")
SYS_SWAPOFF = SYSCALL_NAMES.index("swapoff")
