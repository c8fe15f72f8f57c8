"""transformers' settings of generation for ours."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from mmft_core.generation import Generation


def generation_config(settings: Generation, most: int, **network: Any) -> GenerationConfig:
    """Args:
    most: tokens of a text.
    network: what its network has to say: its special tokens, and what it is not to write.
    """
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
        no_repeat_ngram_size=settings.no_repeat_ngram,  # 0 says "none", as it does for top_k.
        **(drawing if settings.sample else {}),
        **beams,
        **network,
    )


def save_advice(advice: GenerationConfig, folder: Path) -> None:
    """Keep what a checkpoint says of generation, unless transformers finds it contradictory."""
    with contextlib.suppress(ValueError):
        advice.save_pretrained(folder)


def read_advice(folder: Path) -> GenerationConfig | None:
    """What `save_advice` kept; None for nothing."""
    if not (folder / "generation_config.json").is_file():
        return None
    return GenerationConfig.from_pretrained(folder)
