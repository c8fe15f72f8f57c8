"""Our settings of generation as arguments of transformers' `generate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig

from mmft_core.generation import Generation
from mmft_transformers.choosing import processors


def generation_arguments(
    settings: Generation, most: int, starts: Sequence[int], seeds: Sequence[int], **network: Any
) -> dict[str, Any]:
    """The arguments of `generate` that settings come to.

    Args:
        most: tokens of a text.
        starts: where each row begins, behind its padding.
        seeds: of each row, from which follows what is drawn for it.
        network: what its network has to say: its special tokens, and what it is not to write.
    """
    beams = settings.num_beams > 1
    drawing = {
        "do_sample": True,
        "temperature": settings.temperature,
        "top_k": settings.top_k,
        "top_p": settings.top_p,
    }
    config = GenerationConfig(
        max_new_tokens=most,
        num_beams=settings.num_beams,
        **(drawing if settings.sample and beams else {"do_sample": False}),
        **({"length_penalty": settings.length_penalty} if beams else {}),
        **network,
    )
    return {
        "generation_config": config,
        "logits_processor": processors(settings, starts, seeds),
    }


def one_by_one(settings: Generation) -> bool:
    """Whether rows have to be written one at a time: beams are drawn by a generator for all."""
    return settings.sample and settings.num_beams > 1


@contextmanager
def drawing(settings: Generation, seed: int, device: torch.device) -> Iterator[None]:
    """While torch draws by a seed, where the settings draw at all."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda, enabled=settings.sample):
        if settings.sample:
            torch.manual_seed(seed)
        yield
