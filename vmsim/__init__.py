"""vmsim: a laboratory for Linux memory management.

`load_experiment`, `run_experiment`, `build` and `load_results` are the same as behind the commands; see the README.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmsim.experiment.store import load_results
    from vmsim.experiment.sweep import run_experiment
    from vmsim.machine.build import build
    from vmsim.spec.load import load_experiment

__version__ = "0.1.0"
__all__ = ["__version__", "build", "load_experiment", "load_results", "run_experiment"]

_WHERE = {
    "build": "vmsim.machine.build",
    "load_experiment": "vmsim.spec.load",
    "load_results": "vmsim.experiment.store",
    "run_experiment": "vmsim.experiment.sweep",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the command line starts without the simulator."""
    if name not in _WHERE:
        raise AttributeError(f"module 'vmsim' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)
