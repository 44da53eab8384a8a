"""Service-time models of block devices: how long a request takes, by its size, direction and place, in integer ns.

A model is a class in a file of its own in `vmsim/hw/devices`, registered beside it by `@device_model("name")`.  It
knows nothing of queues, tasks or the simulation: it is told the time at which a request is handed to it and says when
it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from vmsim.errors import VmsimError, unknown_name

Parameters = Mapping[str, Any]
_BLOCK = 1024  # draws made at a time: one scalar draw costs as much as a hundred of a block


class DeviceModel(Protocol):
    """What a model offers: `depth` requests fit in it at a time; a rotational one wants its queue sorted by place."""

    depth: int
    rotational: bool

    def finish_ns(self, now_ns: int, write: int, first: int, nbytes: int) -> int:
        """The time at which a request handed over at `now_ns` is done; `first` is its first byte on the device.

        Calls come in order of time, at most `depth` of them unfinished. The answer is never before `now_ns`.
        """


class DeviceClass(Protocol):
    """How a model is made: from its parameters (the fields of its spec: ns, bytes, bytes/s) and a random generator."""

    def __call__(self, parameters: Parameters, rng: np.random.Generator) -> DeviceModel:
        """A new device of this model."""


_MODELS: Final[dict[str, DeviceClass]] = {}
C = TypeVar("C", bound=DeviceClass)


def device_model(name: str) -> Callable[[C], C]:
    """Register a class as the device model of that name."""

    def register(cls: C) -> C:
        _MODELS[name] = cls
        return cls

    return register


def device_models() -> tuple[str, ...]:
    """The names of all device models, sorted."""
    import_module("vmsim.hw.devices")
    return tuple(sorted(_MODELS))


def make_device_model(name: str, parameters: Parameters, rng: np.random.Generator) -> DeviceModel:
    """The device model `name` with these parameters. Raises VmsimError for an unknown model or a missing parameter."""
    if name not in device_models():
        raise VmsimError(unknown_name("device model", name, _MODELS))
    try:
        return _MODELS[name](parameters, rng)
    except KeyError as missing:
        raise VmsimError(f"device model {name!r} needs the parameter {missing}") from None


class Latency:
    """A stream of latencies from one distribution with one generator of its own.

    `next_ns()` is the next one, at least 0. The stream depends on nothing but the generator.
    """

    __slots__ = ("next_ns",)

    def __init__(self, block: Callable[[], np.ndarray[Any, Any]]) -> None:
        self.next_ns: Callable[[], int] = _one_by_one(block).__next__


def _one_by_one(block: Callable[[], np.ndarray[Any, Any]]) -> Iterator[int]:
    while True:
        yield from np.maximum(np.rint(block()), 0).astype(np.int64).tolist()


def _constant(mean_ns: int, shape: Parameters, rng: np.random.Generator) -> Latency:
    return Latency(lambda: np.full(_BLOCK, mean_ns))


def _exponential(mean_ns: int, shape: Parameters, rng: np.random.Generator) -> Latency:
    fixed = mean_ns * float(shape["fixed"])
    return Latency(lambda: fixed + rng.exponential(mean_ns - fixed, _BLOCK))


def _lognormal(mean_ns: int, shape: Parameters, rng: np.random.Generator) -> Latency:
    sigma = float(shape["sigma"])
    mu = np.log(mean_ns) - sigma * sigma / 2  # so that the mean is the stated one
    return Latency(lambda: rng.lognormal(mu, sigma, _BLOCK))


def _uniform(mean_ns: int, shape: Parameters, rng: np.random.Generator) -> Latency:
    width = mean_ns * float(shape["spread"])
    return Latency(lambda: rng.uniform(mean_ns - width, mean_ns + width, _BLOCK))


def _empirical(mean_ns: int, shape: Parameters, rng: np.random.Generator) -> Latency:
    quantiles = np.asarray(shape["quantiles"], np.int64)
    return Latency(lambda: quantiles[rng.integers(0, len(quantiles), _BLOCK)])


_DISTRIBUTIONS: Final[dict[str, Callable[[int, Parameters, np.random.Generator], Latency]]] = {
    "constant": _constant, "exponential": _exponential, "lognormal": _lognormal, "uniform": _uniform,
    "empirical": _empirical,
}  # fmt: skip


def make_latency(mean_ns: int, shape: Parameters, rng: np.random.Generator) -> Latency:
    """Latencies with the mean `mean_ns` of the distribution `shape["type"]`.

    Its other keys: `fixed` (share of the mean that every draw has), `sigma` (of the logarithm), `spread` (half width as
    a share of the mean), `quantiles` (ns, each alike, which replace the mean). Raises VmsimError for an unknown type.
    """
    kind = shape["type"]
    if kind not in _DISTRIBUTIONS:
        raise VmsimError(unknown_name("latency distribution", kind, _DISTRIBUTIONS))
    return _DISTRIBUTIONS[kind](mean_ns, shape, rng)
