"""A task as one graph, from all its inputs to its predictions, and a task that runs one.

Tensors are named "MODALITY.NAME" with the processor's names. With several modalities,
"present.MODALITY" (B,) says which samples have it; the rows of the others are arbitrary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmft_core.contracts.data import Batch, Tensors
from mmft_core.contracts.graphs import Axes, Graph, Runner
from mmft_core.contracts.preprocessing import Processor
from mmft_core.contracts.tasks import Gallery, Outputs, Task
from mmft_core.errors import IncompatibleError

BATCH = "batch"
PRESENT, PREDICTIONS = "present", "predictions"
SCALARS = "figures"
"""The name in exports, which is that of mmft 0.1."""


def flatten_tensors(trees: Mapping[str, Mapping[str, Tensor]]) -> Tensors:
    """Groups of tensors as one dict with keys "GROUP.NAME", or "GROUP" for an empty name."""
    return {
        f"{group}.{name}" if name else group: tensor
        for group, own in trees.items()
        for name, tensor in own.items()
    }


def unflatten_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensors]:
    """The inverse of `flatten_tensors`."""
    groups: dict[str, Tensors] = {}
    for key, tensor in tensors.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = tensor
    return groups


def input_axes(processors: Mapping[str, Processor], inputs: Mapping[str, Tensors]) -> Axes:
    """The variable dimensions of collated inputs, with keys as from `flatten_tensors`."""
    axes: dict[str, dict[int, str]] = {}
    for modality, own in inputs.items():
        varying = processors[modality].axes()
        for name in own:
            lengths = {d: f"{modality}.{axis}" for d, axis in varying.get(name, {}).items()}
            axes[f"{modality}.{name}"] = {0: BATCH, **lengths}
    return axes


def whole_graph(task: Task, batch: Batch) -> Graph:
    """A task's forward pass in eval mode as a graph.

    Args:
        batch: an example that has all modalities.
    """
    inputs, axes = flatten_tensors(batch.inputs), input_axes(task.processors, batch.inputs)
    if len(batch.inputs) > 1:
        everywhere = torch.ones(len(batch), dtype=torch.bool)
        # Each its own tensor, because torch.export takes one that occurs twice for one input.
        held = {m: batch.present.get(m, everywhere).clone() for m in batch.inputs}
        present = flatten_tensors({PRESENT: held})
        inputs, axes = inputs | present, {**axes, **{name: {0: BATCH} for name in present}}
    ids = list(batch.ids)

    def forward(groups: dict[str, Tensors]) -> Tensors:
        present = groups.pop(PRESENT, {})
        outputs = task(Batch(inputs=groups, targets=None, ids=ids, present=present))
        return flatten_tensors(_trees(outputs))

    part = GraphPart(task.eval(), forward)
    return Graph(name="model", module=part, inputs=inputs, axes=axes)


def _trees(outputs: Outputs) -> dict[str, dict[str, Tensor]]:
    """The tensors of outputs in groups; the name is "" if predictions are a single tensor."""
    found = outputs.predictions
    predictions = dict(found) if isinstance(found, Mapping) else {"": found}
    if not all(isinstance(p, Tensor) for p in predictions.values()):
        raise IncompatibleError("The task's predictions are not tensors, so no graph computes it.")
    return {PREDICTIONS: predictions, SCALARS: dict(outputs.scalars)}


class GraphPart(nn.Module):
    """A part of a task as the module of a graph, from inputs by modality to tensors."""

    def __init__(self, task: Task, function: Callable[[dict[str, Tensors]], Tensors]) -> None:
        super().__init__()
        self.task, self.function = task, function

    def forward(self, inputs: Tensors) -> Tensors:
        return self.function(unflatten_tensors(inputs))


class WholeTask(Task):
    """A task whose predictions a runner computes; it has no weights and no loss."""

    def __init__(self, origin: Task, runner: Runner) -> None:
        """Args:
        origin: decodes predictions, and does everything else that is not in the graph.
        """
        super().__init__()
        # In a list, so that it is not a submodule: it has no weights.
        self._origin, self._runner = [origin], runner
        self.backbones = nn.ModuleDict()
        self.codec, self.reads, self.component = origin.codec, origin.reads, origin.component
        for capability in ("complete", "show"):
            if hasattr(origin, capability):
                setattr(self, capability, getattr(origin, capability))

    @property
    def origin(self) -> Task:
        return self._origin[0]

    @property
    def processors(self) -> dict[str, Processor]:
        return self.origin.processors

    def forward(self, batch: Batch) -> Outputs:
        found = unflatten_tensors(self._runner(self._inputs(batch)))
        predictions: Any = found[PREDICTIONS]
        if set(predictions) == {""}:
            predictions = predictions[""]
        return Outputs(None, predictions, scalars=found.get(SCALARS, {}))

    def targets_of(self, batch: Batch) -> Any:
        return self.origin.targets_of(batch)

    def _inputs(self, batch: Batch) -> Tensors:
        """The inputs of the graph: a row per sample, whether or not it has the modality."""
        everywhere = torch.ones(len(batch), dtype=torch.bool)
        held = {m: batch.present.get(m, everywhere) for m in self.processors}
        rows = {m: {n: _spread(t, held[m]) for n, t in i.items()} for m, i in batch.inputs.items()}
        return flatten_tensors(rows) | (flatten_tensors({PRESENT: held}) if len(held) > 1 else {})

    def weight(self, batch: Batch) -> int:
        return self.origin.weight(batch)

    def decode(self, predictions: Any, top_k: int = 1) -> list[dict[str, Any]]:
        return self.origin.decode(predictions, top_k)

    def join(self, pieces: Sequence[Any], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return self.origin.join(pieces, records)

    def rank(self, predictions: Any, targets: Any) -> dict[str, Tensor]:
        return self.origin.rank(predictions, targets)

    def gallery(self, size: int) -> Gallery | None:
        return self.origin.gallery(size)


def _spread(rows: Tensor, held: Tensor) -> Tensor:
    """The rows (P, ...) of present samples, spread over (B, ...) with ones for the others."""
    if bool(held.all()):
        return rows
    spread = rows.new_ones(len(held), *rows.shape[1:])
    spread[held] = rows
    return spread
