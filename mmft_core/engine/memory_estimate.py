"""Estimating the memory of a training without training.

The task takes one optimizer step on its largest batch in a mode that describes numbers instead of
computing them (`mmft_core.engine.described`). The estimate therefore includes the samples,
checkpointing, adapters, precision and optimizer of the run, and needs no weights.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.plan import Recipe
from mmft_core.contracts import Batch, Referenced, Task, map_tensors
from mmft_core.contracts.returned import outputs_of
from mmft_core.engine import tuning
from mmft_core.engine.compute import TIMED_FROM, Compute
from mmft_core.engine.described import UNDESCRIBED, Described
from mmft_core.engine.device_memory import available_bytes, resident_bytes
from mmft_core.engine.lora import is_adapter, is_fresh
from mmft_core.engine.optim import build_optimizer
from mmft_core.errors import DataError
from mmft_core.loading.batch_sampler import BatchSampler, Key
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.loading.sampler_choice import choose_batch_sampler
from mmft_core.precision import choose_device, choose_precision, cpu_computes_bf16

_LOOKED_AT = 2048
"""Samples among which the largest batch is looked for."""
_MANY = 20
"""A step is really computed only if the device holds this many times the weights."""
_KEPT = 0.55
"""What malloc keeps beyond what a step holds at its peak, as a share of that. It keeps what is
freed (`mmft_core.engine.memory`), and not every gap fits the next tensor. Measured with
five networks: 0.42 to 0.74 (docs/results.md)."""
_CONTEXT = 500_000_000
"""Bytes of a GPU that CUDA and its libraries take, approximately."""


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes at the peak of a training. They add up.

    Attributes:
        device: its type.
        available: what the device has in all; None if unknown.
        samples: of the batch.
        weights: of the whole task, its average and its reference included.
        gradients: of all weights that are trained.
        optimizer: its state.
        batch: the inputs and targets.
        activations: what else a step holds at its peak: what the backward pass needs, and buffers.
        program: what interpreter, libraries and data take on a CPU; the libraries on a GPU.
        allocator: what malloc keeps on a CPU beyond what is in use.
        best: the best weights, which are read from their file when training ends; on a CPU.
    """

    device: str
    available: int | None
    samples: int
    program: int
    weights: int = 0
    gradients: int = 0
    optimizer: int = 0
    batch: int = 0
    activations: int = 0
    allocator: int = 0
    best: int = 0

    @property
    def parts(self) -> dict[str, int]:
        return {
            "weights": self.weights,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "activations": self.activations,
            "batch": self.batch,
            "allocator": self.allocator,
            "best weights": self.best,
            "program": self.program,
        }

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        return self.available is None or self.total <= self.available


def estimate_memory(
    task: Task, recipe: Recipe, train: PreparedSplit, *, evaluated: bool
) -> MemoryEstimate:
    """Estimate the memory of a training by one process, without those that load data for it.

    Args:
        task: on the meta device; it is of no use afterwards.
        train: what is learned from.
        evaluated: whether there is a split that chooses the best weights.

    Raises:
        MmftError: the settings, or the samples, are wrong.
        Exception: whatever the network raises when its numbers are not known.
    """
    config = recipe.engine
    device = choose_device(config.device)
    with _same_randomness():
        saved = _saved_by_bits(task)
        for modality in task.backbones:
            backbone = task.backbone(modality)
            groups = tuning.tuned(backbone, modality, config.tuning)
            tuning.change_layers(backbone, groups, config)
        best = _saved_bytes(task, config) if evaluated and device.type == "cpu" else 0
        batch, steps = _largest_batch(task, train, config)
        found = MemoryEstimate(
            device=device.type,
            available=available_bytes(device),
            samples=len(batch),
            best=best,
            program=_CONTEXT if device.type == "cuda" else resident_bytes(),
        )
        precisions = _precisions(config, device, steps)
        try:
            step = _Step(task, batch, recipe, device, Described())
            counted = _counted(found, step, precisions)
            return replace(counted, weights=counted.weights - saved)
        except UNDESCRIBED:
            if found.available is None or found.available < _MANY * _parameter_bytes(task):
                raise
            step = _Step(task, batch, recipe, device, Described(computed=True))
            return _counted(found, step, precisions)


def _counted(found: MemoryEstimate, step: _Step, precisions: Sequence[str]) -> MemoryEstimate:
    peak = max(map(step.peak, precisions))
    own = replace(
        found,
        weights=step.weights,
        gradients=step.gradients,
        optimizer=step.optimizer(),
        batch=step.batch,
        activations=max(0, peak - step.weights - step.gradients - step.batch),
    )
    if found.device != "cpu":
        return own
    used = own.gradients + own.optimizer + own.batch + own.activations
    return replace(own, allocator=int(_KEPT * used))


