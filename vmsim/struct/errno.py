"""Error numbers as system calls return them (include/uapi/asm-generic/errno-base.h), and the kernel's own restart code."""

EPERM = 1
ENOENT = 2
ESRCH = 3
EINTR = 4
EIO = 5
EBADF = 9
ECHILD = 10
EAGAIN = 11
ENOMEM = 12
EACCES = 13
EFAULT = 14
EBUSY = 16
EEXIST = 17
ENODEV = 19
EINVAL = 22
EFBIG = 27
ENOSPC = 28
ENOSYS = 38
EOVERFLOW = 75
EOPNOTSUPP = 95

EWAIT = 512  # not an errno: the call sleeps (see T_WAIT) and is started again from its restart point

SIGILL = 4
SIGBUS = 7
SIGKILL = 9
SIGSEGV = 11

SEGV_MAPERR = 1
SEGV_ACCERR = 2
BUS_ADRERR = 2

X86_PF_PROT = 1  # the page was there (arch/x86/mm/fault.c: the error code of a fault)
X86_PF_WRITE = 2
X86_PF_USER = 4
X86_PF_INSTR = 16

ERRNO_NAMES = {
    value: name
    for name, value in sorted(globals().items())
    if name.startswith("E") and name != "EWAIT" and isinstance(value, int)
}
