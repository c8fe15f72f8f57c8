"""Every component that mmft brings conforms to the contract."""

from __future__ import annotations

import pytest

from mmft_core.testing import plugin_checks

LARGE = (
    "convnext-base",
    "convnext-tiny",
    "efficientnet-v2-s",
    "resnet50",
    "resnet101",
    "resnet152",
    "swin-t",
    "vit-b-16",
)

SMALL = {
    "backbone.size": "tiny",
    "backbone.vocabulary": 500,
    "backbone.max_length": 48,
    "task.max_new_tokens": 12,  # Random weights write as much as they may.
    "backbone.padding": "batch",  # Whisper's windows are of 30 s, the commands of about one.
}
CHECKS = plugin_checks(
    "mmft",
    settings=SMALL,
    slow=LARGE,
    prefer=["resnet18", "distilbert", "distilgpt2", "whisper-tiny"],
)
WINDOWS = [
    pytest.param(*check.values, id=f"{check.id}-in-windows", marks=check.marks)
    for check in plugin_checks("mmft", settings=SMALL | {"backbone.padding": "window"})
    if check.id.startswith("audio/whisper-tiny-")
]


@pytest.mark.parametrize("check", [*CHECKS, *WINDOWS])
def test_conformance(check) -> None:
    check()
