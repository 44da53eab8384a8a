"""Compiling an entry point and all it calls as one program.

Numba makes machine code of every function by itself, with all that it calls linked in and optimised again: the cost grows with
the depth of the calls.  Here a function that only compiled code calls stops at optimised LLVM code of its own, and the entry
point links the whole tree once.  Built on Numba's compiler pipelines (`pipeline_class`).

A part of numbers and tables is written by `vmsim.struct.lower`, with all that it calls; only what works on NumPy's arrays goes through
Numba's front end.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from llvmlite import ir
from numba import _dynfunc, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, _LowerResult
from numba.core.compiler_machinery import LoweringPass, PassManager, register_pass
from numba.core.environment import Environment
from numba.core.funcdesc import PythonFunctionDescriptor
from numba.core.typed_passes import NativeLowering, NoPythonBackend
from numba.core.untyped_passes import InlineClosureLikes

from vmsim.struct.lower import Unit
from vmsim.struct.syntax import NONE, is_compiled_type, plain_type


class _Part(JITCodeLibrary):
    """The code of one inner function: never finished by itself, only linked."""

    def finalize(self) -> None:
        self._finalized = True

    _linking_libraries: list[Any]

    def add_linking_library(self, library: Any) -> None:
        self._linking_libraries.append(library)


class _Program(JITCodeLibrary):
    """The code of an entry point, with every part that it reaches."""

    _linking_libraries: list[Any]

    def finalize(self) -> None:
        reached: dict[int, Any] = {}
        todo = list(self._linking_libraries)
        while todo:
            library = todo.pop()
            if id(library) not in reached:
                reached[id(library)] = library
                if isinstance(library, _Part):
                    todo.extend(library._linking_libraries)
        self._linking_libraries = list(reached.values())
        super().finalize()


@register_pass(mutates_CFG=False, analysis_only=True)
class _AsPart(LoweringPass):
    _name = "vmsim_as_part"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        state.library = _Part(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        state.flags.no_compile = True
        return False


@register_pass(mutates_CFG=False, analysis_only=True)
class _AsProgram(LoweringPass):
    _name = "vmsim_as_program"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        state.library = _Program(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return False


@register_pass(mutates_CFG=False, analysis_only=True)
class _Callable(LoweringPass):
    """Make a part known to its callers, under a function object that Python can't call."""

    _name = "vmsim_callable"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        lowered = state["cr"]
        description = lowered.fndesc
        name = description.qualname.split(".")[-1]
        function = _dynfunc.make_function(description.lookup_module(), name, "", 0, lowered.env, (state.library,))
        state.targetctx.insert_user_function(function, description, [state.library])
        state["cr"] = lowered._replace(cfunc=function)
        return True


@register_pass(mutates_CFG=False, analysis_only=True)
class _Lower(LoweringPass):
    """Write a part and all that it calls as one module, beside a function that Numba's code can call."""

    _name = "vmsim_lower"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        context, function = state.targetctx, state.func_id.func
        module = context.codegen().create_library(state.func_id.func_qualname).create_ir_module(state.func_id.unique_name)
        unit = Unit(context, module)
        given = tuple(plain_type(argument) for argument in state.args)
        returned = unit.return_type(function, given)
        state.return_type = types.Tuple(returned) if isinstance(returned, tuple) else returned
        state.typemap = {f"arg.{name}": argument for name, argument in zip(state.func_id.arg_names, state.args, strict=True)}
        described = SimpleNamespace(func_id=state.func_id, arg_names=state.func_id.arg_names)
        tags = [state.flags.get_mangle_string()]
        description = PythonFunctionDescriptor.from_specialized_function(
            described, state.typemap, state.return_type, {}, context.mangler, False, False, tags
        )
        _write_door(context, unit, description, unit.function(function, given))
        unit.finish()
        state.library.add_ir_module(module)
        state["cr"] = _LowerResult(description, None, cfunc=None, env=Environment.from_fndesc(description))
        return True


def _write_door(context: Any, unit: Unit, description: Any, inner: Any) -> None:
    """A function as Numba's code calls it, which calls one as the kernel's code does."""
    door = context.declare_function(unit.module, description)
    builder = ir.IRBuilder(door.append_basic_block("entry"))
    result = builder.call(inner, context.call_conv.get_arguments(door))
    if description.restype == NONE:
        result = context.get_dummy_value()
    elif isinstance(description.restype, types.BaseTuple):
        items = [builder.extract_value(result, position) for position in range(len(description.restype))]
        result = context.make_tuple(builder, description.restype, items)
    context.call_conv.return_value(builder, result)


class PartCompiler(CompilerBase):
    """Pipeline of functions that only compiled code calls."""

    def define_pipelines(self) -> list[Any]:
        if all(is_compiled_type(argument) for argument in self.state.args):
            return [_direct_pipeline()]
        pipeline = _lean_pipeline(self.state)
        _insert_before(pipeline, _AsPart, NativeLowering)
        pipeline.add_pass_after(_Callable, NativeLowering)
        pipeline.finalize()
        return [pipeline]


class ProgramCompiler(CompilerBase):
    """Pipeline of entry points."""

    def define_pipelines(self) -> list[Any]:
        pipeline = _lean_pipeline(self.state)
        _insert_before(pipeline, _AsProgram, NativeLowering)
        pipeline.finalize()
        return [pipeline]


def _direct_pipeline() -> Any:
    pipeline = PassManager("vmsim_direct")
    for step, what in ((_AsPart, "begin a library"), (_Lower, "write it"), (_Callable, "make it known"), (NoPythonBackend, "finish")):
        pipeline.add_pass(step, what)
    pipeline.finalize()
    return pipeline


def _lean_pipeline(state: Any) -> Any:
    """Numba's passes without those that look for closures, array expressions and prunable branches: the kernel has none."""
    state.flags.no_rewrites = True
    pipeline = DefaultPassBuilder.define_nopython_pipeline(state)
    pipeline.passes = [step for step in pipeline.passes if step[0] is not InlineClosureLikes]
    return pipeline


def _insert_before(pipeline: Any, new: Any, existing: Any) -> None:
    names = [step[0] for step in pipeline.passes]
    pipeline.add_pass_after(new, names[names.index(existing) - 1])
