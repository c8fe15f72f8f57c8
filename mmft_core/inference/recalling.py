"""Finding the features that a run has stored, when its model is used later."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from mmft_core.contracts import Split
from mmft_core.data.splits import Subset
from mmft_core.engine import lora
from mmft_core.errors import SampleError
from mmft_core.features.attach import KEPT, features_root
from mmft_core.features.computing import Encoder, keys_of, still_agree
from mmft_core.features.identity import identify
from mmft_core.features.reading import StoredFeatures, StoredSplit
from mmft_core.features.store import MISSING, FeatureStore
from mmft_core.inference.predictor import Predictor
from mmft_core.loading.prepared import UNDECODABLE


def recall(predictor: Predictor, split: Split) -> list[tuple[Predictor, Split]]:
    """Divide a split into samples whose features are kept and others, each with its predictor.

    Args:
        predictor: one that is given a single modality.
    """
    (modality,) = predictor.processors
    model = predictor.model
    if model.exported:
        return [(predictor, split)]  # A graph takes inputs, not features.
    backbone = model.task.backbone(modality)
    plain = predictor.processors[modality] is backbone.processor
    kept = set(model.component.spec.needs_of(modality)) <= set(KEPT)
    if not plain or not kept or lora.has_adapters(backbone):
        return [(predictor, split)]
    reads = model.task.reads
    identity = identify(model.parts[modality], backbone, reads, predictor.inference)
    store = FeatureStore.find_folder(features_root(), identity)
    if store is None:
        return [(predictor, split)]
    encoder = Encoder(
        modality=modality,
        backbone=backbone,
        keeps_sequence="sequence" in reads,
        inference=predictor.inference,
        config=replace(predictor.config, workers=0),
    )
    places = store.find(keys_of(encoder, split, tolerant=(SampleError, *UNDECODABLE)))
    if not still_agree(store, encoder, split, places):
        return [(predictor, split)]
    known, others = np.flatnonzero(places != MISSING), np.flatnonzero(places == MISSING)
    fed = copy.copy(predictor)
    fed.processors = {modality: StoredFeatures()}
    stored = StoredSplit(Subset(split, known), (modality,), {modality: (store, places[known])})
    found: list[tuple[Predictor, Split]] = [(fed, stored), (predictor, Subset(split, others))]
    return [(own, part) for own, part in found if len(part)]
