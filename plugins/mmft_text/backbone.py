"""What the text backbones have in common: finding or making the network, layers, assets."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmft_transformers.checkpoints import (
    Checkpoint,
    fill_from_run,
    find_checkpoint,
    load_network,
    make_network,
)
from mmft_transformers.network import TransformersBackbone
from mmft_transformers.sizes import SIZES, resized
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import GenerationConfig

from mmft_core.contracts import PADDING, BackboneContext
from mmft_core.splits import Joined
from mmft_core.weights import LoadedWeights
from mmft_text.checkpoints import check_fits
from mmft_text.families import Family, Kind, positions
from mmft_text.options import TextBackboneOptions
from mmft_text.processing import TextProcessor, Vocabulary
from mmft_text.quantization import check_bits, check_full, quantization
from mmft_text.tokenizers import train_tokenizer


class TextBackbone(TransformersBackbone):
    """A network of transformers with its tokenizer."""

    auto: Any
    kind: Kind
    processor: TextProcessor

    def __init__(self, network: nn.Module, tokenizer: Any, options: TextBackboneOptions) -> None:
        super().__init__()
        self.network, self.tokenizer = network, tokenizer
        self.width = self.config.hidden_size
        if hasattr(network, "generation_config"):
            # A checkpoint's own would fill in what the settings of a task leave open.
            network.generation_config = GenerationConfig()  # type: ignore[assignment]
        self.vocabulary = Vocabulary.of(tokenizer)
        self.positions = positions(network)
        self.processor = TextProcessor(
            vocabulary=self.vocabulary,
            max_length=min(options.max_length, self.positions or options.max_length),
            overlong=options.overlong,
        )

    def save_assets(self, folder: Path) -> None:
        super().save_assets(folder)
        self.tokenizer.save_pretrained(folder)


def builder(
    kind: type[TextBackbone], family: Family
) -> Callable[[TextBackboneOptions, BackboneContext], TextBackbone]:
    """Make the `build` of one name."""

    def build(options: TextBackboneOptions, context: BackboneContext) -> TextBackbone:
        if context.weights.choice == "run" and context.assets is not None:
            own = Checkpoint(context.assets)
            backbone = kind(make_network(kind.auto, own.config()), own.tokenizer(), options)
            backbone.loaded = LoadedWeights(source="run")
            return backbone
        check_bits(options.load_bits, context.weights.choice)
        checkpoint, loaded = find_checkpoint(context, family.hub_id)
        if checkpoint is None:
            return _random(kind, family, options, context, loaded)
        config, tokenizer = checkpoint.config(), checkpoint.tokenizer()
        check_fits(checkpoint, config, tokenizer, family, kind.kind)
        if checkpoint.run is not None:
            check_full(options.load_bits, checkpoint.run)
            backbone = kind(make_network(kind.auto, config), tokenizer, options)
            fill_from_run(backbone, checkpoint.run, "text")
        else:
            network = load_network(kind.auto, checkpoint, config, quantization(options.load_bits))
            backbone = kind(network, tokenizer, options)
            backbone.quantized = options.load_bits is not None
        backbone.loaded = loaded
        return backbone

    return build


def _random(
    kind: type[TextBackbone],
    family: Family,
    options: TextBackboneOptions,
    context: BackboneContext,
    loaded: LoadedWeights,
) -> TextBackbone:
    """A backbone of random weights, with a tokenizer of its own.

    Args:
        loaded: why it is random, to which a remark on its size is added.
    """
    texts = not context.info.classes  # What else are targets that are strings?
    # Without data, when only the size is asked for, the tokenizer stays one of bytes.
    train = context.train if context.train is not None else Joined(())
    tokenizer = train_tokenizer(train, options.vocabulary, kind.kind, targets=texts)
    config = family.published_config()
    size = options.random_size if options.size == "auto" else options.size
    if size != "published":
        config = resized(config, SIZES[size])
        network = f"{config.model_type} ({SIZES[size].layers} layers, width {SIZES[size].width})"
        remark = f"A {size} {network} is trained{' in its place' if loaded.fell_back else ''}."
        loaded = replace(loaded, detail=f"{loaded.detail} {remark}".strip())
    config.vocab_size = options.vocabulary if context.train is None else len(tokenizer)
    pad, start, end = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    roles = {"pad": pad, "bos": start, "cls": start, "eos": end, "sep": end}
    for role, token in roles.items():
        if hasattr(config, f"{role}_token_id"):
            setattr(config, f"{role}_token_id", token)
    if config.is_encoder_decoder:
        config.decoder_start_token_id = pad
    backbone = kind(make_network(kind.auto, config), tokenizer, options)
    backbone.loaded = loaded
    return backbone


def masked_mean(sequence: Tensor, mask: Tensor) -> Tensor:
    """The mean of a sequence (B, T, D) where the mask (B, T) is True."""
    weights = mask.unsqueeze(-1).to(sequence.dtype)
    return (sequence * weights).sum(1) / weights.sum(1).clamp(min=1)


def cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """The losses (B, T) in nats of targets (B, T) by logits (B, T, V); 0 at `PADDING`."""
    flat = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=PADDING, reduction="none"
    )
    return flat.view(targets.shape)


def position_ids(mask: Tensor) -> Tensor:
    """Positions (B, T) that count what the mask (B, T) leaves, wherever padding stands."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def accepted(function: Any, **arguments: Any) -> dict[str, Any]:
    """Those of the arguments that a network's forward pass knows."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in known}
