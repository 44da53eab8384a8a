"""Expressions and conditions of the kernel's functions as LLVM code: one half of `vmsim.struct.lower`."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic

from vmsim.struct.syntax import INT, Source, Type, Types
from vmsim.struct.table import RowType, TableType, cell_address, read_cell, table_pointer

I64, _POINTER = ir.IntType(64), ir.IntType(8).as_pointer()
ZERO, ONE = ir.Constant(I64, 0), ir.Constant(I64, 1)
_COMPARE = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_ARITHMETIC = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and_", ast.BitOr: "or_", ast.BitXor: "xor", ast.LShift: "shl",
    ast.RShift: "ashr",
}  # fmt: skip


def number(value: int) -> Any:
    """A constant; what an unsigned 64-bit number says is kept."""
    return ir.Constant(I64, (value + (1 << 63)) % (1 << 64) - (1 << 63))


class Expressions:
    """What a function being written knows, and the code of its expressions."""

    def __init__(self, unit: Any, made: Any, known: Types, arguments: tuple[Type, ...]) -> None:
        self.unit = unit
        self.made = made
        self.types = known
        self.source: Source = known.source
        self.given = arguments
        self.places: dict[str, Any] = {}
        self.values: dict[str, Any] = {}
        self.b = ir.IRBuilder(made.append_basic_block("entry"))

    def block(self, name: str) -> Any:
        return self.made.append_basic_block(name)

    def on_stack(self, what: Any) -> Any:
        with self.b.goto_entry_block():
            return self.b.alloca(what)

    def packed(self, struct: Any, items: list[Any]) -> Any:
        """Several values as one."""
        result = ir.Constant(struct, ir.Undefined)
        for position, item in enumerate(items):
            result = self.b.insert_value(result, item, position)
        return result

    def unpacked(self, value: Any) -> Any:
        """A list of values where a value stands for several."""
        if not isinstance(value.type, ir.LiteralStructType):
            return value
        return [self.b.extract_value(value, position) for position in range(len(value.type.elements))]

    # Conditions

    def branch(self, node: ast.expr, yes: Any, no: Any) -> None:
        """Go to one block or the other."""
        if isinstance(node, ast.BoolOp):
            for item in node.values[:-1]:
                more = self.block("and" if isinstance(node.op, ast.And) else "or")
                self.branch(item, *((more, no) if isinstance(node.op, ast.And) else (yes, more)))
                self.b.position_at_end(more)
            self.branch(node.values[-1], yes, no)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.branch(node.operand, no, yes)
        else:
            constant = self.types.literal(node)
            if constant is None:
                self.b.cbranch(self.truth(node), yes, no)
            else:
                self.b.branch(yes if constant else no)

    def truth(self, node: ast.expr) -> Any:
        """One bit: whether a value is not 0."""
        if isinstance(node, ast.Compare):
            return self.compare(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.b.not_(self.truth(node.operand))
        return self.b.icmp_signed("!=", self.value(node), ZERO)

    def compare(self, node: ast.Compare) -> Any:
        left = self.value(node.left)
        result = None
        for operator, right_node in zip(node.ops, node.comparators, strict=True):
            if type(operator) not in _COMPARE:
                raise self.source.refuse(node, f"comparison {type(operator).__name__}")
            right = self.value(right_node)
            one = self.b.icmp_signed(_COMPARE[type(operator)], left, right)
            result = one if result is None else self.b.and_(result, one)
            left = right
        return result

    # Expressions: an LLVM value, or a list of them for a tuple

    def value(self, node: ast.expr) -> Any:
        write = getattr(self, f"of_{type(node).__name__.lower()}", None)
        if write is None:
            raise self.source.refuse(node, f"expression {type(node).__name__}")
        return write(node)

    def of_constant(self, node: ast.Constant) -> Any:
        if not isinstance(node.value, int):
            raise self.source.refuse(node, f"value {node.value!r}")
        return number(int(node.value))

    def of_name(self, node: ast.Name) -> Any:
        if node.id in self.places:
            return self.unpacked(self.b.load(self.places[node.id]))
        if node.id in self.values:
            return self.values[node.id]
        constant = self.types.literal(node)
        if constant is None:
            raise self.source.refuse(node, f"value {node.id!r}")
        return number(constant)

    def of_tuple(self, node: ast.Tuple) -> Any:
        return [self.value(item) for item in node.elts]

    def of_attribute(self, node: ast.Attribute) -> Any:
        return table_pointer(self.b, self.types.of(node.value), self.value(node.value), node.attr)

    def of_subscript(self, node: ast.Subscript) -> Any:
        if isinstance(node.value, ast.Name) and not self.types.is_variable(node.value.id):
            return self.constant_item(node, self.source.meaning(node.value))
        bits, address = self.address(node)
        if self.types.of(node) == INT:
            return read_cell(self.b, bits, address)
        return self.b.bitcast(address, _POINTER)

    def constant_item(self, node: ast.Subscript, items: Any) -> Any:
        if not isinstance(items, (tuple, np.ndarray)) or isinstance(node.slice, ast.Tuple):
            raise self.source.refuse(node, f"index of {ast.unparse(node.value)}")
        kept = self.unit.constants(tuple(int(item) for item in items))
        return self.b.load(self.b.gep(kept, [ZERO, self.value(node.slice)]))

    def address(self, node: ast.Subscript) -> tuple[int, Any]:
        """The bits of a cell, and where it is."""
        table, pointer = self.types.of(node.value), self.value(node.value)
        if isinstance(table, RowType):
            return table.bits, cell_address(self.b, 1, table.bits, pointer, self.value(node.slice), None)
        if not isinstance(table, TableType):
            raise self.source.refuse(node, f"index of {table}")
        if isinstance(node.slice, ast.Tuple):
            row, column = self.value(node.slice)
            return table.bits, cell_address(self.b, table.columns, table.bits, pointer, row, column)
        return table.bits, cell_address(self.b, table.columns, table.bits, pointer, self.value(node.slice), None)

    def of_compare(self, node: ast.Compare) -> Any:
        return self.b.zext(self.compare(node), I64)

    def of_unaryop(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Not):
            return self.b.zext(self.truth(node), I64)
        operand = self.value(node.operand)
        if isinstance(operand, ir.Constant):
            return number(~operand.constant if isinstance(node.op, ast.Invert) else -operand.constant)
        return self.b.not_(operand) if isinstance(node.op, ast.Invert) else self.b.sub(ZERO, operand)

    def of_boolop(self, node: ast.BoolOp) -> Any:
        """`a and b` is a where that is 0, else b."""
        place, after = self.on_stack(I64), self.block("known")
        for item in node.values[:-1]:
            value = self.value(item)
            self.b.store(value, place)
            more = self.block("more")
            ends = self.b.icmp_signed("==" if isinstance(node.op, ast.And) else "!=", value, ZERO)
            self.b.cbranch(ends, after, more)
            self.b.position_at_end(more)
        self.b.store(self.value(node.values[-1]), place)
        self.b.branch(after)
        self.b.position_at_end(after)
        return self.b.load(place)

    def of_ifexp(self, node: ast.IfExp) -> Any:
        yes, no, after = self.block("then"), self.block("else"), self.block("after")
        self.branch(node.test, yes, no)
        arms = []
        for block, arm in ((yes, node.body), (no, node.orelse)):
            self.b.position_at_end(block)
            value = self.value(arm)
            arms.append((value if isinstance(value, list) else [value], self.b.block))
            self.b.branch(after)
        self.b.position_at_end(after)
        merged = []
        for first, second in zip(arms[0][0], arms[1][0], strict=True):
            phi = self.b.phi(first.type)
            phi.add_incoming(first, arms[0][1])
            phi.add_incoming(second, arms[1][1])
            merged.append(phi)
        return merged if isinstance(self.types.of(node), tuple) else merged[0]

    def of_binop(self, node: ast.BinOp) -> Any:
        return self.arithmetic(node, node.op, self.value(node.left), self.value(node.right))

    def arithmetic(self, node: ast.AST, operator: ast.operator, left: Any, right: Any) -> Any:
        if type(operator) in _ARITHMETIC:
            return getattr(self.b, _ARITHMETIC[type(operator)])(left, right)
        if isinstance(operator, (ast.FloorDiv, ast.Mod)):
            return self.divide(left, right, isinstance(operator, ast.Mod))
        raise self.source.refuse(node, f"operator {type(operator).__name__}")

    def divide(self, left: Any, right: Any, remainder: bool) -> Any:
        """Rounding down, as Python does; dividing by 0 gives 0, and so does what overflows."""
        constant = right.constant if isinstance(right, ir.Constant) else 0
        if constant > 0 and constant & (constant - 1) == 0:
            if remainder:
                return self.b.and_(left, number(constant - 1))
            return self.b.ashr(left, number(constant.bit_length() - 1))
        bad = None
        if constant in (0, -1):
            overflows = self.b.and_(self.b.icmp_signed("==", left, number(-(1 << 63))), self.b.icmp_signed("==", right, number(-1)))
            bad = self.b.or_(self.b.icmp_signed("==", right, ZERO), overflows)
            right = self.b.select(bad, ONE, right)
        rest = self.b.srem(left, right)
        crosses = self.b.and_(self.b.icmp_signed("!=", rest, ZERO), self.b.icmp_signed("<", self.b.xor(rest, right), ZERO))
        if remainder:
            result = self.b.add(rest, self.b.select(crosses, right, ZERO))
        else:
            result = self.b.sub(self.b.sdiv(left, right), self.b.zext(crosses, I64))
        return result if bad is None else self.b.select(bad, ZERO, result)

    # Calls

    def of_call(self, node: ast.Call) -> Any:
        callee = self.types.callee(node)
        if isinstance(callee, Dispatcher):
            given = tuple(self.types.of(argument) for argument in node.args)
            inline = bool(callee.targetoptions.get("forceinline"))
            made = self.unit.function(callee.py_func, given, inline)
            return self.unpacked(self.b.call(made, [self.value(argument) for argument in node.args]))
        if isinstance(callee, _Intrinsic):
            signature, write = self.types.intrinsic(callee, node)
            return write(self.unit.context, self.b, signature, [self.value(argument) for argument in node.args])
        return self.of_builtin(node, callee)

    def of_builtin(self, node: ast.Call, callee: Any) -> Any:
        if callee is bool:
            return self.b.zext(self.truth(node.args[0]), I64)
        result = self.value(node.args[0])
        for argument in node.args[1:]:
            other = self.value(argument)
            result = self.b.select(self.b.icmp_signed("<" if callee is min else ">", other, result), other, result)
        return result
