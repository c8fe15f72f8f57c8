"""Processing many samples: a few hundred at a time, on all CPU cores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mmft_core import cpus
from mmft_core.distributed import comm

T = TypeVar("T")

CHUNK = 256


def in_chunks(
    count: int,
    work: Callable[[range], T],
    on_done: Callable[[int], None] = lambda samples: None,
    *,
    alone: bool = False,
) -> list[T]:
    """Call `work` for the numbers from 0 to `count`, some hundred at a time, in threads.

    Processes that train together each do a share of it.

    Args:
        on_done: called with the number of samples just done, on all processes together.
        alone: whether this process does all of it, of samples that are its own.

    Returns:
        the results in order, the same on all processes.
    """
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    own, results = chunks if alone else comm.share(chunks), []
    with ThreadPoolExecutor(cpus.available()) as pool:
        for chunk, result in zip(own, pool.map(work, own), strict=True):
            results.append(result)
            on_done(len(chunk) * (1 if alone else comm.count()))
    if alone:
        return results
    everyone = comm.gather(results)
    return [everyone[k % len(everyone)][k // len(everyone)] for k in range(len(chunks))]
