"""One fault each, on top of the sound task."""

from __future__ import annotations

import math

import numpy as np
import torch
from sound_parts import SignCodec, SignTask
from torch import nn
from torch.nn import functional as F  # noqa: N812

from mmft_core.contracts import Outputs


def NotATask(options, context):  # noqa: N802
    return nn.Linear(1, 1)


class NoBackbones(SignTask):
    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.backbones = nn.ModuleDict()


class UnpicklableCodec(SignTask):
    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.codec = SignCodec()
        self.codec.function = lambda x: x


class _OtherLoss(SignTask):
    def forward(self, batch):
        outputs = super().forward(batch)
        loss = None if outputs.loss is None else self.change(outputs.loss, batch)
        return Outputs(loss, outputs.predictions)

    def change(self, loss, batch):
        raise NotImplementedError


class VectorLoss(_OtherLoss):
    def change(self, loss, batch):
        return loss.expand(len(batch))


class InfiniteLoss(_OtherLoss):
    def change(self, loss, batch):
        return loss / 0


class DetachedLoss(_OtherLoss):
    def change(self, loss, batch):
        return loss.detach()


class SummedLoss(_OtherLoss):
    def change(self, loss, batch):
        return loss * len(batch)


class IdleParameter(SignTask):
    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.scale = nn.Parameter(torch.ones(()))


class LossWithoutTargets(SignTask):
    def forward(self, batch):
        outputs = super().forward(batch)
        return Outputs(
            torch.zeros(()) if outputs.loss is None else outputs.loss, outputs.predictions
        )


class Silent(SignTask):
    def forward(self, batch):
        return Outputs(super().forward(batch).loss)


class Peeking(SignTask):
    def forward(self, batch):
        outputs = super().forward(batch)
        if batch.targets is None or self.training:
            return outputs
        return Outputs(outputs.loss, F.one_hot(batch.targets, 2).float())


class EncodesItself(SignTask):
    def forward(self, batch):
        encode = self.backbone("numbers").encode
        logits = self.head(encode(batch.inputs["numbers"]).pooled)
        loss = None if batch.targets is None else F.cross_entropy(logits, batch.targets)
        return Outputs(loss, None if self.training else logits.softmax(-1))


class ReadsInSecret(SignTask):
    def forward(self, batch):
        features = self.backbone("numbers")(batch.inputs["numbers"])
        last = features.pooled if features.sequence is None else features.sequence[:, 0]
        logits = self.head(last)
        loss = None if batch.targets is None else F.cross_entropy(logits, batch.targets)
        return Outputs(loss, None if self.training else logits.softmax(-1))


class TooFewRecords(SignTask):
    def decode(self, predictions, top_k=1):
        return super().decode(predictions)[:1]


class TensorInRecord(SignTask):
    def decode(self, predictions, top_k=1):
        return [{"label": p.argmax()} for p in predictions]


class NanInRecord(SignTask):
    def decode(self, predictions, top_k=1):
        return [{"probability": math.nan} for _ in predictions]


class ShortRanking(SignTask):
    def rank(self, predictions, targets):
        return {"Most wrong": predictions[0]}


class LearnsNothing(_OtherLoss):
    def change(self, loss, batch):
        return loss * 0 + 1


class UnseededNoise(_OtherLoss):
    generator = np.random.default_rng()

    def change(self, loss, batch):
        return loss * (1 + 0.1 * self.generator.random())


class Forgetful(SignTask):
    """Keeps what it learned outside of its state dict."""

    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.shift = torch.rand(2)

    def forward(self, batch):
        outputs = super().forward(batch)
        if outputs.predictions is None:
            return outputs
        return Outputs(outputs.loss, outputs.predictions + self.shift)


class AnotherLossAlone(SignTask):
    def forward(self, batch):
        outputs = super().forward(batch)
        return Outputs(outputs.loss * 2, outputs.predictions) if self.loss_only else outputs


class CountedBatch(SignTask):
    """len() of a tensor is a number, and no size of any graph."""

    def forward(self, batch):
        outputs = super().forward(batch)
        if outputs.predictions is None:
            return outputs
        nothing = torch.zeros(len(batch.inputs["numbers"]["x"]), 1)
        return Outputs(outputs.loss, outputs.predictions + nothing)


class LooksAtWeights(SignTask):
    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.scale = float(self.head.weight.abs().max())


class Tuple(SignTask):
    def forward(self, batch):
        outputs = super().forward(batch)
        return outputs.loss, outputs.predictions
