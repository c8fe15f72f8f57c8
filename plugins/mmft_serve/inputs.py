"""From what a request holds to raw inputs of a model, within limits."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from mmft_core.contracts import Extent, Processor, Sample
from mmft_core.errors import SampleError, did_you_mean
from mmft_core.utils import some_suffixes
from mmft_serve.json_limits import check_json
from mmft_serve.refused import RefusedError
from mmft_serve.settings import ServeSettings


@dataclass(frozen=True)
class Upload:
    """A file that came with a request."""

    name: str
    content: BinaryIO


Value: TypeAlias = str | Upload | Mapping[str, Any]
"""A text as it was typed, a file, or a row's cells by column."""

Given: TypeAlias = Mapping[str, Value]
"""What a request holds, by modality."""


@dataclass(frozen=True)
class Inputs:
    """Reads what requests hold.

    Attributes:
        partial: whether one of several modalities is enough.
        settings: how much an input may hold, and how large its JSON may be.
    """

    processors: Mapping[str, Processor]
    partial: bool
    settings: ServeSettings

    def sample(self, given: Given, folder: Path) -> Sample:
        """Read what was given.

        Args:
            folder: where files are laid down; they are read as late as when they are prepared.

        Raises:
            RefusedError: it is not what the model reads, or too much.
        """
        raws = {m: self._checked(m, given[m], folder) for m in self.processors if m in given}
        there = {modality: raw for modality, raw in raws.items() if raw is not None}
        lacking = [modality for modality in self.processors if modality not in there]
        if not there or (lacking and not self.partial):
            raise RefusedError(
                422,
                f"The request holds no {' and no '.join(lacking)}; the model reads "
                f"{(' or ' if self.partial else ' and ').join(self.processors)}.",
            )
        return Sample({m: there.get(m) for m in self.processors}, None, "input")

    def _checked(self, modality: str, value: Value, folder: Path) -> Any:
        try:
            raw = self._raw(modality, value, folder)
            if raw is not None:
                extents = self.processors[modality].extent(raw) or ()
                for extent in [extents] if isinstance(extents, Extent) else extents:
                    check_extent(modality, extent, self.settings.extents)
        except SampleError as error:
            raise RefusedError(422, f"The {modality} cannot be used: {error.reason}.") from None
        return raw

    def _raw(self, modality: str, value: Value, folder: Path) -> Any:
        """The raw input; None for an empty one."""
        processor = self.processors[modality]
        if isinstance(value, Upload) and processor.suffixes:
            return _read(processor, modality, value, folder)
        if isinstance(value, Upload):
            value = _text(modality, value)
        if isinstance(value, str) and not value.strip():
            return None
        fields = processor.fields()
        if fields:
            cells = self._object(modality, value) if isinstance(value, str) else value
            return _row(processor, cells, fields)
        raw = processor.parse(value) if isinstance(value, str) else None
        if raw is None:
            files = processor.suffixes
            takes = ["a text"] if not files or processor.parse("text") is not None else []
            takes += [f"a file of {some_suffixes(files)}"] if files else []
            wanted = " or ".join(takes)
            raise RefusedError(422, f"The {modality} cannot be read: the model takes {wanted}.")
        return raw

    def _object(self, modality: str, text: str) -> Mapping[str, Any]:
        """The cells of a row that came as text: a part of a form, or a string of JSON."""
        limits = self.settings.max_json_depth, self.settings.max_json_items
        check_json(text.encode("utf-8", "surrogatepass"), *limits)
        try:
            cells = json.loads(text)
        except (ValueError, RecursionError):
            cells = None
        if not isinstance(cells, dict):
            raise RefusedError(
                422, f'The {modality} is not a row: give a JSON object, such as {{"column": 1}}.'
            )
        return cells


def check_extent(what: str, extent: Extent, limits: Mapping[str, float]) -> None:
    """Check that an input is within the limits.

    Args:
        limits: by unit.

    Raises:
        RefusedError: it holds more.
    """
    most = limits.get(extent.unit, math.inf)
    if extent.amount > most:
        raise RefusedError(
            413,
            f"The {what} holds {extent.amount:,.0f} {extent.unit}; "
            f"at most {most:,.0f} are allowed.",
        )


def _read(processor: Processor, modality: str, upload: Upload, folder: Path) -> Any:
    suffix = Path(upload.name).suffix.lower()
    path = folder / f"{modality}{suffix if suffix in processor.suffixes else ''}"
    with path.open("wb") as file:
        shutil.copyfileobj(upload.content, file)
    return processor.read(path)


def _text(modality: str, upload: Upload) -> str:
    try:
        return upload.content.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(
            422, f"The {modality} cannot be used: it is not UTF-8 at byte {error.start}."
        ) from None


def _row(
    processor: Processor,
    cells: Mapping[str, Any],
    fields: Mapping[str, tuple[str, ...] | None],
) -> Any:
    """A row of which each cell is what its column holds; None where all are empty."""
    found = {name: _cell(name, cell, fields, processor) for name, cell in cells.items()}
    if all(cell is None for cell in found.values()):
        return None
    return processor.parse(json.dumps(found))


def _cell(
    name: str, cell: Any, fields: Mapping[str, tuple[str, ...] | None], processor: Processor
) -> float | str | None:
    if name not in fields:
        known = did_you_mean(name, fields) or f" There are {', '.join(fields)}."
        raise RefusedError(422, f"There is no column '{name[:100]}'.{known}")
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    is_number = fields[name] is None
    if isinstance(cell, bool | int | float | str):
        found = cell if isinstance(cell, str) or is_number else str(cell)
        try:
            if isinstance(found, str):  # Which only the processor knows how to read.
                processor.inspect(processor.parse(json.dumps({name: found})))
                return found
            if math.isfinite(number := float(found)):
                return number
        except (ValueError, OverflowError) as error:
            if not is_number:
                raise RefusedError(422, f"Column '{name}' cannot be used: {error}.") from None
    kind = "a finite number" if is_number else "a text or a number"
    raise RefusedError(422, f"Column '{name}' takes {kind}, or null where it is empty.")
