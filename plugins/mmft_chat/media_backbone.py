"""Models that see and hear, and chat: a network with the processor of its family."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoProcessor

from mmft_chat.backbone import ChatBackbone
from mmft_chat.building import ChatBuilder, name_tokens, template_source
from mmft_chat.conversations import CALLED
from mmft_chat.media_processing import OWN, ROWS, MediaProcessor
from mmft_chat.networks import evaluated
from mmft_chat.options import MediaBackboneOptions
from mmft_chat.packing import MIXES, UnpackableError, packed, places_of
from mmft_chat.packing_trial import agree, recorded, shallow, trial_chats
from mmft_chat.parts import parts_of
from mmft_chat.templates import Template
from mmft_core import resolve
from mmft_core.config import Generation
from mmft_core.contracts import Graph, Tensors
from mmft_core.engine import has_values
from mmft_core.errors import ConfigError, IncompatibleError, WeightsError, first_line
from mmft_core.weights import LoadedWeights
from mmft_transformers.checkpoints import Checkpoint
from mmft_transformers.generation import one_by_one
from mmft_transformers.narrowing import check_config
from mmft_transformers.network import fix_parameter
from mmft_transformers.options import SIZES
from mmft_transformers.published_models import Described, loading
from mmft_transformers.quiet import quietly

_HOLDS: Mapping[str, Any] = {
    "mllama": "some",
    "paligemma": "some",
    "audioflamingo3": "one",
    "musicflamingo": "one",
}
"""Network types that restrict how many pictures and recordings a chat may have; see
`MediaProcessor.holds`."""


class MediaChatBackbone(ChatBackbone):
    """A network with the processor of its family, whose tokenizer may have the chat template."""

    processor: MediaProcessor

    def __init__(
        self, network: nn.Module, family: Any, options: MediaBackboneOptions, template: str
    ) -> None:
        super().__init__(network, family.tokenizer, options, template)
        plain = self.processor
        self.family = family
        self.processor = MediaProcessor(
            backend=plain.backend,
            template=Template.of(self.tokenizer, plain.template.source, structured=True),
            pad=plain.pad,
            max_length=plain.max_length,
            overlong=plain.overlong,
            family=family,
            holds=_HOLDS.get(self.config.model_type, "any"),
            max_pixels=options.max_pixels,
        )
        if hasattr(self.config, "vision_feature_layer"):  # The states before this norm are read.
            tower = getattr(self.network.base_model, "vision_tower", None)
            norm = getattr(tower, "post_layernorm", None)
            for name in ("weight", "bias") if norm is not None else ():
                fix_parameter(norm, name)
        for module in self.network.modules():  # Such as sinusoids, which are no weights.
            if isinstance(module, nn.Embedding) and not module.weight.requires_grad:
                fix_parameter(module, "weight")
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        return parts_of(self.network)

    def roles(self) -> Mapping[str, Sequence[str]]:
        """Without the convolutions of audio towers, because transformers reads their strides and
        adapters have none."""
        kept = {
            role: [n for n in names if not isinstance(self.get_submodule(n), nn.Conv1d)]
            for role, names in super().roles().items()
        }
        return {role: names for role, names in kept.items() if names}

    # --- packing --------------------------------------------------------------------------------

    @property
    def ignores_padding(self) -> bool:
        """Always true: their language models use attention, which masks padding."""
        return True

    def _run(self, module: Any, inputs: Tensors, **more: Any) -> Any:
        shape = inputs["tokens"].shape
        with packed(self.network.get_decoder(), inputs.get(ROWS), shape):
            return super()._run(module, inputs, **more)

    @torch.no_grad()
    def _try_packing(self) -> str | None:
        """Chats with pictures or recordings have to keep their states when they share a row."""
        weight = self.network.get_input_embeddings().weight
        if not has_values(weight):
            return None  # Of an estimate.
        device = weight.device
        processor = replace(self.processor, max_length=sys.maxsize)
        decoder = self.network.get_decoder()
        try:
            chats = [processor.prepare(c, train=True) for c in trial_chats(processor.reads)]
            inputs = {name: t.to(device) for name, t in processor.collate(chats).items()}
            there = inputs["samples"] >= 0
            rows = places_of([[0, 1]], there.sum(1).tolist()).to(device)
            with evaluated(self.network), shallow(decoder), recorded(decoder) as calls:
                together = self._states({**inputs, ROWS: rows})
                apart = decoder(**calls[-1]).last_hidden_state
        except UnpackableError as error:
            return error.reason
        except Exception as error:  # Whatever comes of noise, which is not what a family expects.
            return f"trying it failed ({first_line(error)})"
        same = agree(apart[there], together[there], self._rounding)
        return None if same else MIXES

    def _arguments(self, inputs: Tensors) -> dict[str, Any]:
        return {name: t for name, t in inputs.items() if name not in OWN}

    def _groups(self, lengths: Sequence[int], settings: Generation) -> list[list[int]]:
        """All at once, for pictures and recordings do not say which chat they are of. So a prompt
        that is nearly as long as the network allows shortens the answers to the others."""
        if one_by_one(settings) and len(lengths) > 1:
            raise ConfigError(
                "Beam search with sampling works on only one chat with pictures or recordings at a "
                "time.",
                hint="Leave out task.sample or task.num_beams.",
            )
        return [list(range(len(lengths)))]

    def _prompts(self, inputs: Tensors) -> dict[str, Tensor]:
        """Pictures and recordings as they are, since all stand before the last answer."""
        given = {n: t for n, t in inputs.items() if n not in (*OWN, "prompt", "prompt_mask")}
        shape, lengths = inputs["input_ids"].shape, inputs["prompt_length"].tolist()
        for name, tensor in given.items():
            if tensor.shape[:2] == shape:
                padding = self.processor.pad if name == "input_ids" else 0
                given[name] = _left(tensor, lengths, padding)
        return given

    def _prompt_lengths(self, inputs: Tensors) -> list[int]:
        return inputs["prompt_length"].tolist()

    def _prompted(self, inputs: Tensors) -> Tensors:
        lengths = inputs["prompt_length"].tolist()
        prompt = _left(inputs["input_ids"], lengths, self.processor.pad)
        mask = _left(inputs["attention_mask"], lengths, 0).bool()
        return {**inputs, "prompt": prompt, "prompt_mask": mask}

    def graphs(self) -> Sequence[Graph]:
        raise IncompatibleError(
            "A model that reads pictures or recordings cannot be exported as a graph.",
            hint="Export it as a transformers folder: --format safetensors",
        )

    def _described(self) -> Described:
        reads = self.processor.reads
        kinds = " and ".join(f"{CALLED[kind]}s" for kind in reads)
        return Described(
            code=loading(self.loaded_by, processor="AutoProcessor"),
            note=f"It answers chats with {kinds} and uses the chat template of its processor.",
            pipeline="audio-text-to-text" if "audio" in reads else "image-text-to-text",
        )

    def _save_reader(self, folder: Path) -> None:
        self.family.chat_template = self.processor.template.source
        self.family.save_pretrained(folder)


def _left(rows: Tensor, lengths: Sequence[int], padding: int) -> Tensor:
    """The beginnings of rows (B, L, ...), padded on the left."""
    own = [row[:length] for row, length in zip(rows, lengths, strict=True)]
    return pad_sequence(own, batch_first=True, padding_value=padding, padding_side="left")


@dataclass(frozen=True)
class MediaChatBuilder(ChatBuilder):
    """How a backbone that sees or hears is built."""

    autos: ClassVar[tuple[Any, ...]] = ()
    """The classes of transformers that make such networks, in the order in which they are tried."""
    parts: ClassVar[tuple[str, ...]] = ()
    """One of these is an attribute of a processor of the right kind."""
    reads: ClassVar[str] = ""
    """What such a network reads, for messages."""

    def auto(self, config: Any, checkpoint: Checkpoint | None = None) -> Any:
        for auto in self.autos:
            if type(config) in auto._model_mapping:
                return auto
        where = checkpoint.folder if checkpoint is not None else self.options.network
        raise WeightsError(
            f"{where} holds a network of type {config.model_type}, which does not read "
            f"{self.reads}.",
            hint="Choose the backbone chat-lm for language models.",
        )

    def reader(self, checkpoint: Checkpoint) -> Any:
        folder = checkpoint.folder
        try:
            check_config(folder)
            # Some compute filters here, which must not be on the meta device of an export.
            with quietly(), torch.device("cpu"):
                found = self.processor(checkpoint)
        except Exception as error:  # Whatever comes of files of any content.
            raise WeightsError(
                f"The processor in {folder} cannot be loaded: {first_line(error)}."
            ) from None
        if not hasattr(found, "tokenizer") or not any(hasattr(found, p) for p in self.parts):
            raise WeightsError(
                f"{folder} has no processor for texts and {self.reads}.",
                hint="Choose the backbone chat-lm for language models.",
            )
        return found

    def processor(self, checkpoint: Checkpoint) -> Any:
        """The processor of a folder."""
        return AutoProcessor.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=False
        )

    def template_of(self, reader: Any) -> str:
        """The processor's, or else its tokenizer's."""
        own = getattr(reader, "chat_template", None)
        if self.options.chat_template is None and isinstance(own, str):
            return own
        return template_source(reader.tokenizer, self.options)

    def backbone(self, network: Any, reader: Any) -> ChatBackbone:
        assert isinstance(self.options, MediaBackboneOptions)
        found = MediaChatBackbone(network, reader, self.options, self.template_of(reader))
        found.loaded_by = self.auto(network.config).__name__
        return found

    def small(self, loaded: LoadedWeights) -> tuple[Any, Any, LoadedWeights]:
        name = self.options.random()
        size = SIZES["base" if name == "published" else name]
        make = resolve(f"mmft_chat.small_networks:{self.options.network or self.network}")
        reader, config = make(self.train_tokenizer, size)
        name_tokens(config.get_text_config(), reader.tokenizer)
        remark = (
            f"A {name} {config.model_type} ({size.layers} layers, width {size.width}) is trained"
            f"{' instead' if loaded.fell_back else ''}."
        )
        return reader, config, replace(loaded, detail=f"{loaded.detail} {remark}".strip())
