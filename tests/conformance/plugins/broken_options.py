"""Options that are not as they should be."""

from dataclasses import dataclass
from typing import Annotated

import torch  # noqa: F401  The fault: `mmft plugins show` has to wait for it.
from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class UndocumentedOptions:
    width: int = 8


@dataclass(kw_only=True)
class MutableOptions:
    width: Annotated[int, Meta(description="Width.")] = 8


@dataclass(frozen=True, kw_only=True)
class RequiredOptions:
    width: Annotated[int, Meta(description="Width.")]


@dataclass(frozen=True, kw_only=True)
class UnsoundDefaultOptions:
    width: Annotated[int, Meta(ge=10, description="Width.")] = 8


class PlainOptions:
    width = 8