def _saved_by_bits(task: Task) -> int:
    """The bytes by which weights that are loaded in few bits are smaller than those of their type.

    Layers are built without values, so theirs are of the full type.
    """
    saved = 0.0
    for backbone in (task.backbone(modality) for modality in task.backbones):
        if backbone.bits is None:
            continue
        names = {name for layers in backbone.roles().values() for name in layers}
        layers: list[Any] = [backbone.get_submodule(name) for name in names]
        for weight in (layer.weight for layer in layers):
            saved += weight.numel() * (weight.element_size() - backbone.bits / 8)
    return int(saved)


def _saved_bytes(task: Task, config: EngineConfig) -> int:
    """The bytes of the weights that are saved; of a base that is not, only what was added to it."""
    total = 0
    places = {f"backbones.{modality}.": task.backbone(modality) for modality in task.backbones}
    alone = {
        place: backbone
        for place, backbone in places.items()
        if backbone.bits is not None
        or (config.lora.save == "adapter" and any(is_adapter(k) for k in backbone.state_dict()))
    }
    held = {**dict(task.named_parameters()), **dict(task.named_buffers())}  # Shared ones once.
    for key, tensor in held.items():
        place = next((place for place in alone if key.startswith(place)), "")
        own = key.removeprefix(place)
        if not place or is_adapter(own) or is_fresh(alone[place], own):
            total += tensor.nbytes
    return total


def _parameter_bytes(task: Task) -> int:
    return sum(p.numel() * p.element_size() for p in task.parameters())


class _Step:
    """An optimizer step of a task that is not computed.

    Attributes:
        weights, batch, gradients: their bytes.
    """

    def __init__(
        self, task: Task, batch: Batch, recipe: Recipe, device: torch.device, mode: Described
    ) -> None:
        self.task, self.recipe, self.device, self.mode = task, recipe, device, mode
        task.train()
        tuning.apply(task, recipe.engine.tuning, 0)
        reference = task.reference_model() if isinstance(task, Referenced) else None
        self.mode.move(task, device)
        average = self.mode.held if recipe.engine.ema else 0
        if reference is not None:
            self.mode.move(reference, device)
        self.weights = self.mode.held + average
        self._average = average
        before = self.mode.held

        def put(tensor: Tensor) -> Tensor:
            return self.mode.like(tensor, device)

        parts = {n: map_tensors(getattr(batch, n), put) for n in ("inputs", "targets", "present")}
        self._batch = replace(batch, **parts)
        self.batch = self.mode.held - before
        trained = [p for p in task.parameters() if p.requires_grad]
        self.gradients = sum(p.numel() * p.element_size() for p in trained)

    def peak(self, precision: str) -> int:
        """The most bytes within forward and backward passes in a precision.

        With accumulation, all but the first pass find gradients there.
        """
        for parameter in self.task.parameters():
            parameter.grad = None
        self.mode.peak = self.mode.held
        compute = Compute(self.device.type, precision, 1, 0)
        passes = min(2, self.recipe.engine.gradient_accumulation_steps)
        with self.mode:
            for _ in range(passes):
                with compute.autocast():
                    loss = outputs_of(self.task, self._batch).loss
                assert loss is not None
                torch.autograd.backward(loss)
                del loss
        return self.mode.peak + self._average

    def optimizer(self) -> int:
        """The bytes that the optimizer keeps after a step."""
        with self.mode:
            optimizer = build_optimizer(self.task, self.recipe)
            before = self.mode.held
            optimizer.step()
            return self.mode.held - before


def _precisions(config: EngineConfig, device: torch.device, steps: int) -> Sequence[str]:
    """Those that the training may compute in; if there are several, timed steps choose."""
    chosen = choose_precision(config.precision, device).replace("no", "fp32")
    free = config.precision == "auto" and device.type == "cpu" and steps >= TIMED_FROM
    return ["fp32", "bf16"] if free and cpu_computes_bf16() else [chosen]


def _largest_batch(task: Task, train: PreparedSplit, config: EngineConfig) -> tuple[Batch, int]:
    """The batch of the first epoch that holds most, and the number of the training's steps."""
    looked = train
    if len(train) > _LOOKED_AT and task.group_size <= 1:
        few = np.linspace(0, len(train) - 1, _LOOKED_AT).astype(np.int64)
        looked = train.some(few)
    sampler = choose_batch_sampler(looked, task, config)
    steps = config.steps or config.epochs * sampler.steps_per_epoch * len(train) // len(looked)
    keys = _largest(sampler, looked.lengths)
    batch = looked.collate([looked[key] for key in keys]).batch
    if batch is None:
        raise DataError("None of the samples of a batch can be used.")
    return batch, steps


def _largest(sampler: BatchSampler, lengths: Sequence[float] | None) -> list[Key]:
    """The keys of the largest batch: of most samples, padded to the length of the longest."""
    if lengths is None:
        return max(sampler.micro_batches(0), key=len)
    batches = (
        own for step in range(sampler.steps_per_epoch) for own in sampler.micro_batches(step)
    )
    return max(batches, key=lambda keys: len(keys) * max(lengths[index] for _, index in keys))


@contextmanager
def _same_randomness() -> Iterator[None]:
    """Leave the states of random numbers as they were."""
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])
