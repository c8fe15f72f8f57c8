"""Tables with cells of any kind: read as they are, or refused by row in one sentence."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmft_core import DatasetSpec, discover
from mmft_core.config.options import convert
from mmft_core.contracts import DatasetContext
from mmft_core.data.tables import TABLE_SUFFIXES
from mmft_core.errors import MmftError, SampleError
from mmft_tables.tables import Table

FUZZ = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
REGISTRY = discover()
TEXT = st.text("aZ0 ,;\"'\n\r\t.-é日\u2028\x00", max_size=8) | st.sampled_from(
    ["inf", "-inf", "nan", "NA", "1e999", "007", "1,5", "true", "null", "a.png", "b.wav", "[1]"]
)
NUMBER = st.integers(-(2**70), 2**70) | st.floats()
CELL = st.one_of(st.none(), st.booleans(), NUMBER, TEXT, st.lists(TEXT, max_size=2))


def examine(path: Path) -> None:
    """Read a table in all ways that there are; what is raised is for the user."""
    for name in ("mixed-table", "text-table", "image-table", "audio-table"):
        component = REGISTRY.get(DatasetSpec, name)
        for target in set(component.spec.targets) & {"class", "number", "text", "none"}:
            try:
                options = convert({"path": str(path)}, component.options_type(), "dataset")
                dataset = component.build(options, DatasetContext(target=target, partial=True))
            except MmftError as error:
                assert str(path.name) in error.message, error
                continue
            for split in dataset.splits.values():
                split.sizes()
                for index in range(len(split)):
                    try:
                        split.check(index)
                        _ = split[index].inputs
                    except SampleError as error:
                        assert error.sample_id.startswith(path.name)


@FUZZ
@given(st.lists(st.tuples(TEXT, TEXT, st.sampled_from(["a", "b", ""])), max_size=8))
def test_csv(tmp_path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    path = tmp_path / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("x", "text", "label"), *rows])
    examine(path)


@FUZZ
@given(st.lists(st.dictionaries(st.sampled_from(["x", "text", "label", ""]), CELL), max_size=6))
def test_jsonl(tmp_path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    examine(path)


@FUZZ
@given(st.sampled_from(TABLE_SUFFIXES), st.binary(max_size=80), st.booleans())
def test_bytes(tmp_path: Path, suffix: str, content: bytes, packed: bool) -> None:
    path = tmp_path / f"table{suffix}"
    path.write_bytes(gzip.compress(content) if packed else content)
    examine(path)


JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "label", "data", "columns", "0"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@FUZZ
@given(JSON)
def test_json(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    examine(path)


@FUZZ
@given(st.text('ab,;\t"\n\r 1.', max_size=40), st.sampled_from([".csv", ".tsv"]))
def test_text(tmp_path: Path, content: str, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    path.write_bytes(content.encode())
    examine(path)


WORDS = st.text("aZ0 ,;\"'\n\té日", min_size=1, max_size=8)


@FUZZ
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6))
def test_cells_are_read_as_they_were_written(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("x", "y"), *rows])
    table = Table(path)
    assert len(table) == len(rows)
    assert list(zip(table.column("x"), table.column("y"), strict=True)) == rows
