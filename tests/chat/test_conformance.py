"""The chat components conform to the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mmft_testing import plugin_checks

SMALL = {
    "backbone.size": "tiny",
    "backbone.vocabulary": 500,
    "backbone.max_length": 128,
    "task.max_new_tokens": 8,
    "dataset.facts": 24,
    "dataset.samples": 100,
}


UNDEFINED = {
    f"chat/{metric}-gives_finite_figures": "it judges other texts than the kit has"
    for metric in ("choice-accuracy", "json-fields")
}
PICTURES = ("vision-chat", "chat-pictures")


def checks() -> list[Any]:
    """Vision-language models are tried with pictures, all else with texts."""
    plain = plugin_checks(
        "mmft_chat", settings=SMALL, prefer=("chat-lm", "chat-facts"), skip=UNDEFINED
    )
    seen = plugin_checks("mmft_chat", settings=SMALL, prefer=PICTURES, skip=UNDEFINED)
    return [
        *(check for check in plain if "/vision-chat-" not in check.id),
        *(check for check in seen if "/vision-chat-" in check.id),
    ]


@pytest.mark.parametrize("check", checks())
def test_conformance(check: Callable[[], None]) -> None:
    check()
