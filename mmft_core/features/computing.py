"""Computes the features that a store lacks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmft_core import cpus
from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import Backbone, Features, NoTargets, Split
from mmft_core.data.splits import Indices, Subset, Unlabelled
from mmft_core.distributed import comm
from mmft_core.errors import PluginError
from mmft_core.features.store import KEY_BYTES, MISSING, NO_KEY, FeatureStore, Keys
from mmft_core.loading.lengths import measure
from mmft_core.loading.loaders import batches, choose_workers, evaluation_loader
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.precision import Inference

FILE_SAMPLES = 4096
FILE_BYTES = 1 << 28
"""Samples and bytes after which a file is written; no more work than that can be lost."""

_PROBES = 2
_AGREEMENT = 0.02
"""Largest difference, as a share of the largest feature, between stored features and new ones;
reduced precision and other batches cause less, other preprocessing much more."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A frozen backbone, ready to compute.

    Attributes:
        keeps_sequence: whether sequences are kept beside pooled features.
    """

    modality: str
    backbone: Backbone
    keeps_sequence: bool
    inference: Inference
    config: EngineConfig

    def longest_first(self, split: Split) -> Indices:
        """An order in which samples of similar length share batches, with little padding."""
        processors = {self.modality: self.backbone.processor}
        lengths = measure(Unlabelled(split), processors, NoTargets(), alone=True)
        if lengths is None:
            return np.arange(len(split))
        return np.argsort(-np.asarray(lengths), kind="stable")

    @torch.no_grad()
    def features(self, split: Split) -> Iterator[Features]:
        """The features of a split's samples in their order, in batches, on the CPU.

        Raises:
            SampleError: one cannot be read.
        """
        self.backbone.to(self.inference.device).eval()
        data = PreparedSplit(
            Unlabelled(split), {self.modality: self.backbone.processor}, NoTargets(), train=False
        )
        config = self.config
        loader = evaluation_loader(
            data,
            config.batch_size,
            workers=choose_workers(config.workers, comm.count()),
            pin=self.inference.device.type == "cuda",
            batch_total=config.batch_total,
        )
        for batch in batches(loader):
            inputs = batch.to(self.inference.device).inputs[self.modality]
            with self.inference.autocast():
                features = self.backbone.encode(inputs)
            if not self.keeps_sequence:
                features = Features(features.pooled)
            yield Features(
                features.pooled.cpu(),
                None if features.sequence is None else features.sequence.cpu(),
                None if features.mask is None else features.mask.cpu(),
            )


def keys_of(encoder: Encoder, split: Split, tolerant: tuple[type[Exception], ...] = ()) -> Keys:
    """The key of each sample's input (n,).

    Args:
        tolerant: errors of samples that are accepted; such samples have no key.
    """
    processor, modality = encoder.backbone.processor, encoder.modality

    def key(index: int) -> bytes:
        try:
            raw = split.input(index, modality)
        except tolerant:
            return NO_KEY
        if raw is None:
            return NO_KEY
        return hashlib.blake2b(processor.stamp(raw), digest_size=KEY_BYTES).digest()

    with ThreadPoolExecutor(cpus.available()) as pool:
        found = list(pool.map(key, range(len(split)), chunksize=256))
    return np.array(found, dtype=f"S{KEY_BYTES}")


def complete(
    store: FeatureStore,
    encoder: Encoder,
    split: Split,
    keys: Keys,
    on_progress: Callable[[int, int], None],
) -> None:
    """Compute the features that a store lacks, every process its share."""
    own = comm.share(comm.from_main(lambda: _missing(store, keys)))
    own = own[encoder.longest_first(Subset(split, own))]
    waiting: list[Features] = []
    done = 0
    for features in encoder.features(Subset(split, own)) if len(own) else ():
        waiting.append(features)
        count = sum(len(f.pooled) for f in waiting)
        on_progress(done + count, len(own))
        if count >= FILE_SAMPLES or sum(map(_size, waiting)) >= FILE_BYTES:
            store.write(keys[own[done : done + count]], waiting)
            done, waiting = done + count, []
    if waiting:
        store.write(keys[own[done:]], waiting)
    comm.wait()
    store.reload()


def _missing(store: FeatureStore, keys: Keys) -> Indices:
    """The samples that a store lacks; only one for equal inputs."""
    missing = np.flatnonzero((keys != NO_KEY) & (store.find(keys) == MISSING))
    _, first = np.unique(keys[missing], return_index=True)
    return missing[np.sort(first)]


def still_agree(store: FeatureStore, encoder: Encoder, split: Split, places: Indices) -> bool:
    """Check by the first stored features whether they are what the backbone computes now.

    A store's identity covers everything that features depend on, except the plugin's code.
    """
    known = np.flatnonzero(places != MISSING)[:_PROBES]
    if not len(known):
        return True
    new = torch.cat([f.pooled for f in encoder.features(Subset(split, known))])
    stored = torch.stack([store[int(place)]["pooled"] for place in places[known]])
    return new.shape == stored.shape and _close(new, stored)


def check_plain(encoder: Encoder, split: Split) -> None:
    """Check that training inputs are prepared as others are, by the first sample.

    Raises:
        PluginError: they are not, although the processor says so.
    """
    held = (k for k in range(len(split)) if split.input(k, encoder.modality) is not None)
    index = next(held, None)
    if index is None:
        return
    processor = encoder.backbone.processor
    plain, train = (
        processor.prepare(split.input(index, encoder.modality), train=train)
        for train in (False, True)
    )
    if plain.keys() != train.keys() or any(not torch.equal(plain[k], train[k]) for k in plain):
        raise PluginError(
            f"{type(processor).__name__} prepares training samples differently from others, but "
            "its `augments` does not say so.",
            hint="Set engine.cache_features=never; its author should fix it.",
        )


def _size(features: Features) -> int:
    return sum(t.nbytes for t in (features.pooled, features.sequence) if t is not None)


def _close(new: Tensor, stored: Tensor) -> bool:
    scale = stored.float().abs().max().clamp(min=1e-6)
    return float((new.float() - stored.float()).abs().max()) <= _AGREEMENT * float(scale)
