"""Generation by transformers: batched, with a key-value cache, greedy, by beams or by sampling."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from mmft_core.config import Generation
from mmft_core.contracts import Tensors
from mmft_text.backbone import TransformersText
from mmft_transformers.choosing import seeds_of
from mmft_transformers.generation import (
    drawing,
    generation_arguments,
    generation_config,
    one_by_one,
)
from mmft_transformers.quiet import quietly


@torch.no_grad()
def write(
    backbone: TransformersText,
    inputs: Tensors,
    settings: Generation,
    *,
    most: int | None,
    start: int | None = None,
) -> list[str]:
    """Write a text for each input.

    Sampling draws by a seed that follows from each input, so that it can be repeated, whatever else
    is in the batch.

    Args:
        most: tokens, for which the network has positions; None for any number.
        start: what a decoder's text begins with; None for a network that continues its input.
    """
    source, given = _given(inputs)
    if one_by_one(settings) and len(source) > 1:
        rows = ({name: t[k : k + 1] for name, t in inputs.items()} for k in range(len(source)))
        return [write(backbone, row, settings, most=most, start=start)[0] for row in rows]
    network: Any = backbone.network
    room = settings.max_new_tokens if most is None else max(1, most)
    config = writing_config(
        backbone, settings, most=min(settings.max_new_tokens, room), start=start
    )
    seeds = _seeds(inputs)
    arguments = generation_arguments(settings, config, _starts(inputs, start), seeds)
    with quietly(), drawing(settings, seeds[0], source.device):
        written: Tensor = network.generate(**given, **arguments)
    if start is None and "prefix" not in inputs:  # Vectors are not given back.
        written = written[:, source.shape[1] :]
    texts = backbone.tokenizer.batch_decode(written, skip_special_tokens=True)
    return [text.strip() for text in texts]


def writing_config(
    backbone: TransformersText, settings: Generation, *, most: int | None = None, start: int | None
) -> GenerationConfig:
    """transformers' settings for what the backbone writes.

    Args:
        most: tokens; None for as many as the settings allow.
        start: what a decoder's text begins with; None for a network that continues its input.
    """
    return generation_config(
        settings,
        settings.max_new_tokens if most is None else most,
        pad_token_id=backbone.vocabulary.pad,
        eos_token_id=backbone.vocabulary.end,
        bos_token_id=backbone.vocabulary.start,
        decoder_start_token_id=start,
    )


def _given(inputs: Tensors) -> tuple[Tensor, dict[str, Tensor]]:
    """What a text is written for, tokens or vectors, and the arguments that say so."""
    if "prefix" not in inputs:
        source = inputs["tokens"]
        return source, {"input_ids": source, "attention_mask": inputs["mask"].long()}
    source = inputs["prefix"]
    mask = torch.ones(source.shape[:2], dtype=torch.int64, device=source.device)
    return source, {"inputs_embeds": source, "attention_mask": mask}


def _starts(inputs: Tensors, start: int | None) -> list[int]:
    """Where each row's text begins: after its padding, or at 0 for a decoder."""
    source, _ = _given(inputs)
    if start is not None or "prefix" in inputs:
        return [0] * len(source)
    return (source.shape[1] - inputs["mask"].long().sum(1)).tolist()


def _seeds(inputs: Tensors) -> list[int]:
    """A seed for each row; vectors say theirs, for their last digits depend on the batch."""
    if "seeds" in inputs:
        return [int(seed) for seed in inputs["seeds"].tolist()]
    if "prefix" in inputs:
        return [0] * len(inputs["prefix"])
    return seeds_of(inputs)
