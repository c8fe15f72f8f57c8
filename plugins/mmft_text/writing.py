"""Generation by transformers: batched, with a key-value cache, greedy, by beams or by sampling."""

from __future__ import annotations

from typing import Any

import torch
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
    config = _config(backbone, settings, most, start)
    if "prefix" in inputs:
        source = inputs["prefix"]
        mask = torch.ones(source.shape[:2], dtype=torch.int64, device=source.device)
        given = {"inputs_embeds": source}
    else:
        source, mask = inputs["tokens"], inputs["mask"].long()
        given = {"input_ids": source}
    cuda = [source.device] if source.device.type == "cuda" else []
    with quietly(), torch.random.fork_rng(devices=cuda, enabled=settings.sample):
        if settings.sample:
            torch.manual_seed(int(source.double().abs().sum()))
        written: Tensor = network.generate(**given, attention_mask=mask, generation_config=config)
    if start is None and "prefix" not in inputs:  # Vectors are not given back.
        written = written[:, source.shape[1] :]
    texts = backbone.tokenizer.batch_decode(written, skip_special_tokens=True)
    return [text.strip() for text in texts]


def _config(
    backbone: TextBackbone, settings: Generation, most: int | None, start: int | None
) -> GenerationConfig:
    """transformers' settings for ours."""
    room = settings.max_new_tokens if most is None else max(1, most)
    # 0 says "none" for these two; sampling alone knows of the others.
    drawing = {
        "temperature": settings.temperature,
        "top_k": settings.top_k,
        "top_p": settings.top_p,
    }
    beams = {"length_penalty": settings.length_penalty} if settings.num_beams > 1 else {}
    return GenerationConfig(
        max_new_tokens=min(settings.max_new_tokens, room),
        num_beams=settings.num_beams,
        do_sample=settings.sample,
        repetition_penalty=settings.repetition_penalty,
        no_repeat_ngram_size=settings.no_repeat_ngram,
        pad_token_id=backbone.vocabulary.pad,
        eos_token_id=backbone.vocabulary.end,
        bos_token_id=backbone.vocabulary.start,
        decoder_start_token_id=start,
        **(drawing if settings.sample else {}),
        **beams,
    )
