"""Columns of numbers and categories: scales, names, empty cells, what was never seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmft_core import BackboneSpec
from mmft_core.contracts import BackboneContext, DatasetInfo, Sample, Split
from mmft_core.weights import WeightsRequest
from mmft_tabular.columns import Cells, Columns
from mmft_tabular.processing import EMPTY, FARTHEST, UNKNOWN, TabularProcessor
from tests.fusion.tools import registry

ROWS: list[Cells | None] = [
    {"age": 10.0, "town": "Rome", "empty": None},
    {"age": 20.0, "town": "Bonn", "empty": None},
    {"age": 30.0, "town": "Rome", "empty": None},
    {"age": None, "town": "Bonn", "empty": None},
    {"age": 40.0, "town": None, "empty": None},
    {"age": 50.0, "town": "Nara", "empty": None},
    None,
]


class Rows(Split):
    def __len__(self) -> int:
        return len(ROWS)

    def __getitem__(self, index: int) -> Sample:
        return Sample({"tabular": ROWS[index]}, "a", f"row {index + 1}")


def test_scales_and_names_are_those_of_the_training_rows() -> None:
    columns = Columns.of(Rows(), rare=2)
    mean, deviation = columns.numbers["age"]
    ages = torch.tensor([10.0, 20, 30, 40, 50])
    assert (mean, deviation) == (30.0, pytest.approx(float(ages.std(correction=0))))
    assert columns.numbers["empty"] == (0.0, 1.0)
    assert columns.categories == {"town": ("Bonn", "Rome")}
    assert Columns.of(Rows(), rare=1).categories["town"] == ("Bonn", "Nara", "Rome")


def test_cells_become_numbers_and_what_is_empty_or_unknown_is_told_apart() -> None:
    processor = TabularProcessor(Columns.of(Rows(), rare=2))
    rows: list[Cells] = [
        {"age": 30.0, "town": "Bonn"},
        {"age": None, "town": "Nara", "new": 3.0},
        {"age": 1e9, "town": None},
    ]
    batch = processor.collate([processor.prepare(row, train=True) for row in rows])
    assert batch["numbers"].tolist() == [[0, 0], [0, 0], [FARTHEST, 0]]
    assert batch["given"].tolist() == [[True, False], [False, False], [True, False]]
    assert batch["categories"].squeeze(1).tolist() == [UNKNOWN + 1, UNKNOWN, EMPTY]


def test_rare_categories_are_counted_and_words_for_numbers_refused() -> None:
    processor = TabularProcessor(Columns.of(Rows(), rare=2))
    assert processor.inspect({"age": 1.0, "town": "Rome"}) is None
    assert "rare category in column 'town'" in (processor.inspect({"town": "Nara"}) or "")
    with pytest.raises(ValueError, match="its 'old' in column 'age' is not a finite number"):
        processor.inspect({"age": "old"})


@pytest.mark.parametrize("name", ["tabular-mlp", "tabular-transformer"])
def test_an_empty_cell_is_not_the_mean(tmp_path: Path, name: str) -> None:
    component = registry().get(BackboneSpec, name)
    context = BackboneContext(
        weights=WeightsRequest("auto", "tabular"), info=DatasetInfo(name=""), train=Rows()
    )
    backbone = component.build(component.options_type()(), context).eval()
    assert backbone.loaded.source == "random" and not backbone.loaded.fell_back
    rows: list[Cells] = [{"age": 30.0, "town": "Rome"}, {"age": None, "town": "Rome"}]
    prepared = [backbone.processor.prepare(row, train=False) for row in rows]
    torch.nn.init.normal_(backbone.tokens.empty)
    mean, empty = backbone.encode(backbone.processor.collate(prepared)).pooled
    assert not torch.allclose(mean, empty, atol=1e-3)
