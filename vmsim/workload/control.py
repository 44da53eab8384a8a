"""Instructions that take no simulated time: operands, arithmetic, jumps, handlers."""

from vmsim.mm.exit import do_exit
from vmsim.struct.errno import SIGSEGV
from vmsim.struct.jit import compiled
from vmsim.struct.tasks import (
    EXIT_SYSCALL,
    T_BUS_PC,
    T_BUS_REG,
    T_PC,
    T_SEGV_PC,
    T_SEGV_REG,
    T_STOP_ERRNO,
    T_STOP_NR,
    T_STOP_PC,
)
from vmsim.workload.instructions import (
    ALU_ADD,
    ALU_AND,
    ALU_DIV,
    ALU_EQ,
    ALU_GE,
    ALU_GT,
    ALU_LE,
    ALU_LT,
    ALU_MAX,
    ALU_MIN,
    ALU_MOD,
    ALU_MUL,
    ALU_NE,
    ALU_OR,
    ALU_SHL,
    ALU_SHR,
    ALU_SUB,
    ALU_XOR,
    CODE_ARG,
    CODE_DEST,
    CODE_EXPECT,
    CODE_MASK,
    EXPECT_OK,
    OP_ALU,
    OP_COUNT_DOWN,
    OP_HANDLER,
    OP_JUMP,
    OP_JUMP_ZERO,
)


@compiled
def operand(k, tid, pc, i):
    value = k.code[pc, CODE_ARG + i]
    return k.reg[tid, value] if (k.code[pc, CODE_MASK] >> i) & 1 != 0 else value


@compiled
def call_ends_task(k, tid, pc, nr, result):
    """Hand the result of a system call to the program: 1 if it expected another, and the task has ended."""
    if k.code[pc, CODE_DEST] >= 0:
        k.reg[tid, k.code[pc, CODE_DEST]] = result
    expect = k.code[pc, CODE_EXPECT]
    failed = -4096 < result < 0
    if expect == EXPECT_OK and failed or (expect > 0 and result != -expect):
        task = k.task[tid]
        task[T_STOP_NR] = nr
        task[T_STOP_ERRNO] = -result if failed else 0
        task[T_STOP_PC] = pc
        do_exit(k, tid, EXIT_SYSCALL, 0)
        return 1
    return 0


@compiled
def _alu(op, a, b):
    if op == ALU_ADD:
        return a + b
    if op == ALU_SUB:
        return a - b
    if op == ALU_MUL:
        return a * b
    if op == ALU_DIV:
        if b == -1:
            return -a  # wraps for -2**63, where dividing overflows
        return a // b if b != 0 else 0
    if op == ALU_MOD:
        return a % b if b != 0 else 0
    if op == ALU_AND:
        return a & b
    if op == ALU_OR:
        return a | b
    if op == ALU_XOR:
        return a ^ b
    if op == ALU_SHL:
        return a << (b & 63)
    if op == ALU_SHR:
        return a >> (b & 63)
    if op == ALU_MIN:
        return min(a, b)
    if op == ALU_MAX:
        return max(a, b)
    return _compare(op, a, b)


@compiled
def _compare(op, a, b):
    if op == ALU_LT:
        return 1 if a < b else 0
    if op == ALU_LE:
        return 1 if a <= b else 0
    if op == ALU_EQ:
        return 1 if a == b else 0
    if op == ALU_NE:
        return 1 if a != b else 0
    if op == ALU_GT:
        return 1 if a > b else 0
    if op == ALU_GE:
        return 1 if a >= b else 0
    return 0


@compiled
def op_control(k, tid, pc, op):
    """Instructions that cost no time: arithmetic, jumps, handlers, marks."""
    task = k.task[tid]
    following = pc + 1
    if op == OP_ALU:
        value = _alu(k.code[pc, CODE_ARG], operand(k, tid, pc, 1), operand(k, tid, pc, 2))
        k.reg[tid, k.code[pc, CODE_DEST]] = value
    elif op == OP_JUMP:
        following = k.code[pc, CODE_ARG]
    elif op == OP_JUMP_ZERO:
        if operand(k, tid, pc, 0) == 0:
            following = k.code[pc, CODE_ARG + 1]
    elif op == OP_COUNT_DOWN:
        register = k.code[pc, CODE_ARG]
        k.reg[tid, register] -= 1
        if k.reg[tid, register] > 0:
            following = k.code[pc, CODE_ARG + 1]
    elif op == OP_HANDLER:
        segv = k.code[pc, CODE_ARG] == SIGSEGV
        task[T_SEGV_PC if segv else T_BUS_PC] = k.code[pc, CODE_ARG + 1]
        task[T_SEGV_REG if segv else T_BUS_REG] = k.code[pc, CODE_ARG + 2]
    task[T_PC] = following
