"""Vision-language models that chat: pictures between the words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPImageProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaProcessor,
    SiglipVisionConfig,
)
from transformers.generation.streamers import BaseStreamer

from mmft_chat.backbone import ChatBackbone, ChatBuilder, random_tokenizer, template_source
from mmft_chat.conversations import Conversation, Kind, Message
from mmft_chat.learned import Learn, prompt_of, rendered
from mmft_chat.media import open_picture
from mmft_chat.options import ChatBackboneOptions
from mmft_chat.processing import ChatProcessor, in_spans
from mmft_chat.showing import Spelled
from mmft_chat.templates import Span, Template
from mmft_core.config import Generation
from mmft_core.contracts import Axes, BackboneContext, Graph, Task, Tensors
from mmft_core.errors import ConfigError, IncompatibleError, WeightsError, first_line
from mmft_core.weights import LoadedWeights
from mmft_transformers.checkpoints import Checkpoint, load_network, make_network
from mmft_transformers.generation import read_advice
from mmft_transformers.narrowing import check_config
from mmft_transformers.network import fix_parameter
from mmft_transformers.options import SIZES
from mmft_transformers.published_models import Described, TransformersModel, loading
from mmft_transformers.quiet import quietly
from mmft_transformers.sizes import resized, size_name

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = "<image>"
CHATML_WITH_PICTURES = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The template of models that start from random weights."""

_PICTURE = "picture."
_OWN = ("learned", "positions", "samples", "tokens", "prompt_length")
"""What `collate` adds to what a processor of transformers gives."""

_SIDE, _PATCH = 32, 8
"""Pixels of the pictures of models that start from random weights."""


