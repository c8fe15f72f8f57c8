"""Summarization: one text in, a shorter one out, by whatever backbone writes text.

A language model is given a prompt with the source and learns from the summary alone; an
encoder-decoder reads the source as it is.
"""

from __future__ import annotations

from torch import nn

from mmft_core.contracts import Batch, Generator, Processor, TaskContext, Tensors
from mmft_core.errors import ConfigError
from mmft_text.options import SummarizationOptions
from mmft_text.processing import TextProcessor
from mmft_text.written import Written

_PLACE = "{text}"


class Summarization(Written):
    """The text that a backbone is given is its source."""

    noun = "summary"

    def __init__(self, backbone: Generator, options: SummarizationOptions) -> None:
        super().__init__(backbone, options, options.max_target_length)
        self.backbones = nn.ModuleDict({"text": backbone})
        self.processor = _prompted(backbone, options)

    @property
    def processors(self) -> dict[str, Processor]:
        return {"text": self.processor}

    def source(self, batch: Batch) -> Tensors:
        return batch.inputs["text"]


def _prompted(backbone: Generator, options: SummarizationOptions) -> Processor:
    """The backbone's preprocessing, with the prompt around each text and room for the summary.

    Raises:
        ConfigError: the prompt has no place for the text, or the backbone takes none.
    """
    prefix, place, suffix = (options.prompt or backbone.prompt).partition(_PLACE)
    if not place or _PLACE in suffix:
        raise ConfigError(
            f"task.prompt = {options.prompt!r} must hold {_PLACE} once, where the source goes.",
            hint="For example: --set task.prompt='Summarize: {text}'",
        )
    processor, room = backbone.processor, max(options.max_target_length, options.max_new_tokens)
    if isinstance(processor, TextProcessor):
        return processor.with_prompt(prefix, suffix, room)
    if options.prompt is not None:
        raise ConfigError("task.prompt is set, but the backbone takes no prompt.")
    return processor


def build(options: SummarizationOptions, context: TaskContext) -> Summarization:
    """Build the task on a text backbone that generates."""
    backbone = context.backbones["text"]
    assert isinstance(backbone, Generator)
    return Summarization(backbone, options)
