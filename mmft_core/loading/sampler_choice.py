"""Chooses between batches of a fixed number of samples and of a total size."""

from __future__ import annotations

from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import Task
from mmft_core.distributed import comm
from mmft_core.errors import ConfigError
from mmft_core.loading.batch_sampler import BatchSampler, SampleBatchSampler
from mmft_core.loading.grouping import Arrangement, BySize, InGroups
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.loading.token_batch_sampler import TokenBatchSampler, check_sizes


def choose_batch_sampler(train: PreparedSplit, task: Task, config: EngineConfig) -> BatchSampler:
    """The batch sampler that the settings, the task and the data ask for.

    Raises:
        ConfigError: batches are to have a total size, but the samples have no sizes or are grouped
            by class; there are more processes than samples of a forward pass; or there are fewer
            samples than the loss needs.
    """
    rank, world = comm.rank(), comm.count()
    size, passes, seed = config.batch_size, config.gradient_accumulation_steps, config.seed
    sampler: BatchSampler
    if config.batch_total is not None:
        sizes = check_sizes(train.sizes, task.group_size)
        sampler = TokenBatchSampler(sizes, config.batch_total, passes, seed, rank, world)
    else:
        together: Arrangement | None = None
        if task.group_size > 1:
            split = train.split
            labels = [train.codec.encode(split.target(index)) for index in range(len(split))]
            together = InGroups(labels, task.group_size)
        elif train.lengths is not None:
            together = BySize(train.lengths)
        sampler = SampleBatchSampler(len(train), size, passes, seed, rank, world, together)
    fewest, least = sampler.smallest_pass(), task.minimum_batch_size
    if fewest < least:
        # Cut into even passes of 2 n - 1 at most, any number of samples makes none of less than n.
        enough = f"--batch-size {least if size < least else 2 * least - 1} or more"
        raise ConfigError(
            f"This task's loss compares the samples of a batch; a batch of {fewest} is too small.",
            hint=f"Give {enough if config.batch_total is None else 'a larger engine.batch_total'}.",
        )
    if comm.several() and fewest < world:
        raise ConfigError(
            f"There are {world} processes, but forward passes of only {fewest} of the {len(train)} "
            "training samples.",
            hint="Give a larger --batch-size, or start fewer processes.",
        )
    return sampler