@dataclass(frozen=True)
class VisionProcessor(ChatProcessor):
    """Chats with pictures, collated by the processor of the model's family.

    Collates to what that gives ("input_ids" (B, L), "pixel_values", ...), and to "tokens",
    "samples", "positions" and "learned" as a `ChatProcessor`, each chat in a row of its own; and to
    "prompt_length" (B,), the number of tokens before the last answer.

    Attributes:
        family: a processor of transformers.
    """

    family: Any = None

    @property
    def reads(self) -> tuple[Kind, ...]:
        return ("image",)

    def prepare(self, raw: Conversation, *, train: bool) -> Tensors:
        """The text and its spans, and each picture in RGB (H, W, 3) uint8."""
        messages = self._kept(raw)
        text, spans, begins = self._text(messages, raw.tools)
        pictures = {
            f"{_PICTURE}{k}": torch.from_numpy(own) for k, own in enumerate(_pictures(messages))
        }
        written = np.frombuffer(text.encode(), dtype=np.uint8).copy()
        return {
            "text": torch.from_numpy(written),
            "spans": torch.tensor(spans, dtype=torch.int64).view(-1, 2),
            "begins": torch.tensor(begins),
            **pictures,
        }

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        texts = [bytes(item["text"].tolist()).decode() for item in items]
        pictures = [
            [t.numpy() for name, t in item.items() if name.startswith(_PICTURE)] for item in items
        ]
        found, offsets, moved = self._processed(texts, pictures)
        tokens, there = found["input_ids"], found["attention_mask"].bool()
        learned = torch.zeros_like(there)
        lengths = []
        for k, item in enumerate(items):
            spans = [(moved[k](int(a)), moved[k](int(b))) for a, b in item["spans"].tolist()]
            own = in_spans([(int(a), int(b)) for a, b in offsets[k].tolist()], spans)
            learned[k] = torch.from_numpy(own) & there[k]
            begins = moved[k](int(item["begins"]))
            before = (offsets[k][:, 1] <= begins) & there[k]
            lengths.append(int(before.sum()))
        places = torch.arange(tokens.shape[1]).expand(tokens.shape)
        rows = torch.arange(len(items))[:, None].expand(tokens.shape)
        return {
            **found,
            "tokens": tokens,
            "learned": learned,
            "positions": places.masked_fill(~there, 0),
            "samples": rows.masked_fill(~there, -1),
            "prompt_length": torch.tensor(lengths),
        }

    def axes(self) -> Axes:
        return {}

    def measure(self, raw: Conversation) -> None:
        """None: it would take the pictures."""

    def inspect(self, raw: Conversation, *, train: bool = False) -> str | None:
        if raw.media("audio"):
            raise ValueError("it holds a recording, and the model reads text and pictures alone")
        if len(self._kept(raw)) < len(raw.messages):
            return f"chat longer than {self.max_length} tokens, its first turns left out"
        return None

    def _text(
        self, messages: Sequence[Message], tools: Sequence[Any]
    ) -> tuple[str, Sequence[Span], int]:
        """A chat as text with placeholders, what is learned of it, and where the answer begins."""
        if messages[-1].role != "assistant":
            text = prompt_of(self.template, messages, tools)
            return text, (), len(text)
        whole = rendered(self.template, messages, tools, self.learn)
        return whole.text, whole.spans, whole.begins

    def _spelled(self, messages: Sequence[Message], tools: Sequence[Any]) -> Spelled:
        text, spans, _ = self._text(messages, tools)
        _, (offsets,), (moved,) = self._processed([text], [_pictures(messages)])
        own = [(int(a), int(b)) for a, b in offsets.tolist()]
        learned = in_spans(own, [(moved(a), moved(b)) for a, b in spans])
        return Spelled(text, moved.written_out(text), own, learned.tolist(), moved)

    def _length(self, messages: Sequence[Message], raw: Conversation) -> int:
        """Tokens of a chat, those of its pictures included."""
        text, _, _ = self._text(messages, raw.tools)
        found, _, _ = self._processed([text], [_pictures(messages)])
        return int(found["input_ids"].shape[1])

    def _processed(
        self, texts: list[str], pictures: list[list[Any]]
    ) -> tuple[Tensors, Tensor, list[Any]]:
        """What the family's processor makes of texts and pictures, padded on the right; the
        characters of each token (B, L, 2) in the texts in which each placeholder is written out,
        and where in these a character is.

        Raises:
            ValueError: placeholders do not match the pictures, or the processor does not tell.
        """
        mark = getattr(self.family, "image_token", None)
        for text, own in zip(texts, pictures, strict=True):
            if mark is not None and text.count(mark) != len(own):
                raise ValueError(
                    f"the chat template renders {text.count(mark)} placeholders for {len(own)} "
                    "pictures"
                )
        given: dict[str, Any] = {} if not any(pictures) else {"images": pictures}
        with quietly():
            found = self.family(
                text=list(texts),
                padding=True,
                padding_side="right",
                add_special_tokens=False,
                return_tensors=None,
                return_offsets_mapping=True,
                return_text_replacement_offsets=True,
                **given,
            )
        offsets = torch.tensor(found.pop("offset_mapping"))
        replaced = found.pop("text_replacement_offsets", None) or [[] for _ in texts]
        if any(pictures) and not any(replaced):
            raise ValueError("the model's processor does not tell where its pictures are")
        tensors = {name: _tensor(value) for name, value in found.items()}
        return tensors, offsets, [_Moved(own) for own in replaced]


def _pictures(messages: Sequence[Message]) -> list[Any]:
    """The pictures of messages in RGB (H, W, 3), as uint8."""
    media = Conversation(tuple(messages)).media("image")
    return [np.array(open_picture(own).convert("RGB"), dtype=np.uint8) for own in media]


class _Moved:
    """From a character of a text to where it is once placeholders are written out."""

    def __init__(self, replaced: Sequence[Mapping[str, Any]]) -> None:
        self.replaced = replaced

    def __call__(self, at: int) -> int:
        gained = 0
        for one in self.replaced:
            if one["span"][1] <= at:
                gained = one["new_span"][1] - one["span"][1]
        return at + gained

    def written_out(self, text: str) -> str:
        """The text with what stands in place of each placeholder."""
        parts, last = [], 0
        for one in self.replaced:
            start, end = one["span"]
            parts += [text[last:start], one["replacement"]]
            last = end
        return "".join([*parts, text[last:]])


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, list) and value and isinstance(value[0], Tensor):
        return torch.stack(value) if len({v.shape for v in value}) == 1 else torch.cat(value)
    return torch.as_tensor(np.asarray(value))


