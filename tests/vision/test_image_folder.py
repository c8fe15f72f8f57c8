"""Folders of pictures: what is found, how it is divided, and every way it can be wrong."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmft_vision.image_folder import build
from mmft_vision.options import ImageFolderOptions
from PIL import Image

from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.errors import DataError, SampleError

Make = Callable[..., Path]


def load(path: Path, *, training: bool = True, seed: int = 0, **options: Any) -> Dataset:
    context = DatasetContext(seed=seed, training=training)
    return build(ImageFolderOptions(path=str(path), **options), context)


def ids(dataset: Dataset, split: str) -> set[str]:
    return {dataset.splits[split].sample_id(i) for i in range(len(dataset.splits[split]))}


def test_one_folder_is_divided_by_class_and_seed(photo_folder: Make) -> None:
    root = photo_folder(per_class=20)
    dataset = load(root)
    assert dataset.info.classes == ("china", "flower")
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 32,
        "val": 4,
        "test": 4,
    }
    everything = [i for name in dataset.splits for i in ids(dataset, name)]
    assert len(everything) == len(set(everything)) == 40
    test = dataset.splits["test"]
    assert sorted(test.target(i) for i in range(4)) == ["china", "china", "flower", "flower"]
    assert ids(load(root), "test") == ids(dataset, "test")
    assert ids(load(root, seed=1), "test") != ids(dataset, "test")


def test_given_splits_are_kept_and_only_val_is_set_aside(
    photo_folder: Make, tmp_path: Path
) -> None:
    root = tmp_path / "both"
    shutil.move(photo_folder("a", 10), root / "train")
    shutil.move(photo_folder("b", 3, seed=1), root / "test")
    dataset = load(root)
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 18,
        "val": 2,
        "test": 6,
    }
    assert all("/test/" in i for i in ids(dataset, "test"))


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_names_of_val_and_no_test(photo_folder: Make, tmp_path: Path, name: str) -> None:
    root = tmp_path / "both"
    shutil.move(photo_folder("a", 4), root / "train")
    shutil.move(photo_folder("b", 2), root / name)
    dataset = load(root)
    assert {n: len(s) for n, s in dataset.splits.items()} == {"train": 8, "val": 4}


def test_pictures_of_every_mode_and_at_any_depth_are_read(
    photo_folder: Make, photographs: dict[str, Image.Image]
) -> None:
    root = photo_folder(per_class=3)
    crop = photographs["flower"].crop((0, 0, 64, 64))
    deep = root / "flower" / "more" / "ünï çode"
    deep.mkdir(parents=True)
    crop.convert("L").save(deep / "grey.JPG")
    crop.convert("CMYK").save(deep / "cmyk.jpeg")
    crop.convert("P").save(deep / "palette.png")
    crop.convert("RGBA").save(deep / "alpha.png")
    Image.new("I;16", (40, 40), 40000).save(deep / "deep16.png")
    dataset = load(root, val=0, test=0)
    train = dataset.splits["train"]
    assert len(train) == 11
    for i in range(len(train)):
        train.check(i)
        assert train[i].inputs["image"].size[0] >= 40


def test_other_files_are_passed_over_and_counted(photo_folder: Make) -> None:
    root = photo_folder()
    (root / "china" / "notes.txt").write_text("x")
    (root / "README.md").write_text("x")
    (root / "china" / ".hidden.jpg").write_text("x")
    dataset = load(root)
    assert sum(map(len, dataset.splits.values())) == 24
    assert any("2 files that are not pictures" in note for note in dataset.info.notes)


def test_bad_pictures_are_found_by_the_check(photo_folder: Make) -> None:
    root = photo_folder(per_class=4)
    good = root / "china" / "000.jpg"
    (root / "china" / "text.jpg").write_text("not a picture")
    (root / "china" / "empty.png").write_bytes(b"")
    (root / "china" / "cut.jpg").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (root / "china" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "china" / "folder.jpg").mkdir()
    train = load(root, val=0, test=0).splits["train"]
    reasons = {}
    for i in range(len(train)):
        try:
            train.check(i)
        except SampleError as error:
            reasons[Path(error.sample_id).name] = error.reason
    assert reasons.keys() == {"text.jpg", "empty.png", "cut.jpg", "gone.jpg"}
    assert "not an image" in reasons["text.jpg"]
    assert "empty" in reasons["empty.png"]
    assert "truncated" in reasons["cut.jpg"]
    assert "no such file" in reasons["gone.jpg"]


def test_it_travels_to_worker_processes_small(photo_folder: Make) -> None:
    dataset = load(photo_folder(per_class=30))
    again = pickle.loads(pickle.dumps(dataset.splits["train"]))
    assert again.sample_id(3) == dataset.splits["train"].sample_id(3)


def make_one_class(root: Path) -> None:
    shutil.rmtree(root / "flower")


def make_empty_class(root: Path) -> None:
    for file in (root / "flower").iterdir():
        file.unlink()


def make_loose(root: Path) -> None:
    shutil.copy(root / "china" / "000.jpg", root / "loose.jpg")


def make_empty(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def make_strange_sibling(root: Path) -> None:
    (root / "china").rename(root / "train")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (make_one_class, "one class only, 'china'"),
        (make_empty_class, "flower holds no pictures"),
        (make_loose, "1 pictures .* outside the class folders"),
        (make_empty, "no pictures in class folders"),
        (make_strange_sibling, "flower stands beside train/"),
        (shutil.rmtree, "does not exist"),
    ],
)
def test_unusable_folders_are_refused(
    photo_folder: Make, spoil: Callable[[Path], None], words: str
) -> None:
    root = photo_folder()
    spoil(root)
    with pytest.raises(DataError, match=words):
        load(root)


def test_a_class_missing_from_train_is_named(photo_folder: Make, tmp_path: Path) -> None:
    root = tmp_path / "both"
    shutil.move(photo_folder("a", 4), root / "train")
    shutil.move(photo_folder("b", 4), root / "test")
    (root / "test" / "flower").rename(root / "test" / "fungus")
    with pytest.raises(DataError, match="Class 'fungus' is in test/ but not in train/"):
        load(root)


def test_one_class_is_enough_for_judging_a_model(photo_folder: Make) -> None:
    root = photo_folder()
    shutil.rmtree(root / "flower")
    assert load(root, training=False).info.classes == ("china",)


def test_a_file_is_not_a_folder(photo_folder: Make) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        load(photo_folder() / "china" / "000.jpg")
