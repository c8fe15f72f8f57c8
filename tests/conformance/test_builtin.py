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


@pytest.mark.parametrize("check", plugin_checks("mmft", slow=LARGE, prefer=["resnet18"]))
def test_conformance(check) -> None:
    check()
