"""When each word is said, as the decoder's attention on the recording tells.

The weights of attention heads that follow the speech are aligned with time by dynamic time warping
(Sakoe and Chiba, 1978), as in the implementation of Whisper (Radford et al., 2022).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmft_audio.spectra import HOP, RATE, STRIDE
from mmft_audio.transcriber import Word
from mmft_audio.whisper_attention import Heard
from mmft_audio.whisper_writing import Writer, unheard
from mmft_core.contracts import Features

_SECONDS = STRIDE * HOP / RATE
"""Of a position of the encoder."""

_SMOOTHED = 7
"""Positions of the median that takes out jumps of the attention."""

_REPLACEMENT = "\ufffd"


class Attentive(Writer, Protocol):
    """A Whisper that keeps what its decoder attends to."""

    @property
    def config(self) -> Any: ...

    def hearing(
        self, features: Features, *, record: Sequence[tuple[int, int]] = ()
    ) -> AbstractContextManager[Heard]: ...


def words_of(
    backbone: Attentive, features: Features, rows: Sequence[Sequence[int]]
) -> list[tuple[Word, ...]]:
    """Find when the words of each recording's transcript are said.

    Args:
        rows: the tokens of each transcript.
    """
    assert features.mask is not None
    weights = _attention(backbone, features, rows)
    first = len(backbone.prompt.tokens) - 1
    found = []
    for row, own, mask in zip(rows, weights, features.mask, strict=True):
        # The position before a token is where it is decided; the end of the text has one as well.
        focus = own[:, first : first + len(row) + 1, : int(mask.sum())]
        starts = _starts(focus) if row else []
        found.append(tuple(_words(backbone, row, starts)))
    return found


def _attention(backbone: Attentive, features: Features, rows: Sequence[Sequence[int]]) -> Tensor:
    """The weights (B, heads, T, S) of the heads that follow the speech."""
    longest = max(map(len, rows))
    end = backbone.codec.end
    tokens = torch.tensor(
        [[*backbone.prompt.tokens, *row, *[end] * (longest - len(row))] for row in rows],
        device=features.pooled.device,
    )
    heads = _following(backbone)
    # Not the whole network: nobody needs the logits of a vocabulary at every place of a text.
    with backbone.hearing(features, record=heads) as heard:
        backbone.network.model(
            encoder_outputs=unheard(features), decoder_input_ids=tokens, use_cache=False
        )
    return torch.stack([heard.weights[head] for head in heads], 1)


def _following(backbone: Attentive) -> list[tuple[int, int]]:
    """Layers and heads that follow the speech: as the network's makers say, or the upper half."""
    told = getattr(backbone.advice, "alignment_heads", None)
    if told:
        return [(layer, head) for layer, head in told]
    layers, heads = backbone.config.decoder_layers, backbone.config.decoder_attention_heads
    return [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]


def _starts(weights: Tensor) -> list[float]:
    """The seconds (T,) at which tokens start, by the weights (heads, T, S) of attention."""
    std, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    focus = (weights - mean) / std.clamp(min=1e-6)
    width = _SMOOTHED if focus.shape[-1] > _SMOOTHED else 1
    padded = F.pad(focus, (width // 2, width // 2), mode="reflect")
    # Head by head, for a median copies each window.
    smooth = torch.stack([head.unfold(-1, width, 1).median(-1).values for head in padded]).mean(0)
    tokens, times = _warp(-smooth.double().cpu().numpy())
    first = np.flatnonzero(np.diff(tokens, prepend=-1))
    return [float(t) * _SECONDS for t in times[first]]


def _warp(
    cost: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The cheapest path through a matrix (n, m) that never goes back: its rows and its columns."""
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    # By anti-diagonals, whose cells do not depend on each other.
    for diagonal in range(rows + columns - 1):
        i = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        j = diagonal - i
        cheapest = np.minimum(np.minimum(total[i, j], total[i, j + 1]), total[i + 1, j])
        total[i + 1, j + 1] = cost[i, j] + cheapest
    path = [(rows - 1, columns - 1)]
    while path[-1] != (0, 0):
        i, j = path[-1]
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        path.append(min(before, key=lambda cell: total[cell[0] + 1, cell[1] + 1]))
    found = np.array(path[::-1])
    return found[:, 0], found[:, 1]


def _words(backbone: Attentive, row: Sequence[int], starts: Sequence[float]) -> Iterator[Word]:
    """Join tokens to words, which start with a space where a script has spaces."""
    word: Word | None = None
    held: list[int] = []
    start = 0.0
    for token, begin, end in zip(row, starts, starts[1:], strict=False):
        start = start if held else begin
        held.append(token)
        text = backbone.codec.backend.decode(held, skip_special_tokens=True)
        if _REPLACEMENT in text and len(held) < 4:  # A part of a character's bytes.
            continue
        held = []
        if word is None or text.startswith(" "):
            if word is not None:
                yield word
            word = Word(word=text.strip(), start=round(start, 2), end=round(end, 2))
        else:
            word = Word(word=word["word"] + text, start=word["start"], end=round(end, 2))
    if word is not None and word["word"]:
        yield word
