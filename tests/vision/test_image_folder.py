"""Folders of pictures: what is found, how it is divided, and every way it can be wrong."""

from __future__ import annotations

import os
import pickle
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmft_core.contracts import Dataset
from mmft_core.errors import ConfigError, DataError, SampleError
from tests.vision.tools import faults, ids, open_dataset, sizes, targets

Make = Callable[..., Path]


def load(path: Path | str, **options: Any) -> Dataset:
    return open_dataset("image-folder", path=path, **options)


# --- what is found ------------------------------------------------------------------------------


def test_one_folder_is_divided_by_class_and_seed(photo_folder: Make) -> None:
    root = photo_folder(per_class=20)
    dataset = load(root)
    assert dataset.info.classes == ("china", "flower")
    assert sizes(dataset) == {"train": 32, "val": 4, "test": 4}
    everything = [i for split in dataset.splits.values() for i in ids(split)]
    assert len(everything) == len(set(everything)) == 40
    assert sorted(targets(dataset.splits["test"])) == ["china", "china", "flower", "flower"]
    test = ids(dataset.splits["test"])
    assert ids(load(root).splits["test"]) == test
    assert ids(load(root, seed=1).splits["test"]) != test
    assert "set aside at random, by class: val and test" in dataset.info.notes


def test_a_sample_is_a_picture_that_is_open_but_not_decoded(photo_folder: Make) -> None:
    train = load(photo_folder()).splits["train"]
    sample = train[0]
    assert sample.target == train.target(0) == Path(sample.id).parent.name
    image = sample.inputs["image"]
    image.draft("RGB", (30, 30))  # Only possible before decoding.
    assert image.size == (30, 30)


