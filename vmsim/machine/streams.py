"""Random numbers: one SeedSequence a run, split into streams named by what they feed."""

from __future__ import annotations

import hashlib

import numpy as np


class Streams:
    """Streams of run `index` under the base seed `seed`: the same name gives the same stream, whatever else is drawn."""

    def __init__(self, seed: int, index: int) -> None:
        self._entropy = [seed, index]

    def sequence(self, name: str) -> np.random.SeedSequence:
        """The seed of a stream."""
        digest = hashlib.sha256(name.encode()).digest()
        key = tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))
        return np.random.SeedSequence(self._entropy, spawn_key=key)

    def generator(self, name: str) -> np.random.Generator:
        """A generator for a stream (PCG64)."""
        return np.random.Generator(np.random.PCG64(self.sequence(name)))

    def state(self, name: str) -> int:
        """A start state for xorshift64: 64 bits, not 0."""
        return int(self.sequence(name).generate_state(1, np.uint64)[0]) or 1
