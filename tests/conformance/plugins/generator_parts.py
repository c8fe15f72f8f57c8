"""A small sound generator of bytes, and heirs of it that break one thing each."""

from __future__ import annotations

from dataclasses import replace

import torch
from sound_parts import MeanNet
from torch import nn
from torch.nn import functional as F  # noqa: N812

from mmft_core.contracts import PADDING, Generator, Graph, TargetCodec

END, START = 256, 257
HIDDEN = 48


class Bytes(TargetCodec):
    end, padding, refuses_empty = END, PADDING, True

    def encode(self, target):
        if not target and self.refuses_empty:
            raise ValueError("it is an empty text")
        end = [] if self.end is None else [self.end]
        return torch.tensor([*target.encode(), *end])

    def collate(self, targets):
        return nn.utils.rnn.pad_sequence(
            list(targets), batch_first=True, padding_value=self.padding
        )


class Writer(MeanNet, Generator):
    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.codec = Bytes()
        self.words = nn.Embedding(START + 1, HIDDEN)
        self.state = nn.Linear(self.width, HIDDEN)
        self.cell = nn.GRU(HIDDEN, HIDDEN, batch_first=True)
        self.out = nn.Linear(HIDDEN, START + 1)

    def layers(self):
        writing = nn.ModuleList([self.words, self.state, self.cell, self.out])
        return [self.embed, self.mix, writing]

    def logits(self, inputs, before):
        state = self.state(self.encode(inputs).pooled)[None]
        return self.out(self.cell(self.words(before), state.float())[0])

    def token_losses(self, inputs, targets):
        before = F.pad(targets[:, :-1].clamp(min=0), (1, 0), value=START)
        logits = self.logits(inputs, before).float()
        return F.cross_entropy(
            logits.transpose(1, 2), targets, ignore_index=PADDING, reduction="none"
        )

    @torch.no_grad()
    def generate(self, inputs, settings):
        tokens = torch.full((len(inputs["x"]), 1), START)
        for _ in range(settings.max_new_tokens):
            best = self.logits(inputs, tokens)[:, -1].argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, best], 1)
        return [self.text(row[1:].tolist()) for row in tokens]

    def text(self, row):
        row = row[: row.index(END)] if END in row else row
        return bytes(b for b in row if b < END).decode(errors="replace")

    def graphs(self, inputs):
        axes = {name: {0: "batch", 1: "length"} for name in inputs}
        return [Graph(name="encoder", module=Pooling(self), inputs=inputs, axes=axes)]


class Pooling(nn.Module):
    def __init__(self, backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, inputs):
        return {"pooled": self.backbone.encode(inputs).pooled}


class NoGenerator(MeanNet):
    pass


class CodecWithoutEnd(Writer):
    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.codec.end = None


class CodecPadsWithZero(Writer):
    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.codec.padding = 0


class CodecTakesEmpty(Writer):
    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.codec.refuses_empty = False


class HalfPrecision(Writer):
    def token_losses(self, inputs, targets):
        losses = super().token_losses(inputs, targets)
        return losses.bfloat16() if torch.is_autocast_enabled("cpu") else losses


class PaddingHasLosses(Writer):
    def token_losses(self, inputs, targets):
        return super().token_losses(inputs, targets) + 0.5


class MeanLoss(Writer):
    def token_losses(self, inputs, targets):
        return super().token_losses(inputs, targets).mean()


class ReadsPadding(Writer):
    def token_losses(self, inputs, targets):
        losses = super().token_losses(inputs, targets)
        return losses * (1 + 0.1 * (targets == PADDING).sum(1, keepdim=True))


class SeesAhead(Writer):
    def token_losses(self, inputs, targets):
        sums = targets.clamp(min=0).sum(1, keepdim=True)
        return super().token_losses(inputs, targets) * (1 + sums / 1000)


class IgnoresInput(Writer):
    def logits(self, inputs, before):
        state = 0 * self.state(self.encode(inputs).pooled)[None]
        return self.out(self.cell(self.words(before), state)[0])


class WritesOneLess(Writer):
    def generate(self, inputs, settings):
        return super().generate(inputs, settings)[1:]


class WritesByBatch(Writer):
    def generate(self, inputs, settings):
        return [f"{text}{len(inputs['x'])}" for text in super().generate(inputs, settings)]


class StaysInTraining(Writer):
    def generate(self, inputs, settings):
        texts = super().generate(inputs, settings)
        self.train()
        return texts


class WritesSomethingElse(Writer):
    def text(self, row):
        return super().text(row).upper()


class LearnsNothing(Writer):
    def token_losses(self, inputs, targets):
        losses = super().token_losses(inputs, targets)
        return losses.detach() + 0 * losses


class ExportsOneBatch(Writer):
    def encode(self, inputs):
        features = super().encode(inputs)
        # len() of a tensor is a number, and no size of any graph.
        return replace(features, pooled=features.pooled + torch.zeros(len(inputs["x"]), 1))
