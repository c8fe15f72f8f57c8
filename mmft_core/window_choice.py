"""Whether a training counts its samples, or goes by what they hold."""

from __future__ import annotations

from mmft_core import processes
from mmft_core.config import EngineConfig
from mmft_core.contracts import Task
from mmft_core.data import PreparedSplit
from mmft_core.order import arrangement
from mmft_core.sized import SizedWindows, check_sizes
from mmft_core.windows import CountedWindows, Windows


def choose_windows(train: PreparedSplit, task: Task, config: EngineConfig) -> Windows:
    """Which samples each step sees: so many of them, or so much.

    Raises:
        ConfigError: it is to be so much, and the samples have no sizes or go by class; or there
            are more processes than samples of a forward pass.
    """
    rank, world = processes.rank(), processes.count()
    if config.batch_total is not None:
        sizes = check_sizes(train.sizes, task.group_size)
        return SizedWindows(sizes, config.batch_total, config.accumulate, config.seed, rank, world)
    together = arrangement(train.split, task.codec, task.group_size)
    return CountedWindows(
        len(train), config.batch_size, config.accumulate, config.seed, rank, world, together
    )
