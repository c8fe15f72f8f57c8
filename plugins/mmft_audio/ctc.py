"""Networks that label each moment with a character: wav2vec 2.0 and HuBERT with CTC.

Connectionist temporal classification: Graves et al., 2006.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmft_audio.augmentation import WaveAugmentation, masking
from mmft_audio.characters import Alphabet, CharacterCodec
from mmft_audio.ctc_loss import ctc_losses
from mmft_audio.options import CtcOptions
from mmft_audio.processing import AudioProcessor
from mmft_audio.transcriber import Transcriber, Transcript, Word
from mmft_core.config import Generation
from mmft_core.contracts import (
    PADDING,
    AdapterBase,
    Axes,
    Features,
    Graph,
    Runner,
    Task,
    Tensors,
)
from mmft_transformers.masked import masked_mean
from mmft_transformers.network import TransformersBackbone, fix_parameter
from mmft_transformers.published_models import TransformersModel

RATE = 16_000
_SILENCE = 1e-7


class CtcBackbone(TransformersBackbone, Transcriber):
    """The pooled features are the mean over the recording.

    Writing takes the most probable label of each moment, whatever the settings of generation say.
    """

    network: Any
    codec: CharacterCodec

    def __init__(self, network: Any, alphabet: Alphabet | None, options: CtcOptions) -> None:
        """Args:
        network: with a head of as many labels as the alphabet has, or without one.
        alphabet: None for a network without a head.
        """
        super().__init__()
        self.network, self.alphabet = network, alphabet
        self.width = self.config.hidden_size
        self.hop = 1
        for stride in self.config.conv_stride:
            self.hop *= stride
        self.config.layerdrop = 0.0  # Several processes need the gradients of all layers.
        # Masks spans of its features by itself, as it did when it was trained before.
        self.config.apply_spec_augment = options.spec_augment
        self.processor = AudioProcessor(
            rate=RATE,
            window=options.window,
            augmentation=WaveAugmentation.of(options.speed, options.noise),
            least=2 * self.hop + 400,
        )
        # What masked spans are filled with: few batches would have a gradient for it.
        fix_parameter(self.body, "masked_spec_embed")
        if alphabet is not None:
            self.codec = CharacterCodec(alphabet)
            self.loaded_by = "AutoModelForCTC"
        self._runner: Runner | None = None  # Of an export, in place of the network.

    @property
    def body(self) -> Any:
        """The network without its head."""
        return self.network if self.alphabet is None else self.network.base_model

    @property
    def normed(self) -> str:
        """What its features are normed over: "group", all of a recording, or "layer", a moment."""
        return str(getattr(self.config, "feat_extract_norm", "layer"))  # data2vec has no choice.

    @property
    def augments(self) -> str:
        return self.processor.augments or masking(bool(self.config.apply_spec_augment))

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"waves": (B, T), "lengths": (B,)}."""
        if self._runner is not None:
            return self._heard(self._runner(inputs))
        waves, lengths = self._normalized(inputs), inputs["lengths"]
        frames = self.body._get_feat_extract_output_lengths(lengths).long()
        sequence = self._encoded(waves, lengths, frames)
        mask = torch.arange(sequence.shape[1], device=frames.device) < frames[:, None]
        return Features(masked_mean(sequence, mask), sequence, mask)

    def _normalized(self, inputs: Tensors) -> Tensor:
        """Waves of mean 0 and variance 1, followed by zeros, as most networks were trained."""
        waves, lengths = inputs["waves"], inputs["lengths"][:, None]
        if not getattr(self.config, "mmft_normalize", True):
            return waves
        there = torch.arange(waves.shape[1], device=waves.device) < lengths
        mean = waves.sum(1, keepdim=True) / lengths
        centred = (waves - mean) * there
        variance = centred.square().sum(1, keepdim=True) / lengths
        return centred / (variance + _SILENCE).sqrt()

    def _encoded(self, waves: Tensor, lengths: Tensor, frames: Tensor) -> Tensor:
        body, config = self.body, self.config
        if self.normed == "group":
            first = (config.conv_kernel[0], config.conv_stride[0])
            features = _extracted(body.feature_extractor, waves, lengths, *first).transpose(1, 2)
        else:
            features = body.feature_extractor(waves).transpose(1, 2)
        mask = torch.arange(features.shape[1], device=frames.device) < frames[:, None]
        projected = body.feature_projection(features)
        states = projected[0] if isinstance(projected, tuple) else projected
        if self.training:
            states = body._mask_hidden_states(states, attention_mask=mask.long())
        encoded: Tensor = body.encoder(states, attention_mask=mask).last_hidden_state
        return encoded

    def _logits(self, features: Features) -> Tensor:
        """Of the labels (B, T, V) at each moment, in full precision."""
        sequence = features.sequence
        assert sequence is not None
        if self._runner is not None:
            return sequence
        with torch.autocast(sequence.device.type, enabled=False):
            logits: Tensor = self.network.lm_head(self.network.dropout(sequence.float()))
        return logits

    def graphs(self, inputs: Tensors) -> Sequence[Graph]:
        """One, from waves to the logits of their labels; transcripts are read from these."""
        given = {name: inputs[name] for name in ("waves", "lengths")}
        axes: Axes = {"waves": {0: "batch", 1: "length"}, "lengths": {0: "batch"}}
        return [Graph(name="model", module=_Labels(self), inputs=given, axes=axes)]

    def adopt(self, runners: Mapping[str, Runner]) -> Transcriber:
        self._runner = runners["model"]
        del self.network
        return self

    def _heard(self, found: Tensors) -> Features:
        """What the graph gave, as features whose sequence are logits."""
        logits = found["logits"]
        mask = torch.arange(logits.shape[1]) < found["frames"][:, None]
        return Features(masked_mean(logits, mask), logits, mask)

    def transcript_losses(self, features: Features, targets: Tensor) -> Tensor:
        assert features.mask is not None
        assert self.alphabet is not None
        lengths = (targets != PADDING).sum(1)
        logits = self._logits(features)
        return ctc_losses(logits, features.mask, targets, lengths, self.alphabet.blank)

    def transcribe(
        self, features: Features, settings: Generation, *, words: bool = False
    ) -> list[Transcript]:
        assert self.alphabet is not None
        with torch.no_grad():
            assert features.mask is not None
            best = self._logits(features).argmax(-1)
        found = []
        for labels, mask in zip(best.tolist(), features.mask.sum(1).tolist(), strict=True):
            spoken = list(_words(labels[:mask], self.alphabet, self.hop / RATE))
            text = " ".join(word["word"] for word in spoken)
            found.append(Transcript(text, tuple(spoken) if words else ()))
        return found

    def save_assets(self, folder: Path) -> None:
        super().save_assets(folder)
        if self.alphabet is not None:
            self.alphabet.save(folder)

    def adapter_base(self) -> AdapterBase:
        base = super().adapter_base()
        if not self.fresh:
            return base
        # Adapters come with the head, which must have the place that it takes.
        sizes = f"vocab_size={self.config.vocab_size}, ignore_mismatched_sizes=True"
        return replace(base, code=base.code.replace("{weights!r}", f"{{weights!r}}, {sizes}"))

    def published_model(self, task: Task) -> TransformersModel:
        from mmft_audio.published_models import ctc_model  # Which imports the tasks.

        return ctc_model(self, task)


