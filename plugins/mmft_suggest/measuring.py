"""Measuring a candidate. Each has a process of its own, so that its memory can be told."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mmft_core import discover
from mmft_core.config import Plan, make_plan
from mmft_core.contracts import BackboneContext, Callback, Split, Task, TrainStep
from mmft_core.data import Subset
from mmft_core.engine import Engine, Monitor, make_accelerator
from mmft_core.errors import WeightsError
from mmft_core.features import encoder_and_store, features_of
from mmft_core.loading import PreparedSplit
from mmft_core.precision import Inference
from mmft_core.run import as_built, build_dataset, build_task, peak_memory_bytes
from mmft_core.weights import WeightsRequest
from mmft_suggest.candidates import Candidate
from mmft_suggest.probe import Score, probe

WARM_UP, STEPS = 2, 8
"""Optimizer steps before speed is measured, and in total."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a candidate.

    Attributes:
        weights: "published", "random", or the path that they came from.
        parameters: of the backbone.
        score: of the linear probe; None where targets are neither classes nor numbers.
        rate: samples that the run would train on in a second.
        peak_bytes: the largest memory of the process, or of the GPU's.
        seconds: how long the run's training would take, at that rate.
        warnings: what is doubtful about the data.
    """

    name: str
    modality: str
    weights: str
    parameters: int
    score: Score | None
    rate: float
    peak_bytes: int
    seconds: float
    warnings: tuple[str, ...] = ()


def missing_weights(candidate: Candidate) -> str | None:
    """Why a candidate's weights are not available; None if they are."""
    plan = make_plan(candidate.tree, discover())
    part = plan.backbones[candidate.modality]
    dataset = build_dataset(plan)
    context = BackboneContext(
        weights=WeightsRequest(part.weights, candidate.modality),
        info=dataset.info,
        needs=plan.task.spec.needs_of(candidate.modality),
        train=dataset.splits["train"],
    )
    try:
        part.component.build(part.options, context)
    except WeightsError as error:
        return error.message
    return None


def measure(candidate: Candidate, samples: int) -> Measured:
    """Measure a candidate on this many training samples.

    Raises:
        MmftError: as a run with it would.
    """
    plan = make_plan(candidate.tree, discover())
    dataset = build_dataset(plan)
    plan = plan.with_data_options(dataset.options)
    task = build_task(plan, dataset, lambda text: None)
    plan = as_built(plan, task)
    backbone = task.backbone(candidate.modality)
    train = dataset.splits["train"]
    chosen = np.random.default_rng(plan.engine.seed).permutation(len(train))[:samples]
    score = _probed(plan, task, candidate.modality, Subset(train, np.sort(chosen)))
    rate = _training_rate(plan, task, train)
    cuda = torch.cuda.is_available() and plan.engine.device != "cpu"
    steps = plan.engine.steps
    window = plan.engine.batch_size * plan.engine.gradient_accumulation_steps
    seen = steps * window if steps else plan.engine.epochs * len(train)
    return Measured(
        name=candidate.name,
        modality=candidate.modality,
        weights=backbone.loaded.source,
        parameters=sum(p.numel() for p in backbone.parameters()),
        score=score,
        rate=rate,
        peak_bytes=torch.cuda.max_memory_allocated() if cuda else peak_memory_bytes(),
        seconds=seen / rate,
        warnings=dataset.info.warnings,
    )


def _probed(plan: Plan, task: Task, modality: str, split: Split) -> Score | None:
    """The probe of the candidate's features, which are cached for a run in which it is frozen."""
    kind = plan.task.spec.target
    if kind not in ("class", "number"):
        return None
    inference = Inference.of(plan.engine.precision, make_accelerator(plan.engine).device)
    encoder, store = encoder_and_store(task, plan, modality, inference)
    places = features_of(encoder, store, split, lambda done, total: None)
    there = np.flatnonzero(places >= 0)
    rows = [store[int(place)]["pooled"].float() for place in places[there]]
    targets = [split.target(int(index)) for index in there]
    known = split.groups()
    groups = None if known is None else [known[index] for index in there.tolist()]
    return probe(torch.stack(rows).numpy(), targets, kind, plan.engine.seed, groups)


def _training_rate(plan: Plan, task: Task, train: Split) -> float:
    """Samples a second, over some steps of the run's own training."""
    # No checkpoint, which would take time.
    never = STEPS + 1
    config = replace(plan.engine, steps=STEPS, log_every=1, checkpoint_every=never, warmup=0.0)
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(
            task,
            PreparedSplit(train, task.processors, task.codec, train=True, seed=config.seed),
            None,
            replace(plan, engine=config),
            metrics={},
            monitor=Monitor(name="loss", higher_is_better=False),
            accelerator=make_accelerator(
                config, partial=plan.task.spec.partial_for(plan.backbones)
            ),
            folder=Path(folder),
            callback=clock,
        )
        engine.fit()
    first, last = clock.steps[WARM_UP - 1], clock.steps[-1]
    return (last.samples - first.samples) / max(1e-9, last.seconds - first.seconds)


class _Clock(Callback):
    def __init__(self) -> None:
        self.steps: list[TrainStep] = []

    def on_step(self, event: TrainStep) -> None:
        self.steps.append(event)