class VisionChatBackbone(ChatBackbone):
    """A vision-language model with its processor, whose tokenizer has the chat template."""

    auto: Any = AutoModelForImageTextToText
    loaded_by = "AutoModelForImageTextToText"

    def __init__(self, network: nn.Module, family: Any, options: ChatBackboneOptions) -> None:
        super().__init__(network, family.tokenizer, options, template=_source(family, options))
        plain = self.processor
        self.family = family
        self.processor = VisionProcessor(
            backend=plain.backend,
            template=Template.of(self.tokenizer, plain.template.source, structured=True),
            pad=plain.pad,
            max_length=plain.max_length,
            overlong=plain.overlong,
            family=family,
        )
        if self.config.model_type == "llava":  # It reads the states before this norm.
            norm = getattr(self.network.model.vision_tower, "post_layernorm", None)
            for name in ("weight", "bias") if norm is not None else ():
                fix_parameter(norm, name)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def packed(self, *, join: bool | None, learn: Learn) -> ChatProcessor:
        if join:
            raise IncompatibleError(
                "Chats with pictures cannot share a row yet.",
                hint="Leave task.packing out.",
            )
        return replace(self.processor, learn=learn)

    def _arguments(self, inputs: Tensors) -> dict[str, Any]:
        return {name: t for name, t in inputs.items() if name not in _OWN}

    def _alone(self, inputs: Tensors, k: int) -> Tensors:
        raise ConfigError(
            "Beams cannot be sampled for several chats with pictures at once.",
            hint="Leave out task.sample or task.num_beams.",
        )

    def _prompts(self, inputs: Tensors) -> dict[str, Tensor]:
        """Pictures as they are, since all stand before the last answer."""
        given = {n: t for n, t in inputs.items() if n not in (*_OWN, "prompt", "prompt_mask")}
        shape, lengths = inputs["input_ids"].shape, inputs["prompt_length"].tolist()
        for name, tensor in given.items():
            if tensor.shape[:2] == shape:
                padding = self.processor.pad if name == "input_ids" else 0
                given[name] = _left(tensor, lengths, padding)
        return given

    def _prompt_lengths(self, inputs: Tensors) -> list[int]:
        return inputs["prompt_length"].tolist()

    def write(
        self,
        inputs: Tensors,
        settings: Generation,
        show: Callable[[str], None] | BaseStreamer | None = None,
        seed: int = 0,
    ) -> list[str]:
        lengths = inputs["prompt_length"].tolist()
        prompt = _left(inputs["input_ids"], lengths, self.processor.pad)
        mask = _left(inputs["attention_mask"], lengths, 0).bool()
        given = {**inputs, "prompt": prompt, "prompt_mask": mask}
        return super().write(given, settings, show, seed)

    def graphs(self) -> Sequence[Graph]:
        raise IncompatibleError(
            "A vision-language model cannot be exported as graphs.",
            hint="Export it as a folder of transformers: --format safetensors",
        )

    def save_assets(self, folder: Path) -> None:
        super().save_assets(folder)
        self.family.chat_template = self.processor.template.source
        self.family.save_pretrained(folder)

    def published_model(self, task: Task) -> TransformersModel:
        return TransformersModel(
            self,
            Described(
                code=loading(self.loaded_by, processor="AutoProcessor"),
                note="It answers chats with pictures, by the chat template of its processor.",
                pipeline="image-text-to-text",
            ),
            more=lambda folder: self.family.save_pretrained(folder),
        )


def _left(rows: Tensor, lengths: Sequence[int], padding: int) -> Tensor:
    """The beginnings of rows (B, L, ...), padded on the left."""
    own = [row[:length] for row, length in zip(rows, lengths, strict=True)]
    return pad_sequence(own, batch_first=True, padding_value=padding, padding_side="left")


