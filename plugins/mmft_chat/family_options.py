"""The options of each family, by its name: those of its kind, with the sizes that are published.

They are made when they are asked for: together they would take a fifth of `mmft --help`.
"""

from __future__ import annotations

from dataclasses import make_dataclass
from functools import cache
from typing import Annotated, Any, Literal

from msgspec import Meta

from mmft_chat.families import FAMILIES
from mmft_chat.options import ChatBackboneOptions, MediaBackboneOptions


@cache
def __getattr__(name: str) -> type[ChatBackboneOptions]:
    family = next((family for family in FAMILIES if family.attribute == name), None)
    if family is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    default = next(iter(family.published), "none")
    size = Annotated[
        Literal[("auto", *family.published, "base", "small", "tiny")],  # type: ignore[valid-type]
        Meta(
            description=f"Size of the published weights (auto: {default}); base, small and tiny "
            "are for random weights."
        ),
    ]
    fields: list[Any] = [("size", size, "auto")]
    found: type[ChatBackboneOptions] = make_dataclass(
        "Options",
        fields,
        bases=(ChatBackboneOptions if family.kind == "text" else MediaBackboneOptions,),
        namespace={"published": family.published, "network": family.network},
        frozen=True,
        kw_only=True,
    )
    found.__doc__ = f"Options of `{family.name}`."
    found.__module__, found.__qualname__ = __name__, name  # Where pickle finds it.
    return found
