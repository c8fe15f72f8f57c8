"""A folder of pictures: class folders, or train/, val/ and test/ with class folders in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.errors import DataError
from mmft_core.splits import divide
from mmft_vision.images import SUFFIXES, ImageFiles
from mmft_vision.options import ImageFolderOptions

_SPLITS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


@dataclass
class _Scan:
    """The pictures below one folder of class folders, and what else lies there.

    File names are relative to `root`, the folder that the user gave.
    """

    folder: Path
    root: Path
    by_class: dict[str, list[str]] = field(default_factory=dict)
    others: int = 0


def build(options: ImageFolderOptions, context: DatasetContext) -> Dataset:
    """Find the pictures; which file is sound is checked later.

    Without a split of their own, samples are divided by class and seed.

    Raises:
        DataError: the folder is missing or empty, or has too few classes, or a class of val or
            test is missing from train.
    """
    root = _root(options)
    scans = _scan_splits(root)
    classes = tuple(sorted({name for scan in scans.values() for name in scan.by_class}))
    if context.training:
        _check_classes(scans, root, classes)
    files = {name: _files(scan, classes) for name, scan in scans.items()}
    splits, notes = _divide(files, options, context)
    others = sum(scan.others for scan in scans.values())
    if others:
        notes.append(f"{others} files that are not pictures by their suffix were passed over")
    return Dataset(
        info=DatasetInfo(name=str(root), classes=classes, source=str(root), notes=tuple(notes)),
        splits=splits,
    )


def _root(options: ImageFolderOptions) -> Path:
    if not options.path:
        raise DataError(
            "The dataset image-folder needs a folder.", hint="Give --dataset PATH of the folder."
        )
    root = Path(options.path).expanduser()
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise DataError(f"The folder {root} {what}.", hint="Check the path.")
    return root


def _scan_splits(root: Path) -> dict[str, _Scan]:
    """Scan train/, val/ and test/ where there is a train/; else the folder as one "all"."""
    folders = [e.name for e in _visible(root) if e.is_dir()]
    if "train" not in folders:
        return {"all": _scan(root, root)}
    scans: dict[str, _Scan] = {}
    for name in folders:
        split = _SPLITS.get(name)
        if split is None:
            raise DataError(
                f"{root / name} stands beside train/ but is neither val/ nor test/.",
                hint="Move it away, or give the folder of classes itself as --dataset.",
            )
        if split in scans:
            raise DataError(f"{root} has more than one folder for the {split} split.")
        scans[split] = _scan(root / name, root)
    return scans


def _scan(folder: Path, root: Path) -> _Scan:
    """Find the pictures of each class, at any depth below its folder."""
    scan = _Scan(folder, root)
    loose = 0
    for entry in _visible(folder):
        if entry.is_dir():
            found = []
            for path in _walk(Path(entry.path)):
                if path.suffix.lower() in SUFFIXES:
                    found.append(str(path.relative_to(root)))
                else:
                    scan.others += 1
            scan.by_class[entry.name] = sorted(found)
        elif Path(entry.name).suffix.lower() in SUFFIXES:
            loose += 1
        else:
            scan.others += 1
    if not any(scan.by_class.values()):
        raise DataError(
            f"There are no pictures in class folders in {folder}"
            + (f"; {loose} lie in it without a class." if loose else "."),
            hint=f"Expected {folder}/CLASS/NAME with NAME ending in {', '.join(SUFFIXES)}.",
        )
    if loose:
        raise DataError(
            f"{loose} pictures in {folder} lie outside the class folders.",
            hint="Move each into the folder of its class.",
        )
    return scan


def _check_classes(scans: dict[str, _Scan], root: Path, classes: tuple[str, ...]) -> None:
    train = scans.get("train", scans.get("all"))
    assert train is not None
    if len(classes) == 1:
        raise DataError(
            f"{root} has one class only, '{classes[0]}'; there is nothing to tell apart.",
            hint="Give a folder with a folder of pictures for each of at least two classes.",
        )
    for name, scan in scans.items():
        for label, files in scan.by_class.items():
            if not files:
                raise DataError(
                    f"The class folder {scan.folder / label} holds no pictures.",
                    hint="Fill or remove it.",
                )
        missing = sorted(set(scan.by_class) - set(train.by_class))
        if missing:
            raise DataError(
                f"Class '{missing[0]}' is in {name}/ but not in train/"
                + (f", nor are {len(missing) - 1} more." if missing[1:] else "."),
                hint="Add pictures of it to train/, or remove it.",
            )


def _files(scan: _Scan, classes: tuple[str, ...]) -> ImageFiles:
    index = {name: i for i, name in enumerate(classes)}
    names = sorted((file, index[label]) for label, files in scan.by_class.items() for file in files)
    return ImageFiles(
        scan.root,
        pa.array([name for name, _ in names], pa.large_string()),
        np.array([label for _, label in names], dtype=np.int64),
        classes,
    )


def _divide(
    files: dict[str, ImageFiles], options: ImageFolderOptions, context: DatasetContext
) -> tuple[dict[str, Split], list[str]]:
    """Set aside what has no folder of its own. A given test/ is never touched."""
    if "all" in files:
        split = files["all"]
        shares = {"val": options.val, "test": options.test}
        parts = divide(split, split.labels, shares, context.seed)
        return parts, ["val and test were set aside at random, by class"]
    if "val" in files or not options.val:
        return dict(files), [] if "test" in files else ["there is no test split"]
    train = files["train"]
    parts = divide(train, train.labels, {"val": options.val}, context.seed)
    rest: dict[str, Split] = {name: split for name, split in files.items() if name != "train"}
    return parts | rest, ["val was set aside from train/ at random, by class"]


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)


def _walk(folder: Path) -> Iterator[Path]:
    for entry in _visible(folder):
        if entry.is_dir():
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path)
