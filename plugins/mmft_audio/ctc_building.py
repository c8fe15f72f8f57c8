"""CTC networks: published, from a folder, or random with an alphabet of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCTC,
    HubertConfig,
    PreTrainedConfig,
    Wav2Vec2Config,
)
from transformers.models.auto import modeling_auto

from mmft_audio.characters import Alphabet
from mmft_audio.ctc import RATE, CtcBackbone
from mmft_audio.options import CtcOptions
from mmft_audio.transcripts import transcripts, writes
from mmft_core.contracts import BackboneContext
from mmft_core.errors import WeightsError
from mmft_core.utils import counted
from mmft_core.weights import LoadedWeights
from mmft_transformers.building import Builder
from mmft_transformers.checkpoints import Checkpoint, load_network, make_network
from mmft_transformers.sizes import chosen_size, size_name

Build: TypeAlias = Callable[[CtcOptions, BackboneContext], CtcBackbone]


@dataclass(frozen=True)
class CtcBuilder(Builder[CtcBackbone]):
    """How a CTC network is built, with a head where the task needs transcripts.

    Attributes:
        published: the architecture of the name, for random weights.
    """

    options: CtcOptions
    published: PreTrainedConfig

    tokenizer = False

    def check(self, checkpoint: Checkpoint) -> None:
        config = checkpoint.config()
        known = config.model_type in modeling_auto.MODEL_FOR_CTC_MAPPING_NAMES
        squeezed = hasattr(config, "squeeze_factor")  # SEW's frames are others than its features.
        if not known or squeezed or not hasattr(config, "conv_stride"):
            raise WeightsError(
                f"{checkpoint.folder} holds a network of type {config.model_type}, "
                "which does not label audio with characters."
            )

    def empty(self, checkpoint: Checkpoint) -> CtcBackbone:
        alphabet = Alphabet.load(checkpoint.folder) if writes(self.context) else None
        return self._made(checkpoint.config(), alphabet)

    def filled(
        self, checkpoint: Checkpoint, loaded: LoadedWeights
    ) -> tuple[CtcBackbone, LoadedWeights]:
        config: Any = checkpoint.config()
        headed = any(name.endswith("ForCTC") for name in config.architectures or ())
        network: Any = load_network(AutoModelForCTC if headed else AutoModel, checkpoint, config)
        # Kept with the network's other facts.
        config.mmft_normalize = network.config.mmft_normalize = _normalizes(checkpoint)
        if not writes(self.context):
            return CtcBackbone(network.base_model, None, self.options), loaded
        alphabet, remark = self._alphabet(network, checkpoint)
        if headed:
            if len(alphabet.labels) != network.lm_head.out_features:
                _widen(network, len(alphabet.labels))
            backbone = CtcBackbone(network, alphabet, self.options)
        else:
            backbone = self._made(checkpoint.config(), alphabet)
            backbone.body.load_state_dict(network.state_dict())
        if remark:
            backbone.fresh = ("network.lm_head",)
        return backbone, replace(loaded, detail=f"{loaded.detail} {remark}".strip())

    def _alphabet(self, network: Any, checkpoint: Checkpoint) -> tuple[Alphabet, str]:
        """The alphabet, and what is new in the head that writes it, if anything is."""
        texts = list(transcripts(self.context.train))
        headed = hasattr(network, "lm_head")
        own, new = _known(network, checkpoint, texts) if headed else (None, "")
        if self.context.assets is not None:  # Chosen when the run began.
            alphabet = Alphabet.load(self.context.assets)
            new = "".join(alphabet.labels[len(own.labels) :]) if own else ""
        elif own is None:
            alphabet = Alphabet.of_texts(texts)
        else:
            alphabet = replace(own, labels=(*own.labels, *own.fit(new)))
        if own is None:
            return alphabet, "Its head is new."
        return alphabet, f"Its head gains {counted(len(new), 'character')}: {new}" if new else ""

    def random(self, loaded: LoadedWeights) -> tuple[CtcBackbone, LoadedWeights]:
        """With an alphabet of the training transcripts."""
        config, loaded = chosen_size(self.published, self.options, loaded)
        if size_name(self.options) != "published":
            config.conv_dim = [config.hidden_size] * len(config.conv_dim)
        # Norms of each moment: what comes of a recording then does not depend on its length.
        config.feat_extract_norm = "layer"
        config.do_stable_layer_norm = config.conv_bias = True
        alphabet = None
        if writes(self.context):
            alphabet = Alphabet.of_texts(transcripts(self.context.train))
        return self._made(config, alphabet), loaded

    def _made(self, config: Any, alphabet: Alphabet | None) -> CtcBackbone:
        """A network with random weights, and a head for an alphabet."""
        if alphabet is None:
            return CtcBackbone(make_network(AutoModel, config), None, self.options)
        config.vocab_size, config.pad_token_id = len(alphabet.labels), alphabet.blank
        return CtcBackbone(make_network(AutoModelForCTC, config), alphabet, self.options)


def _normalizes(checkpoint: Checkpoint) -> bool:
    """Whether waves are to be normalized.

    Raises:
        WeightsError: they are to be of another rate.
    """
    told = checkpoint.preprocessing()
    rate = told.get("sampling_rate", RATE)
    if rate != RATE:
        raise WeightsError(f"{checkpoint.folder} holds a network of {rate} samples per second.")
    return bool(told.get("do_normalize", True))


def _known(network: Any, checkpoint: Checkpoint, texts: Sequence[str]) -> tuple[Alphabet, str]:
    """The alphabet of a network's head, and the characters of texts that it lacks."""
    lower = not any(c.isupper() for text in texts for c in text)
    tokenizer = checkpoint.tokenizer(fast=False)
    try:
        alphabet = Alphabet.of_tokenizer(tokenizer, network.lm_head.out_features, lower=lower)
    except ValueError as error:
        raise WeightsError(
            f"The tokenizer in {checkpoint.folder} does not fit the network: {error}."
        ) from None
    return alphabet, "".join(sorted({c for text in texts for c in alphabet.lacks(text)}))


def _widen(network: Any, labels: int) -> None:
    """Give a head more labels, whose weights start small."""
    old: nn.Linear = network.lm_head
    head = nn.Linear(old.in_features, labels)
    with torch.no_grad():
        head.weight.normal_(std=0.02)
        # As rare as can be until they are learned.
        head.bias.fill_(float(old.bias.min()))
        head.weight[: old.out_features] = old.weight
        head.bias[: old.out_features] = old.bias
    network.lm_head = head
    network.config.vocab_size = labels


def _builder(hub_id: str | None, published: Callable[[], PreTrainedConfig]) -> Build:
    def build(options: CtcOptions, context: BackboneContext) -> CtcBackbone:
        return CtcBuilder(hub_id, options, context, published()).build()

    return build


_LARGE: Any = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}

build_wav2vec2_base = _builder("facebook/wav2vec2-base-960h", Wav2Vec2Config)
build_wav2vec2_large = _builder(
    "facebook/wav2vec2-large-960h-lv60-self", lambda: Wav2Vec2Config(**_LARGE)
)
build_hubert_large = _builder("facebook/hubert-large-ls960-ft", lambda: HubertConfig(**_LARGE))
build_ctc = _builder(None, Wav2Vec2Config)
