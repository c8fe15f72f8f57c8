"""One fault each, on top of the sound backbone."""

from __future__ import annotations

import dataclasses
import socket

import numpy as np
import torch
from sound_parts import MeanNet, Padder
from torch import nn

from mmft_core.contracts import Features
from mmft_core.weights import LoadedWeights


def NotABackbone(options, context):  # noqa: N802
    return nn.Linear(1, 1)


class UsesNetwork(MeanNet):
    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        socket.create_connection(("127.0.0.1", 9), timeout=1)


class LoadsWeights(MeanNet):
    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.loaded = LoadedWeights(source="published")


class UnsaidWeights(MeanNet):
    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        del self.loaded


class _WithProcessor(MeanNet):
    processor_type = Padder

    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.processor = self.processor_type(options.noise)


class _Network(Padder, nn.Module):
    def __init__(self, noise) -> None:
        nn.Module.__init__(self)
        self.noise = noise


class NetworkInProcessor(_WithProcessor):
    processor_type = _Network


class Unpicklable(_WithProcessor):
    class processor_type(Padder):  # noqa: N801
        def __init__(self, noise) -> None:
            super().__init__(noise)
            self.function = lambda x: x


class SilentAugmentation(_WithProcessor):
    class processor_type(Padder):  # noqa: N801
        def __init__(self, noise) -> None:
            super().__init__(noise)
            self.augments = ""


class SeldomAugmentation(_WithProcessor):
    class processor_type(SilentAugmentation.processor_type):  # noqa: N801
        def prepare(self, raw, *, train):
            prepared = super().prepare(raw, train=False)
            if train and torch.rand(()) < 0.3:
                prepared = {name: -tensor for name, tensor in prepared.items()}
            return prepared


class SameStamp(_WithProcessor):
    class processor_type(Padder):  # noqa: N801
        def stamp(self, raw):
            return b"the same"


class Mismeasured(_WithProcessor):
    class processor_type(Padder):  # noqa: N801
        def measure(self, raw):
            return 7


class EncodesAgain(MeanNet):
    def forward(self, inputs):
        features = super().forward(inputs)
        return dataclasses.replace(features, pooled=features.pooled + 1)


class _Random(Padder):
    def prepare(self, raw, *, train):
        return super().prepare(raw, train=True)


class RandomEvaluation(_WithProcessor):
    processor_type = _Random


class _Unseeded(Padder):
    generator = np.random.default_rng()

    def prepare(self, raw, *, train):
        return {"x": torch.tensor(raw) + (self.generator.random() if train else 0)}


class UnseededTraining(_WithProcessor):
    processor_type = _Unseeded


class _Transposed(Padder):
    def collate(self, items):
        return {key: value.T for key, value in super().collate(items).items()}


class WrongBatch(_WithProcessor):
    processor_type = _Transposed


class WrongWidth(MeanNet):
    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.width += 1


class _Changed(MeanNet):
    def encode(self, inputs):
        return dataclasses.replace(super().encode(inputs), **self.change(super().encode(inputs)))

    def change(self, features):
        raise NotImplementedError


class NoSequence(_Changed):
    def change(self, features):
        return {"sequence": None}


class Infinite(_Changed):
    def change(self, features):
        return {"pooled": features.pooled / 0}


class FloatMask(_Changed):
    def change(self, features):
        return {"mask": features.mask.float()}


class PaddingCounts(_Changed):
    def change(self, features):
        return {"pooled": features.sequence.mean(1)}


class Constant(_Changed):
    def change(self, features):
        return {"pooled": torch.ones_like(features.pooled)}


class LayerForgotten(MeanNet):
    def layers(self):
        return [self.embed]


class LayerTwice(MeanNet):
    def layers(self):
        return [self.embed, self.mix, nn.ModuleList([self.embed])]


class PartForgotten(MeanNet):
    def parts(self):
        return {"lower": [self.embed]}


class Detached(MeanNet):
    def encode(self, inputs):
        with torch.no_grad():
            return super().encode(inputs)


class HalfDetached(MeanNet):
    def encode(self, inputs):
        sequence = self.mix(self.embed(inputs["x"][..., None]).detach().tanh())
        mask = inputs["mask"]
        pooled = (sequence * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return Features(pooled, sequence, mask)


class WeightRead(MeanNet):
    """Computes with the weight of a layer that it never calls."""

    def encode(self, inputs):
        hidden = self.embed(inputs["x"][..., None]).tanh()
        sequence = nn.functional.linear(hidden, self.mix.weight, self.mix.bias)
        mask = inputs["mask"]
        pooled = (sequence * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return Features(pooled, sequence, mask)


class LayersKept(MeanNet):
    """Goes on listing the layers that adapters have taken the place of."""

    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.listed = (self.embed, self.mix)

    def layers(self):
        return list(self.listed)


class UnknownRole(MeanNet):
    def roles(self):
        return {"mlp": ["embed", "mixture"]}


class CheckpointingForgets(MeanNet):
    """Drops gradients in place of computing activations again."""

    checkpointing = False

    def enable_checkpointing(self):
        self.checkpointing = True

    def encode(self, inputs):
        features = super().encode(inputs)
        if not self.checkpointing:
            return features
        return dataclasses.replace(features, pooled=features.pooled.detach())


class UnseededWeights(MeanNet):
    generator = torch.Generator()

    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        nn.init.normal_(self.mix.weight, generator=self.generator)


class HiddenState(MeanNet):
    """Holds what it computes with outside of its state dict."""

    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.scale = torch.rand(())

    def encode(self, inputs):
        features = super().encode(inputs)
        return dataclasses.replace(features, pooled=features.pooled * self.scale)


class LooksAtWeights(MeanNet):
    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.scale = float(self.mix.weight.abs().max())
