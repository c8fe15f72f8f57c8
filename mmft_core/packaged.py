"""Names that packages made by mmft 0.1 use; now in `mmft_publish.packaged`."""

from __future__ import annotations

from typing import Any

from mmft_core.specs import resolve


def __getattr__(name: str) -> Any:
    if name == "PackagedBackbone":
        return resolve("mmft_publish.packaged:PackagedBackbone")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