def test_ids_are_paths_as_the_user_gave_them(
    photo_folder: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder()
    monkeypatch.chdir(root)
    assert ids(load(".", val=0, test=0).splits["train"])[0] == "china/000.jpg"
    monkeypatch.chdir(root.parent)
    assert ids(load("photos", val=0, test=0).splits["train"])[0].startswith("photos")


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
    assert Counter(targets(train)) == {"china": 3, "flower": 8}
    assert faults(dataset) == {}
    assert all(train[i].inputs["image"].size[0] >= 40 for i in range(11))


def test_names_that_are_not_utf8_are_read_and_can_be_printed(
    photo_folder: Make, photographs: dict[str, Image.Image]
) -> None:
    root = photo_folder()
    name = os.fsdecode(b"caf\xe9.png")
    try:
        photographs["china"].save(root / "china" / name)
    except OSError:
        pytest.skip("this file system takes no such name")
    dataset = load(root, val=0, test=0)
    assert faults(dataset) == {}
    (odd,) = (i for i in ids(dataset.splits["train"]) if "caf" in i)
    assert odd.encode() and odd.endswith("caf\N{REPLACEMENT CHARACTER}.png")


def test_links_are_followed(photo_folder: Make, tmp_path: Path) -> None:
    root, other = photo_folder("a", 4), photo_folder("b", 3)
    (root / "bridge").symlink_to(other / "china")
    (root / "flower" / "extra.jpg").symlink_to(other / "flower" / "000.jpg")
    (tmp_path / "link").symlink_to(root)
    dataset = load(tmp_path / "link", val=0, test=0)
    found = Counter(targets(dataset.splits["train"]))
    assert found == {"bridge": 3, "china": 4, "flower": 5}


def test_other_files_are_passed_over_and_counted(photo_folder: Make) -> None:
    root = photo_folder()
    (root / "china" / "Thumbs.db").write_text("x")
    (root / "README.md").write_text("x")
    (root / "china" / ".hidden.jpg").write_text("x")
    (root / ".cache").mkdir()
    os.mkfifo(root / "china" / "pipe.jpg")  # Opening one waits for ever.
    dataset = load(root)
    assert sum(sizes(dataset).values()) == 24
    others, hidden = (n for n in dataset.info.notes if "skipped" in n)
    assert (
        others.startswith("skipped, not pictures by their suffix: 3 files")
        and "README.md" in others
    )
    assert (
        hidden.startswith("skipped, hidden or in hidden folders: 1 file,")
        and "china/.hidden.jpg" in hidden
    )


def test_it_travels_to_worker_processes(photo_folder: Make) -> None:
    split = load(photo_folder(per_class=30)).splits["train"]
    again = pickle.loads(pickle.dumps(split))
    assert ids(again) == ids(split)
    assert again[3].inputs["image"].tobytes() == split[3].inputs["image"].tobytes()


def test_many_files_take_little_room(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(1500):
            (tmp_path / label / f"{i:060}.jpg").touch()
    dataset = load(tmp_path, val=0, test=0)
    assert len(pickle.dumps(dataset.splits["train"])) < 3000 * 100


def test_bad_pictures_are_found_by_the_check(photo_folder: Make) -> None:
    root = photo_folder(per_class=4)
    china = root / "china"
    good = (china / "000.jpg").read_bytes()
    (china / "text.jpg").write_text("not a picture")
    (china / "empty.png").write_bytes(b"")
    (china / "cut.jpg").write_bytes(good[: len(good) // 2])
    (china / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (china / "folder.jpg").mkdir()
    dataset = load(root, val=0, test=0)
    (china / "001.jpg").unlink()
    reasons = {Path(i).name: reason for i, reason in faults(dataset).items()}
    assert reasons.keys() == {"text.jpg", "empty.png", "cut.jpg", "gone.jpg", "001.jpg"}
    assert "not an image" in reasons["text.jpg"]
    assert "empty" in reasons["empty.png"]
    assert "truncated" in reasons["cut.jpg"]
    assert "no such file" in reasons["gone.jpg"] and "no such file" in reasons["001.jpg"]
    train = dataset.splits["train"]
    with pytest.raises(SampleError, match=r"china/text\.jpg: it is not an image"):
        train[[Path(i).name for i in ids(train)].index("text.jpg")]


# --- how it is divided --------------------------------------------------------------------------


def test_given_splits_are_kept_and_only_val_is_set_aside(
    photo_folder: Make, tmp_path: Path
) -> None:
    root = tmp_path / "both"
    shutil.move(photo_folder("a", 10), root / "train")
    shutil.move(photo_folder("b", 3, seed=1), root / "test")
    dataset = load(root)
    assert sizes(dataset) == {"train": 18, "val": 2, "test": 6}
    assert sorted(targets(dataset.splits["val"])) == ["china", "flower"]
    assert all("/test/" in i for i in ids(dataset.splits["test"]))
    assert all("/train/" in i for i in ids(dataset.splits["val"]))
    assert dataset.info.notes == ("set aside at random, by class: val",)
    assert sizes(load(root, val=0)) == {"train": 20, "test": 6}


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_train_and_val_alone_have_no_test(photo_folder: Make, tmp_path: Path, name: str) -> None:
    root = tmp_path / "both"
    shutil.move(photo_folder("a", 4), root / "Train")
    shutil.move(photo_folder("b", 2), root / name)
    (root / "overview.jpg").write_text("x")
    dataset = load(root)
    assert sizes(dataset) == {"train": 8, "val": 4}
    assert dataset.info.notes == (
        "there is no test split",
        "skipped, beside the split folders: 1 file, such as overview.jpg",
    )


def test_small_classes_are_for_training_first(photo_folder: Make) -> None:
    root = photo_folder(per_class=30)
    for label, number in (("one", 1), ("two", 2), ("three", 3)):
        (root / label).mkdir()
        for i in range(number):
            shutil.copy(root / "china" / f"{i:03}.jpg", root / label)
    dataset = load(root, val=0.3, test=0.3)
    train = Counter(targets(dataset.splits["train"]))
    assert train == {"china": 12, "flower": 12, "one": 1, "two": 1, "three": 1}
    assert sum(sizes(dataset).values()) == 66


def test_too_few_samples_to_set_any_aside_is_said(photo_folder: Make) -> None:
    dataset = load(photo_folder(per_class=2))
    assert sizes(dataset) == {"train": 4}
    assert dataset.info.notes == ("too few samples to set aside: val and test",)


def test_shares_that_leave_nothing_are_refused(photo_folder: Make) -> None:
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        load(photo_folder(), val=0.5, test=0.5)


def test_beside_other_vehicles_a_train_is_a_class(photo_folder: Make) -> None:
    root = photo_folder()
    (root / "china").rename(root / "train")
    assert load(root).info.classes == ("flower", "train")


def test_one_class_or_no_train_is_enough_for_judging_a_model(
    photo_folder: Make, tmp_path: Path
) -> None:
    root = photo_folder()
    shutil.rmtree(root / "flower")
    assert load(root, training=False).info.classes == ("china",)
    (tmp_path / "both").mkdir()
    root.rename(tmp_path / "both" / "test")
    assert sizes(load(tmp_path / "both", training=False)) == {"test": 12}


# --- what is refused ----------------------------------------------------------------------------


def one_class(root: Path) -> None:
    shutil.rmtree(root / "flower")


def empty_class(root: Path) -> None:
    for file in (root / "flower").iterdir():
        file.unlink()
    (root / "flower" / "notes.txt").touch()


def loose_pictures(root: Path) -> None:
    shutil.copy(root / "china" / "000.jpg", root / "loose.jpg")


def empty(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def no_classes(root: Path) -> None:
    for file in list(root.rglob("*.jpg")):
        file.rename(root / f"{file.parent.name}{file.name}")
    shutil.rmtree(root / "china")
    shutil.rmtree(root / "flower")


def no_pictures(root: Path) -> None:
    for file in list(root.rglob("*.jpg")):
        file.rename(file.with_suffix(".txt"))


def strange_sibling(root: Path) -> None:
    (root / "train").mkdir()
    (root / "china").rename(root / "train" / "china")


def one_split_twice(root: Path) -> None:
    shutil.copytree(root, root / "train")
    (root / "china").rename(root / "val")
    (root / "flower").rename(root / "valid")


def empty_train(root: Path) -> None:
    shutil.copytree(root, root / "test")
    shutil.rmtree(root / "china")
    (root / "flower").rename(root / "train")
    empty(root / "train")


def no_train(root: Path) -> None:
    shutil.copytree(root, root / "test")
    shutil.rmtree(root / "china")
    shutil.rmtree(root / "flower")


def strange_class_in_test(root: Path) -> None:
    shutil.copytree(root, root / "train")
    (root / "test").mkdir()
    (root / "china").rename(root / "test" / "china")
    (root / "flower").rename(root / "test" / "fungus")


def a_link_to_itself(root: Path) -> None:
    (root / "china" / "again").symlink_to(root / "china")


def a_link_upwards(root: Path) -> None:
    (root / "china" / "up").symlink_to(root)


def a_link_of_a_link(root: Path) -> None:
    (root / "china" / "knot.jpg").symlink_to(root / "china" / "knot.jpg")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (one_class, "photos has one class only, 'china'"),
        (empty_class, "class folder .*photos/flower holds no pictures"),
        (loose_pictures, "1 pictures .* outside the class folders, such as loose.jpg"),
        (empty, "no pictures in class folders in .*photos: it is empty"),
        (empty, r"ending in \.jpg, \.jpeg, \.png, \.webp or \d+ others"),
        (no_classes, "no pictures in class folders in .*photos; 24 lie in it without a class"),
        (no_pictures, r"no pictures in class folders in .*photos; there are other files: 24 .txt"),
        (strange_sibling, "photos/flower stands beside train/ but is not a split"),
        (one_split_twice, "val and .*valid are both the val split"),
        (empty_train, "no pictures in class folders in .*photos/train: it is empty"),
        (no_train, "There is no train/ in .*photos, only test/"),
        (strange_class_in_test, "Class 'fungus' is in test/ but not in train/"),
        (a_link_to_itself, "china/again leads back to a folder that it lies in"),
        (a_link_upwards, "leads back to a folder that it lies in"),
        (a_link_of_a_link, "knot.jpg cannot be read: Too many levels"),
        (shutil.rmtree, "The folder .*photos does not exist"),
    ],
)
def test_unusable_folders_are_refused(
    photo_folder: Make, spoil: Callable[[Path], None], words: str
) -> None:
    root = photo_folder()
    spoil(root)
    with pytest.raises(DataError, match=words):
        load(root)


def test_a_file_is_not_a_folder(photo_folder: Make) -> None:
    with pytest.raises(DataError, match=r"000\.jpg is a file, where a folder"):
        load(photo_folder() / "china" / "000.jpg")


def test_no_path_is_asked_for() -> None:
    with pytest.raises(DataError, match=r"No folder of pictures was given. Give --dataset PATH"):
        load("")


def test_a_folder_that_may_not_be_read_is_named(
    photo_folder: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, scandir = photo_folder(), os.scandir

    def guarded(folder: Path | str) -> Any:
        if Path(folder).name == "flower":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(DataError, match=r"photos/flower cannot be read: Permission denied\."):
        load(root)
