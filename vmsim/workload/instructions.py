"""The instructions of a program: one row of `code` each, made by `workload/program.py`, carried out by `workload/interp.py`."""

CODE_OP = 0
CODE_MASK = 1  # bit i: operand i is the number of a register, not a value
CODE_ARG = 2  # eight operands
NR_OPERANDS = 8
CODE_DEST = 10  # register for the result, -1: none
CODE_EXPECT = 11  # what a system call may return

EXPECT_OK = -1  # anything but success ends the program
EXPECT_ANY = -2
# > 0: exactly this errno

GO_ON = -1  # carrying out an instruction was not a reason to end the slice (SLICE_*)

OP_EXIT = 0
OP_SYSCALL = 1  # number, six arguments
OP_ACCESS = 2  # pattern, base address, count, work ns
OP_TOUCH = 3  # address, write, work ns
OP_DRAW = 4  # pattern, base address -> register
OP_COMPUTE = 5  # ns
OP_SLEEP = 6  # ns
OP_ALU = 7  # ALU_*, left, right -> register
OP_JUMP = 8  # target
OP_JUMP_ZERO = 9  # value, target
OP_COUNT_DOWN = 10  # register, target: decrement, and jump unless it reached zero
OP_PHASE = 11  # mark
OP_HANDLER = 12  # signal, target, register for si_addr
OP_SIGRETURN = 13
OP_DAEMON = 14  # DAEMON_*: a kernel thread
OP_FORK = 20  # CLONE_* flags, target, number of the child's name
OP_WAIT = 21  # pid, -1: any child, 0: all
OP_POST = 22  # event, count
OP_WAIT_FOR = 23  # event, count
OP_CALLS = 29  # number of its stream, numbers of the names of processes and threads, work ns
OP_TRACE = 30  # number of its stream, page 0's address, work ns

ALU_ADD = 0
ALU_SUB = 1
ALU_MUL = 2
ALU_DIV = 3
ALU_MOD = 4
ALU_AND = 5
ALU_OR = 6
ALU_XOR = 7
ALU_SHL = 8
ALU_SHR = 9
ALU_MIN = 10
ALU_MAX = 11
ALU_LT = 12
ALU_LE = 13
ALU_EQ = 14
ALU_NE = 15
ALU_GT = 16
ALU_GE = 17
