"""Damaged files: what a bad disk, a truncated transfer or an adversary makes of a file."""

import contextlib
import faulthandler
import random
import tracemalloc
from collections.abc import Iterator

MOST_SECONDS = 60
"""How long a reader may take for a small file: far more than it needs on a machine that is busy."""


def mutations(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Draw variants of a file: one to three places are cut, flipped, zeroed, doubled, lost, swapped or set to a number.

    The numbers are values at which lengths and offsets in headers overflow.
    """
    rng = random.Random(seed)
    for _ in range(count):
        mutated = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            start = rng.randrange(len(mutated) + 1)
            stop = min(len(mutated), start + rng.choice([1, 2, 4, 8, 40, 400]))
            piece = mutated[start:stop]
            match rng.randrange(7):
                case 0:
                    del mutated[start:]
                case 1:
                    mutated[start:stop] = bytes(byte ^ 1 << rng.randrange(8) for byte in piece)
                case 2:
                    mutated[start:stop] = bytes(len(piece))
                case 3:
                    mutated[start:start] = piece * rng.randint(1, 3)
                case 4:
                    del mutated[start:stop]
                case 5:
                    other = rng.randrange(len(mutated) + 1)
                    mutated[start:stop] = mutated[other : other + len(piece)]
                case 6:
                    number = rng.choice([0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1])
                    width = rng.choice([1, 2, 4, 8])
                    mutated[start : start + width] = number.to_bytes(8, "little")[:width]
        yield bytes(mutated)


@contextlib.contextmanager
def bounded(most_bytes: int) -> Iterator[None]:
    """Fail if the block allocates more memory than this at once, and end the process if it hangs."""
    faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        faulthandler.cancel_dump_traceback_later()
    assert peak <= most_bytes, f"{peak} bytes of memory, of {most_bytes} that it may take"
