"""Samples of one group, a patient's or a speaker's, stay together in random splits and in folds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmft_core import DatasetSpec, discover
from mmft_core.config.options import convert
from mmft_core.config.resolving import make_plan
from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.data.fold_choice import Folds
from mmft_core.data.folds import in_folds
from mmft_core.data.groups import fold_groups, whole_groups
from mmft_core.errors import ConfigError, DataError
from tests.conftest import Finished

Mmft = Callable[..., Finished]

PATIENTS = 20


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """160 remarks, eight on each of 20 patients, of whom half are ill."""
    table = tmp_path / "visits.csv"
    rows = [
        f"remark {k} on somebody today,{('ill', 'well')[k % PATIENTS % 2]},p{k % PATIENTS}"
        for k in range(8 * PATIENTS)
    ]
    table.write_text("text,label,patient\n" + "\n".join(rows) + "\n")
    return table


def load(name: str, target: str = "class", *, training: bool = True, **options: Any) -> Dataset:
    component = discover().get(DatasetSpec, name)
    context = DatasetContext(target=target, training=training)
    return component.build(convert(options, component.options_type(), "dataset"), context)


def patients(table: Path, dataset: Dataset) -> dict[str, set[str]]:
    """Whose remarks each split holds, by the rows that ids name and not by `groups`."""
    cells = [line.rsplit(",", 1)[1] for line in table.read_text().splitlines()[1:]]
    return {
        name: {cells[int(split.sample_id(i).rsplit(" ", 1)[1]) - 1] for i in range(len(split))}
        for name, split in dataset.splits.items()
    }


def torn(homes: dict[str, set[str]]) -> set[str]:
    """The groups that are in several splits."""
    return {g for a in homes for b in homes if a < b for g in homes[a] & homes[b]}


def test_folds_of_a_table_leak_without_groups_and_do_not_with_them(visits: Path) -> None:
    plain = load("text-table", path=str(visits))
    grouped = load("text-table", path=str(visits), group_column="patient")
    validated: list[str] = []
    for folds in Folds(count=5).each():
        leaking = in_folds(plain, folds, seed=0)
        assert len(torn(patients(visits, leaking))) > PATIENTS / 2
        fold = in_folds(grouped, folds, seed=0)
        homes = patients(visits, fold)
        assert not torn(homes)
        assert "groups kept together" in fold.info.notes[-1]
        assert "groups from column 'patient'" in fold.info.notes
        validated += homes["val"]
    # None is validated twice, and only those of test never.
    assert sorted(validated) == sorted({f"p{k}" for k in range(PATIENTS)} - homes["test"])


def test_the_random_split_leaks_without_groups_and_does_not_with_them(visits: Path) -> None:
    assert torn(patients(visits, load("text-table", path=str(visits))))
    dataset = load("text-table", path=str(visits), group_column="patient")
    homes = patients(visits, dataset)
    assert not torn(homes) and set(homes) == {"train", "val", "test"}
    assert {n: len(s) for n, s in dataset.splits.items()} == {"train": 128, "val": 16, "test": 16}


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=60),
    st.integers(0, 5),
)
def test_any_groups_stay_whole_and_every_class_in_train(
    rows: list[tuple[int, int]], seed: int
) -> None:
    groups = [f"g{group}" for group, _ in rows]
    labels = np.array([label for _, label in rows])
    parts = whole_groups(groups, labels, {"test": 0.2, "val": 0.2}, seed)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(rows)))
    homes = {name: {groups[i] for i in places.tolist()} for name, places in parts.items()}
    assert not torn(homes)
    assert set(labels[parts["train"]].tolist()) == set(labels.tolist())


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(2, 4), st.integers(0, 5))
def test_any_groups_are_dealt_out_whole_or_refused(
    numbers: list[int], count: int, seed: int
) -> None:
    groups = [f"g{n}" for n in numbers]
    labels = np.arange(len(groups)) % 2
    if len(set(groups)) < count:
        with pytest.raises(DataError, match=rf"too few for {count} folds"):
            fold_groups(groups, labels, count, seed)
        return
    part = fold_groups(groups, labels, count, seed)
    assert set(part.tolist()) == set(range(count))
    assert len({(g, f) for g, f in zip(groups, part.tolist(), strict=True)}) == len(set(groups))


def test_what_cannot_be_kept_together_is_refused_in_a_sentence(visits: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'patiemt'. Did you mean 'patient'"):
        load("text-table", path=str(visits), group_column="patiemt")
    by_class = load("text-table", path=str(visits), group_column="label", test=0.0, val=0.0)
    with pytest.raises(DataError, match=r"2 groups, too few for 5 folds"):
        in_folds(by_class, Folds(count=5), seed=0)
    with pytest.raises(DataError, match=r"class '(ill|well)' of dataset .* too few groups"):
        in_folds(by_class, Folds(count=2), seed=0)
    in_folds(by_class, Folds(count=2), seed=0, unseen_classes=True)
    visits.write_text(visits.read_text().replace(",p3\n", ",\n", 1))
    with pytest.raises(DataError, match=r"visits.csv, row 4: its cell in the group column"):
        load("text-table", path=str(visits), group_column="patient")


def test_a_column_of_splits_that_tears_a_group_is_refused(visits: Path) -> None:
    lines = visits.read_text().splitlines()
    parts = ["split"] + ["test" if k == 40 else "train" for k in range(len(lines) - 1)]
    both = "\n".join(f"{line},{part}" for line, part in zip(lines, parts, strict=True))
    visits.write_text(both + "\n")
    load("text-table", path=str(visits))
    with pytest.raises(DataError, match=r"row 41: group 'p0' is in test and also in train"):
        load("text-table", path=str(visits), group_column="patient")


def test_other_data_that_a_model_is_judged_on_need_no_such_column(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("text,label\none remark,ill\nanother remark,well\n")
    dataset = load("text-table", training=False, path=str(other), group_column="patient")
    assert sum(map(len, dataset.splits.values())) == 2
    with pytest.raises(DataError, match=r"no column 'patient'"):
        load("text-table", path=str(other), group_column="patient")


def test_data_without_columns_have_none_to_group_by(photo_folder: Callable[..., Path]) -> None:
    settings = {
        "task": "image-cls",
        "backbone": "resnet18",
        "dataset": {"path": str(photo_folder()), "group_column": "patient"},
    }
    with pytest.raises(ConfigError, match=r"'image-folder' has no columns to group by"):
        make_plan(settings, discover())


def test_a_column_of_groups_is_no_input(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = [f"{k % 7}.5,{k % 3},{('a', 'b')[k % 2]},{k % 12}" for k in range(60)]
    table.write_text("size,shade,label,owner\n" + "\n".join(rows) + "\n")
    dataset = load("mixed-table", path=str(table), group_column="owner")
    assert "owner" not in dataset.splits["train"][0].inputs["tabular"]
    assert "owner" in load("mixed-table", path=str(table)).splits["train"][0].inputs["tabular"]


@pytest.mark.parametrize("name", ["docstrings", "spoken-commands"])
def test_built_in_data_keep_modules_and_voices_together(name: str) -> None:
    dataset = load(name)
    for folds in Folds(count=3).each():
        splits = in_folds(dataset, folds, seed=0).splits
        homes = {part: set(split.groups() or ()) for part, split in splits.items()}
        assert all(homes.values()) and not torn(homes)


def test_passages_of_a_file_stay_together(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text("words and words again\n" * 400)
    fold = in_folds(load("text-folder", "none", path=str(tmp_path)), Folds(count=3), seed=1)
    files = {
        name: {split.sample_id(i).rpartition(":")[0] for i in range(len(split))}
        for name, split in fold.splits.items()
    }
    assert len(fold.splits["val"]) > 12 and not torn(files)


def test_a_run_is_told_by_a_flag(mmft: Mmft, visits: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    ended = mmft(
        "run", "--task", "text-cls", "--backbone", "minilm", "--weights", "none",
        "--dataset", visits, "--folds", "2", "--group", "patient", "-o", output,
        "--set", "engine.steps=1", "--set", "engine.workers=0", "--set", "backbone.size=tiny",
        "--set", "backbone.vocabulary=300", "--set", "dataset.test=0",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    found = json.loads((output / "fold-2" / "results.json").read_text())
    assert found["dataset"]["samples"] == {"train": 80, "val": 80}
    assert any("groups kept together" in note for note in found["dataset"]["notes"])
    assert 'group_column = "patient"' in (output / "config.toml").read_text()
    judged = mmft("eval", output / "fold-2", "--split", "val", "--json")
    assert json.loads(judged.out.splitlines()[-1])["samples"] == 80
    ended = mmft(
        "run", "--task", "text-cls", "--backbone", "minilm", "--dataset", visits,
        "--folds", "2", "--group", "doctor", "-o", tmp_path / "none",
    )  # fmt: skip
    assert ended.code == 2 and "no column 'doctor'" in " ".join(ended.err.split())
    assert not (tmp_path / "none").exists()
