"""Inputs that are too long, cut into pieces that are rows of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmft_core.contracts import Cutter, Cutting, Sample
from mmft_core.data import together
from mmft_core.errors import DataError, IncompatibleError, SampleError
from mmft_core.utils import ensure_new, escape, replacing_folder
from mmft_data_check.choosing import Chosen
from mmft_data_check.cleaning import TARGET_COLUMNS, row_of
from mmft_data_check.findings import Finding
from mmft_data_check.tables_left import (
    check_form,
    row_numbers,
    rows_of_table,
    write_rows,
    write_rows_of,
)
from mmft_tables.tables import Table

GROUP = "source"
"""The column that says which input a piece comes from."""

_SHOWN = 10
"""Reasons that are listed if nothing is left."""

Progress = Callable[[int, int], None]


@dataclass(kw_only=True)
class Cut:
    """The result of cutting.

    Attributes:
        rows: the number of rows of the new table.
        inputs: how many were cut.
        pieces: how many pieces they became.
        removed: samples that cannot be cut, and parts without a target.
        group: the column that says which input a piece comes from.
    """

    rows: int = 0
    inputs: int = 0
    pieces: int = 0
    removed: list[Finding] = field(default_factory=list)
    group: str = GROUP


@dataclass(frozen=True)
class _Row:
    """A row of the new table: a sample or a piece of it, and which cells differ from its own."""

    split: str
    index: int
    sample: Sample
    group: str
    cells: Mapping[str, str]
    target: str | None = None


@dataclass(frozen=True, kw_only=True)
class LongInputs:
    """What is done to inputs that are too long.

    Attributes:
        modality: whose inputs are cut.
        folder: for the files of pieces.
        groups: the groups of files that were seen, by path.
    """

    chosen: Chosen
    modality: str
    cutter: Cutter
    folder: Path
    groups: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        chosen: Chosen,
        longest: float,
        aligner: str | None,
        output: Path,
        table: Table | None,
    ) -> LongInputs:
        """Args:
            table: the data set, if it is a table.

        Raises:
            IncompatibleError: no inputs of this data set can be cut.
            ConfigError: an aligner is needed and none is named, or it cannot align; or the output
                cannot hold the columns of the table.
        """
        modality = next((m for m, i in chosen.inspectors.items() if i.cuts), None)
        if modality is None:
            raise IncompatibleError(
                f"--longest cannot cut the inputs of {chosen.dataset.info.name}: "
                f"{', '.join(chosen.inspectors) or 'they are of no known modality'}.",
                hint="Leave it out.",
            )
        if table is not None:
            columns = chosen.dataset.columns
            changed = [columns[k] for k in (modality, "target") if k in columns]
            check_form(output, table, but=changed)
        folder = output.with_suffix(".pieces")
        ensure_new(folder)
        train = together(chosen.dataset.splits.values())
        cutting = Cutting(longest=longest, aligner=aligner, target=chosen.target, train=train)
        cutter = chosen.inspectors[modality].cutter(cutting)
        return cls(chosen=chosen, modality=modality, cutter=cutter, folder=folder)

    @property
    def repeated(self) -> list[str]:
        """The other modalities, whose inputs each piece repeats unchanged."""
        splits = self.chosen.dataset.splits.values()
        first = next(split[0] for split in splits if len(split))
        return [modality for modality in first.inputs if modality != self.modality]

    def write(
        self,
        output: Path,
        table: Table | None,
        removed: Iterable[Finding],
        group: str | None,
        on_progress: Progress,
    ) -> Cut:
        """Cut what is too long, and write the table of all that is left.

        Args:
            table: the data set, if it is a table.
            removed: samples that are left out.
            group: the column of the groups that the data set has; None to add one.

        Raises:
            ConfigError: the output cannot hold the columns of the table.
            DataError: nothing is left.
            StorageError: something cannot be written.
        """
        gone = {(finding.split, finding.index) for finding in removed}
        cut = Cut(group=group or _new_column(table))
        with replacing_folder(self.folder) as temporary:
            rows = list(self._rows(gone, cut, temporary, on_progress))
            cut.rows = len(rows)
            if not rows:
                why = [
                    f"\n  {escape(finding.id)}: {escape(finding.text)}"
                    for finding in cut.removed[:_SHOWN]
                ]
                raise DataError(
                    f"No sample of {self.chosen.dataset.info.name} is left:{''.join(why)}",
                    hint="Nothing was written.",
                )
            with_group = group is None
            numbers = None if table is None else row_numbers(table, [r.sample.id for r in rows])
            if table is None or numbers is None:
                write_rows(output, self._of_samples(rows, output, cut.group, with_group))
            else:
                self._write_table(output, table, numbers, rows, cut.group, with_group)
        return cut

    def _rows(
        self, gone: set[tuple[str, int | None]], cut: Cut, folder: Path, on_progress: Progress
    ) -> Iterator[_Row]:
        splits = self.chosen.dataset.splits
        total, done = sum(map(len, splits.values())), 0
        for name, split in splits.items():
            for index in range(len(split)):
                done += 1
                on_progress(done, total)
                if (name, index) not in gone:
                    yield from self._rows_of(name, index, split[index], done, cut, folder)

    def _rows_of(
        self, split: str, index: int, sample: Sample, number: int, cut: Cut, folder: Path
    ) -> Iterator[_Row]:
        """The rows of a sample: itself, or its pieces."""
        raw, stem = sample.inputs[self.modality], f"{number:06}"
        group = self._group(raw, stem)
        try:
            pieces = () if raw is None else self.cutter.cut(raw, sample.target, folder, stem)
        except SampleError as error:
            cut.removed.append(_left_out(split, index, sample, f"cannot be cut: {error.reason}"))
            return
        if not pieces:
            yield _Row(split, index, sample, group, {})
        cut.inputs += len(pieces) > 1
        cut.pieces += len(pieces) if len(pieces) > 1 else 0
        for piece in pieces:
            if piece.target is None and sample.target is not None:
                text = f"has no words from {piece.place}, so that part is left out"
                cut.removed.append(_left_out(split, index, sample, text))
                cut.pieces -= 1
                continue
            target = None if piece.target == sample.target else str(piece.target)
            yield _Row(split, index, sample, group, self._named(piece.cells), target)

    def _group(self, raw: Any, stem: str) -> str:
        """The group of an input: the first sample of its file."""
        cells = {} if raw is None else self.chosen.inspectors[self.modality].cells(raw)
        file = cells.get(self.modality)
        return stem if file is None else self.groups.setdefault(file, stem)

    def _named(self, cells: Mapping[str, str]) -> dict[str, str]:
        """Cells of a piece, whose file is found from the table's folder."""
        return {k: f"{self.folder.name}/{v}" if k == self.modality else v for k, v in cells.items()}

    def _of_samples(
        self, rows: Sequence[_Row], output: Path, group: str, with_group: bool
    ) -> list[dict[str, str]]:
        chosen, found = self.chosen, []
        for row in rows:
            cells = row_of(row.sample, chosen.inspectors, chosen.target, output.absolute().parent)
            changed = {k: v for k, v in row.cells.items() if v or k in cells}
            if row.target is not None:
                changed[TARGET_COLUMNS[chosen.target]] = row.target
            own = {group: row.group} if with_group else {}
            split = {"split": row.split} if len(chosen.dataset.splits) > 1 else {}
            found.append(cells | changed | own | split)
        return found

    def _write_table(
        self,
        output: Path,
        table: Table,
        numbers: Sequence[int],
        rows: Sequence[_Row],
        group: str,
        with_group: bool,
    ) -> None:
        columns = self.chosen.dataset.columns
        changed = {columns[key] for row in rows for key in row.cells if key in columns}
        if any(row.target is not None for row in rows):
            changed.add(columns["target"])
        if with_group:
            changed.add(group)
        check_form(output, table, but=changed)
        own = rows_of_table(table, output.absolute().parent)
        texts = []
        for row, number in zip(rows, numbers, strict=True):
            cells = {columns[k]: v for k, v in row.cells.items() if k in columns}
            target = {} if row.target is None else {columns["target"]: row.target}
            of_group = {group: row.group} if with_group else {}
            texts.append(own[number] | cells | target | of_group)
        write_rows_of(output, table, numbers, texts, changed=changed)


def _left_out(split: str, index: int, sample: Sample, text: str) -> Finding:
    return Finding(kind="uncut", split=split, index=index, id=sample.id, text=text)


def _new_column(table: Table | None) -> str:
    name = GROUP
    while table is not None and name in table.columns:
        name += "_"
    return name
