"""Generation by transformers: batched, with a key-value cache, greedy, by beams or by sampling."""

from __future__ import annotations

from typing import Any

import torch
from mmft_transformers.generation import generation_config
from mmft_transformers.quiet import quietly
from torch import Tensor
from transformers import GenerationConfig

from mmft_core.contracts import Tensors
from mmft_core.generation import Generation
from mmft_text.backbone import TextBackbone


@torch.no_grad()
def write(
    backbone: TextBackbone,
    inputs: Tensors,
    settings: Generation,
    *,
    most: int | None,
    start: int | None = None,
) -> list[str]:
    """Write a text for each input.

    Sampling draws by a seed that follows from the inputs, so that it can be repeated.

    Args:
        most: tokens, for which the network has positions; None for any number.
        start: what a decoder's text begins with; None for a network that continues its input.
    """
    network: Any = backbone.network
    room = settings.max_new_tokens if most is None else max(1, most)
    config = writing_config(
        backbone, settings, most=min(settings.max_new_tokens, room), start=start
    )
    source, given = _given(inputs)
    cuda = [source.device] if source.device.type == "cuda" else []
    with quietly(), torch.random.fork_rng(devices=cuda, enabled=settings.sample):
        if settings.sample:
            torch.manual_seed(int(source.double().abs().sum()))
        written: Tensor = network.generate(**given, generation_config=config)
    if start is None and "prefix" not in inputs:  # Vectors are not given back.
        written = written[:, source.shape[1] :]
    texts = backbone.tokenizer.batch_decode(written, skip_special_tokens=True)
    return [text.strip() for text in texts]


def writing_config(
    backbone: TextBackbone, settings: Generation, *, most: int | None = None, start: int | None
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
