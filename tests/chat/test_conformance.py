"""The chat components conform to the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mmft_core.testing import plugin_checks
from tests.chat.networks import narrow

__all__ = ["narrow"]

SMALL = {
    "backbone.size": "tiny",
    "backbone.vocabulary": 500,
    "backbone.max_length": 128,
    "task.max_new_tokens": 8,
    "dataset.facts": 24,
    "dataset.samples": 100,
}


MIXES = "what it makes of a recording depends on the padding behind it, and it says so"
PATCHES = "its pictures are patches in a row, whichever chat they belong to"
HEARS = "the data set has recordings alone, and it sees as well"
UNTIED = "its output layer has weights of its own, which features do not need"
SKIP = {
    **{
        f"chat/{metric}-gives_finite_figures": "it judges other texts than the kit has"
        for metric in ("choice-accuracy", "json-fields")
    },
    "chat/granite-speech-samples_do_not_mix": MIXES,
    "chat/phi-4-multimodal-samples_do_not_mix": MIXES,
    "chat/qwen2.5-vl-collates_batches": PATCHES,
    "chat/qwen3-vl-collates_batches": PATCHES,
    "chat/phi-4-multimodal-gradients_reach_every_layer": HEARS,
    "chat/phi-4-multimodal-roles_name_layers_that_are_called": HEARS,
    **{
        f"chat/{name}-gradients_reach_every_layer": UNTIED
        for name in (
            "audio-chat",
            "audio-flamingo-3",
            "llama-3.2-vision",
            "qwen2-audio",
            "voxtral",
        )
    },
}


def checks() -> list[Any]:
    return plugin_checks("mmft_chat", settings=SMALL, prefer=("chat-lm", "chat-facts"), skip=SKIP)


@pytest.mark.parametrize("check", checks())
def test_conformance(check: Callable[[], None]) -> None:
    check()
