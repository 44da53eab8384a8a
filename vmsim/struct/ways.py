"""Sets of an associative memory, compared and shifted as vectors, and the host's own memory:

for the access loop, where a nanosecond counts.

A set is `ways` words of a row from `base` on.  Without compilation the same is written in plain Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from vmsim.struct.bits import lowest_bit
from vmsim.struct.jit import JIT

F = TypeVar("F", bound=Callable[..., Any])

if JIT:
    from llvmlite import ir
    from numba import njit, types
    from numba.core import cgutils
    from numba.extending import intrinsic

    from vmsim.struct.table import RowType
    from vmsim.struct.whole import PartCompiler

    _I32, _I64 = ir.IntType(32), ir.IntType(64)

    def inlined(function: F) -> F:
        """A compiled function whose body is copied into its callers, with what is constant there."""
        options: Any = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        done: Any = njit(function, error_model="numpy", pipeline_class=PartCompiler, **options)
        result: F = done
        return result

    def _word(builder, row, index):
        return builder.gep(builder.bitcast(row, _I64.as_pointer()), [index])

    @intrinsic(prefer_literal=True)
    def _row_on_stack(typingctx, size):
        """A row of `size` words on the stack, a number known when compiling; their contents are undefined."""
        words = size.literal_value

        def codegen(context, builder, sig, args):
            return builder.bitcast(cgutils.alloca_once(builder, _I64, size=ir.Constant(_I64, words)), cgutils.voidptr_t)

        return RowType(64)(size), codegen

    @intrinsic
    def _prefetch_word(typingctx, row, index):
        """Ask the host's cache for a word of a row: a hint, without effect on the result."""

        def codegen(context, builder, sig, args):
            pointer = builder.bitcast(_word(builder, *args), cgutils.voidptr_t)
            hint = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
            function = cgutils.get_or_insert_function(builder.module, hint, "llvm.prefetch.p0i8")
            builder.call(function, [pointer, ir.Constant(_I32, 0), ir.Constant(_I32, 3), ir.Constant(_I32, 1)])
            return context.get_dummy_value()

        return types.void(row, types.int64), codegen

    scratch_row: Any = _row_on_stack
    prefetch: Any = _prefetch_word

    def _load_set(builder, row, base, ways):
        """The vector type of a set, the set's address as one of it, and its contents."""
        vector = ir.VectorType(_I64, ways)
        pointer = builder.bitcast(_word(builder, row, base), vector.as_pointer())
        entries = builder.load(pointer)
        entries.align = 8
        return vector, pointer, entries

    def _in_every_way(builder, vector, scalar):
        undefined = ir.Constant(vector, ir.Undefined)
        first = ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count)
        return builder.shuffle_vector(builder.insert_element(undefined, scalar, ir.Constant(_I32, 0)), undefined, first)

    def _equal_ways(builder, args, ways):
        """One bit for each way of a set that holds a tag."""
        row, base, *scalars = args
        vector, _, entries = _load_set(builder, row, base, ways)
        tag, ignored = (_in_every_way(builder, vector, scalar) for scalar in scalars)
        return builder.bitcast(builder.icmp_signed("==", builder.or_(entries, ignored), tag), ir.IntType(ways))

    def _make_match(ways: int) -> Any:
        @intrinsic
        def match(typingctx, row, base, tag, ignored):
            def codegen(context, builder, sig, args):
                return builder.zext(_equal_ways(builder, args, ways), _I64)

            return types.int64(row, types.int64, types.int64, types.int64), codegen

        return match

    def _make_find(ways: int) -> Any:
        @intrinsic
        def find(typingctx, row, base, tag, ignored):
            def codegen(context, builder, sig, args):
                found = None
                for first in range(0, ways, 4):  # as many as a vector of the host holds
                    part = builder.add(args[1], ir.Constant(_I64, first))
                    equal = _equal_ways(builder, (args[0], part, *args[2:]), min(ways - first, 4))
                    found = equal if found is None else builder.or_(found, equal)
                return builder.zext(builder.icmp_unsigned("!=", found, ir.Constant(found.type, 0)), _I64)

            return types.int64(row, types.int64, types.int64, types.int64), codegen

        return find

    def _make_push(ways: int) -> Any:
        @intrinsic
        def push(typingctx, row, base, tag):
            def codegen(context, builder, sig, args):
                vector, pointer, entries = _load_set(builder, args[0], args[1], ways)
                older = ir.Constant(ir.VectorType(_I32, ways), [0, *range(ways - 1)])
                shifted = builder.shuffle_vector(entries, ir.Constant(vector, ir.Undefined), older)
                builder.store(builder.insert_element(shifted, args[2], ir.Constant(_I32, 0)), pointer).align = 8
                return context.get_dummy_value()

            return types.void(row, types.int64, types.int64), codegen

        return push

    _match2, _match4, _match8 = _make_match(2), _make_match(4), _make_match(8)
    _find2, _find4, _find8 = _make_find(2), _make_find(4), _make_find(8)
    _push2, _push4, _push8 = _make_push(2), _make_push(4), _make_push(8)

    @inlined
    def _way_of(bits):
        return lowest_bit(bits) if bits != 0 else -1

    @inlined
    def has_tag(row, base, ways, tag, ignored):
        """1 if a way of a set holds `tag`, else 0; the bits `ignored` are set in `tag` and count as set in each way."""
        if ways == 4:
            return _find4(row, base, tag, ignored)
        if ways == 8:
            return _find8(row, base, tag, ignored)
        if ways == 2:
            return _find2(row, base, tag, ignored)
        found = 0
        for way in range(ways):
            if (row[base + way] | ignored) == tag:
                found = 1
        return found

    @inlined
    def match_ways(row, base, ways, tag, ignored):
        """The way of a set that holds `tag`, -1 if none does; `ignored` as for `has_tag`."""
        if ways == 4:
            return _way_of(_match4(row, base, tag, ignored))
        if ways == 8:
            return _way_of(_match8(row, base, tag, ignored))
        if ways == 2:
            return _way_of(_match2(row, base, tag, ignored))
        for way in range(ways):
            if (row[base + way] | ignored) == tag:
                return way
        return -1

    @inlined
    def push_way(row, base, ways, tag):
        """Make `tag` the first way of a set; the others move up by one and the last is lost.

        A set of no ways stays empty.
        """
        if ways == 4:
            _push4(row, base, tag)
        elif ways == 8:
            _push8(row, base, tag)
        elif ways == 2:
            _push2(row, base, tag)
        elif ways > 0:
            for way in range(ways - 1, 0, -1):
                row[base + way] = row[base + way - 1]
            row[base] = tag

else:

    def inlined(function: F) -> F:
        """A compiled function whose body is copied into its callers, with what is constant there."""
        return function

    def _zeroed_row(size):
        return np.zeros(size, np.int64)

    def _no_prefetch(row, index):
        return None

    scratch_row = _zeroed_row
    prefetch = _no_prefetch

    def has_tag(row, base, ways, tag, ignored):
        """1 if a way of a set holds `tag`, else 0; the bits `ignored` are set in `tag` and count as set in each way."""
        return int(match_ways(row, base, ways, tag, ignored) >= 0)

    def match_ways(row, base, ways, tag, ignored):
        """The way of a set that holds `tag`, -1 if none does; `ignored` as for `has_tag`."""
        for way in range(ways):
            if (row[base + way] | ignored) == tag:
                return way
        return -1

    def push_way(row, base, ways, tag):
        """Make `tag` the first way of a set; the others move up by one and the last is lost.

        A set of no ways stays empty.
        """
        for way in range(ways - 1, 0, -1):
            row[base + way] = row[base + way - 1]
        if ways > 0:
            row[base] = tag
