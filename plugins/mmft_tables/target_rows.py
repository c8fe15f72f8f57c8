"""Rows whose targets are a column: of classes, of texts, or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mmft_core.contracts import Split
from mmft_core.data import Indices
from mmft_core.errors import SampleError
from mmft_tables.class_targets import label_fault


class TargetRows(Split):
    """Rows with targets. A row without one is kept, so that the check can report it.

    Attributes:
        targets: (n,) strings, or (n,) indices into `classes`, or None.
        target_noun: what messages call a target that is a text.
    """

    targets: pa.ChunkedArray | Indices | None
    classes: tuple[str, ...]
    target_noun = "target text"

    def cell(self, index: int) -> str | None:
        """The target as it stands in its column; None where there is none."""
        if self.targets is None:
            return None
        if not isinstance(self.targets, np.ndarray):
            text: str | None = self.targets[index].as_py()
            return text
        label = int(self.targets[index])
        return None if label < 0 else self.classes[label]

    def target(self, index: int) -> Any:
        if self.targets is None:
            return None
        if isinstance(self.targets, np.ndarray):
            label = int(self.targets[index])
            fault = label_fault(label)
            if fault is not None:
                raise SampleError(self.sample_id(index), fault, kind="no-label")
            return self.classes[label]
        text = self.targets[index].as_py()
        if not (text or "").strip():
            raise SampleError(
                self.sample_id(index), f"it has no {self.target_noun}", kind="no-label"
            )
        return text
