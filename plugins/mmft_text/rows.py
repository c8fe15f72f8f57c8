"""Texts in columns of Arrow, with a class, a text or nothing as their target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mmft_core.contracts import Origin, Sample
from mmft_core.data import Indices
from mmft_core.errors import SampleError
from mmft_tables.target_rows import TargetRows


class TextRows(TargetRows):
    """Texts as rows. A row without text or target stays in, so that the check can report it.

    Args:
        row_id: what messages call a row, by its index; see `Table.row_id`.
        texts: (n,) strings.
        targets: (n,) strings, or (n,) indices into `classes`, or None.
        ids: (n,) strings; None for the numbers of the rows.
    """

    def __init__(
        self,
        row_id: Callable[[int], str],
        texts: pa.ChunkedArray,
        targets: pa.ChunkedArray | Indices | None = None,
        classes: tuple[str, ...] = (),
        ids: pa.ChunkedArray | None = None,
    ) -> None:
        self.row_id, self.texts, self.targets = row_id, texts, targets
        self.classes, self.ids = classes, ids

    def __len__(self) -> int:
        return len(self.texts)

    def sample_id(self, index: int) -> str:
        if self.ids is not None:
            return str(self.ids[index].as_py())
        return self.row_id(index)

    def __getitem__(self, index: int) -> Sample:
        text = self.texts[index].as_py()
        if not (text or "").strip():
            raise SampleError(self.sample_id(index), "it has no text", kind="empty")
        return Sample({"text": text}, self.target(index), self.sample_id(index))

    def origin(self, index: int) -> Origin:
        text = self.texts[index].as_py()
        return Origin((text, self.cell(index)), inputs=(text,))

    def sizes(self) -> Sequence[float]:
        lengths = text_lengths(self.texts)
        if isinstance(self.targets, pa.ChunkedArray):
            lengths = lengths + text_lengths(self.targets)
        return lengths.tolist()  # type: ignore[no-any-return]


def text_lengths(texts: pa.ChunkedArray) -> Any:
    return pc.fill_null(pc.utf8_length(texts), 0).to_numpy()
