"""Generation by transformers: batched, with a key-value cache, greedy, by beams or by sampling."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from mmft_core.contracts import Tensors
from mmft_core.generation import Generation
from mmft_text.backbone import TextBackbone
from mmft_text.checkpoints import quietly


@torch.no_grad()
def write(
    backbone: TextBackbone, inputs: Tensors, settings: Generation, *, continues: bool
) -> list[str]:
    """Write a text for each input.

    Sampling draws by a seed that follows from the inputs, so that it can be repeated.

    Args:
        continues: whether the network continues its input rather than answering it.
    """
    tokens = inputs["tokens"]
    network: Any = backbone.network
    config = _config(backbone, settings, tokens.shape[1] if continues else 0)
    cuda = [tokens.device] if tokens.device.type == "cuda" else []
    with quietly(), torch.random.fork_rng(devices=cuda, enabled=settings.sample):
        if settings.sample:
            torch.manual_seed(int(tokens.sum()))
        written: Tensor = network.generate(
            tokens, attention_mask=inputs["mask"].long(), generation_config=config
        )
    if continues:
        written = written[:, tokens.shape[1] :]
    texts = backbone.tokenizer.batch_decode(written, skip_special_tokens=True)
    return [text.strip() for text in texts]


def _config(backbone: TextBackbone, settings: Generation, taken: int) -> GenerationConfig:
    """transformers' settings for ours.

    Args:
        taken: positions that the input takes of those that the network has.
    """
    most = settings.max_new_tokens
    if backbone.positions is not None:
        most = max(1, min(most, backbone.positions - taken))
    # 0 says "none" for these two; sampling alone knows of the others.
    drawing = {
        "temperature": settings.temperature,
        "top_k": settings.top_k,
        "top_p": settings.top_p,
    }
    beams = {"length_penalty": settings.length_penalty} if settings.num_beams > 1 else {}
    return GenerationConfig(
        max_new_tokens=most,
        num_beams=settings.num_beams,
        do_sample=settings.sample,
        repetition_penalty=settings.repetition_penalty,
        no_repeat_ngram_size=settings.no_repeat_ngram,
        pad_token_id=backbone.vocabulary.pad,
        eos_token_id=backbone.vocabulary.end,
        bos_token_id=backbone.vocabulary.start,
        decoder_start_token_id=getattr(backbone.config, "decoder_start_token_id", None),
        **(drawing if settings.sample else {}),
        **beams,
    )
