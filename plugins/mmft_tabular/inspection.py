"""What `mmft data check` learns of a row."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import zlib
from collections.abc import Mapping

import numpy as np

from mmft_core.contracts import Bytes, Floats, Inspector, Preview, Traits
from mmft_core.errors import SampleError
from mmft_tabular.columns import Cells, row_preview

_BUCKETS = 64
"""Of hashed columns and categories (Weinberger et al., 2009, "Feature hashing for large scale
multitask learning"), for the check of labels."""


_EPOCH = dt.datetime(1970, 1, 1)


class RowInspector(Inspector):
    """Compares rows cell by cell: they are alike if all of their cells are the same."""

    unit = "cells"
    least_long = float("inf")
    alike = 1.0

    def inspect(self, raw: Cells) -> Traits:
        for name, cell in raw.items():
            if isinstance(cell, float) and not math.isfinite(cell):
                raise SampleError("", f"its {cell} in column '{name}' is not a finite number")
        lacking = [name for name, cell in raw.items() if cell is None]
        text = json.dumps(raw, sort_keys=True, default=str)
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
        return Traits(
            digest=digest,
            bands=[zlib.crc32(digest)],
            profile=np.frombuffer(digest, np.uint8),
            features=_features(raw),
            size=float(len(raw) - len(lacking)),
            faults={"missing": f"has no {' and no '.join(lacking)}"} if lacking else {},
        )

    def similarity(self, one: Bytes, others: Bytes) -> Floats:
        found: Floats = (others == one).all(1).astype(np.float32)
        return found

    def cells(self, raw: Cells) -> Mapping[str, str]:
        return {name: "" if cell is None else str(cell) for name, cell in raw.items()}

    def preview(self, raw: Cells) -> Preview:
        return row_preview(raw)


def _features(raw: Cells) -> Floats:
    """Numbers, days and categories (64,), each at a place that follows from its column's name."""
    found = np.zeros(_BUCKETS, dtype=np.float32)
    for name, cell in raw.items():
        if isinstance(cell, str):
            found[zlib.crc32(f"{name}={cell}".encode("utf-8", "replace")) % _BUCKETS] += 1
        elif cell is not None:
            number = (cell - _EPOCH).days if isinstance(cell, dt.datetime) else cell
            found[zlib.crc32(name.encode("utf-8", "replace")) % _BUCKETS] += number
    return found
