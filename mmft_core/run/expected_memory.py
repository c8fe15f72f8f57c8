"""The expected memory of a run, from its plan."""

from __future__ import annotations

import importlib

from mmft_core.config.plan import Plan
from mmft_core.contracts import Dataset
from mmft_core.engine.memory_estimate import MemoryEstimate, estimate_memory
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.run.build import as_built, build_dataset, build_metrics, build_unfilled


def expected_memory(plan: Plan, dataset: Dataset | None = None) -> MemoryEstimate:
    """Estimate the memory of a run of one process, without training or weights.

    Args:
        dataset: the plan's, if it is built already.

    Raises:
        MmftError: the settings, or the data, are wrong.
        Exception: whatever the network raises when its numbers are not known.
    """
    dataset = build_dataset(plan) if dataset is None else dataset
    task = build_unfilled(plan, dataset)
    plan = as_built(plan, task)
    for component in plan.components:  # What a run imports is part of its memory.
        component.load()
    build_metrics(plan.metrics, dataset.info)
    importlib.import_module("mmft_core.run.runner")
    train = PreparedSplit(
        dataset.splits["train"], task.processors, task.codec, train=True, seed=plan.engine.seed
    )
    return estimate_memory(task, plan, train, evaluated="val" in dataset.splits)