@dataclass(frozen=True)
class VisionChatBuilder(ChatBuilder):
    """How a vision-language backbone is built."""

    def empty(self, checkpoint: Checkpoint) -> VisionChatBackbone:
        network: Any = make_network(AutoModelForImageTextToText, checkpoint.config())
        advice = read_advice(checkpoint.folder)
        if advice is not None:
            network.generation_config = advice
        return VisionChatBackbone(network, _family(checkpoint), self.options)

    def filled(
        self, checkpoint: Checkpoint, loaded: LoadedWeights
    ) -> tuple[ChatBackbone, LoadedWeights]:
        config, family = checkpoint.config(), _family(checkpoint)
        if type(config) not in AutoModelForImageTextToText._model_mapping:
            raise WeightsError(
                f"{checkpoint.folder} holds a network of type {config.model_type}, which reads no "
                "pictures.",
                hint="Choose the backbone chat-lm for language models.",
            )
        _source(family, self.options)  # Before weights are read.
        network = load_network(AutoModelForImageTextToText, checkpoint, config, self.quantization())
        backbone = VisionChatBackbone(network, family, self.options)
        backbone.quantized = self.options.load_bits is not None
        return backbone, loaded

    def random(self, loaded: LoadedWeights) -> tuple[ChatBackbone, LoadedWeights]:
        """In the manner of LLaVA (Liu et al., 2023), with a tokenizer of its own."""
        tokenizer = random_tokenizer(self.context.train, self.options.vocabulary, IMAGE)
        tokenizer.chat_template = CHATML_WITH_PICTURES
        family = LlavaProcessor(
            image_processor=CLIPImageProcessor(
                size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE}
            ),
            tokenizer=tokenizer,
            patch_size=_PATCH,
            vision_feature_select_strategy="full",
            image_token=IMAGE,
            num_additional_image_tokens=0,
            chat_template=CHATML_WITH_PICTURES,
        )
        name = size_name(self.options)
        size = SIZES["base" if name == "published" else name]
        vision = SiglipVisionConfig(image_size=_SIDE, patch_size=_PATCH, vision_use_head=False)
        text = LlamaConfig(tie_word_embeddings=True, intermediate_size=11008)
        config = LlavaConfig(
            vision_config=resized(vision, size),
            text_config=resized(text, size),
            image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
            vision_feature_select_strategy="full",
            vision_feature_layer=-1,
            tie_word_embeddings=True,
        )
        vocabulary = self.options.vocabulary if self.context.train is None else len(tokenizer)
        config.text_config.vocab_size = vocabulary
        for role in ("pad", "bos", "eos"):
            setattr(config.text_config, f"{role}_token_id", getattr(tokenizer, f"{role}_token_id"))
        remark = f"A small LLaVA ({size.layers} layers, width {size.width}) is trained."
        loaded = replace(loaded, detail=f"{loaded.detail} {remark}".strip())
        network = make_network(AutoModelForImageTextToText, config)
        return VisionChatBackbone(network, family, self.options), loaded


def build_vision_chat(options: ChatBackboneOptions, context: BackboneContext) -> ChatBackbone:
    """Any vision-language model of transformers.

    Raises:
        WeightsError: the weights cannot be had, or have no chat template.
    """
    return VisionChatBuilder(None, options, context).build()


def _family(checkpoint: Checkpoint) -> Any:
    """The processor of a folder.

    Raises:
        WeightsError: it cannot be loaded.
    """
    try:
        check_config(checkpoint.folder)
        with quietly():
            found = AutoProcessor.from_pretrained(
                checkpoint.folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # Whatever comes of files of any content.
        raise WeightsError(
            f"The processor in {checkpoint.folder} cannot be loaded: {first_line(error)}."
        ) from None
    if not hasattr(found, "image_processor") or not hasattr(found, "tokenizer"):
        raise WeightsError(
            f"{checkpoint.folder} has no processor of pictures and texts.",
            hint="Choose the backbone chat-lm for language models.",
        )
    return found


def _source(family: Any, options: ChatBackboneOptions) -> str:
    """The chat template: the processor's, or else its tokenizer's."""
    own = getattr(family, "chat_template", None)
    if options.chat_template is None and isinstance(own, str):
        return own
    return template_source(family.tokenizer, options)
