"""What the text backbones have in common: finding or making the network, layers, assets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedConfig

from mmft_core.contracts import Backbone, BackboneContext
from mmft_core.weights import LoadedWeights
from mmft_text.checkpoints import (
    Checkpoint,
    check_architecture,
    find_checkpoint,
    load_network,
    make_network,
)
from mmft_text.families import SIZES, Family, positions, resized
from mmft_text.options import TextBackboneOptions
from mmft_text.processing import TextProcessor, Vocabulary
from mmft_text.tokenizers import Kind, train_tokenizer


class TextBackbone(Backbone):
    """A network of transformers with its tokenizer."""

    auto: Any
    kind: Kind
    processor: TextProcessor

    def __init__(self, network: nn.Module, tokenizer: Any, options: TextBackboneOptions) -> None:
        super().__init__()
        self.network, self.tokenizer = network, tokenizer
        self.width = self.config.hidden_size
        self.vocabulary = Vocabulary.of(tokenizer)
        self.positions = positions(self.config)
        self.processor = TextProcessor(
            vocabulary=self.vocabulary,
            max_length=min(options.max_length, self.positions or options.max_length),
            overlong=options.overlong,
        )

    @property
    def config(self) -> PreTrainedConfig:
        config: PreTrainedConfig = self.network.config  # type: ignore[assignment]
        return config

    def layers(self) -> Sequence[nn.Module]:
        return depth_order(self.network)

    def enable_checkpointing(self) -> None:
        network: Any = self.network
        network.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": False}
        )

    def save_assets(self, folder: Path) -> None:
        self.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def builder(
    kind: type[TextBackbone], family: Family
) -> Callable[[TextBackboneOptions, BackboneContext], TextBackbone]:
    """Make the `build` of one name."""

    def build(options: TextBackboneOptions, context: BackboneContext) -> TextBackbone:
        if context.assets is not None:
            checkpoint: Checkpoint | None = Checkpoint(context.assets)
            loaded = LoadedWeights(source="run")
        else:
            checkpoint, loaded = find_checkpoint(context, family)
        if checkpoint is None:
            network, tokenizer, remark = _random(kind, family, options, context)
            loaded = replace(loaded, detail=f"{loaded.detail} {remark}".strip())
        else:
            config, tokenizer = checkpoint.config(), checkpoint.tokenizer()
            if context.assets is None:
                check_architecture(checkpoint, config, family)
                network = load_network(kind.auto, checkpoint, config, options.load_bits)
            else:
                network = make_network(kind.auto, config)
        backbone = kind(network, tokenizer, options)
        backbone.loaded = loaded
        return backbone

    return build


def _random(
    kind: type[TextBackbone], family: Family, options: TextBackboneOptions, context: BackboneContext
) -> tuple[nn.Module, Any, str]:
    """A network of random weights with a tokenizer of its own, and a remark on its size."""
    assert context.train is not None
    tokenizer = train_tokenizer(context.train, options.vocabulary, kind.kind)
    config = family.published_config()
    size, remark = options.random_size if options.size == "auto" else options.size, ""
    if size != "published":
        config = resized(config, SIZES[size])
        remark = (
            f"A {size} {config.model_type} network ({SIZES[size].layers} layers, "
            f"width {SIZES[size].width}) is trained in its place."
        )
    config.vocab_size = len(tokenizer)
    pad, start, end = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    roles = {"pad": pad, "bos": start, "cls": start, "eos": end, "sep": end}
    for role, token in roles.items():
        if hasattr(config, f"{role}_token_id"):
            setattr(config, f"{role}_token_id", token)
    if config.is_encoder_decoder:
        config.decoder_start_token_id = pad
    return make_network(kind.auto, config), tokenizer, remark


def masked_mean(sequence: Tensor, mask: Tensor) -> Tensor:
    """The mean of a sequence (B, T, D) where the mask (B, T) is True."""
    weights = mask.unsqueeze(-1).to(sequence.dtype)
    return (sequence * weights).sum(1) / weights.sum(1).clamp(min=1)


def depth_order(network: nn.Module) -> list[nn.Module]:
    """The layers of a network of transformers: embeddings, then its blocks.

    Blocks are lists of like modules. What is registered before the first of them, or is an
    embedding, belongs to the embeddings; what comes behind a block (a norm, a head) to that block.
    """
    first: list[nn.Module] = []
    layers: list[list[nn.Module]] = [first]
    inside: list[str] = []
    seen: set[int] = set()
    for name, module in network.named_modules():
        if any(name.startswith(prefix) for prefix in inside):
            continue
        if _is_block_list(module):
            inside.append(f"{name}.")
            layers += [[block] for block in module.children()]
            seen |= {id(p) for p in module.parameters()}
        elif not list(module.children()):
            own = [p for p in module.parameters() if id(p) not in seen]
            if not own and list(module.parameters()):
                continue  # It shares the weights of another, as an output layer does.
            seen |= {id(p) for p in own}
            (first if "embed" in name or "shared" in name else layers[-1]).append(module)
    return [nn.ModuleList(layer) for layer in layers]


def _is_block_list(module: nn.Module) -> bool:
    """Whether a module is a list of blocks of one class."""
    blocks = list(module.children())
    return (
        isinstance(module, nn.ModuleList)
        and len({type(block) for block in blocks}) == 1
        and bool(list(blocks[0].children()))
    )


def position_ids(mask: Tensor) -> Tensor:
    """Positions (B, T) that count what the mask (B, T) leaves, wherever padding stands."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def accepted(function: Any, **arguments: Any) -> dict[str, Any]:
    """Those of the arguments that a network's forward pass knows."""
    import inspect

    known = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in known}
