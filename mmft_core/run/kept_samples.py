"""`samples.parquet`: exactly which samples a run was trained and evaluated on.

It has a row for each sample, in the order of its split: `split` (null for a skipped sample),
`place` among all samples of the data set (`Whole`), `id`, and its fingerprint. So splits need not
be drawn again, and changed data are detected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmft_core.contracts import Dataset, Split
from mmft_core.data.chunks import in_chunks
from mmft_core.data.fingerprints import DIGEST, Fingerprints, Likeness
from mmft_core.data.likeness import share_alike, share_known
from mmft_core.data.parquet_size import check_parquet
from mmft_core.data.soundness import Findings
from mmft_core.data.splits import Indices, Subset, Whole
from mmft_core.errors import first_line, some_of
from mmft_core.utils.files import replacing, unreadable

_Values: TypeAlias = list[bytes | None]

_FORMAT = b"1"
_COLUMNS = {"split", "place", "id", "values", "stat", "content"}
_COMPARED = ("place", "values", "stat", "content", "inputs")


@dataclass(frozen=True, kw_only=True)
class Change:
    """How data differ from those that a run had.

    Attributes:
        reason: the difference in words, as the end of a sentence.
        alike: the share of the smaller of the two data sets that is also in the other, in any order
            and with any labels.
        relabelled: whether only labels or file names differ.
    """

    reason: str
    alike: float
    relabelled: bool = False


@dataclass(frozen=True)
class KeptSamples:
    """The samples of a run.

    Attributes:
        table: the content of `samples.parquet`.
        total: the number of samples of the data set, including those in no split.
    """

    table: pa.Table
    total: int

    @classmethod
    def found(cls, dataset: Dataset, findings: Findings) -> Self:
        """The samples of a data set that was checked.

        Args:
            dataset: the data set, including samples that will be skipped.
            findings: which samples are skipped, and the fingerprints of all.
        """
        whole, faulty = Whole(dataset.splits), findings.faulty()
        parts = []
        for name, tables in findings.fingerprints.items():
            names = np.full(len(dataset.splits[name]), name, dtype=object)
            names[faulty.get(name, [])] = None
            columns = {
                "split": pa.array(names, pa.string()),
                "place": pa.array(whole.places(dataset.splits[name])),
            }
            found = pa.concat_tables(tables)
            parts.append(pa.table({**columns, **{n: found[n] for n in found.column_names}}))
        return cls(pa.concat_tables(parts), len(whole))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the file; None if there is none, as in runs of older versions.

        Raises:
            RunDirectoryError: it is damaged.
        """
        if not path.is_file():
            return None
        try:
            check_parquet(path)
            table = pq.read_table(path, page_checksum_verification=True)
            told = table.schema.metadata or {}
            if not set(table.column_names) >= _COLUMNS or told[b"format"] != _FORMAT:
                raise ValueError("it holds something else")
            if "inputs" not in table.column_names:  # As in runs of older versions.
                table = table.append_column("inputs", pa.nulls(len(table), DIGEST))
            return cls(table, int(told[b"samples"]))
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise unreadable(path, first_line(error)) from None

    def write(self, path: Path) -> None:
        """Raises:
        StorageError: it cannot be written.
        """
        told = {"format": _FORMAT, "samples": str(self.total)}
        table = self.table.replace_schema_metadata(told)
        with replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)

    def nameless(self) -> Self:
        """The same without the samples' ids, for people who may not see them."""
        place = self.table.schema.get_field_index("id")
        empty = pa.nulls(len(self.table), pa.string())
        return replace(self, table=self.table.set_column(place, "id", empty))

    @property
    def splits(self) -> list[str]:
        """The names of the splits, in their order."""
        return [name for name in self.table["split"].unique().to_pylist() if name is not None]

    def divide(self, dataset: Dataset) -> Dataset:
        """The data set, divided into the splits of the run.

        Args:
            dataset: a data set with the same number of samples, in any splits.
        """
        whole, places = Whole(dataset.splits), self.table["place"].to_numpy()
        splits = {name: Subset(whole, places[self._rows([name])]) for name in self.splits}
        return replace(dataset, splits=splits)

    def compare(
        self,
        dataset: Dataset,
        fingerprints: Fingerprints,
        splits: Collection[str],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[Change | None, KeptSamples]:
        """Compare the samples of these splits with what they were.

        Args:
            dataset: the data set, in any splits.

        Returns:
            how they differ (None if they do not), and the samples with the current state of their
            files.
        """
        whole = Whole(dataset.splits)
        if len(whole) != self.total:
            now, then = _all_values(whole, fingerprints), self.table["values"].to_pylist()
            reason = self._resized(whole, now, then, _beyond(then, now))
            return Change(reason=reason, alike=share_alike(self.table, whole, fingerprints)), self
        rows = self._rows(splits)
        columns = [self.table[n].to_numpy(zero_copy_only=False) for n in _COMPARED]
        done = 0

        def likenesses(chunk: range) -> list[Likeness]:
            return [
                fingerprints.compared(whole, int(place), kept)
                for place, *kept in zip(
                    *(column[rows[chunk.start : chunk.stop]] for column in columns), strict=True
                )
            ]

        def on_done(samples: int) -> None:
            nonlocal done
            done = min(len(rows), done + samples)
            on_progress(done, len(rows))

        found = [each for part in in_chunks(len(rows), likenesses, on_done) for each in part]
        others = rows[[not each.same for each in found]]
        if not len(others):
            return None, self._with_stats(rows, [each.stat for each in found])
        if all(each.same or each.relabelled for each in found):
            return self._relabelled(whole, others, len(rows)), self
        return self._change(whole, fingerprints, others, len(rows)), self

    def share_learned(self, split: Split, fingerprints: Fingerprints) -> float:
        """The share of the samples of a data set that the run was trained on."""
        return share_known(self.table.take(self._rows(["train"])), split, fingerprints)

    def _rows(self, splits: Collection[str]) -> Indices:
        """The rows of the table that are of these splits."""
        held = pc.is_in(self.table["split"], value_set=pa.array(list(splits), pa.string()))
        return np.flatnonzero(held.to_numpy())

    def _with_stats(self, rows: Indices, stats: Sequence[bytes | None]) -> KeptSamples:
        before = self.table["stat"].to_pylist()
        known = list(before)
        for row, stat in zip(rows.tolist(), stats, strict=True):
            known[row] = stat
        if known == before:
            return self
        place = self.table.schema.get_field_index("stat")
        column = pa.array(known, self.table.schema.field(place).type)
        return replace(self, table=self.table.set_column(place, "stat", column))

    def _relabelled(self, whole: Whole, others: Indices, compared: int) -> Change:
        places = np.sort(self.table["place"].to_numpy()[others]).tolist()
        names = _some([whole.sample_id(place) for place in places])
        reason = f"{len(others):,} of {compared:,} samples have other labels or file names: {names}"
        return Change(reason=reason, alike=1.0, relabelled=True)

    def _change(
        self, whole: Whole, fingerprints: Fingerprints, others: Indices, compared: int
    ) -> Change:
        """Describe what has changed.

        Args:
            others: rows of the table whose samples have changed.
            compared: the number of samples compared.
        """
        now, then = _all_values(whole, fingerprints), self.table["values"].to_pylist()
        alike = share_alike(self.table, whole, fingerprints)
        gone = _beyond(then, now)
        places = self.table["place"].to_numpy()[others]
        shifted = sorted(p for p, row in zip(places, others, strict=True) if now[p] != then[row])
        if shifted and not gone:
            first = whole.sample_id(int(shifted[0]))
            return Change(reason=f"the samples are in another order, from {first} on", alike=alike)
        if len(shifted) > len(gone):
            return Change(reason=self._resized(whole, now, then, gone), alike=alike)
        names = _some([whole.sample_id(place) for place in np.sort(places).tolist()])
        reason = f"{len(others):,} of {compared:,} samples are not what they were: {names}"
        return Change(reason=reason, alike=alike)

    def _resized(self, whole: Whole, now: _Values, then: _Values, gone: Sequence[int]) -> str:
        """What was added and removed, if this has shifted the places of other samples."""
        new = _beyond(now, then) if len(then) == self.total else []  # Else some were never used.
        names = self.table["id"].to_pylist()
        lists = (
            ("new", [whole.sample_id(k) for k in new]),
            ("gone or changed", [names[k] or "a sample" for k in gone]),
        )
        sizes = f"{len(whole):,} samples now, {self.total:,} then"
        told = [f"{len(ids):,} {what}: {_some(ids)}" for what, ids in lists if ids]
        return "; ".join([sizes, *told] if len(whole) != self.total else told)


def _some(names: Sequence[str]) -> str:
    return some_of(names).rstrip(".")


def _all_values(split: Split, fingerprints: Fingerprints) -> _Values:
    def work(chunk: range) -> _Values:
        return [fingerprints.values(split, index) for index in chunk]

    return [value for part in in_chunks(len(split), work) for value in part]


def _beyond(values: _Values, others: _Values) -> list[int]:
    """The places of values that occur less often, or not at all, among others."""
    left = Counter(others)
    found = []
    for place, value in enumerate(values):
        if value is not None and left[value] == 0:
            found.append(place)
        left[value] -= 1
    return found
