"""The recorded programs' own random numbers, drawn in Python: for what the patterns of vmsim can't express, and to check them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from typing import Final

from vmsim.experiment.validate.recording import Run

MASK: Final = (1 << 64) - 1
FNV_OFFSET: Final = 14695981039346656037
FNV_PRIME: Final = 1099511628211


class Xorshift64:
    """Marsaglia's xorshift64 with the shifts 13, 7, 17."""

    def __init__(self, state: int) -> None:
        self.state = state

    def next(self) -> int:
        """64 random bits."""
        x = self.state
        x ^= (x << 13) & MASK
        x ^= x >> 7
        x ^= (x << 17) & MASK
        self.state = x
        return x

    def u01(self) -> float:
        """A number in [0, 1) of 53 bits."""
        return (self.next() >> 11) * 2.0**-53


def pages_of(run: Run, draws: Xorshift64) -> Callable[[int], int]:
    """The program's function of the next page; for zipf it draws the permutation first."""
    pages = run.number("pages", 1000)
    kind = run.params.get("pat", "rand")
    if kind == "seq":
        return lambda i: i % pages
    if kind == "stride":
        stride = run.number("stride", 1)
        return lambda i: i * stride % pages
    if kind == "hot":
        hot = pages // 10
        return lambda i: draws.next() % hot if draws.u01() < 0.9 else hot + draws.next() % (pages - hot)
    if kind == "zipf":
        return _zipf(pages, float(run.params.get("theta", "0.99")), draws)
    return lambda i: draws.next() % pages


def _zipf(pages: int, theta: float, draws: Xorshift64) -> Callable[[int], int]:
    cumulative = list(accumulate(math.pow(rank, -theta) for rank in range(1, pages + 1)))
    table = [value / cumulative[-1] for value in cumulative]
    order = list(range(pages))
    for i in range(pages - 1, 0, -1):
        j = draws.next() % (i + 1)
        order[i], order[j] = order[j], order[i]
    return lambda i: order[min(bisect_left(table, draws.u01()), pages - 1)]


def mixed_sequences(run: Run) -> tuple[list[int], list[int], str]:
    """Of a program that reads random pieces of a file between accesses: the pieces, the accesses (page << 1 | write), and their hash."""
    draws = Xorshift64(run.seed)
    page = pages_of(run, draws)
    chunks = run.number("filepages", 1000) // run.number("chunk", 1)
    per, rounds, writes = run.number("per", 1), mixed_rounds(run), float(run.params.get("wf", "0.5"))
    pieces, accesses, digest, n = [], [], FNV_OFFSET, 0
    for _ in range(rounds):
        piece = draws.next() % chunks
        pieces.append(piece)
        digest = (digest ^ (piece * 2 + 1)) * FNV_PRIME & MASK
        for _ in range(per):
            access = page(n) << 1
            access |= writes >= 1 or (writes > 0 and draws.u01() < writes)
            accesses.append(access)
            digest = (digest ^ access) * FNV_PRIME & MASK
            n += 1
    return pieces, accesses, f"{digest:016x}"


def mixed_rounds(run: Run) -> int:
    """How many pieces of the file a mixed program reads."""
    chunks = run.number("filepages", 1000) // run.number("chunk", 1)
    return run.number("nread", 0) or chunks * run.number("passes", 1)


def read_hash(run: Run, count: int) -> str:
    """The hash of the first `count` pages of a program that only reads."""
    page = pages_of(run, Xorshift64(run.seed))
    first = run.number("off", 0)
    digest = FNV_OFFSET
    for i in range(count):
        digest = (digest ^ 2 * (page(i) + first)) * FNV_PRIME & MASK
    return f"{digest:016x}"


def second_pass(run: Run, count: int) -> list[int]:
    """The pages of a program's second pass over a file, uniform, after the `count` draws of its first."""
    draws = Xorshift64(run.seed)
    page = pages_of(run, draws)
    for i in range(count):
        page(i)
    return [draws.next() % run.number("pages", 1000) for _ in range(count)]
