"""`wasi:random`: the random numbers of the system, or of a seed for tests."""

from __future__ import annotations

import os
import random as numbers
from collections.abc import Callable

from wasi_bindings import insecure, insecure_seed, random

from .limits import Limits, exceeded


class Randomness(random.Host, insecure.Host, insecure_seed.Host):
    """The functions of `wasi:random`; with a `seed`, a guest gets the same numbers in each run, which is for tests."""

    def __init__(self, limits: Limits, seed: int | None) -> None:
        self._most = limits.random
        self._draw: Callable[[int], bytes] = os.urandom if seed is None else numbers.Random(seed).randbytes
        self._insecure_seed = self.get_random_u64(), self.get_random_u64()

    def get_random_bytes(self, len_: int) -> bytes:
        """Return `len_` bytes; raises GuestLimit beyond the limit."""
        if len_ > self._most:
            raise exceeded("random", f"the guest draws {len_} random bytes at once, and may draw {self._most}")
        return self._draw(len_)

    def get_random_u64(self) -> int:
        """Return a number of 64 bits."""
        return int.from_bytes(self._draw(8), "little")

    def get_insecure_random_bytes(self, len_: int) -> bytes:
        """Return bytes as good as those of `get_random_bytes`."""
        return self.get_random_bytes(len_)

    def get_insecure_random_u64(self) -> int:
        """Return a number as good as that of `get_random_u64`."""
        return self.get_random_u64()

    def insecure_seed(self) -> tuple[int, int]:
        """Return two numbers of 64 bits, the same in each call."""
        return self._insecure_seed
