"""The former module of the conformance kit, which is now `mmft_testing`."""

from __future__ import annotations

from typing import Any

from mmft_core.specs import resolve


def __getattr__(name: str) -> Any:
    if name == "plugin_checks":
        return resolve("mmft_testing:plugin_checks")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
