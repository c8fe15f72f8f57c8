"""The chat components conform to the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mmft_chat.families import FAMILIES
from mmft_core.testing import plugin_checks
from mmft_testing import processors
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


PATCHES = "its pictures are patches in a row, whichever chat they belong to"
HEARS = "the data set has recordings alone, and it sees as well"
UNTIED = "its output layer has weights of its own, which features do not need"
SKIP = {
    **{
        f"chat/{metric}-gives_finite_figures": "it judges other texts than the kit has"
        for metric in ("choice-accuracy", "json-fields")
    },
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


KINDS = {f"chat/{family.name}": family.kind for family in FAMILIES}
PREPARING = {check.__name__ for check in processors.CHECKS}


def checks() -> list[Any]:
    return plugin_checks("mmft_chat", settings=SMALL, prefer=("chat-lm", "chat-facts"), skip=SKIP)


def repeated(check: Any) -> bool:
    """Whether a check of a family looks at what is tried elsewhere.

    All that read texts alone share the processor of `chat-lm`, which passes all checks; that the
    samples of a family do not mix is seen in test_families.py.
    """
    component, _, name = check.id.rpartition("-")
    kind = KINDS.get(component)
    if kind is None:
        return False
    return name == "samples_do_not_mix" or (kind == "text" and name in PREPARING)


@pytest.mark.parametrize("check", [check for check in checks() if not repeated(check)])
def test_conformance(check: Callable[[], None]) -> None:
    check()
