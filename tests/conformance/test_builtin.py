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


SMALL = {"backbone.size": "tiny", "backbone.vocabulary": 500, "backbone.max_length": 48}


@pytest.mark.parametrize(
    "check",
    plugin_checks(
        "mmft",
        settings=SMALL,
        slow=LARGE,
        prefer=["resnet18", "distilbert", "distilgpt2", "whisper-tiny"],
    ),
)
def test_conformance(check) -> None:
    check()
