"""Checks of what prepares a backbone's inputs."""

from __future__ import annotations

import pickle

from torch import Tensor, nn

from mmft_core import BackboneSpec, Component
from mmft_core.loading import seed_everything
from mmft_testing.tools import equal
from mmft_testing.workbench import Workbench

Spec = Component[BackboneSpec]

TRIALS = 16
"""So often a sample is prepared to see something random: what happens to every second is missed
once in 65,536 times."""


def processor_is_picklable_and_light(bench: Workbench, component: Spec) -> None:
    """It travels to worker processes: without weights, and doing the same there."""
    processor = bench.backbone(component).processor
    assert not isinstance(processor, nn.Module), "the processor is a network"
    again = pickle.loads(pickle.dumps(processor))
    here, there = (p.prepare(bench.raw(component, 1)[0], train=False) for p in (processor, again))
    assert equal(here, there), "a pickled processor prepares something else"


def prepares_the_same_for_evaluation(bench: Workbench, component: Spec) -> None:
    """Nothing is drawn at random unless it is for training."""
    processor = bench.backbone(component).processor
    for index in range(3):
        once, twice = (
            processor.prepare(bench.raw(component, 3)[index], train=False) for _ in range(2)
        )
        assert equal(once, twice), "prepare(train=False) differs from call to call"


def prepares_for_training_by_the_seed(bench: Workbench, component: Spec) -> None:
    """Random draws come from the global generators, which are seeded for each sample."""
    processor = bench.backbone(component).processor
    prepared = []
    for _ in range(2):
        seed_everything(7)
        prepared.append(processor.prepare(bench.raw(component, 1)[0], train=True))
    assert equal(prepared[0], prepared[1]), (
        "prepare(train=True) differs although the seed is the same"
    )


def prepares_all_alike_unless_it_augments(bench: Workbench, component: Spec) -> None:
    """Features that are kept may be used in training if `augments` says that nothing is random."""
    processor = bench.backbone(component).processor
    if processor.augments:
        return
    plain = processor.prepare(bench.raw(component, 1)[0], train=False)
    for seed in range(TRIALS):
        seed_everything(seed)
        train = processor.prepare(bench.raw(component, 1)[0], train=True)
        assert equal(plain, train), (
            "prepare(train=True) gives something else, and `augments` does not mention it"
        )


def stamps_tell_inputs_apart(bench: Workbench, component: Spec) -> None:
    """By its stamp a sample's features are found again, so others have others."""
    processor = bench.backbone(component).processor
    once, again = ([processor.stamp(raw) for raw in bench.raw(component, 3)] for _ in range(2))
    assert all(isinstance(stamp, bytes) for stamp in once), "a stamp is not bytes"
    assert once == again, "the same sample has another stamp when it is read again"
    assert len(set(once)) == len(once), "different samples have the same stamp"


def collates_batches(bench: Workbench, component: Spec) -> None:
    """A batch is named tensors whose first dimension is the number of samples."""
    processor = bench.backbone(component).processor
    for size in (1, 3):
        for train in (False, True):
            raw = bench.raw(component, size)
            batch = processor.collate([processor.prepare(r, train=train) for r in raw])
            assert isinstance(batch, dict) and batch, "collate returns no dict of tensors"
            for name, tensor in batch.items():
                assert isinstance(tensor, Tensor), f"'{name}' of a batch is not a tensor"
                assert tensor.shape[:1] == (size,), (
                    f"'{name}' of a batch of {size} has shape {tuple(tensor.shape)}"
                )


def measures_what_it_prepares(bench: Workbench, component: Spec) -> None:
    """Samples of like lengths share a batch, by what `measure` says of them."""
    processor = bench.backbone(component).processor
    for raw in bench.raw(component, 3):
        told = processor.measure(raw)
        if told is None:
            continue
        batch = processor.collate([processor.prepare(raw, train=False)])
        sizes = [
            batch[name].shape[dimension]
            for name, dimensions in processor.axes().items()
            for dimension in dimensions
        ]
        assert told in (sizes or [0]), f"measure says {told} of an input, whose axes are {sizes}"


CHECKS = (
    processor_is_picklable_and_light,
    prepares_the_same_for_evaluation,
    prepares_for_training_by_the_seed,
    prepares_all_alike_unless_it_augments,
    stamps_tell_inputs_apart,
    collates_batches,
    measures_what_it_prepares,
)
