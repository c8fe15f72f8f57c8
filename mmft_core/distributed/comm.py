"""Communication between processes that train together; the only module that knows ranks.

`torchrun`, `accelerate launch` and `mmft launch` start one command several times. Accelerate places
models on devices and synchronizes gradients; this module exchanges everything else. It does so
between CPUs, so that no GPU waits. With a single process, each function has its plain meaning.

Only the main process writes files and prints. `mmft_core.distributed.failure_propagation` says how
the processes end together.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from mmft_core.errors import ProcessError, first_line

T = TypeVar("T")
Sliceable = TypeVar("Sliceable", bound=Any)

PATIENCE = timedelta(hours=2)
"""How long processes wait for each other, for example while one checks its share of the data."""


def count() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0")) if count() > 1 else 0


def is_main() -> bool:
    """Whether this is the one that writes files and prints."""
    return rank() == 0


def several() -> bool:
    """Whether there are others, and this one has joined them."""
    if count() == 1:
        return False
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized()


def join() -> None:
    """Connect to the other processes of the run, if there are any.

    This comes before anything else, so that an error in one process ends all of them.

    Raises:
        ProcessError: they cannot be reached.
    """
    if count() == 1 or several():
        return
    import torch.distributed as dist

    try:
        # Of no backend in particular: gloo between CPUs, and NCCL between GPUs.
        dist.init_process_group(timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise ProcessError(
            f"Process {rank()} of {count()} cannot connect to the others: {first_line(error)}.",
            hint="Start them with `mmft launch`, torchrun or accelerate launch, and make sure that "
            "MASTER_ADDR and MASTER_PORT can be reached.",
        ) from None


def leave() -> None:
    """Leave the process group in order, at the end."""
    if several():
        import torch.distributed as dist

        dist.destroy_process_group()


def share(things: Sliceable) -> Sliceable:
    """This process's part of a list, range or array that is divided among all."""
    part: Sliceable = things[rank() :: count()]
    return part


def totals(*numbers: int) -> list[int]:
    """The sum of each over all processes."""
    if not several():
        return list(numbers)
    import torch
    import torch.distributed as dist

    here = torch.tensor(numbers, dtype=torch.int64)
    dist.all_reduce(here)
    return here.tolist()


def total(number: int) -> int:
    """The sum of what every process has."""
    return totals(number)[0]


def shares_of_means(counts: Sequence[int], weight: int) -> list[float]:
    """Factors for terms of a loss that are means over anything but what `Task.weight` counts.

    With them, terms of a loss that are means over some of the samples become means over these
    samples on all processes, once the processes' losses are weighted and summed.

    Args:
        counts: for each term, the number of items that it averages on this process.
        weight: the weight of this process's batch.
    """
    if not several():
        return [1.0] * len(counts)
    *wholes, all_weight = totals(*counts, weight)
    scale = all_weight / max(1, weight)
    return [scale * count / max(1, whole) for count, whole in zip(counts, wholes, strict=True)]


def any_of(flag: bool) -> bool:
    """Whether it is true on any process; each waits for all."""
    return total(int(flag)) > 0


def wait() -> None:
    """Wait until all are here."""
    total(0)


def gather(thing: T) -> list[T]:
    """What every process has, returned on all of them."""
    if not several():
        return [thing]
    import torch.distributed as dist

    everyone: list[Any] = [None] * count()
    dist.all_gather_object(everyone, thing)
    return everyone


def gather_to_main(thing: T) -> list[T]:
    """What every process has, returned on the main one; nothing on the others."""
    if not several():
        return [thing]
    import torch.distributed as dist

    everyone: list[Any] | None = [None] * count() if is_main() else None
    dist.gather_object(thing, everyone)
    return everyone or []


def from_main(make: Callable[[], T]) -> T:
    """What the main process makes, returned on all of them."""
    if not several():
        return make()
    import torch.distributed as dist

    box: list[Any] = [make() if is_main() else None]
    dist.broadcast_object_list(box)
    made: T = box[0]
    return made


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """Let the main process do something before the others, such as fill a cache for them."""
    if not is_main():
        wait()
    yield
    if is_main():
        wait()
