"""Transcripts by transformers' generation: batched, with a key-value cache, greedy or by beams."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, StoppingCriteria, StoppingCriteriaList
from transformers.modeling_outputs import BaseModelOutput

from mmft_audio.transcriber import rows_of
from mmft_audio.whisper_text import Prompt, WhisperCodec
from mmft_core.config import Generation
from mmft_core.contracts import PADDING, Features
from mmft_transformers.generation import (
    drawing,
    generation_arguments,
    generation_config,
    one_by_one,
)
from mmft_transformers.masked import cross_entropies
from mmft_transformers.quiet import quietly

_SPARE = 16
"""Tokens that even a short recording may have."""


class Writer(Protocol):
    """A Whisper, whether torch or runners of graphs compute it.

    Attributes:
        advice: what the network's makers say of its generation.
        positions: most of the encoder.
    """

    network: Any
    prompt: Prompt
    codec: WhisperCodec
    advice: GenerationConfig
    positions: int

    def hearing(self, features: Features) -> AbstractContextManager[Any]:
        """While the decoder listens to these recordings."""


def write(backbone: Writer, features: Features, settings: Generation) -> list[list[int]]:
    """Write the tokens of a transcript for each recording, without prompt and end.

    Sampling draws by a seed that follows from each recording's length, so that it can be repeated,
    whatever else is in the batch.
    """
    sequence = features.sequence
    assert sequence is not None and features.mask is not None
    if one_by_one(settings) and len(sequence) > 1:
        each = torch.eye(len(sequence), dtype=torch.bool, device=sequence.device)
        return [write(backbone, rows_of(features, row), settings)[0] for row in each]
    tokens = torch.tensor(backbone.prompt.tokens, device=sequence.device)
    prompt = tokens.expand(len(sequence), -1)
    most = _most(backbone, features, settings)
    config = writing_config(backbone, settings, int(most.max()))
    seeds: list[int] = features.mask.sum(1).tolist()
    listening = backbone.hearing(features)
    with quietly(), listening, drawing(settings, seeds[0], sequence.device):
        # Not the network's own `generate`, which takes windows of 30 seconds and nothing else.
        written: Any = GenerationMixin.generate(
            backbone.network,
            encoder_outputs=unheard(features),
            decoder_input_ids=prompt,
            **generation_arguments(settings, config, [0] * len(seeds), seeds),
            stopping_criteria=StoppingCriteriaList([_Longest(most + prompt.shape[1])]),
        )
    end = backbone.codec.end
    rows = written[:, prompt.shape[1] :].tolist()
    own = [row[:longest] for row, longest in zip(rows, most.tolist(), strict=True)]
    return [row[: row.index(end)] if end in row else row for row in own]


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


def _most(backbone: Writer, features: Features, settings: Generation) -> Tensor:
    """Most tokens (B,): in proportion to the recording, for a text may go round in circles."""
    most = min(settings.max_new_tokens, backbone.codec.most)
    assert features.mask is not None
    share = features.mask.sum(1) / backbone.positions
    return ((share * most).ceil().long() + _SPARE).clamp(max=most)


class _Longest(StoppingCriteria):
    """Ends each text where its own recording ends it, whatever else is in the batch."""

    def __init__(self, longest: Tensor) -> None:
        """Args:
        longest: tokens (B,) of a text, its prompt among them.
        """
        self.longest = longest

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:  # type: ignore[override]
        """Which of these (B * beams, T) are at their end."""
        beams = len(input_ids) // len(self.longest)
        return self.longest.repeat_interleave(beams) <= input_ids.shape[1]


def unheard(features: Features) -> BaseModelOutput:
    """A placeholder for transformers; the attention layers hold the real states."""
    assert features.sequence is not None
    return BaseModelOutput(last_hidden_state=features.sequence[:, :1])


def writing_config(backbone: Writer, settings: Generation, most: int) -> GenerationConfig:
    """transformers' settings for that, with what the network's makers advise it not to write."""
    advice = backbone.advice
    return generation_config(
        settings,
        most,
        suppress_tokens=advice.suppress_tokens,
        begin_suppress_tokens=advice.begin_suppress_tokens,
        pad_token_id=backbone.codec.pad,
        eos_token_id=backbone.codec.end,
        bos_token_id=backbone.codec.end,
        decoder_start_token_id=backbone.prompt.tokens[0],
    )
