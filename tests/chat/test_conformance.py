"""The chat components conform to the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmft_core.testing import plugin_checks

SMALL = {
    "backbone.size": "tiny",
    "backbone.vocabulary": 500,
    "backbone.max_length": 128,
    "task.max_new_tokens": 8,
    "dataset.facts": 24,
}


@pytest.mark.parametrize("check", plugin_checks("mmft_chat", settings=SMALL))
def test_conformance(check: Callable[[], None]) -> None:
    check()
