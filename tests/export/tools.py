"""Graphs that are traced and computed without a file, and tasks that they compute."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch

from mmft_core.contracts import Batch, Graph, Runner, Task
from mmft_export.comparison import leaves
from mmft_export.tracing import filled, trace


@torch.no_grad()
def traced(graph: Graph) -> Runner:
    """A graph as an export traces it, computed by torch."""
    found = trace(graph)
    module, names = found.program.module(), [info.name for info in found.inputs]

    @torch.no_grad()
    def runner(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return dict(module(dict(zip(names, filled(inputs, found.inputs), strict=True))))

    return runner


@torch.no_grad()
def check_any_batch(
    task: Task, batch: Callable[[Sequence[int]], Batch], others: Sequence[Sequence[int]]
) -> None:
    """Trace a task with its first three samples, and compare predictions of other batches.

    Args:
        batch: makes one of samples by their numbers.
    """
    task.eval()
    runners = {graph.name: traced(graph) for graph in task.graphs(batch((0, 1, 2)))}
    wanted = [leaves(task(batch(chosen)).predictions) for chosen in others]
    exported = copy.deepcopy(task).adopt(runners)
    for chosen, mine in zip(others, wanted, strict=True):
        theirs = leaves(exported(batch(chosen)).predictions)
        for one, other in zip(mine, theirs, strict=True):
            same(one, other)


def same(wanted: Any, got: Any) -> None:
    """Whether two predictions are the same, but for what a graph rounds otherwise."""
    if not isinstance(wanted, torch.Tensor):
        assert got == wanted
        return
    assert wanted.shape == got.shape
    assert torch.allclose(wanted, got, rtol=1e-4, atol=1e-4)
