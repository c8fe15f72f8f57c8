"""From prepared samples to batches, in worker processes.

Nothing here has a state that a checkpoint must hold: `mmft_core.loading.batch_sampler` says which
samples a step sees, and augmentation follows from (seed, epoch, index). So neither the number of
worker processes nor an interruption changes anything.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import DataLoader

from mmft_core import cpus
from mmft_core.contracts import Batch
from mmft_core.data.splits import Indices
from mmft_core.distributed.signals import leave_stopping_to_parent, stop_signals_blocked
from mmft_core.errors import DataError, SampleError, first_line
from mmft_core.loading.batch_sampler import Key, evaluation_batches
from mmft_core.loading.prepared import Loaded, PreparedSplit
from mmft_core.loading.similar_lengths import WindowedBatchSampler
from mmft_core.loading.token_batch_sampler import pack

Loader: TypeAlias = "DataLoader[Any]"


def training_loader(
    data: PreparedSplit, keys: Iterable[list[Key]], *, workers: int, pin: bool
) -> Loader:
    """Load the batches of a training in order (`BatchSampler.batches`)."""
    return _loader(data, keys, workers, pin)


def evaluation_loader(
    data: PreparedSplit,
    batch_size: int,
    *,
    workers: int,
    pin: bool = False,
    rank: int = 0,
    world: int = 1,
    compares: bool = False,
    in_order: bool = True,
    batch_total: float | None = None,
) -> Loader:
    """Load every sample once; with several processes, each loads every world-th batch.

    Args:
        batch_size: of one process alone; several divide it among them.
        workers: processes that load; none are started for a single batch, which takes longer.
        compares: whether samples of a batch are compared (see `Task.compares`): then batches are
            not divided, so that what they are compared with is the same.
        in_order: otherwise samples of similar length come together, the longest first.
        batch_total: what a batch holds at most, where samples have sizes (see
            `EngineConfig.batch_total`); in place of `batch_size`, or beside it if in order.
    """
    workers = workers if len(data) > batch_size else 0
    order: Indices = np.arange(len(data))
    if batch_total is not None:
        sizes = data.sizes
    else:
        sizes = None if in_order else data.lengths
    if sizes is not None and not in_order:
        order = np.argsort(-np.asarray(sizes), kind="stable")
    parts = 1 if compares else world
    batch_size = -(-batch_size // parts)
    if sizes is None or batch_total is None:
        cuts = [slice(k, k + batch_size) for k in range(0, len(order), batch_size)]
    else:
        most = batch_size if in_order else None
        cuts = list(pack(np.asarray(sizes)[order], batch_total / parts, most))
    return _loader(data, evaluation_batches(order, cuts[rank::world]), workers, pin)


def prediction_loader(data: PreparedSplit, batches: WindowedBatchSampler, workers: int) -> Loader:
    """Load every sample once, nearly in order; `batches` decides the order.

    Args:
        workers: processes that load; none are started for a single batch, which takes longer.
    """
    workers = workers if len(data) > batches.batch_size else 0
    return _loader(data, batches, workers, pin=False)


def _loader(data: PreparedSplit, keys: Iterable[list[Key]], workers: int, pin: bool) -> Loader:
    start = partial(_start_worker, end_with_parent=_in_main_thread())
    return DataLoader(
        data,
        batch_sampler=keys,
        collate_fn=data.collate,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=start if workers else None,
    )


def batches(loader: Loader) -> Generator[Batch, None, None]:
    """Iterate a loader, raising what is wrong with a sample.

    Raises:
        SampleError: a sample is unusable.
        DataError: a process died.
    """
    for loaded in outcomes(loader):
        for result in loaded.results:
            if isinstance(result, SampleError):
                raise result
        assert loaded.batch is not None
        yield loaded.batch


def outcomes(loader: Loader) -> Generator[Loaded, None, None]:
    """Iterate a loader.

    Raises:
        DataError: a process died.
    """
    try:
        yield from _started(loader)
    except (RuntimeError, OSError, EOFError) as error:
        if not loader.num_workers or not _is_of_death(error):
            raise
        raise DataError(
            f"A process that loads data died: {first_line(error)}.",
            hint="It may have run out of memory; set engine.workers=0 to load data in the "
            "training process, and continue with --resume.",
        ) from error


def _is_of_death(error: BaseException) -> bool:
    """Whether a loader's error is the death of a process, not an error of the code that it runs."""
    text = first_line(error)
    if text.startswith("Caught") and "DataLoader worker" in text:
        return False
    # What a process handed over is fetched from it, which fails if it has died since.
    gone = isinstance(error, ConnectionError | EOFError | FileNotFoundError)
    return gone or text.startswith("DataLoader worker (pid")


def _started(loader: Loader) -> Iterator[Loaded]:
    """Start a loader's processes.

    torch installs a signal handler by which the death of one is raised wherever the training
    process happens to be, in the middle of writing a checkpoint too. Without it the loader finds
    out when it waits for that process.
    """
    with stop_signals_blocked():
        if not hasattr(signal, "SIGCHLD") or not _in_main_thread():
            return iter(loader)
        before = signal.getsignal(signal.SIGCHLD)
        stream = iter(loader)
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
        return stream


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _start_worker(_: int, *, end_with_parent: bool) -> None:
    leave_stopping_to_parent(end_with_parent=end_with_parent)
    torch.set_num_threads(1)


def choose_workers(wanted: int | None, processes: int = 1) -> int:
    """The number of worker processes: as asked, or by the CPUs that this process may use."""
    if wanted is not None:
        return wanted
    return max(0, min(8, cpus.available() // (2 * processes)))
