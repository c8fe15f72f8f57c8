"""Stored features as a split and a processor, which replace those of the inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from mmft_core.contracts import Features, Processor, Sample, Split, Tensors
from mmft_core.data.splits import Indices, Same
from mmft_core.features.store import MISSING, FeatureStore


class StoredSplit(Same):
    """A split with stored features in place of some of its inputs."""

    def __init__(
        self,
        split: Split,
        modalities: Sequence[str],
        stored: Mapping[str, tuple[FeatureStore, Indices]],
        kinds: Sequence[str] = (),
    ) -> None:
        """Args:
        modalities: those that are read.
        stored: for some of them the store, and the places of the samples in it (n,).
        kinds: those of the samples (n,); empty if nobody asks for them.
        """
        super().__init__(split)
        self.stored, self.kinds = stored, kinds
        self.others = [m for m in modalities if m not in stored]

    def __getitem__(self, index: int) -> Sample:
        inputs: dict[str, Any] = {}
        for modality, (store, places) in self.stored.items():
            place = int(places[index])
            inputs[modality] = None if place == MISSING else store[place]
        if self.others:
            sample = self.split[index]
            rest = {m: sample.inputs.get(m) for m in self.others}
            return replace(sample, inputs={**rest, **inputs})
        kind = self.kinds[index] if self.kinds else ""
        return Sample(inputs, self.split.target(index), self.split.sample_id(index), kind)

    def input(self, index: int, modality: str) -> Any:
        return self[index].inputs[modality]


class StoredFeatures(Processor):
    """Collates stored features as `Features.stored` takes them."""

    def prepare(self, raw: Tensors, *, train: bool) -> Tensors:
        return raw

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        pooled = torch.stack([item["pooled"] for item in items])
        if "sequence" not in items[0]:
            return Features(pooled).tensors()
        rows = [item["sequence"] for item in items]
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        sequence = pad_sequence(rows, batch_first=True)
        return Features(pooled, sequence, None if mask.all() else mask).tensors()
