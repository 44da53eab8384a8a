"""Bit operations that Numba has no name for, and 64-bit arithmetic that wraps as a C program's does."""

from __future__ import annotations

from vmsim.struct.jit import JIT, compiled

MASK64 = (1 << 64) - 1
SIGN64 = 1 << 63

if JIT:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def _ctlz(typingctx, x):
        def codegen(context, builder, signature, args):
            return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))

        return types.int64(types.int64), codegen

    @intrinsic
    def _cttz(typingctx, x):
        def codegen(context, builder, signature, args):
            return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

        return types.int64(types.int64), codegen

    @intrinsic
    def _urem(typingctx, x, n):
        def codegen(context, builder, signature, args):
            return builder.urem(args[0], args[1])

        return types.int64(types.int64, types.int64), codegen

    @compiled
    def unsigned_mod(x, n):
        """x % n, where x stands for an unsigned 64-bit number and n > 0."""
        return _urem(x, n)

    @compiled
    def bit_length(x):
        """Position of the highest set bit of x >= 0, counted from 1; 0 of 0."""
        return 64 - _ctlz(x)

    @compiled
    def lowest_bit(x):
        """Position of the lowest set bit of x > 0, counted from 0."""
        return _cttz(x)

    @compiled
    def wrapping_mul(a, b):
        """The low 64 bits of a*b, as a signed number."""
        return a * b

else:

    def unsigned_mod(x, n):
        """x % n, where x stands for an unsigned 64-bit number and n > 0."""
        return (int(x) & MASK64) % int(n)

    def bit_length(x):
        """Position of the highest set bit of x >= 0, counted from 1; 0 of 0."""
        return int(x).bit_length()

    def lowest_bit(x):
        """Position of the lowest set bit of x > 0, counted from 0."""
        x = int(x)
        return (x & -x).bit_length() - 1

    def wrapping_mul(a, b):
        """The low 64 bits of a*b, as a signed number."""
        low = (int(a) * int(b)) & MASK64
        return low - (1 << 64) if low & SIGN64 else low


@compiled
def isqrt(n):
    """The integer square root of n >= 0 (int_sqrt)."""
    root = 0
    step = 1 << 31
    while step > 0:
        if (root + step) * (root + step) <= n:
            root += step
        step >>= 1
    return root
