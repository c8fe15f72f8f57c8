"""Checks of what a plugin's objects return, made where the core calls them.

Without them a plugin's mistake would end in a traceback far from the plugin, or in a wrong result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from mmft_core.contracts.backbones import Backbone, Features
from mmft_core.contracts.data import Batch, Dataset, Origin, Sample, Split
from mmft_core.contracts.metrics import Metric, MetricValue
from mmft_core.contracts.tasks import Outputs, Task
from mmft_core.errors import PluginError, SampleError
from mmft_core.plugin_errors import FAULT, kind_of
from mmft_core.utils.files import json_text


def check_splits(called: str, dataset: Dataset, modalities: Iterable[str]) -> None:
    """Check the splits of a data set, and the first sample of each.

    Which samples lack their target is found out when all are checked.

    Args:
        called: the data set's component.
        modalities: which the samples must hold.

    Raises:
        PluginError: one is not a `Split`, or what it holds are not samples.
    """
    for name, split in dataset.splits.items():
        if not isinstance(split, Split):
            raise _fault(called, f"built {kind_of(split)} as split '{name}', not a Split")
        if not len(split):
            continue
        try:
            sample: Any = split[0]
        except (SampleError, ValueError):  # Reported by the check of the data.
            continue
        which = f"sample 0 of '{name}'"
        if not isinstance(sample, Sample):
            raise _fault(called, f"returned {kind_of(sample)} as {which}, not a Sample")
        if not isinstance(sample.inputs, Mapping):
            raise _fault(
                called, f"returned {kind_of(sample.inputs)} as inputs of {which}, not a dictionary"
            )
        for modality in modalities:
            if modality not in sample.inputs:
                there = ", ".join(map(repr, sample.inputs)) or "nothing"
                raise _fault(called, f"returned {there} as inputs of {which}, without '{modality}'")
        for found in (sample.id, split.sample_id(0)):
            if not isinstance(found, str):
                raise _fault(called, f"returned {kind_of(found)} as id of {which}, not a string")
        with contextlib.suppress(SampleError):  # Reported by the check of the data.
            origin: Any = split.origin(0)
            if not isinstance(origin, Origin | None):
                raise _fault(
                    called, f"returned {kind_of(origin)} as origin of {which}, not an Origin"
                )


def inputs_of(sample: Sample, modalities: Iterable[str], *, partial: bool) -> dict[str, Any]:
    """The inputs of a sample by modality, without those that it lacks.

    Args:
        partial: whether it may lack some.

    Raises:
        SampleError: it lacks one that it must have.
    """
    held = {m: sample.inputs.get(m) for m in modalities}
    lacking = [modality for modality, raw in held.items() if raw is None]
    if lacking and not partial:
        raise SampleError(sample.id, f"it has no input of {' and '.join(lacking)}")
    return {modality: raw for modality, raw in held.items() if raw is not None}


def outputs_of(task: Task, batch: Batch) -> Outputs:
    """A task's forward pass.

    Raises:
        PluginError: it does not return `Outputs`, or a loss that is not one number.
    """
    outputs = task(batch)
    if not isinstance(outputs, Outputs):
        raise _fault(task, f"returned {kind_of(outputs)} from `forward`, not Outputs")
    loss = outputs.loss
    if loss is None:
        if task.training:
            raise _fault(task, "returned no loss in training")
    elif not isinstance(loss, Tensor):
        raise _fault(task, f"returned {kind_of(loss)} as its loss, not a tensor")
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
        raise _fault(task, f"returned {kind_of(records)} from `decode`, not a list of dictionaries")
    if len(records) != count:
        raise _fault(task, f"returned {len(records)} records from `decode` for {count} samples")
    return list(records)


def check_json(task: Task, record: Mapping[str, Any]) -> None:
    """Raises:
    PluginError: a record of `decode` cannot be written as JSON.
    """
    for key, value in record.items():
        try:
            json_text({key: value})
        except (TypeError, ValueError) as error:
            raise _fault(
                task, f"returned a record from `decode` whose '{key}' is not JSON: {error}"
            ) from None


def check_prepared(backbone: Backbone, prepared: Any) -> None:
    """Raises:
    PluginError: what `Processor.prepare` returned is not a dictionary.
    """
    if not isinstance(prepared, Mapping):
        raise _fault(
            backbone,
            f"has a processor that returned {kind_of(prepared)} from `prepare`, not "
            "a dictionary of tensors",
        )


def check_features(backbone: Backbone, features: Any, rows: int | None) -> None:
    """Check what a backbone returned for a batch.

    Args:
        rows: how many samples were encoded; None if that is not known.

    Raises:
        PluginError: it is not `Features`, or they do not have the shape that it declares.
    """
    if not isinstance(features, Features):
        raise _fault(backbone, f"returned {kind_of(features)} from `encode`, not Features")
    if not isinstance(features.pooled, Tensor):
        raise _fault(
            backbone, f"returned {kind_of(features.pooled)} as pooled features, not a tensor"
        )
    shape = tuple(features.pooled.shape)
    if len(shape) != 2 or shape[1] != backbone.width or rows not in (None, shape[0]):
        of = f"({'B' if rows is None else rows}, {backbone.width})"
        raise _fault(backbone, f"returned pooled features of shape {shape}, not {of}")


def rankings(task: Task, predictions: Any, targets: Any, count: int) -> Mapping[str, Tensor]:
    """The task's rankings of a batch's samples.

    Raises:
        PluginError: they are not a dictionary, or one does not score each sample.
    """
    found = task.rank(predictions, targets)
    if not isinstance(found, Mapping):
        raise _fault(task, f"returned {kind_of(found)} from `rank`, not a dictionary of tensors")
    for name, scores in found.items():
        if not isinstance(scores, Tensor) or scores.shape != (count,):
            raise _fault(task, f"returned a ranking '{name}' that does not score each sample")
    return found


def computed(metric: Metric) -> Mapping[str, MetricValue]:
    """The values of a metric.

    Raises:
        PluginError: they are not numbers by name.
    """
    found = metric.compute()
    if not isinstance(found, Mapping):
        raise _fault(
            metric, f"returned {kind_of(found)} from `compute`, not a dictionary of numbers"
        )
    for key, value in found.items():
        if not isinstance(key, str) or not _are_numbers(value):
            raise _fault(
                metric,
                f"returned {kind_of(value)} as {key!r}, not a number or a list of numbers",
                hint=f"Convert a tensor with .item() or .tolist(). {FAULT}",
            )
    return found


def _are_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_are_numbers, value))
    return value is None or isinstance(value, float | int)


def _fault(part: Backbone | Task | Metric | str, what: str, hint: str = FAULT) -> PluginError:
    called = part if isinstance(part, str) else part.component or type(part).__name__
    return PluginError(f"The {called} {what}.", hint=hint)
