"""What the parts of `verify` share: a line where a count and what was found of it differ."""

from __future__ import annotations

from collections.abc import Iterator


def differs(what: str, counted: object, found: object) -> Iterator[str]:
    """One line if the kernel's count isn't what there is."""
    if counted != found:
        yield f"{what} is {counted}, but there are {found}"
