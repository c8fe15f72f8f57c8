"""Options of the sound plugin."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class NetOptions:
    width: Annotated[int, Meta(ge=1, description="Width of the features.")] = 8
    noise: Annotated[float, Meta(ge=0, description="Added in training.")] = 0.1


@dataclass(frozen=True, kw_only=True)
class SignsOptions:
    path: Annotated[str, Meta(description="A file of numbers in place of drawn ones.")] = ""
