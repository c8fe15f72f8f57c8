"""Fingerprints: what they see, and what it costs to see that nothing has changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmft_core.contracts import Dataset, DatasetInfo, Origin, Sample, Split
from mmft_core.data.fingerprints import Fingerprints
from mmft_core.data.fold_choice import Folds
from mmft_core.data.folds import in_folds
from mmft_core.data.soundness import Findings
from mmft_core.data.splits import Grouped, Joined, Subset, Unlabelled, Whole, together
from mmft_core.run.kept_samples import KeptSamples


@dataclass
class Things(Split):
    """Samples with values, and files."""

    values: list[Any]
    files: Mapping[int, tuple[Path, ...]]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Sample:
        return Sample({}, None, f"thing {index}")

    def origin(self, index: int) -> Origin:
        return Origin(self.values[index], self.files.get(index, ()))


def kept(split: Split, root: str = "") -> tuple[KeptSamples, Dataset]:
    data = Dataset(info=DatasetInfo(name="things"), splits={"train": split})
    found = Findings()
    found.fingerprints["train"] = [Fingerprints([root]).table(split, range(len(split)))]
    return KeptSamples.found(data, found), data


def reason(samples: KeptSamples, split: Split, root: str = "") -> str | None:
    data = Dataset(info=DatasetInfo(name="things"), splits={"train": split})
    change, _ = samples.compare(data, Fingerprints([root]), ["train"])
    return None if change is None else change.reason


def test_files_are_read_again_only_where_they_may_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{k}.bin" for k in range(4)]
    for k, file in enumerate(files):
        file.write_bytes(bytes([k]) * 100)
    things = Things([0, 1, 2], {k: (files[k],) for k in range(2)} | {2: (files[2], files[3])})
    samples, _ = kept(things)
    opened: list[Path] = []
    plain = Path.open

    def noting(self: Path, *args: Any, **more: Any) -> Any:
        if self in files:
            opened.append(self)
        return plain(self, *args, **more)

    monkeypatch.setattr(Path, "open", noting)
    assert reason(samples, things) is None and not opened
    os.utime(files[1], (1, 1))
    assert reason(samples, things) is None and opened == [files[1]]
    with plain(files[3], "r+b") as stream:
        stream.write(b"!")
    assert "thing 2" in str(reason(samples, things))
    files[0].unlink()
    assert str(reason(samples, things)).endswith(
        "2 of 3 samples are not what they were: thing 0; thing 2"
    )


def test_contents_of_the_same_size_and_time_are_told_apart(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for file in (first, second):
        file.write_text(f"It is {file.name}")
        os.utime(file, (1_600_000_000, 1_600_000_000))
    things = Things([0, 1], {0: (first,), 1: (second,)})
    samples, _ = kept(things)
    aside = tmp_path / "c"
    first.rename(aside), second.rename(first), aside.rename(second)
    assert "2 of 2 samples" in str(reason(samples, things))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.lists(st.integers(0, 9)),
    st.dictionaries(st.text(), st.integers(0, 9)),
)


@given(st.lists(VALUES, min_size=1, max_size=8), st.data())
def test_every_value_counts(values: list[Any], data: st.DataObject) -> None:
    samples, _ = kept(Things(values, {}))
    assert reason(samples, Things(list(values), {})) is None
    place = data.draw(st.integers(0, len(values) - 1))
    other = data.draw(VALUES.filter(lambda v: repr(v) != repr(values[place])))
    changed = [*values[:place], other, *values[place + 1 :]]
    assert reason(samples, Things(changed, {})) is not None


def test_arrays_and_what_is_no_number() -> None:
    image = np.arange(6, dtype=np.uint8)
    values = [[np.float64("nan"), image], [np.int64(3), image.reshape(2, 3)], {"b": 1, "a": 2}]
    samples, _ = kept(Things(values, {}))
    again = [[float("nan"), image.copy()], [3, image.reshape(2, 3)], {"a": 2, "b": 1}]
    assert reason(samples, Things(again, {})) is None
    again[1] = [3, image.reshape(3, 2)]
    assert "thing 1" in str(reason(samples, Things(again, {})))


class Named(Split):
    """Samples that are known by their ids alone, which are paths."""

    def __init__(self, root: str, names: list[str]) -> None:
        self.ids = [f"{root}/{name}" for name in names]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        return Sample({}, None, self.ids[index])


def test_ids_stand_for_samples_wherever_the_data_lie() -> None:
    samples, _ = kept(Named("here", ["a", "b"]), "here")
    assert reason(samples, Named("/disk/there", ["a", "b"]), "/disk/there") is None
    assert "/disk/there/c" in str(reason(samples, Named("/disk/there", ["a", "c"]), "/disk/there"))


@given(st.permutations(range(12)), st.integers(0, 11))
def test_the_reason_says_what_was_done(order: list[int], place: int) -> None:
    values = [f"value {k}" for k in range(12)]
    samples, _ = kept(Things(values, {}))
    found = reason(samples, Things([values[k] for k in order], {}))
    assert (found is None) == (list(order) == sorted(order))
    assert found is None or "in another order" in found
    more = [*values[:place], "new", *values[place:]]
    assert reason(samples, Things(more, {})) == (f"13 samples now, 12 then; 1 new: thing {place}")
    less = [*values[:place], *values[place + 1 :]]
    assert reason(samples, Things(less, {})) == (
        f"11 samples now, 12 then; 1 gone or changed: thing {place}"
    )
    if place:
        shifted = ["new", *values[:place], *values[place + 1 :]]
        assert reason(samples, Things(shifted, {})) == (
            f"1 new: thing 0; 1 gone or changed: thing {place}"
        )


def test_places_do_not_depend_on_the_division() -> None:
    first, second = Things(list(range(10)), {}), Things(list("abcd"), {})
    rows = Grouped(first, [str(k // 2) for k in range(10)])
    parts = {
        "test": second,
        "val": Subset(rows, np.array([1, 8])),
        "train": Subset(rows, np.array([0, 9, 3])),
    }
    data = Dataset(info=DatasetInfo(name="x"), splits=parts)
    whole = Whole(parts)
    assert len(whole) == 14
    assert whole.places(parts["train"]).tolist() == [0, 9, 3]
    assert whole.places(parts["test"]).tolist() == [10, 11, 12, 13]
    folded = in_folds(data, Folds(count=2, chosen=2), seed=1).splits
    for split in (*folded.values(), Unlabelled(folded["train"]), Joined([folded["val"]])):
        again = Whole(folded).places(split)
        assert [whole.origin(int(k)) for k in again] == [split.origin(k) for k in range(len(split))]
    assert whole.places(together(parts.values())).tolist()[:3] == [10, 11, 12]


def test_the_division_is_that_of_the_run(tmp_path: Path) -> None:
    things = Things([f"v{k}" for k in range(9)], {})
    splits = {
        "train": Subset(things, np.array([8, 0, 4, 2])),
        "val": Subset(things, np.array([7, 1])),
        "test": Subset(things, np.array([5, 6, 3])),
    }
    data = Dataset(info=DatasetInfo(name="x"), splits=splits)
    findings = Findings()
    for name, split in splits.items():
        findings.fingerprints[name] = [Fingerprints(()).table(split, range(len(split)))]
    samples = KeptSamples.found(data, findings)
    samples.write(tmp_path / "samples.parquet")
    read = KeptSamples.read(tmp_path / "samples.parquet")
    assert read is not None and read.splits == ["train", "val", "test"]
    otherwise = replace(data, splits={"test": Subset(things, np.arange(9)[::-1])})
    found = read.divide(otherwise).splits
    assert {n: [s.sample_id(k) for k in range(len(s))] for n, s in found.items()} == {
        n: [s.sample_id(k) for k in range(len(s))] for n, s in splits.items()
    }
