"""Parquet with types that programs have added to Arrow's: other columns stay readable."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmft_core.errors import DataError
from mmft_tables.tables import Table
from tests.conftest import Finished

COUNT = 24
TEXTS = [f"text {k}" for k in range(COUNT)]
LABELS = ["a", "b"] * 12


class Score(pa.ExtensionType):
    """A type of some program."""

    def __init__(self) -> None:
        super().__init__(pa.int32(), "some.score")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: Any, serialized: bytes) -> Score:
        return cls()


@pytest.fixture(params=["known", "unknown"])
def score(request: pytest.FixtureRequest) -> Iterator[pa.Array]:
    """A column of a type that this process knows, or does not."""
    if request.param == "known":
        pa.register_extension_type(Score())
    yield pa.ExtensionArray.from_storage(Score(), pa.array(range(COUNT), pa.int32()))
    if request.param == "known":
        pa.unregister_extension_type("some.score")


def written(path: Path, column: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"x": column, "text": TEXTS, "label": LABELS}), path)
    return path


def extended(kind: Any, values: Any, storage: Any) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, pa.array(values, storage))


KINDS: dict[str, tuple[Callable[[], Any], list[Any]]] = {
    "uuid": (
        lambda: extended(pa.uuid(), [uuid.UUID(int=k).bytes for k in range(COUNT)], pa.binary(16)),
        [str(uuid.UUID(int=k)) for k in range(COUNT)],
    ),
    "json": (
        lambda: extended(pa.json_(), [f"[{k}]" for k in range(COUNT)], pa.string()),
        [f"[{k}]" for k in range(COUNT)],
    ),
    "bool": (
        lambda: extended(pa.bool8(), [k % 3 or None for k in range(COUNT)], pa.int8()),
        [True if k % 3 else None for k in range(COUNT)],
    ),
    "tensor": (
        lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(
            np.arange(2 * COUNT, dtype=np.float32).reshape(COUNT, 2)
        ),
        [[2.0 * k, 2.0 * k + 1] for k in range(COUNT)],
    ),
    "within lists": (
        lambda: pa.ListArray.from_arrays(
            pa.array(range(COUNT + 1), pa.int32()),
            extended(pa.bool8(), [1] * COUNT, pa.int8()),
        ),
        [[1]] * COUNT,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_others_are_read_and_the_column_as_what_it_means(tmp_path: Path, kind: str) -> None:
    make, cells = KINDS[kind]
    table = Table(written(tmp_path / "t.parquet", make()))
    assert table.columns == ("text", "label", "x")
    assert table.column("text") == TEXTS and table.column("label") == LABELS
    assert table.column("x") == cells
    told = [note for note in table.notes if "column 'x' is of the type" in note]
    assert bool(told) == (kind in ("tensor", "within lists"))


def test_types_of_other_programs_are_read_as_they_are_stored(
    tmp_path: Path, score: pa.Array
) -> None:
    table = Table(written(tmp_path / "t.parquet", score))
    assert table.column("x") == list(range(COUNT)) and table.column("text") == TEXTS
    assert (
        "column 'x' is of the type some.score, and is read in its stored form: int32" in table.notes
    )


@pytest.mark.parametrize("freq", ["M", "Q", "D", "Y", "W", "h"])
def test_periods_are_the_texts_that_a_csv_holds(tmp_path: Path, freq: str) -> None:
    frame = pd.DataFrame({"x": pd.period_range("2023-11-05", periods=COUNT, freq=freq)})
    frame["text"] = TEXTS
    frame.loc[5, "x"] = pd.NaT
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    plain, found = Table(tmp_path / "t.csv"), Table(tmp_path / "t.parquet")
    assert [cell or "" for cell in found.column("x")] == plain.column("x")
    assert found.column("x")[5] is None


def test_they_make_classes_and_are_written_again(
    tmp_path: Path, mmft: Callable[..., Finished]
) -> None:
    months = pd.period_range("2024-01", periods=3, freq="M").repeat(8)
    frame = pd.DataFrame({"text": TEXTS, "label": months})
    frame.to_parquet(tmp_path / "t.parquet")
    output = tmp_path / "o.csv"
    ended = mmft("data", "split", "--task", "text-cls", tmp_path / "t.parquet", "-o", output)
    assert ended.code == 0, ended.err
    assert set(pd.read_csv(output)["label"]) == {"2024-01", "2024-02", "2024-03"}


def test_in_shards_of_a_folder(tmp_path: Path) -> None:
    make, cells = KINDS["uuid"]
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        written(tmp_path / "d" / "data" / f"{name}.parquet", make())
    table = Table(tmp_path / "d")
    assert table.column("x") == cells * 3 and table.column("text") == TEXTS * 3
    assert set(table.column("split")) == {"train", "test"}


def test_a_file_of_nothing_else(tmp_path: Path) -> None:
    make, cells = KINDS["uuid"]
    pq.write_table(pa.table({"x": make()}), tmp_path / "t.parquet")
    assert Table(tmp_path / "t.parquet").column("x") == cells


@pytest.mark.parametrize("parameters", [b"", b"{}", b'{"freq": "no such"}', b"[1]"])
def test_what_is_no_such_type_is_one_sentence(tmp_path: Path, parameters: bytes) -> None:
    field = pa.field(
        "x",
        pa.int64(),
        metadata={
            "ARROW:extension:name": "pandas.period",
            "ARROW:extension:metadata": parameters,
        },
    )
    schema = pa.schema([field, ("text", pa.string())])
    rows = pa.table([list(range(COUNT)), TEXTS], schema=schema)
    pq.write_table(rows, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="t.parquet cannot be read: "):
        Table(tmp_path / "t.parquet")
