"""From the syntax tree of the kernel's functions to LLVM code, without Numba's front end.

Numba finds out for every operation of every function what its operands may be, and in the end each is an int64: that was most of the
time that compiling took.  Here it is known from the start.  All functions that an entry point reaches are written into one module, call
each other directly, and LLVM does the rest.  Division by zero gives 0, arithmetic wraps, variables begin as 0.
"""

from __future__ import annotations

import ast
from types import FunctionType
from typing import Any

from llvmlite import ir

from vmsim.struct.lower_expr import I64, ONE, ZERO, Expressions, number
from vmsim.struct.syntax import INT, NONE, NotCompiled, Type, Types, source_of
from vmsim.struct.table import read_cell, write_cell

_POINTER = ir.IntType(8).as_pointer()


def _llvm_type(given: Type) -> Any:
    if isinstance(given, tuple):
        return ir.LiteralStructType([_llvm_type(item) for item in given])
    if given == INT:
        return I64
    return ir.VoidType() if given == NONE else _POINTER


class Unit:
    """The functions of one LLVM module, each for the types of its arguments."""

    def __init__(self, context: Any, module: Any) -> None:
        self.context = context
        self.module = module
        self._types: dict[tuple[FunctionType, tuple[Type, ...]], Types | None] = {}
        self._functions: dict[tuple[FunctionType, tuple[Type, ...]], Any] = {}
        self._constants: dict[tuple[int, ...], Any] = {}
        self._todo: list[_Body] = []

    def types_of(self, function: FunctionType, arguments: tuple[Type, ...]) -> Types:
        key = function, arguments
        if key not in self._types:
            self._types[key] = None
            self._types[key] = Types(source_of(function), arguments, self.return_type)
        found = self._types[key]
        if found is None:
            raise NotCompiled(function, source_of(function).tree, "recursion")
        return found

    def return_type(self, function: FunctionType, arguments: tuple[Type, ...]) -> Type:
        return self.types_of(function, arguments).returned

    def function(self, function: FunctionType, arguments: tuple[Type, ...], inline: bool = False) -> Any:
        """The LLVM function; its body is written by `finish`."""
        key = function, arguments
        if key not in self._functions:
            known = self.types_of(function, arguments)
            signature = ir.FunctionType(_llvm_type(known.returned), [_llvm_type(given) for given in arguments])
            name = self.module.get_unique_name(f"{function.__module__}.{function.__name__}")
            made = self._functions[key] = ir.Function(self.module, signature, name)
            made.linkage = "internal"
            made.attributes.add("nounwind")
            if inline:
                made.attributes.add("alwaysinline")
            self._todo.append(_Body(self, made, known, arguments))
        return self._functions[key]

    def constants(self, items: tuple[int, ...]) -> Any:
        """An array that never changes."""
        if items not in self._constants:
            array = ir.Constant(ir.ArrayType(I64, len(items)), [number(item) for item in items])
            kept = ir.GlobalVariable(self.module, array.type, self.module.get_unique_name("constants"))
            kept.global_constant, kept.linkage, kept.initializer = True, "internal", array
            self._constants[items] = kept
        return self._constants[items]

    def finish(self) -> None:
        """Write the bodies of all functions that were asked for."""
        while self._todo:
            self._todo.pop().write()


