"""From a checkpoint, or from nothing, to a chat backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from mmft_chat.backbone import ChatBackbone
from mmft_chat.options import ChatBackboneOptions
from mmft_chat.scratch import CHATML, random_tokenizer
from mmft_chat.trials import Trials
from mmft_core.contracts import BackboneContext
from mmft_core.errors import ConfigError, WeightsError, first_line
from mmft_core.utils import user_path
from mmft_core.weights import LoadedWeights
from mmft_text.quantization import check_bits, check_full, quantization
from mmft_transformers.building import Builder, draw
from mmft_transformers.checkpoints import Checkpoint, load_network, make_network
from mmft_transformers.generation import read_advice
from mmft_transformers.options import SizeOptions
from mmft_transformers.sizes import chosen_size

_BASE = {
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "head_dim": 64,
    "tie_word_embeddings": True,
}
"""Of language models whose weights are random, whatever their type."""


@dataclass(frozen=True)
class ChatBuilder(Builder[ChatBackbone]):
    """How a chat backbone is built. Those that see and hear differ in a few steps."""

    options: ChatBackboneOptions
    network: ClassVar[str] = "llama"
    """What random weights are of, where the options name no family."""

    def build(self) -> ChatBackbone:
        context = self.context
        if context.train is not None:  # A dry run only counts.
            check_bits(self.options.load_bits, context.weights.choice, self.hub_id)
        found = super().build()
        if context.assets is not None:
            found.trials = Trials.read(context.assets) or found.trials
        if self.finished and found.trials.mixes is None:
            draw(found.network)
        return found

    def check(self, checkpoint: Checkpoint) -> None:
        check_full(self.options.load_bits, checkpoint.run)

    def empty(self, checkpoint: Checkpoint) -> ChatBackbone:
        config = checkpoint.config()
        network: Any = make_network(self.auto(config, checkpoint), config)
        advice = read_advice(checkpoint.folder)
        if advice is not None:
            network.generation_config = advice
        found = self.backbone(network, self.reader(checkpoint))
        found.bits = self.options.load_bits
        return found

    def filled(
        self, checkpoint: Checkpoint, loaded: LoadedWeights
    ) -> tuple[ChatBackbone, LoadedWeights]:
        config = checkpoint.config()
        auto, reader = self.auto(config, checkpoint), self.reader(checkpoint)
        self.template_of(reader)  # Before weights are read.
        bits = self.options.load_bits
        check_bits(bits, self.context.weights.choice, self.hub_id)
        network = load_network(auto, checkpoint, config, quantization(bits))
        backbone = self.backbone(network, reader)
        backbone.quantized = bits is not None
        return backbone, loaded

    def random(self, loaded: LoadedWeights) -> tuple[ChatBackbone, LoadedWeights]:
        """With a tokenizer of its own."""
        reader, config, loaded = self.small(loaded)
        if self.context.train is None:
            config.get_text_config().vocab_size = self.options.vocabulary
        network = make_network(self.auto(config), config)
        for parameter in network.parameters():
            # Gemma 3 initializes its connector with zeros, behind which a random tower gets no
            # gradient.
            if parameter.ndim == 2 and not parameter.is_meta and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)
        return self.backbone(network, reader), loaded

    # --- what kinds of models differ in ----------------------------------------------------------

    def auto(self, config: Any, checkpoint: Checkpoint | None = None) -> Any:
        """The class of transformers that makes networks of a configuration.

        Raises:
            WeightsError: the checkpoint is of another kind of network.
        """
        return AutoModelForCausalLM

    def reader(self, checkpoint: Checkpoint) -> Any:
        """What a network's chats are read by: a tokenizer, or the processor that has one.

        Raises:
            WeightsError: it cannot be loaded.
        """
        return checkpoint.tokenizer()

    def template_of(self, reader: Any) -> str:
        """The source of the chat template.

        Raises:
            WeightsError: there is none.
        """
        return template_source(reader, self.options)

    def backbone(self, network: Any, reader: Any) -> ChatBackbone:
        return ChatBackbone(network, reader, self.options, self.template_of(reader))

    def small(self, loaded: LoadedWeights) -> tuple[Any, Any, LoadedWeights]:
        """A reader and a configuration for random weights, and what is to be told of them."""
        tokenizer = self.train_tokenizer()
        tokenizer.chat_template = CHATML
        config = AutoConfig.for_model(self.options.network or self.network, **_BASE)
        config, loaded = chosen_size(config, SizeOptions(size=self.options.random()), loaded)
        config.vocab_size = len(tokenizer)
        name_tokens(config, tokenizer)
        return tokenizer, config, loaded

    def train_tokenizer(self, *special: str, **named: str) -> Any:
        """One that is trained on the data; see `random_tokenizer`."""
        return random_tokenizer(self.context.train, self.options.vocabulary, *special, named=named)


def build_chat_lm(options: ChatBackboneOptions, context: BackboneContext) -> ChatBackbone:
    """Any causal language model of transformers.

    Raises:
        WeightsError: the weights cannot be had, or have no chat template.
    """
    return ChatBuilder(options.hub_id(), options, context).build()


def name_tokens(config: Any, tokenizer: Any) -> None:
    """Tell a configuration the tokens that a tokenizer pads, begins and ends with."""
    for role in ("pad", "bos", "eos"):
        setattr(config, f"{role}_token_id", getattr(tokenizer, f"{role}_token_id"))


def template_source(tokenizer: Any, options: ChatBackboneOptions) -> str:
    """The chat template that is used.

    Raises:
        ConfigError: the file that the options name cannot be read.
        WeightsError: there is none.
    """
    if options.chat_template is not None:
        path = user_path(options.chat_template)
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The chat template {path} cannot be read: {first_line(error)}."
            ) from None
    try:
        source: str = tokenizer.get_chat_template()
    except ValueError:
        raise WeightsError(
            f"The tokenizer in {tokenizer.name_or_path} has no chat template.",
            hint="Give one: --set backbone.chat_template=FILE.jinja, or choose weights that are "
            "tuned for chats (their names usually end in 'instruct' or 'it').",
        ) from None
    return source
