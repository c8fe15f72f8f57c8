"""A folder of labelled files: class folders, or train/, val/ and test/ with these in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.data.class_doubts import class_doubts
from mmft_core.data.class_folders import (
    ClassFolders,
    FileKind,
    Tally,
    check_classes,
    reading,
    scan,
    visible,
)
from mmft_core.data.labelled_files import LabelledFiles
from mmft_core.data.set_aside import SPLIT_NAMES, set_aside
from mmft_core.errors import DataError
from mmft_core.files import printable

L = TypeVar("L", bound=LabelledFiles)

_ALL = "all"
"""Stands for the splits of a folder that is not divided yet."""


def class_folder_dataset(
    path: str,
    kind: FileKind,
    split_type: type[LabelledFiles],
    shares: Mapping[str, float],
    context: DatasetContext,
) -> Dataset:
    """Find the files; which of them are sound is checked later.

    Without a split of their own, samples are divided by class and seed.

    Args:
        split_type: reads the files.
        shares: of "val" and "test", where there are no such folders.

    Raises:
        DataError: the folder is missing or empty, or has too few classes, or a class of val or
            test is missing from train.
    """
    root = data_folder(path, kind.noun)
    beside = Tally()
    with reading(root):
        layout = _layout(root, beside)
    scans = {name: scan(folder, root, kind) for name, folder in layout.items()}
    if context.training:
        if not {"train", _ALL} & scans.keys():
            raise DataError(
                f"There is no train/ in {root}, only {', '.join(scans)}/.",
                hint="Give a folder with train/, or one folder of class folders.",
            )
        train = _ALL if _ALL in scans else "train"
        check_classes(scans, root, train, unseen=context.unseen_classes)
        classes = list(scans[train].by_class)
    else:
        classes = sorted({name for found in scans.values() for name in found.by_class})
    named = {name: name for found in scans.values() for name in found.by_class}
    files = {name: make_split(split_type, root, found, named) for name, found in scans.items()}
    splits, notes = _divide(files, shares, context)
    sizes: Counter[str] = Counter()
    for found in scans.values():
        sizes.update({name: len(own) for name, own in found.by_class.items()})
    return Dataset(
        info=DatasetInfo(
            name=str(root),
            classes=tuple(classes),
            source=str(root),
            notes=(*notes, *_renamed(scans), *_passed_over(scans, beside)),
            warnings=tuple(class_doubts(sizes, f"folder {printable(root.name)}")),
        ),
        splits=splits,
    )


def data_folder(path: str, noun: str) -> Path:
    """The folder that the user gave.

    Raises:
        DataError: there is none.
    """
    if not path:
        raise DataError(
            f"No folder of {noun} was given.", hint="Give --dataset PATH of the folder."
        )
    root = Path(path).expanduser()
    if not root.is_dir():
        if not root.exists():
            raise DataError(f"The folder {root} does not exist.", hint="Check the path.")
        raise DataError(
            f"{root} is a file, where a folder with a folder of {noun} for each class is needed.",
            hint="Give that folder, or a table.",
        )
    return root


def make_split(
    split_type: type[L], root: Path, found: ClassFolders, classes: Mapping[str, str]
) -> L:
    """The files as a split, each class's together.

    Args:
        classes: the class's name for each folder's, in the order of their indices.
    """
    index = {folder: i for i, folder in enumerate(classes)}
    labels = np.array([index[folder] for folder in found.by_class], dtype=np.int64)
    sizes = [len(names) for names in found.by_class.values()]
    names = pa.concat_arrays(list(found.by_class.values()))
    return split_type(root, names, np.repeat(labels, sizes), tuple(classes.values()))


def _layout(root: Path, beside: Tally) -> dict[str, Path]:
    """Which folders hold class folders: those of the splits by their names, or `root` itself.

    Args:
        beside: takes the files that lie beside split folders.
    """
    entries = sorted(visible(root), key=lambda e: e.name)
    folders = [e.name for e in entries if e.is_dir()]
    named = [name for name in folders if name.lower() in SPLIT_NAMES]
    strange = [name for name in folders if name not in named]
    # Beside "bus" and "car", a "train" without folders of classes is a vehicle.
    if not named or (strange and not any(_has_folders(root / name) for name in named)):
        return {_ALL: root}
    if strange:
        raise DataError(
            f"{root / strange[0]} stands beside {named[0]}/ but is not a split.",
            hint="Splits are train/, val/ and test/. Move it away, or give the folder of classes "
            "itself as --dataset.",
        )
    for entry in entries:
        if not entry.is_dir():
            beside.add(entry.name)
    layout: dict[str, Path] = {}
    for name in named:
        split = SPLIT_NAMES[name.lower()]
        if split in layout:
            raise DataError(
                f"{layout[split]} and {root / name} are both the {split} split.",
                hint="Join them or move one away.",
            )
        layout[split] = root / name
    return layout


def _has_folders(folder: Path) -> bool:
    return any(entry.is_dir() for entry in visible(folder))


def _divide(
    files: dict[str, LabelledFiles], shares: Mapping[str, float], context: DatasetContext
) -> tuple[dict[str, Split], list[str]]:
    """Set aside what has no folder of its own. A given test/ is never touched."""
    if _ALL in files:
        split = files[_ALL]
        return set_aside(split, split.labels, shares, context.seed)
    splits: dict[str, Split] = dict(files)
    notes = [] if "test" in files else ["there is no test split"]
    if "train" in files and "val" not in files and shares["val"]:
        train = files["train"]
        parts, more = set_aside(train, train.labels, {"val": shares["val"]}, context.seed)
        return splits | parts, more + notes
    return splits, notes


def _renamed(scans: dict[str, ClassFolders]) -> Iterator[str]:
    count = sum(len(found.renamed) for found in scans.values())
    if count:
        yield f"the names of {count:,} class folders changed to composed Unicode (NFC)"


def _passed_over(scans: dict[str, ClassFolders], beside: Tally) -> Iterator[str]:
    others = [(found.kind.noun, found.others) for found in scans.values() if found.others.count]
    if others:
        noun, first = others[0]
        total = sum((tally.suffixes for _, tally in others), Counter[str]())
        whole = Tally(total, first.example)
        yield (
            f"{whole.count} files that are not {noun} by their suffix were passed over "
            f"({whole.by_suffix()}), such as {printable(first.example)}"
        )
    if beside.count:
        yield (
            f"{beside.count} files beside the split folders were passed over, "
            f"such as {printable(beside.example)}"
        )
