"""Who is told how far the reading of a trace has come, while a program that carries it out is made and run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int | None], None]
"""Gets the path of a trace, bytes read, and bytes in all if that is known."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let `listener` hear of all readings inside."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def told(path: str, read: int, total: int | None) -> None:
    """Say how far a reading has come."""
    listener = _listener.get()
    if listener is not None:
        listener(path, read, total)
