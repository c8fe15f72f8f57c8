"""Whether a training counts its samples, or goes by what they hold."""

from __future__ import annotations

from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import Task
from mmft_core.distributed import comm
from mmft_core.errors import ConfigError
from mmft_core.loading.batch_sampler import CountedWindows, Windows
from mmft_core.loading.grouping import Arrangement, BySize, InGroups
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.loading.token_batch_sampler import SizedWindows, check_sizes


def choose_windows(train: PreparedSplit, task: Task, config: EngineConfig) -> Windows:
    """Which samples each step sees: so many of them, or so much.

    Raises:
        ConfigError: it is to be so much, and the samples have no sizes or go by class; or there
            are more processes than samples of a forward pass; or fewer samples than the loss needs.
    """
    if config.batch_total is None and config.batch_size < task.minimum_batch_size:
        raise ConfigError(
            f"The loss of this task compares the samples of a batch, of which {config.batch_size} "
            "is too few.",
            hint=f"Give --batch-size {task.minimum_batch_size} or more.",
        )
    windows = _windows(train, task, config)
    if comm.several() and windows.smallest_pass() < comm.count():
        raise ConfigError(
            f"There are {comm.count()} processes, but forward passes of only "
            f"{windows.smallest_pass()} of the {len(train)} training samples.",
            hint="Give a larger --batch-size, or start fewer processes.",
        )
    return windows


def _windows(train: PreparedSplit, task: Task, config: EngineConfig) -> Windows:
    rank, world = comm.rank(), comm.count()
    passes = config.gradient_accumulation_steps
    if config.batch_total is not None:
        sizes = check_sizes(train.sizes, task.group_size)
        return SizedWindows(sizes, config.batch_total, passes, config.seed, rank, world)
    together = _arrangement(train, task.group_size)
    return CountedWindows(len(train), config.batch_size, passes, config.seed, rank, world, together)


def _arrangement(data: PreparedSplit, group_size: int) -> Arrangement | None:
    """Which samples are to share a forward pass: like classes, like lengths, or any.

    Args:
        group_size: of the task; see `Task`.
    """
    if group_size > 1:
        split = data.split
        labels = [data.codec.encode(split.target(index)) for index in range(len(split))]
        return InGroups(labels, group_size)
    return None if data.lengths is None else BySize(data.lengths)
