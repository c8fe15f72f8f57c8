"""A folder of labelled files: class folders, or train/, val/ and test/ with these in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.data import SPLIT_NAMES
from mmft_core.errors import DataError
from mmft_core.utils import printable, reading, user_path
from mmft_datasets.class_doubts import class_doubts
from mmft_datasets.class_folders import (
    ClassFolders,
    FileKind,
    PassedOver,
    Tally,
    check_classes,
    gather,
    scan,
    visible,
    visible_folders,
)
from mmft_datasets.labelled_files import LabelledFiles
from mmft_datasets.set_aside import set_aside

L = TypeVar("L", bound=LabelledFiles)

ALL = "all"
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
    beside = PassedOver(kind=kind)
    layout = split_folders(root, beside)
    scans = {name: scan(folder, root, kind) for name, folder in layout.items()}
    if context.training:
        if not {"train", ALL} & scans.keys():
            raise DataError(
                f"There is no train/ in {root}, only {', '.join(scans)}/.",
                hint="Give a folder with train/, or one folder of class folders.",
            )
        train = ALL if ALL in scans else "train"
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
            notes=(*notes, *_renamed(scans), *passed_over([*scans.values(), beside])),
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
    root = user_path(path)
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
        classes: the name of the class by that of its folder, in the order of indices.
    """
    index = {folder: i for i, folder in enumerate(classes)}
    labels = np.array([index[folder] for folder in found.by_class], dtype=np.int64)
    sizes = [len(names) for names in found.by_class.values()]
    names = pa.concat_arrays(list(found.by_class.values()))
    return split_type(root, names, np.repeat(labels, sizes), tuple(classes.values()))


def split_folders(root: Path, beside: PassedOver, *, classes: bool = True) -> dict[str, Path]:
    """Which folders are splits, by their names; or `ALL`, which is `root` itself.

    Args:
        beside: takes the files that lie beside split folders.
        classes: whether the files lie in class folders.

    Raises:
        DataError: a folder beside splits is not a split, or two are the same split; or the folder
            cannot be read.
    """
    with reading(root):
        return _split_folders(root, beside, classes)


def _split_folders(root: Path, beside: PassedOver, classes: bool) -> dict[str, Path]:
    found = PassedOver(kind=beside.kind)
    entries = sorted(visible_folders(root, "", found), key=lambda e: e.name)
    folders = [e.name for e in entries if e.is_dir()]
    named = [name for name in folders if name.lower() in SPLIT_NAMES]
    strange = [name for name in folders if name not in named]
    # Beside "bus" and "car", a "train" without folders of classes is a vehicle.
    vehicle = classes and strange and not any(_has_folders(root / name) for name in named)
    if not named or vehicle:
        return {ALL: root}
    if not classes:
        strange = [n for n in strange if gather(root / n, root, PassedOver(kind=beside.kind))]
    if strange:
        raise DataError(
            f"{root / strange[0]} stands beside {named[0]}/ but is not a split.",
            hint="Splits are train/, val/ and test/. Move it away, or give the folder of classes "
            "itself as --dataset.",
        )
    beside.hidden = found.hidden
    for entry in entries:
        if not entry.is_dir():
            beside.beside.add(entry.name)
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
    if ALL in files:
        split = files[ALL]
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


def passed_over(found: Sequence[PassedOver]) -> Iterator[str]:
    """Say what was not read, over all of these."""
    noun = found[0].kind.noun
    others = _together([one.others for one in found])
    if others.count:
        yield (
            f"skipped, not {noun} by their suffix: {_files(others)} ({others.by_suffix()}), "
            f"such as {printable(others.example)}"
        )
    for what, tally in (
        ("hidden or in hidden folders", _together([f.hidden for f in found])),
        ("beside the split folders", _together([f.beside for f in found])),
    ):
        if tally.count:
            yield f"skipped, {what}: {_files(tally)}, such as {printable(tally.example)}"


def _files(tally: Tally) -> str:
    return f"{tally.count:,} file{'' if tally.count == 1 else 's'}"


def _together(tallies: Sequence[Tally]) -> Tally:
    example = next((tally.example for tally in tallies if tally.count), "")
    return Tally(sum((tally.suffixes for tally in tallies), Counter[str]()), example)
