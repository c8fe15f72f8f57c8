"""What the text backbones have in common: finding or making the network, layers, assets."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedConfig

from mmft_core.contracts import BackboneContext, Task
from mmft_core.data import Joined
from mmft_core.weights import LoadedWeights
from mmft_text.checkpoints import check_fits
from mmft_text.families import Family, Kind, positions
from mmft_text.options import TextBackboneOptions
from mmft_text.quantization import check_bits, check_full, quantization
from mmft_text.text_backbone import Tokenized
from mmft_text.tokenizers import train_tokenizer
from mmft_transformers.building import Builder, draw
from mmft_transformers.checkpoints import Checkpoint, load_network, make_network
from mmft_transformers.generation import read_advice, save_advice
from mmft_transformers.network import TransformersBackbone
from mmft_transformers.published_models import TransformersModel
from mmft_transformers.sizes import chosen_size


class TransformersText(Tokenized, TransformersBackbone):
    """A network of transformers with its tokenizer.

    Attributes:
        writes: whether the task asks for texts or likelihoods, and not for features alone.
        start: what a decoder's text begins with; None for a network that continues its input.
        advice: what a checkpoint says of generation.
    """

    auto: Any
    kind: Kind
    writes: bool = False
    start: int | None = None
    advice: GenerationConfig | None = None
    task_type = "FEATURE_EXTRACTION"

    def __init__(self, network: nn.Module, tokenizer: Any, options: TextBackboneOptions) -> None:
        super().__init__()
        self.network = network
        self.width = self.config.hidden_size
        if hasattr(network, "generation_config"):
            self.advice = network.generation_config  # type: ignore[assignment]
            # A checkpoint's own would fill in what the settings of a task leave open.
            network.generation_config = GenerationConfig()  # type: ignore[assignment]
        self.read_with(tokenizer, options, positions(network))

    def save_assets(self, folder: Path) -> None:
        super().save_assets(folder)
        if self.advice is not None:
            save_advice(self.advice, folder)

    def use(self, needs: Collection[str]) -> None:
        """Know what a task asks of it: without texts to write, its network is that of features."""
        self.writes = asks_for_texts(needs)
        if self.writes:
            self.loaded_by, self.task_type = self.auto.__name__, _TASK_TYPES[self.kind]
        elif hasattr(self.network, self.network.base_model_prefix):
            self.published = f"network.{self.network.base_model_prefix}"

    def published_model(self, task: Task) -> TransformersModel:
        from mmft_text.published_models import published_model  # Which imports the tasks' metrics.

        return published_model(self, task)


def asks_for_texts(needs: Collection[str]) -> bool:
    """Whether a task asks for more than features."""
    return not {"pooled", "sequence"}.issuperset(needs)


_TASK_TYPES = {"causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM"}


def builder(
    kind: type[TransformersText], family: Family
) -> Callable[[TextBackboneOptions, BackboneContext], TransformersText]:
    """Make the `build` of one name."""

    def build(options: TextBackboneOptions, context: BackboneContext) -> TransformersText:
        builder = TextBuilder(family.hub_id, options, context, kind, family)
        if not builder.finished and context.train is not None:  # A dry run only counts.
            check_bits(options.load_bits, context.weights.choice, family.hub_id)
        return builder.build()

    return build


@dataclass(frozen=True)
class TextBuilder(Builder[TransformersText]):
    """How a text backbone is built."""

    kind: type[TransformersText]
    family: Family

    def build(self) -> TransformersText:
        backbone = super().build()
        backbone.use(self.context.needs)
        if self.finished and self.kind.kind == "causal" and backbone.writes:
            draw(backbone.network)  # Language modeling tries whether texts may share a row.
        return backbone

    def empty(self, checkpoint: Checkpoint) -> TransformersText:
        config, tokenizer = self._read(checkpoint)
        check_full(self.options.load_bits, checkpoint.run)
        network: Any = make_network(self.kind.auto, config)
        advice = read_advice(checkpoint.folder)
        if advice is not None:
            network.generation_config = advice
        found = self.kind(network, tokenizer, self.options)
        found.bits = self.options.load_bits
        return found

    def filled(
        self, checkpoint: Checkpoint, loaded: LoadedWeights
    ) -> tuple[TransformersText, LoadedWeights]:
        config, tokenizer = self._read(checkpoint)
        bits = self.options.load_bits
        writes = asks_for_texts(self.context.needs)
        network = load_network(
            self.kind.auto, checkpoint, config, quantization(bits), writes=writes
        )
        backbone = self.kind(network, tokenizer, self.options)
        backbone.quantized = bits is not None
        return backbone, loaded

    def random(self, loaded: LoadedWeights) -> tuple[TransformersText, LoadedWeights]:
        """With a tokenizer of its own."""
        context, options, kind = self.context, self.options, self.kind
        texts = not context.info.classes  # What else are targets that are strings?
        # Without data, when only the size is asked for, the tokenizer stays one of bytes.
        train = context.train if context.train is not None else Joined(())
        tokenizer = train_tokenizer(train, options.vocabulary, kind.kind, targets=texts)
        config, loaded = chosen_size(self.family.published_config(), options, loaded)
        config.vocab_size = options.vocabulary if context.train is None else len(tokenizer)
        pad, start, end = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
        roles = {"pad": pad, "bos": start, "cls": start, "eos": end, "sep": end}
        for role, token in roles.items():
            if hasattr(config, f"{role}_token_id"):
                setattr(config, f"{role}_token_id", token)
        if config.is_encoder_decoder:
            config.decoder_start_token_id = pad
        return kind(make_network(kind.auto, config), tokenizer, options), loaded

    def _read(self, checkpoint: Checkpoint) -> tuple[PreTrainedConfig, Any]:
        """Configuration and tokenizer, which fit the backbone."""
        config, tokenizer = checkpoint.config(), checkpoint.tokenizer()
        check_fits(checkpoint, config, tokenizer, self.family, self.kind.kind)
        return config, tokenizer


def position_ids(mask: Tensor) -> Tensor:
    """Positions (B, T) that count what the mask (B, T) leaves, wherever padding stands."""
    return (mask.cumsum(1) - 1).clamp(min=0)
