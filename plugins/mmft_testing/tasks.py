"""Checks of tasks: losses, predictions, and whether they learn."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from mmft_core import Component, DatasetSpec, MetricSpec, TaskSpec
from mmft_core.contracts import Batch, Features, Outputs, Task
from mmft_core.features import KEPT
from mmft_core.loading import seed_everything
from mmft_core.run import save_assets
from mmft_testing.tools import check_graphs, equal, reload_weights
from mmft_testing.workbench import Workbench

Spec = Component[TaskSpec]

STEPS, FALL = 100, 0.3
"""In so many steps on one batch the loss must fall to this share of what it was."""


def defaults_are_there(bench: Workbench, component: Spec) -> None:
    """What a bare run would choose can be found, and it can be monitored."""
    spec = component.spec
    if spec.default_dataset is not None:
        bench.registry.get(DatasetSpec, spec.default_dataset)
    for name in spec.default_metrics:
        bench.registry.get(MetricSpec, name)
    monitored = spec.monitor.partition("/")[0]
    assert monitored in ("loss", *spec.default_metrics), (
        f"its monitor '{spec.monitor}' is not one of its default metrics"
    )


def builds_on_a_backbone(bench: Workbench, component: Spec) -> None:
    """It takes the backbones that it is given, and its codec travels to worker processes."""
    task = bench.new_task(component)
    wanted = set(component.spec.modalities) - {"*"}
    assert wanted <= set(task.backbones), f"its `backbones` lack {wanted - set(task.backbones)}"
    assert not isinstance(task.codec, torch.nn.Module), "its codec is a network"
    codec = pickle.loads(pickle.dumps(task.codec))
    data = bench.prepared(component, task)
    targets = [data.split[i].target for i in range(len(data))]
    here, there = ([c.encode(t) for t in targets if t is not None] for c in (task.codec, codec))
    assert equal(here, there), "a pickled codec encodes something else"


def loss_is_finite(bench: Workbench, component: Spec) -> None:
    """In training and in evaluation the loss is one finite number."""
    task = copy.deepcopy(bench.task(component))
    batch = bench.batch(component, task)
    for training in (True, False):
        loss = _outputs(bench, component, task.train(training), batch).loss
        assert isinstance(loss, Tensor) and loss.shape == (), "the loss is not one number"
        assert torch.isfinite(loss), f"the loss is {loss.item()}"
        assert loss.requires_grad, "the loss is cut off from the weights"


def loss_is_the_same_without_predictions(bench: Workbench, component: Spec) -> None:
    """With `Task.loss_only` the loss is the same, and no text is generated for it."""
    task = copy.copy(bench.task(component))
    batch = bench.batch(component, task, 4)
    with torch.no_grad():
        whole = _outputs(bench, component, task, batch)
        task.loss_only = True
        alone = _outputs(bench, component, task, batch)
    assert equal(whole.loss, alone.loss, 1e-5), f"alone the loss is {alone.loss}, not {whole.loss}"
    assert component.spec.predicts != "text" or alone.predictions is None, (
        "it generates texts where only the loss is wanted; let `forward` check `self.predicting` "
        "instead of `not self.training`"
    )


def loss_is_the_mean_over_the_batch(bench: Workbench, component: Spec) -> None:
    """A batch that holds every sample twice has the same loss (unless samples are compared)."""
    if component.spec.predicts in ("embeddings", "pairs"):
        return
    task = bench.task(component)
    once, twice = (bench.batch(component, task, 4, times) for times in (1, 2))
    with torch.no_grad():
        one, two = (_outputs(bench, component, task, b).loss for b in (once, twice))
    assert equal(one, two, 1e-3), f"the loss of a batch is {one}, of it twice {two}"
    assert task.weight(twice) == 2 * task.weight(once) > 0, "twice the batch weighs another amount"


def gradients_reach_its_own_parameters(bench: Workbench, component: Spec) -> None:
    """What the task adds to its backbones is trained."""
    task = copy.deepcopy(bench.task(component))
    loss = _outputs(bench, component, task.train(), bench.batch(component, task)).loss
    assert loss is not None
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in task.named_parameters():
        if not name.startswith("backbones."):
            assert parameter.grad is not None, f"no gradient reaches {name}"


def predictions_decode_to_records(bench: Workbench, component: Spec) -> None:
    """Each sample's predictions become one JSON-ready record, with targets and without."""
    task = bench.task(component)
    for size in (1, 4):
        batch = bench.batch(component, task, size)
        with torch.no_grad():
            with_targets = _outputs(bench, component, task, batch)
            outputs = _outputs(bench, component, task, dataclasses.replace(batch, targets=None))
        if component.spec.target != "none":
            assert outputs.loss is None, "without targets there is a loss"
        assert outputs.predictions is not None, "in evaluation there are no predictions"
        assert equal(with_targets.predictions, outputs.predictions), (
            "predictions depend on the targets"
        )
        for top_k in (1, 3):
            records = task.decode(outputs.predictions, top_k=top_k)
            assert len(records) == size, f"decode gives {len(records)} records of {size} samples"
            assert all(isinstance(r, dict) and r for r in records), (
                "a record is empty or not a dict"
            )
            json.dumps(records, allow_nan=False)


