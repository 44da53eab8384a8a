"""Compiling an entry point and all it calls as one program.

Numba makes machine code of every function by itself, with all that it calls linked in and optimised again: the cost grows with
the depth of the calls.  Here a function that only compiled code calls stops at optimised LLVM code of its own, and the entry
point links the whole tree once.  Built on Numba's compiler pipelines (`pipeline_class`).
"""

from __future__ import annotations

from typing import Any

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import NativeLowering
from numba.core.untyped_passes import InlineClosureLikes


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


class PartCompiler(CompilerBase):
    """Pipeline of functions that only compiled code calls."""

    def define_pipelines(self) -> list[Any]:
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


def _lean_pipeline(state: Any) -> Any:
    """Numba's passes without those that look for closures, array expressions and prunable branches: the kernel has none."""
    state.flags.no_rewrites = True
    pipeline = DefaultPassBuilder.define_nopython_pipeline(state)
    pipeline.passes = [step for step in pipeline.passes if step[0] is not InlineClosureLikes]
    return pipeline


def _insert_before(pipeline: Any, new: Any, existing: Any) -> None:
    names = [step[0] for step in pipeline.passes]
    pipeline.add_pass_after(new, names[names.index(existing) - 1])
