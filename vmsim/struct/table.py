"""The compiled form of `k`: a block of pointers to tables, without reference counts, bounds or wrap-around of negative indexes.

Numba's own arrays carry nine words and a reference count each, which costs a minor fault twice its time and the compiler four
times its.  A table here is one pointer; how many columns it has is part of its type.  `k.frame[pfn, P_FLAGS]`, `k.task[tid]` (a
row) and `row[T_MM]` mean what they mean for NumPy arrays; every number read is an int64.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import NativeValue, lower_builtin, models, register_model, unbox

_I64 = ir.IntType(64)


class TableType(types.Type):
    """A table of so many columns of integers of so many bits."""

    def __init__(self, columns: int, bits: int) -> None:
        self.columns = columns
        self.bits = bits
        super().__init__(name=f"Table({columns}, int{bits})")


class RowType(types.Type):
    """A row of a table, or a table of one column."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        super().__init__(name=f"Row(int{bits})")


class StateType(types.Type):
    """`k`: `fields` gives each table's type by name, in the order of their pointers."""

    def __init__(self, fields: dict[str, TableType | RowType]) -> None:
        self.fields = fields
        super().__init__(name="KernelState")


for _type in (TableType, RowType, StateType):
    register_model(_type)(models.OpaqueModel)


@infer_getattr
class _StateAttributes(AttributeTemplate):
    key = StateType

    def generic_resolve(self, state: StateType, name: str) -> Any:
        return state.fields.get(name)


@lower_getattr_generic(StateType)
def _get_table(context: Any, builder: Any, state: StateType, value: Any, name: str) -> Any:
    return table_pointer(builder, state, value, name)


def table_pointer(builder: Any, state: StateType, value: Any, name: str) -> Any:
    """Where the table of this name begins."""
    index = list(state.fields).index(name)
    block = builder.bitcast(value, cgutils.voidptr_t.as_pointer())
    pointer = builder.load(builder.gep(block, [ir.Constant(_I64, index)]))
    pointer.set_metadata("invariant.load", builder.module.add_metadata([]))  # tables never move
    return pointer


def _is_integer(given: Any) -> bool:
    return isinstance(types.unliteral(given), (types.Integer, types.Boolean))


def _is_pair(given: Any) -> bool:
    return isinstance(given, types.BaseTuple) and len(given) == 2 and all(_is_integer(item) for item in given)


_PAIR = types.UniTuple(types.int64, 2)


def _index_type(table: Any, index: Any) -> tuple[Any, Any] | None:
    """The type that `table[index]` has and the one that the index is converted to."""
    if isinstance(table, TableType):
        if _is_pair(index):
            return types.int64, _PAIR
        if _is_integer(index):
            return RowType(table.bits), types.int64
    if isinstance(table, RowType) and _is_integer(index):
        return types.int64, types.int64
    return None


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        found = _index_type(args[0], args[1])
        return None if found is None else signature(found[0], args[0], found[1])


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        found = _index_type(args[0], args[1])
        if found is None or found[0] != types.int64 or not _is_integer(args[2]):
            return None
        return signature(types.none, args[0], found[1], types.int64)


def cell_address(builder: Any, columns: int, bits: int, pointer: Any, row: Any, column: Any) -> Any:
    """Where a cell of a table of so many columns and bits is; without `column`, where the row begins."""
    offset = row if columns == 1 else builder.mul(row, ir.Constant(_I64, columns))
    if column is not None:
        offset = builder.add(offset, column)
    return builder.gep(builder.bitcast(pointer, ir.IntType(bits).as_pointer()), [offset])


def read_cell(builder: Any, bits: int, address: Any) -> Any:
    """The number at an address."""
    value = builder.load(address)
    return value if bits == 64 else builder.sext(value, _I64)


def write_cell(builder: Any, bits: int, address: Any, value: Any) -> None:
    """Put a number there."""
    builder.store(value if bits == 64 else builder.trunc(value, ir.IntType(bits)), address)


@lower_builtin(operator.getitem, TableType, _PAIR)
def _get_cell(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    table, (pointer, pair) = sig.args[0], args
    row, column = cgutils.unpack_tuple(builder, pair, 2)
    return read_cell(builder, table.bits, cell_address(builder, table.columns, table.bits, pointer, row, column))


@lower_builtin(operator.getitem, TableType, types.int64)
def _get_row(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    table, (pointer, row) = sig.args[0], args
    return builder.bitcast(cell_address(builder, table.columns, table.bits, pointer, row, None), cgutils.voidptr_t)


@lower_builtin(operator.getitem, RowType, types.int64)
def _get_entry(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return read_cell(builder, sig.args[0].bits, cell_address(builder, 1, sig.args[0].bits, args[0], args[1], None))


@lower_builtin(operator.setitem, TableType, _PAIR, types.int64)
def _set_cell(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    table, (pointer, pair, value) = sig.args[0], args
    row, column = cgutils.unpack_tuple(builder, pair, 2)
    write_cell(builder, table.bits, cell_address(builder, table.columns, table.bits, pointer, row, column), value)
    return context.get_dummy_value()


@lower_builtin(operator.setitem, RowType, types.int64, types.int64)
def _set_entry(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    write_cell(builder, sig.args[0].bits, cell_address(builder, 1, sig.args[0].bits, args[0], args[1], None), args[2])
    return context.get_dummy_value()


@unbox(StateType)
def _unbox_state(typ: Any, obj: Any, c: Any) -> NativeValue:
    number = c.pyapi.object_getattr_string(obj, "address")
    address = c.pyapi.long_as_longlong(number)
    c.pyapi.decref(number)
    return NativeValue(c.builder.inttoptr(address, cgutils.voidptr_t), is_error=cgutils.is_not_null(c.builder, c.pyapi.err_occurred()))
