"""Transcripts by transformers' generation: batched, with a key-value cache, greedy or by beams."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from mmft_transformers.masked import cross_entropies
from mmft_transformers.quiet import quietly
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin
from transformers.modeling_outputs import BaseModelOutput

from mmft_core.contracts import PADDING, Features
from mmft_core.generation import Generation

_SPARE = 16
"""Tokens that even a short recording may have."""

if TYPE_CHECKING:
    from mmft_audio.whisper import WhisperBackbone
    from mmft_audio.whisper_exported import ExportedWhisper

    Writer: TypeAlias = WhisperBackbone | ExportedWhisper


def write(backbone: Writer, features: Features, settings: Generation) -> list[list[int]]:
    """Write the tokens of a transcript for each recording, without prompt and end.

    Sampling draws by a seed that follows from the recordings, so that it can be repeated.
    """
    sequence = features.sequence
    assert sequence is not None
    tokens = torch.tensor(backbone.prompt.tokens, device=sequence.device)
    prompt = tokens.expand(len(sequence), -1)
    cuda = [sequence.device] if sequence.device.type == "cuda" else []
    listening = backbone.hearing(features)
    with quietly(), listening, torch.random.fork_rng(devices=cuda, enabled=settings.sample):
        if settings.sample:
            torch.manual_seed(int(sequence.double().abs().sum() * 1000) % 2**31)
        # Not the network's own `generate`, which takes windows of 30 seconds and nothing else.
        written: Any = GenerationMixin.generate(
            backbone.network,
            encoder_outputs=unheard(features),
            decoder_input_ids=prompt,
            generation_config=_config(backbone, settings, _most(backbone, features, settings)),
        )
    end = backbone.codec.end
    rows = written[:, prompt.shape[1] :].tolist()
    return [row[: row.index(end)] if end in row else row for row in rows]


def losses(backbone: Writer, features: Features, targets: Tensor) -> Tensor:
    """The losses (B, T) of targets (B, T) given the recordings, 0 at `PADDING`."""
    prompt = torch.tensor(backbone.prompt.tokens, device=targets.device).expand(len(targets), -1)
    given = targets.masked_fill(targets == PADDING, backbone.codec.pad)
    tokens = torch.cat([prompt, given[:, :-1]], 1)
    with backbone.hearing(features):
        output = backbone.network(
            encoder_outputs=unheard(features), decoder_input_ids=tokens, use_cache=False
        )
    return cross_entropies(output.logits[:, prompt.shape[1] - 1 :].float(), targets)


def _most(backbone: Writer, features: Features, settings: Generation) -> int:
    """Most tokens: in proportion to the longest recording, for a text may go round in circles."""
    most = min(settings.max_new_tokens, backbone.codec.most)
    assert features.mask is not None
    share = int(features.mask.sum(1).max()) / backbone.positions
    return min(most, math.ceil(share * most) + _SPARE)


def unheard(features: Features) -> BaseModelOutput:
    """What transformers is told of the encoder: next to nothing, for attention has the rest."""
    assert features.sequence is not None
    return BaseModelOutput(last_hidden_state=features.sequence[:, :1])


def _config(backbone: Writer, settings: Generation, most: int) -> GenerationConfig:
    """transformers' settings for ours, and what the network's makers advise it not to write."""
    advice = backbone.advice
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
        suppress_tokens=advice.suppress_tokens,
        begin_suppress_tokens=advice.begin_suppress_tokens,
        pad_token_id=backbone.codec.pad,
        eos_token_id=backbone.codec.end,
        bos_token_id=backbone.codec.end,
        decoder_start_token_id=backbone.prompt.tokens[0],
        **(drawing if settings.sample else {}),
        **beams,
    )
