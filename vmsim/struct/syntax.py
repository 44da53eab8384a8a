"""What the compiler of `vmsim.struct.lower` reads: the syntax tree of a kernel function, its names, and the types in it.

The kernel's functions are written in a small part of Python: numbers are int64, a value is a number, a row, a table or `k`, and a
function returns a value, several or none.  The type of every variable follows from its first assignment.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

from numba import types
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic

from vmsim.struct.table import RowType, StateType, TableType

INT = types.int64
NONE = types.none
Type = Any  # INT, NONE, StateType, TableType, RowType, or a tuple of types

BUILTINS = (min, max, int, bool)


class NotCompiled(TypeError):
    """A kernel function uses a part of Python that isn't compiled."""

    def __init__(self, function: FunctionType, node: ast.AST, what: str) -> None:
        where = f"{function.__code__.co_filename}:{getattr(node, 'lineno', function.__code__.co_firstlineno)}"
        super().__init__(f"{where}: in {function.__name__}: compiled code has no {what}")


def is_compiled_type(given: Any) -> bool:
    """Whether values of this type can be passed to the kernel's functions."""
    return isinstance(types.unliteral(given), (types.Integer, types.Boolean, StateType, TableType, RowType))


def plain_type(given: Any) -> Type:
    """INT for every kind of number."""
    plain = types.unliteral(given)
    return INT if isinstance(plain, (types.Integer, types.Boolean)) else plain


@cache
def _definitions(filename: str) -> dict[int, ast.FunctionDef]:
    """All functions of a file, by the line that their code object names."""
    tree = ast.parse(Path(filename).read_text(encoding="utf-8"), filename)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {min([node.lineno, *(mark.lineno for mark in node.decorator_list)]): node for node in functions}


class Source:
    """One function: its tree and what the names mean that it does not assign."""

    def __init__(self, function: FunctionType) -> None:
        self.function = function
        code = function.__code__
        self.tree = _definitions(code.co_filename)[code.co_firstlineno]
        self.arguments = [argument.arg for argument in self.tree.args.args]
        cells = function.__closure__ or ()
        self._outer = {name: cell.cell_contents for name, cell in zip(code.co_freevars, cells, strict=True)}

    def meaning(self, name: ast.Name) -> Any:
        """A constant, a function or a tuple of constants."""
        for names in (self._outer, self.function.__globals__, vars(builtins)):
            if name.id in names:
                return names[name.id]
        raise self.refuse(name, f"name {name.id!r}")

    def refuse(self, node: ast.AST, what: str) -> NotCompiled:
        return NotCompiled(self.function, node, what)


@cache
def source_of(function: FunctionType) -> Source:
    return Source(function)


def item_type(source: Source, node: ast.Subscript, table: Type) -> Type:
    """The type of `table[...]`."""
    if isinstance(table, TableType):
        return INT if isinstance(node.slice, ast.Tuple) else RowType(table.bits)
    if isinstance(table, RowType):
        return INT
    raise source.refuse(node, f"index of {table}")


ReturnType = Callable[[FunctionType, "tuple[Type, ...]"], Type]


class Types:
    """The types of a function's variables and of what it returns, for the types of its arguments."""

    def __init__(self, source: Source, arguments: tuple[Type, ...], return_type: ReturnType) -> None:
        self.source = source
        self.variables: dict[str, Type] = {}
        self._given = dict(zip(source.arguments, arguments, strict=True))
        self._return_type = return_type
        self.returned: Type = NONE
        for node in source.tree.body:
            self._statement(node)

    def of(self, node: ast.expr) -> Type:
        """The type of an expression."""
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.Tuple):
            return tuple(self.of(item) for item in node.elts)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.IfExp):
            return self.of(node.body)
        return INT

    def _name(self, node: ast.Name) -> Type:
        if node.id in self.variables:
            return self.variables[node.id]
        return self._given.get(node.id, INT)

    def _attribute(self, node: ast.Attribute) -> Type:
        owner = self.of(node.value)
        if isinstance(owner, StateType) and node.attr in owner.fields:
            return owner.fields[node.attr]
        raise self.source.refuse(node, f"attribute {node.attr!r} of {owner}")

    def _subscript(self, node: ast.Subscript) -> Type:
        if isinstance(node.value, ast.Name) and not self.is_variable(node.value.id):
            return INT  # a constant tuple
        return item_type(self.source, node, self.of(node.value))

    def is_variable(self, name: str) -> bool:
        return name in self.variables or name in self._given

    def callee(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Name) and not self.is_variable(node.func.id) and not node.keywords:
            return self.source.meaning(node.func)
        raise self.source.refuse(node, f"call of {ast.unparse(node.func)} in this form")

    def literal(self, node: ast.expr) -> int | None:
        """The number that an expression is, where it is a constant or the name of one."""
        if isinstance(node, ast.Constant):
            found: Any = node.value
        elif isinstance(node, ast.Name) and not self.is_variable(node.id):
            found = self.source.meaning(node)
        else:
            return None
        return int(found) if isinstance(found, (int, bool)) or hasattr(found, "__index__") else None

    def intrinsic(self, callee: Any, node: ast.Call) -> Any:
        """An intrinsic's signature and the writer of its code."""
        given = []
        for argument in node.args:
            number = self.literal(argument) if callee._prefer_literal else None
            given.append(self.of(argument) if number is None else types.literal(number))
        return callee._defn(None, *given)

    def _call(self, node: ast.Call) -> Type:
        callee = self.callee(node)
        if isinstance(callee, Dispatcher):
            return self._return_type(callee.py_func, tuple(self.of(argument) for argument in node.args))
        if isinstance(callee, _Intrinsic):
            found = self.intrinsic(callee, node)[0].return_type
            return NONE if found == types.void else found
        if callee in BUILTINS:
            return INT
        raise self.source.refuse(node, f"function {ast.unparse(node.func)}")

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign):
            given = self.of(node.value)
            for target in node.targets:
                self._assign(target, given)
        elif isinstance(node, (ast.AugAssign, ast.For)):
            self._assign(node.target, INT)
        elif isinstance(node, ast.Return) and node.value is not None:
            self._returns(node, self.of(node.value))
        for part in ("body", "orelse"):
            for inner in getattr(node, part, ()):
                self._statement(inner)

    def _returns(self, node: ast.Return, given: Type) -> None:
        if self.returned not in (NONE, given):
            raise self.source.refuse(node, f"function that returns {self.returned} and {given}")
        self.returned = given

    def _assign(self, target: ast.expr, given: Type) -> None:
        if isinstance(target, ast.Tuple):
            if not isinstance(given, tuple) or len(given) != len(target.elts):
                raise self.source.refuse(target, f"assignment of {given} to {len(target.elts)} names")
            for item, item_given in zip(target.elts, given, strict=True):
                self._assign(item, item_given)
        elif isinstance(target, ast.Name):
            known = self.variables.setdefault(target.id, self._given.get(target.id, given))
            if known != given or given == NONE:
                raise self.source.refuse(target, f"variable {target.id!r} of type {known} that becomes {given}")