def rankings_score_every_sample(bench: Workbench, component: Spec) -> None:
    """What the report shows is chosen by one score a sample."""
    task = bench.task(component)
    batch = bench.batch(component, task, 4)
    with torch.no_grad():
        outputs = _outputs(bench, component, task, batch)
    targets = task.targets_of(batch) if outputs.targets is None else outputs.targets
    for name, scores in task.rank(outputs.predictions, targets).items():
        assert isinstance(scores, Tensor) and scores.shape == (4,), (
            f"the ranking '{name}' does not score each sample"
        )
        assert not scores.isnan().any(), f"the ranking '{name}' holds NaN"


def reads_no_more_than_it_says(bench: Workbench, component: Spec) -> None:
    """From kept features it predicts the same, whether or not they hold more than it `reads`."""
    task = bench.task(component)
    batch = bench.batch(component, task, 4)
    inputs = dict(batch.inputs)
    with torch.no_grad():
        for modality, processor in task.processors.items():
            if modality not in task.backbones:
                return  # Features of several modalities together are not kept.
            needs = set(component.spec.needs_of(modality))
            if not needs <= set(KEPT) or processor is not task.backbone(modality).processor:
                return  # It needs more of its backbones than features.
            features = task.backbone(modality)(inputs[modality])
            if "sequence" not in task.reads:
                features = Features(features.pooled)
            inputs[modality] = features.tensors()
        wanted = _outputs(bench, component, task, batch).predictions
        try:
            got = task(dataclasses.replace(batch, inputs=inputs)).predictions
        except (KeyError, TypeError) as error:
            raise AssertionError(
                f"it cannot work from kept features ({error!r}); let it call the backbone, and not "
                "its `encode`"
            ) from error
    assert equal(wanted, got, 1e-4), "from kept features its predictions are others"


def one_batch_is_overfitted(bench: Workbench, component: Spec) -> None:
    """On one batch over and over the loss falls far."""
    task = copy.deepcopy(bench.task(component))
    losses = _train(bench, component, task, STEPS, until=FALL)
    assert min(losses) <= FALL * losses[0], (
        f"in {len(losses)} steps on one batch the loss fell from {losses[0]:.4g} to "
        f"{min(losses):.4g} only"
    )


def same_seed_same_result(bench: Workbench, component: Spec) -> None:
    """Two trainings with the same seed have the same losses."""
    runs = [_train(bench, component, bench.new_task(component), 3) for _ in range(2)]
    assert runs[0] == runs[1], f"with the same seed the losses are {runs[0]} and {runs[1]}"


def predictions_survive_saving(bench: Workbench, component: Spec) -> None:
    """Trained, saved as safetensors and loaded again, it predicts the same."""
    task = bench.new_task(component)
    batch = bench.batch(component, task, 4)
    _train(bench, component, task, 2)
    with tempfile.TemporaryDirectory() as name:
        assets = Path(name) / "assets"
        save_assets(task, assets)
        again = bench.new_task(component, seed=1, weights="run", assets=assets)
        reload_weights(task, again, Path(name))
    with torch.no_grad():
        here, there = (
            _outputs(bench, component, t.eval(), batch).predictions for t in (task, again)
        )
    assert equal(here, there), "the reloaded task predicts something else"


def builds_without_weights(bench: Workbench, component: Spec) -> None:
    """It is built on torch's meta device, as for an export, where graphs stand for its weights."""
    task = bench.task(component)
    with tempfile.TemporaryDirectory() as name:
        save_assets(task, Path(name))
        with torch.device("meta"):
            bench.new_task(component, weights="run", assets=Path(name))


def graphs_are_of_any_batch(bench: Workbench, component: Spec) -> None:
    """What is exported can be traced, and not for the size of the example's batch alone."""
    task = bench.task(component)
    batch = dataclasses.replace(bench.batch(component, task, 3), targets=None)
    _outputs(bench, component, task, batch)
    check_graphs(lambda: task.graphs(batch))


def _outputs(bench: Workbench, component: Spec, task: Task, batch: Batch) -> Outputs:
    """A forward pass. A fault in it fails the first check that makes one, and no other."""
    with bench.told_once(component, "forward"):
        outputs = task(batch)
        assert isinstance(outputs, Outputs), (
            f"forward returns a {type(outputs).__name__}, not Outputs"
        )
        return outputs


def _train(
    bench: Workbench, component: Spec, task: Task, steps: int, until: float = 0.0
) -> list[float]:
    """Train on one batch; return the losses, of which the last is below `until` of the first."""
    batch = bench.batch(component, task)
    optimizer = torch.optim.AdamW(
        task.parameters(), bench.learning_rate(component), weight_decay=0.0
    )
    losses: list[float] = []
    task.train()
    for step in range(steps):
        seed_everything(step)
        loss = _outputs(bench, component, task, batch).loss
        assert loss is not None, "there is no loss although there are targets"
        losses.append(float(loss.detach()))
        if losses[-1] <= until * losses[0]:
            break
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return losses


CHECKS = (
    defaults_are_there,
    builds_on_a_backbone,
    loss_is_finite,
    loss_is_the_same_without_predictions,
    loss_is_the_mean_over_the_batch,
    gradients_reach_its_own_parameters,
    predictions_decode_to_records,
    rankings_score_every_sample,
    reads_no_more_than_it_says,
    one_batch_is_overfitted,
    same_seed_same_result,
    predictions_survive_saving,
    builds_without_weights,
    graphs_are_of_any_batch,
)
