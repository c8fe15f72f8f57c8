"""The retrieval task: embeddings of one modality, compared by their cosine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmft_core.contracts import (
    Backbone,
    Batch,
    Gallery,
    Graph,
    GraphPart,
    Outputs,
    Processor,
    Runner,
    TargetCodec,
    Task,
    Tensors,
    flatten_tensors,
    input_axes,
)
from mmft_core.distributed import gathered
from mmft_datasets.names import Lookup, identity
from mmft_retrieval.losses import ArcFace, ProxyAnchor
from mmft_retrieval.neighbours import Neighbours

DIGITS = 6
"""Decimals of an embedding in a record; float32 has no more for numbers below one."""

UNKNOWN = 1 << 62
"""Groups of names that are no class of the model begin here."""


def stable_hash(text: str) -> int:
    """A number from 0 to 2^62 - 1 that is the same in every process and on every machine."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2


class GroupCodec(TargetCodec):
    """Class names to groups: the index of a class that the model learned, a hash of any other.

    An embedding can be evaluated on classes that were never learned, so none is refused.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._place = Lookup(classes)

    def encode(self, target: Any) -> int:
        group = self._place(target)
        return UNKNOWN + stable_hash(identity(str(target))) if group is None else group

    def collate(self, targets: Sequence[int]) -> Tensors:
        return {"group": torch.tensor(targets, dtype=torch.int64)}


class Embedding(Task):
    """What tasks share that embed one modality.

    Predictions are embeddings (B, D) of length one.
    """

    compares = True
    minimum_batch_size = 2
    reads = ("pooled",)

    def __init__(self, modality: str, backbone: Backbone, dim: int | None = None) -> None:
        """Args:
        dim: D, to which a linear layer projects the features; None leaves them as they are.
        """
        super().__init__()
        self.modality = modality
        self.backbones = nn.ModuleDict({modality: backbone})
        self.dim, self.width = dim, dim or backbone.width
        self.head = nn.Identity() if dim is None else nn.Linear(backbone.width, dim)
        self._processor = backbone.processor
        self._runner: Runner | None = None  # Of an export, in place of backbone and head.

    @property
    def processors(self) -> dict[str, Processor]:
        return {self.modality: self._processor}

    def embed(self, inputs: Tensors) -> Tensor:
        """Embed what the modality's processor collated: (B, D), float32, of length one."""
        if self._runner is not None:
            return self._runner(flatten_tensors({self.modality: inputs}))["embeddings"]
        features = self.backbone(self.modality)(inputs).pooled
        # In full precision: in bf16 the nearest neighbours are often equally near.
        with torch.autocast(features.device.type, enabled=False):
            return F.normalize(self.head(features.float()), dim=-1)

    def graphs(self, batch: Batch) -> Sequence[Graph]:
        """From the inputs to their embeddings; queries go the same way."""
        part = GraphPart(self, lambda inputs: {"embeddings": self.embed(inputs[self.modality])})
        axes = input_axes(self.processors, batch.inputs)
        return [Graph(name="model", module=part, inputs=flatten_tensors(batch.inputs), axes=axes)]

    def adopt(self, runners: Mapping[str, Runner]) -> Task:
        self._runner = runners["model"]
        del self.backbones[self.modality]
        return self

    def decode(self, predictions: Tensor, top_k: int = 1) -> list[dict[str, Any]]:
        """Give each sample {"embedding": D numbers}."""
        rows = predictions.double().tolist()
        return [{"embedding": [round(x, DIGITS) for x in row]} for row in rows]

    def gallery(self, size: int) -> Gallery:
        # An example and its neighbours take the room of several.
        return Neighbours(max(1, size // 2))


class ClassRetrieval(Embedding):
    """Samples of one class are to find each other."""

    def __init__(
        self,
        modality: str,
        backbone: Backbone,
        classes: Sequence[str],
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        dim: int | None = None,
        group_size: int = 1,
    ) -> None:
        """Args:
        loss: of embeddings (B, D) and labels (B,).
        """
        super().__init__(modality, backbone, dim)
        self.codec = GroupCodec(classes)
        self.loss = loss
        self.compares = not isinstance(loss, ArcFace)
        self.minimum_batch_size = 1 if self._has_proxies else 2
        self.group_size = group_size

    def forward(self, batch: Batch) -> Outputs:
        embeddings = self.embed(batch.inputs[self.modality])
        loss = None
        if batch.targets is not None:
            # Every process computes the loss of all that they hold, and follows its own gradient.
            (compared, groups), _ = gathered(embeddings, batch.targets["group"])
            if self._has_proxies:
                known = groups < UNKNOWN
                loss = self.loss(compared[known], groups[known])
            else:
                loss = self.loss(compared, groups)
        return Outputs(loss, None if self.training else embeddings)

    def weight(self, batch: Batch) -> int:
        if batch.targets is None or not self._has_proxies:
            return len(batch)
        return int((batch.targets["group"] < UNKNOWN).sum())

    @property
    def _has_proxies(self) -> bool:
        """Whether the loss knows learned classes only, so that samples of others have none."""
        return isinstance(self.loss, ArcFace | ProxyAnchor)
