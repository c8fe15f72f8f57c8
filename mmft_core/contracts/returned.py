"""Checks of what a plugin's objects return, made where the core calls them.

Without them a plugin's mistake would end in a traceback far from the plugin, or in a wrong result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmft_core.contracts.data import Batch
from mmft_core.contracts.metrics import Metric, MetricValue
from mmft_core.contracts.tasks import Outputs, Task
from mmft_core.errors import PluginError
from mmft_core.plugin_errors import FAULT


def outputs_of(task: Task, batch: Batch) -> Outputs:
    """A task's forward pass.

    Raises:
        PluginError: it returns no `Outputs`, or a loss that is not one number.
    """
    outputs = task(batch)
    if not isinstance(outputs, Outputs):
        raise _fault(task, f"returned {_a(outputs)} from `forward`, not Outputs")
    loss = outputs.loss
    if loss is None:
        if task.training:
            raise _fault(task, "returned no loss in training")
    elif not isinstance(loss, Tensor):
        raise _fault(task, f"returned {_a(loss)} as its loss, not a tensor")
    elif loss.ndim or not loss.is_floating_point():
        raise _fault(
            task,
            f"returned a loss of shape {tuple(loss.shape)} and type {loss.dtype}, not one number",
        )
    elif task.training and not loss.requires_grad:
        raise _fault(task, "returned a loss that does not depend on what is trained")
    for name, values in outputs.scalars.items():
        if not isinstance(values, Tensor) or values.shape != (len(batch),):
            raise _fault(task, f"returned scalars '{name}' that are not one number per sample")
    return outputs


def decoded(task: Task, predictions: Any, count: int, top_k: int = 1) -> list[dict[str, Any]]:
    """The records of a batch's predictions.

    Args:
        count: of the samples that were predicted.

    Raises:
        PluginError: there is not one record for each.
    """
    records = task.decode(predictions, top_k)
    if not isinstance(records, Sequence) or not all(isinstance(r, dict) for r in records):
        raise _fault(task, f"returned {_a(records)} from `decode`, not a list of dictionaries")
    if len(records) != count:
        raise _fault(task, f"returned {len(records)} records from `decode` for {count} samples")
    return list(records)


def rankings(task: Task, predictions: Any, targets: Any, count: int) -> Mapping[str, Tensor]:
    """The task's rankings of a batch's samples.

    Raises:
        PluginError: one does not score each of them.
    """
    found = task.rank(predictions, targets)
    for name, scores in found.items():
        if not isinstance(scores, Tensor) or scores.shape != (count,):
            raise _fault(task, f"returned a ranking '{name}' that does not score each sample")
    return found


def computed(name: str, metric: Metric) -> Mapping[str, MetricValue]:
    """The values of a metric.

    Raises:
        PluginError: they are not numbers by name.
    """
    found = metric.compute()
    if not isinstance(found, Mapping):
        raise PluginError(
            f"The metric '{name}' returned {_a(found)} from `compute`, not a dictionary of "
            "numbers.",
            hint=FAULT,
        )
    for key, value in found.items():
        if not isinstance(key, str) or not _are_numbers(value):
            raise PluginError(
                f"The metric '{name}' returned {_a(value)} as {key!r}, not a number or a list of "
                "numbers.",
                hint=f"A tensor is made one by .item() or .tolist(). {FAULT}",
            )
    return found


def _are_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_are_numbers, value))
    return value is None or isinstance(value, float | int)


def _fault(task: Task, what: str) -> PluginError:
    called = task.component or f"task {type(task).__name__}"
    return PluginError(f"The {called} {what}.", hint=FAULT)


def _a(thing: Any) -> str:
    name = type(thing).__name__
    return "nothing" if thing is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
