"""How the next token of a text is chosen, for each text of a batch by itself.

transformers looks at whole rows, padding included, and draws for all of them from one generator, so
what is written for an input would depend on those beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from mmft_core.config import Generation
from mmft_core.contracts import Tensors


def processors(
    settings: Generation, starts: Sequence[int], seeds: Sequence[int]
) -> LogitsProcessorList:
    """What changes logits as the settings want it; sampling without beams is done here as well.

    Args:
        starts: where each row begins, behind its padding.
        seeds: of each row, from which follows what is drawn for it.
    """
    own = LogitsProcessorList()
    if settings.repetition_penalty != 1:
        own.append(RepetitionPenaltyLogitsProcessor(settings.repetition_penalty))
    if settings.no_repeat_ngram:
        own.append(NoRepeatNGramLogitsProcessor(settings.no_repeat_ngram))
    found = LogitsProcessorList([_Unpadded(own, starts)] if own else [])
    if settings.sample and settings.num_beams == 1:
        if settings.temperature != 1:
            found.append(TemperatureLogitsWarper(settings.temperature))
        if settings.top_k:
            found.append(TopKLogitsWarper(settings.top_k))
        if settings.top_p < 1:
            found.append(TopPLogitsWarper(settings.top_p))
        found.append(_Drawn(seeds))
    return found


def processors_of_each(
    settings: Sequence[Generation], starts: Sequence[int], seeds: Sequence[int]
) -> LogitsProcessorList:
    """As `processors`, with settings for each row."""
    own = (
        processors(each, [start], [seed])
        for each, start, seed in zip(settings, starts, seeds, strict=True)
    )
    return LogitsProcessorList([_Each(list(own))])


class _Each(LogitsProcessor):  # type: ignore[misc]
    """Others for each row."""

    def __init__(self, others: Sequence[LogitsProcessorList]) -> None:
        self.others = others

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        rows = zip(self.others, input_ids.split(1), scores.split(1), strict=True)
        return torch.cat([others(tokens, own) for others, tokens, own in rows])


class _Unpadded(LogitsProcessor):  # type: ignore[misc]
    """Others that look at what was written, without the padding before it."""

    def __init__(self, others: LogitsProcessorList, starts: Sequence[int]) -> None:
        self.others, self.starts = others, starts

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        beams = len(input_ids) // len(self.starts)
        starts = [start for start in self.starts for _ in range(beams)]
        rows = zip(input_ids.split(1), scores.split(1), starts, strict=True)
        return torch.cat([self.others(tokens[:, start:], own) for tokens, own, start in rows])


class _Drawn(LogitsProcessor):  # type: ignore[misc]
    """Adds noise to logits by which the most probable token is one drawn by its probability.

    The Gumbel-max trick (Maddison, Tarlow and Minka, 2014, "A* Sampling").
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = seeds
        self._generators: list[torch.Generator] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        device = scores.device
        if not self._generators:
            self._generators = [torch.Generator(device).manual_seed(seed) for seed in self.seeds]
        waits = torch.stack(
            [torch.empty_like(scores[0]).exponential_(generator=own) for own in self._generators]
        )
        return scores - waits.clamp(min=torch.finfo(scores.dtype).tiny).log()


def seeds_of(inputs: Tensors) -> list[int]:
    """A seed for each row of inputs (B, ...): the sum of what it holds, without its padding.

    Args:
        inputs: padded with zeros, or with a "mask" (B, T) of what is no padding.
    """
    mask = inputs.get("mask")
    rows = [_bits(_without_padding(tensor, mask)) for tensor in inputs.values()]
    return [int(seed) % 2**63 for seed in torch.stack(rows).sum(0).tolist()]


def _without_padding(tensor: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None or tensor.shape[:2] != mask.shape:
        return tensor
    there = mask.bool().view(*mask.shape, *(1 for _ in tensor.shape[2:]))
    return tensor.masked_fill(~there, 0)


def _bits(tensor: Tensor) -> Tensor:
    """The sum of each row (B,), of floats as they are in memory: exact, in whatever order."""
    if tensor.is_floating_point():
        tensor = tensor.float().contiguous().view(torch.int32)
    return tensor.long().reshape(len(tensor), -1).sum(1)
