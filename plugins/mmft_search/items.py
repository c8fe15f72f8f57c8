"""What an index holds: vectors with their ids, and the model that they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mmft_core.contracts import Preview

Vectors: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The model that a store's vectors come from.

    Attributes:
        model: digest of the model's files.
        run: the run's folder, to be named in messages.
        modality: what is embedded.
    """

    model: str
    run: str
    modality: str


@dataclass(frozen=True, kw_only=True)
class Items:
    """Vectors to be kept, a row for each item.

    Attributes:
        library: what they belong to.
        files: whether ids are paths; else they are unique in their library only.
        ids: of the items.
        stamps: texts that change when the item does.
        vectors: (n, D) float32, of length one.
        previews: how to show an item; None if its id names a file that can be shown.
    """

    library: str
    files: bool
    ids: Sequence[str]
    stamps: Sequence[str]
    vectors: Vectors
    previews: Sequence[Preview | None]
