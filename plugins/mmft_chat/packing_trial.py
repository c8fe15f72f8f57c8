"""Whether a network that sees or hears keeps chats in one row apart, found by trying it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn

from mmft_chat.conversations import Conversation, Kind, Media, Message, Part
from mmft_chat.packing import arguments_of

_RATE = 16_000


def trial_chats(reads: Sequence[Kind]) -> list[Conversation]:
    """Two chats of different lengths and about different noise, of as many kinds as there are."""
    questions = ("What is this?", "And what could this be?")
    kinds = (reads[0], reads[-1])
    return [
        Conversation(
            (
                Message("user", (Part(kind, media=_noise(kind, k)), Part("text", question))),
                Message("assistant", (Part("text", "this"),)),
            )
        )
        for k, (kind, question) in enumerate(zip(kinds, questions, strict=True))
    ]


def _noise(kind: Kind, seed: int) -> Media:
    drawn, file = np.random.default_rng(seed), io.BytesIO()
    if kind == "image":
        from PIL import Image

        # Narrow, for some families divide pictures into squares, of which this gives few.
        pixels = drawn.integers(0, 256, (28, 56, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file, "PNG")
    else:
        import soundfile

        wave = drawn.normal(0, 0.1, _RATE * (seed + 1) // 2)
        soundfile.write(file, wave, _RATE, format="WAV")
    return file.getvalue()


def agree(one: Tensor, other: Tensor, rounding: float) -> bool:
    """Whether states (N, D) are the same.

    Args:
        rounding: by how much of the largest they may differ.
    """
    gap = (one.float() - other.float()).abs().max()
    return bool(gap <= rounding * one.float().abs().max())


@contextmanager
def recorded(decoder: nn.Module) -> Iterator[list[dict[str, Any]]]:
    """What a language model is given each time, by name."""
    calls: list[dict[str, Any]] = []

    def record(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        calls.append(arguments_of(module, arguments, named))

    hook = decoder.register_forward_pre_hook(record, with_kwargs=True)
    try:
        yield calls
    finally:
        hook.remove()


@contextmanager
def shallow(decoder: Any) -> Iterator[None]:
    """A language model of so few layers that each kind of them is there, for what is tried may be
    large."""
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList):
        yield
        return
    kinds = list(getattr(decoder.config, "layer_types", None) or [])
    depth = max(2, *(kinds.index(kind) + 1 for kind in kinds), 0)
    decoder.layers = layers[:depth]
    try:
        yield
    finally:
        decoder.layers = layers
