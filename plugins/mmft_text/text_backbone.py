"""A network for texts as a backbone, whatever it is made of."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from mmft_core.contracts import (
    Backbone,
    BackboneContext,
    Features,
    ModuleBackbone,
    Tensors,
    as_features,
)
from mmft_core.data import Joined
from mmft_core.errors import WeightsError, first_line
from mmft_core.weights import LoadedWeights
from mmft_text.options import TextOptions
from mmft_text.processing import TextProcessor, Vocabulary
from mmft_text.tokenizers import train_tokenizer


class Tokenized(Backbone):
    """A backbone with a tokenizer, which is kept with its model."""

    processor: TextProcessor
    tokenizer: PreTrainedTokenizerFast

    def read_with(
        self, tokenizer: PreTrainedTokenizerFast, options: TextOptions, positions: int | None
    ) -> None:
        """Set the tokenizer and the processor.

        Args:
            positions: how many tokens the network has positions for; None for any number.
        """
        self.tokenizer = tokenizer
        self.vocabulary = Vocabulary.of(tokenizer)
        self.positions = positions
        self.processor = TextProcessor(
            vocabulary=self.vocabulary,
            max_length=min(options.max_length, positions or options.max_length),
            overlong=options.overlong,
        )

    def save_assets(self, folder: Path) -> None:
        super().save_assets(folder)
        self.tokenizer.save_pretrained(folder)


class TextBackbone(Tokenized, ModuleBackbone):
    """Tokenization, padding and pooling around a network of one's own.

    For a network of transformers, `mmft_text.parts.builder` is shorter.
    """

    def __init__(
        self,
        body: nn.Module,
        tokenizer: PreTrainedTokenizerFast,
        options: TextOptions,
        context: BackboneContext,
        *,
        positions: int | None = None,
        width: int | None = None,
        loaded: LoadedWeights | None = None,
    ) -> None:
        """Args:
        body: called with tokens (B, T) int64 and their mask (B, T) bool, True where there is a
            token; returns a sequence (B, T, D), pooled features (B, D), or `Features`.
        tokenizer: of transformers; `tokenizer_of` trains one.
        positions: see `Tokenized.read_with`.
        width: D; by default the body encodes a token, which tells.
        loaded: what `context.weights.load(body, published=...)` returned. By default no weights
            are published, and those are loaded that the user names.
        """
        super().__init__(body)
        self.read_with(tokenizer, options, positions)
        one = torch.zeros(1, 1, dtype=torch.int64)
        self.width = self.measured_width(one, one == 0) if width is None else width
        self.loaded = loaded or context.weights.load(self.body, published=None)

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"tokens": (B, T), "mask": (B, T)}."""
        mask = inputs["mask"]
        return as_features(self.body(inputs["tokens"], mask), mask)


def tokenizer_of(context: BackboneContext, options: TextOptions) -> PreTrainedTokenizerFast:
    """The tokenizer of a network of one's own.

    On reloading, the one that was kept with the model; with `--weights RUN`, that run's, without
    which its weights would mean something else. Otherwise a byte-level BPE, trained on the training
    texts.

    Raises:
        WeightsError: the weights are without a tokenizer, or it cannot be read.
    """
    weights = context.weights
    if context.assets is not None:
        return _read(context.assets)
    if weights.choice not in ("auto", "pretrained", "none", "run"):
        found, _ = weights.find(published=None, local=lambda path: path)
        for model in (found / "model", found) if found is not None else ():
            assets = model / "assets" / weights.modality
            if assets.is_dir():
                return _read(assets)
        raise WeightsError(
            f"There is no tokenizer for the weights in {weights.choice}.",
            hint="Give the directory of a run, which holds both.",
        )
    # Without data, when only the size is asked for, the tokenizer is one of bytes.
    train = context.train if context.train is not None else Joined(())
    texts = not context.info.classes  # Then targets that are strings are texts.
    return train_tokenizer(train, options.vocabulary, "encoder", targets=texts)


def _read(folder: Path) -> PreTrainedTokenizerFast:
    try:
        tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
            folder, local_files_only=True
        )
    except Exception as error:  # Whatever comes of files of any content.
        raise WeightsError(
            f"The tokenizer in {folder} cannot be loaded: {first_line(error)}."
        ) from None
    return tokenizer
