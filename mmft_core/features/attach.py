"""Chooses the backbones whose features are stored, and replaces their inputs by these."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.plan import Plan
from mmft_core.contracts import Dataset, JointPreparation, Processor, Split, Task
from mmft_core.contracts.callbacks import Callback
from mmft_core.data.chunks import in_chunks
from mmft_core.data.splits import Indices, Joined
from mmft_core.distributed import comm
from mmft_core.errors import IncompatibleError
from mmft_core.features.computing import Encoder, check_plain, complete, keys_of, still_agree
from mmft_core.features.identity import identify
from mmft_core.features.reading import StoredFeatures, StoredSplit
from mmft_core.features.store import MISSING, FeatureStore
from mmft_core.precision import Inference
from mmft_core.utils.cache import cache_root
from mmft_core.utils.numbers import counted

KEPT = ("pooled", "sequence")
"""The features of a backbone that can be kept; a task that needs more computes them itself."""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What a task is trained and evaluated on.

    Attributes:
        splits: with stored features in place of the inputs of frozen backbones.
        processors: by modality.
        config: of the engine; without worker processes where nothing is left for them to do.
    """

    splits: Mapping[str, Split]
    processors: Mapping[str, Processor]
    config: EngineConfig


def attach_features(
    task: Task, dataset: Dataset, plan: Plan, inference: Inference, callback: Callback
) -> TrainingData:
    """Compute or find the features of frozen backbones, as `engine.cache_features` says.

    Raises:
        IncompatibleError: it is "always", and some features differ each time.
        PluginError: a backbone's processor augments but does not say so.
        SampleError: a sample cannot be read any more.
        StorageError: features cannot be written.
    """
    processors = dict(task.processors)
    stored: dict[str, tuple[FeatureStore, Indices]] = {}
    whole = Joined(dataset.splits.values())
    for modality in _chosen(task, plan, len(dataset.splits["train"]), callback):
        encoder, store = encoder_and_store(task, plan, modality, inference)
        stored[modality] = store, _kept(encoder, store, whole, callback)
        processors[modality] = StoredFeatures()
    if not stored:
        return TrainingData(splits=dataset.splits, processors=processors, config=plan.engine)
    idle = stored.keys() == processors.keys() and plan.engine.workers is None
    return TrainingData(
        splits=_divided(dataset, processors, stored),
        processors=processors,
        config=replace(plan.engine, workers=0) if idle else plan.engine,
    )


def features_root() -> Path:
    """The folder of the user's cache that holds a folder of features for each backbone."""
    return cache_root() / "features"


def encoder_and_store(
    task: Task, plan: Plan, modality: str, inference: Inference
) -> tuple[Encoder, FeatureStore]:
    """What computes the features of a backbone as it is now, and where they are kept.

    Args:
        inference: how the model computes when it is used; frozen backbones always do so.
    """
    encoder = Encoder(
        modality=modality,
        backbone=task.backbone(modality),
        keeps_sequence="sequence" in task.reads,
        inference=inference,
        config=plan.engine,
    )
    identity = identify(plan.backbones[modality], encoder.backbone, task.reads, inference)
    return encoder, FeatureStore.open(features_root(), identity)


def _chosen(task: Task, plan: Plan, samples: int, callback: Callback) -> list[str]:
    """The modalities whose features are to be kept."""
    config = plan.engine
    if config.cache_features == "never":
        return []
    single = [m for m in task.processors if m in task.backbones]
    frozen = [m for m in single if config.tuning.modes(m, task.backbone(m).parts()) == {"head"}]
    obstacles = {m: _obstacle(task, plan, m) for m in frozen}
    if config.cache_features == "always":
        if not frozen:
            raise IncompatibleError(
                f"engine.cache_features = 'always', but engine.tune = '{config.tune}' freezes no "
                "backbone whose features could be kept.",
                hint="Give --tune head, or leave the setting out.",
            )
        for modality, obstacle in obstacles.items():
            if obstacle:
                raise IncompatibleError(
                    f"engine.cache_features = 'always', but the {modality} features of a sample "
                    f"are not the same each time: {obstacle}.",
                    hint="Turn that off, or leave the setting out.",
                )
        return frozen
    seen = config.steps and config.steps * config.batch_size * config.gradient_accumulation_steps
    if seen and seen < samples:  # Most samples would be encoded for nothing.
        return []
    for modality, obstacle in obstacles.items():
        if obstacle:
            callback.on_message(
                f"The frozen {modality} backbone computes its features again in each epoch, "
                f"because {obstacle}. Otherwise they would be computed once, and epochs would be "
                "much faster."
            )
    return [m for m in frozen if not obstacles[m]]


def _obstacle(task: Task, plan: Plan, modality: str) -> str:
    """Why the features of a sample are not the same each time, or cannot be kept; else ""."""
    backbone = task.backbone(modality)
    if not set(plan.task.spec.needs_of(modality)) <= set(KEPT):
        return f"task '{plan.task.spec.name}' needs more of it than features"
    own = task.processors[modality] is not backbone.processor
    if own or isinstance(task.codec, JointPreparation):
        return f"task '{plan.task.spec.name}' prepares its inputs in its own way"
    return backbone.augments or task.augments


def features_of(
    encoder: Encoder, store: FeatureStore, split: Split, on_progress: Callable[[int, int], None]
) -> Indices:
    """Make sure that a store has the features of a split's samples; return their places (n,).

    Raises:
        SampleError, StorageError: see `attach_features`.
    """
    keys = keys_of(encoder, split)
    if comm.is_main() and not still_agree(store, encoder, split, store.find(keys)):
        store.clear()
    complete(store, encoder, split, keys, on_progress)
    return store.find(keys)


def _kept(encoder: Encoder, store: FeatureStore, whole: Split, callback: Callback) -> Indices:
    """Find or compute the features of all samples of a run, and report it."""
    started, modality, computed = time.perf_counter(), encoder.modality, 0

    def on_progress(done: int, total: int) -> None:
        nonlocal computed
        computed = total
        callback.on_evaluation_progress(f"{modality} features", done, total)

    check_plain(encoder, whole)
    places = features_of(encoder, store, whole, on_progress)
    new = comm.total(computed)  # Every process has computed its share.
    how = f"computed in {time.perf_counter() - started:.1f} s" if new else "found"
    samples = counted(int((places != MISSING).sum()), "sample")
    callback.on_info(
        f"Features of the frozen {modality} backbone: {samples}, "
        f"{new:,} of them new, {how}; kept in {store.folder} ({store.bytes / 1e6:,.1f} MB)."
    )
    return places


def _divided(
    dataset: Dataset,
    processors: Mapping[str, Processor],
    stored: Mapping[str, tuple[FeatureStore, Indices]],
) -> dict[str, Split]:
    """The splits, each with its part of what is stored."""
    ends = np.cumsum([len(split) for split in dataset.splits.values()])
    alone = stored.keys() == processors.keys()  # Else samples are read, and with them their kinds.
    return {
        name: StoredSplit(
            split,
            tuple(processors),
            {m: (store, places[end - len(split) : end]) for m, (store, places) in stored.items()},
            _kinds(split) if alone and name != "train" else (),  # Only evaluations use them.
        )
        for (name, split), end in zip(dataset.splits.items(), ends, strict=True)
    }


def _kinds(split: Split) -> list[str]:
    """The kinds of its samples (n,), each of which is read once."""
    parts = in_chunks(len(split), lambda chunk: [split[index].kind for index in chunk])
    return [kind for part in parts for kind in part]