class _Labels(nn.Module):
    """{"waves" (B, T), "lengths" (B,)} to {"logits" (B, F, V), "frames" (B,)}."""

    def __init__(self, backbone: CtcBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, given: Tensors) -> Tensors:
        features = self.backbone.encode(given)
        assert features.mask is not None
        return {"logits": self.backbone._logits(features), "frames": features.mask.sum(1)}


def _extracted(extractor: Any, waves: Tensor, lengths: Tensor, width: int, stride: int) -> Tensor:
    """Features (B, C, F) by convolutions of which the first is normed over all of a recording.

    Padding counts for nothing in the norm, which would change what it holds.

    Args:
        width, stride: of the first, around which there may be an adapter.
    """
    first, *others = extractor.conv_layers
    hidden = first.conv(waves[:, None])
    count = ((lengths - width) // stride + 1)[:, None, None]
    there = torch.arange(hidden.shape[2], device=hidden.device) < count
    mean = (hidden * there).sum(2, keepdim=True) / count
    centred = (hidden - mean) * there
    variance = centred.square().sum(2, keepdim=True) / count
    norm = first.layer_norm
    scaled = centred * (variance + norm.eps).rsqrt()
    hidden = first.activation(scaled * norm.weight[:, None] + norm.bias[:, None])
    for layer in others:
        hidden = layer(hidden)
    found: Tensor = hidden
    return found


def _words(labels: Sequence[int], alphabet: Alphabet, hop: float) -> Iterator[Word]:
    """Read labels of moments as words: what repeats is one letter, and blanks are none.

    A word ends where its last letter does, whatever follows it.
    """
    letters, start, end, at = "", 0, 0, 0
    for label, run in groupby(labels):
        length = len(list(run))
        letter = alphabet.letter(label)
        if letter == " " and letters:
            yield _word(letters, start, end, hop)
            letters = ""
        elif letter.strip():
            start = start if letters else at
            letters += letter
            end = at + length
        at += length
    if letters:
        yield _word(letters, start, end, hop)


def _word(letters: str, start: int, end: int, hop: float) -> Word:
    return Word(word=letters, start=round(start * hop, 2), end=round(end * hop, 2))