class _Body(Expressions):
    """The code of one function."""

    loops: list[tuple[Any, Any]]  # where `continue` and `break` lead

    def write(self) -> None:
        self.loops = []
        for name, given in self.types.variables.items():
            self.places[name] = self.b.alloca(_llvm_type(given))
        for name, place in self.places.items():
            if name not in self.source.arguments:
                self.b.store(ir.Constant(place.type.pointee, None), place)
        for name, value in zip(self.source.arguments, self.made.args, strict=True):
            if name in self.places:
                self.b.store(value, self.places[name])
            else:
                self.values[name] = value
        start = self.made.append_basic_block("start")
        self.b.branch(start)
        self.b.position_at_end(start)
        self.statements(self.source.tree.body)
        if not self.b.block.is_terminated:
            self.leave(None)

    # Statements

    def statements(self, nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if self.b.block.is_terminated:
                return
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:
        write = getattr(self, f"do_{type(node).__name__.lower()}", None)
        if write is None:
            raise self.source.refuse(node, f"statement {type(node).__name__}")
        write(node)

    def do_pass(self, node: ast.Pass) -> None:
        pass

    def do_expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.value(node.value)

    def do_return(self, node: ast.Return) -> None:
        self.leave(None if node.value is None else self.value(node.value))

    def leave(self, value: Any) -> None:
        returned = self.made.function_type.return_type
        if isinstance(returned, ir.VoidType):
            self.b.ret_void()
        elif isinstance(value, list):
            self.b.ret(self.packed(returned, value))
        else:
            self.b.ret(ir.Constant(returned, None) if value is None else value)

    def do_assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self.assign(target, value)

    def assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            place = self.places[target.id]
            self.b.store(self.packed(place.type.pointee, value) if isinstance(value, list) else value, place)
        elif isinstance(target, ast.Tuple):
            for item, part in zip(target.elts, value, strict=True):
                self.assign(item, part)
        elif isinstance(target, ast.Subscript):
            write_cell(self.b, *self.address(target), value)
        else:
            raise self.source.refuse(target, f"assignment to {ast.unparse(target)}")

    def do_augassign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            place = self.places[node.target.id]
            self.b.store(self.arithmetic(node, node.op, self.b.load(place), self.value(node.value)), place)
        elif isinstance(node.target, ast.Subscript):
            bits, address = self.address(node.target)
            before = read_cell(self.b, bits, address)
            write_cell(self.b, bits, address, self.arithmetic(node, node.op, before, self.value(node.value)))
        else:
            raise self.source.refuse(node, f"assignment to {ast.unparse(node.target)}")

    def do_if(self, node: ast.If) -> None:
        yes, no = self.block("then"), self.block("else")
        after = self.block("after") if node.orelse else no
        self.branch(node.test, yes, no)
        self.arm(yes, node.body, after)
        if node.orelse:
            self.arm(no, node.orelse, after)
        self.b.position_at_end(after)

    def arm(self, block: Any, nodes: list[ast.stmt], after: Any) -> None:
        self.b.position_at_end(block)
        self.statements(nodes)
        if not self.b.block.is_terminated:
            self.b.branch(after)

    def do_while(self, node: ast.While) -> None:
        if node.orelse:
            raise self.source.refuse(node, "else of a loop")
        test, body, after = self.block("while"), self.block("body"), self.block("done")
        self.b.branch(test)
        self.b.position_at_end(test)
        self.branch(node.test, body, after)
        self.loop(node.body, body, test, after)

    def loop(self, nodes: list[ast.stmt], body: Any, again: Any, after: Any) -> None:
        self.loops.append((again, after))
        self.arm(body, nodes, again)
        self.loops.pop()
        self.b.position_at_end(after)

    def do_break(self, node: ast.Break) -> None:
        self.b.branch(self.loops[-1][1])

    def do_continue(self, node: ast.Continue) -> None:
        self.b.branch(self.loops[-1][0])

    def do_for(self, node: ast.For) -> None:
        if node.orelse or not isinstance(node.target, ast.Name):
            raise self.source.refuse(node, "for in this form")
        if isinstance(node.iter, ast.Tuple):
            items = [self.value(item) for item in node.iter.elts]
            array = self.on_stack(ir.ArrayType(I64, len(items)))
            for position, item in enumerate(items):
                self.b.store(item, self.b.gep(array, [ZERO, number(position)]))
            self.count(node, ZERO, number(len(items)), ONE, array)
            return
        if not isinstance(node.iter, ast.Call) or self.types.callee(node.iter) is not range:
            raise self.source.refuse(node, "for over anything but a range or a tuple")
        limits = [self.value(limit) for limit in node.iter.args]
        first, end, step = [ZERO, *limits, ONE] if len(limits) == 1 else [*limits, ONE][:3]
        self.count(node, first, end, step, None)

    def count(self, node: ast.For, first: Any, end: Any, step: Any, array: Any) -> None:
        """A loop that counts, over numbers or over the items of an array."""
        place = self.on_stack(I64)
        self.b.store(first, place)
        test, body, again, after = self.block("for"), self.block("body"), self.block("next"), self.block("done")
        self.b.branch(test)
        self.b.position_at_end(test)
        now = self.b.load(place)
        if isinstance(step, ir.Constant):
            more = self.b.icmp_signed("<" if step.constant > 0 else ">", now, end)
        else:
            upwards = self.b.icmp_signed(">", step, ZERO)
            more = self.b.select(upwards, self.b.icmp_signed("<", now, end), self.b.icmp_signed(">", now, end))
        self.b.cbranch(more, body, after)
        self.b.position_at_end(body)
        self.assign(node.target, now if array is None else self.b.load(self.b.gep(array, [ZERO, now])))
        inner = self.block("inner")
        self.b.branch(inner)
        self.b.position_at_end(again)
        self.b.store(self.b.add(now, step), place)
        self.b.branch(test)
        self.loop(node.body, inner, again, after)
