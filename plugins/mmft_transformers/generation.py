"""Our settings of generation as transformers has them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from mmft_core.config import Generation
from mmft_transformers.choosing import processors


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


def generation_arguments(
    settings: Generation, config: GenerationConfig, starts: Sequence[int], seeds: Sequence[int]
) -> dict[str, Any]:
    """The arguments of `generate`, by which no row depends on the others.

    Args:
        config: what `generation_config` makes of the settings.
        starts: where each row begins, behind its padding.
        seeds: of each row, from which follows what is drawn for it.
    """
    config = copy.deepcopy(config)
    config.repetition_penalty, config.no_repeat_ngram_size = 1.0, 0  # As `processors` do it.
    if settings.sample and settings.num_beams == 1:
        config.do_sample = False
        config.temperature = config.top_k = config.top_p = None
    return {
        "generation_config": config,
        "logits_processor": processors(settings, starts, seeds),
    }


def one_by_one(settings: Generation) -> bool:
    """Whether rows have to be written one at a time: beams are drawn by a generator for all."""
    return settings.sample and settings.num_beams > 1


@contextlib.contextmanager
def drawing(settings: Generation, seed: int, device: torch.device) -> Iterator[None]:
    """While torch draws by a seed, where the settings draw at all."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda, enabled=settings.sample):
        if settings.sample:
            torch.manual_seed(seed)
        yield


def save_advice(advice: GenerationConfig, folder: Path) -> None:
    """Keep what a checkpoint says of generation, unless transformers finds it contradictory."""
    with contextlib.suppress(ValueError):
        advice.save_pretrained(folder)


def read_advice(folder: Path) -> GenerationConfig | None:
    """What `save_advice` kept; None for nothing."""
    if not (folder / "generation_config.json").is_file():
        return None
    return GenerationConfig.from_pretrained(folder)
