"""ImageNet-1k as torchvision lays it out: train/ and val/ with a folder for each WordNet id."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from torchvision.datasets import imagenet

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo
from mmft_core.errors import DataError, MmftError
from mmft_core.utils import user_path
from mmft_datasets.class_folder_dataset import make_split
from mmft_datasets.class_folders import check_classes, scan
from mmft_datasets.set_aside import set_aside
from mmft_datasets.unpacking import need_room
from mmft_vision.image_folder import PICTURES
from mmft_vision.images import ImageFiles
from mmft_vision.options import PublishedOptions

_WHOLE = {"train": 1_281_167, "val": 50_000}


def build(options: PublishedOptions, context: DatasetContext) -> Dataset:
    """ImageNet-1k from existing files; its validation set serves as the test split.

    Raises:
        DataError: the files are not there, or their extraction was cut short. ImageNet is only
            available from its authors.
    """
    root = user_path(options.root)
    names = _prepare(root)
    _refuse_half_extracted(root / "train")
    scans = {split: scan(root / split, root, PICTURES) for split in _WHOLE}
    check_classes(scans, root, "train")
    classes = _distinct({n: ", ".join(names.get(n, (n,))) for n in scans["train"].by_class})
    train, test = (make_split(ImageFiles, root, scans[split], classes) for split in _WHOLE)
    splits, notes = set_aside(train, train.labels, {"val": options.val}, context.seed)
    for (split, whole), files in zip(_WHOLE.items(), (train, test), strict=True):
        if len(files) != whole:
            notes.append(f"{split}/ holds {len(files):,} pictures instead of {whole:,}")
    return Dataset(
        info=DatasetInfo(
            name="imagenet",
            classes=tuple(classes.values()),
            source="Russakovsky et al., 2015",
            licence="research only, see image-net.org",
            notes=tuple(notes),
        ),
        splits={**splits, "test": test},
    )


def _prepare(root: Path) -> Mapping[str, tuple[str, ...]]:
    """Extract the archives that are not extracted yet; return the names of each WordNet id."""
    try:
        if not (root / imagenet.META_FILE).is_file():
            imagenet.parse_devkit_archive(root)
        names, _ = imagenet.load_meta_file(root)
        for split, extract in (
            ("train", imagenet.parse_train_archive),
            ("val", imagenet.parse_val_archive),
        ):
            if not (root / split).is_dir():
                _extract(root, split, extract)
    except MmftError:
        raise
    except Exception as error:  # Truncated archives may raise anything.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"ImageNet is not in {root}, or incomplete: {reason}",
            hint="Its licence forbids automatic downloads. Put "
            f"{', '.join(archive for archive, _ in imagenet.ARCHIVE_META.values())} there, or give "
            "the folder that has them as --data-root. Where train/ and val/ are there already, "
            f"--dataset {root} reads them as they are.",
        ) from None
    return dict(names)


def _extract(root: Path, split: str, extract: Callable[..., None]) -> None:
    """Extract an archive, whose checksum torchvision knows, completely or not at all."""
    archive = root / imagenet.ARCHIVE_META[split][0]
    if archive.is_file():
        need_room(archive, archive.stat().st_size, root)
    temporary = Path(tempfile.mkdtemp(dir=root, prefix=f".{split}."))
    try:
        extract(root, folder=temporary.name)
        temporary.chmod(0o755)
        temporary.rename(root / split)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_half_extracted(folder: Path) -> None:
    """Refuse a folder that another program extracted in part. The archive of train/ holds an
    archive for each class, which is removed once it is extracted."""
    left = sorted(folder.glob("*.tar"))
    if left:
        raise DataError(
            f"The extraction of {folder} was cut short: {left[0].name} is still in it.",
            hint=f"Remove {folder} to have it extracted again.",
        )


def _distinct(names: Mapping[str, str]) -> dict[str, str]:
    """Add the WordNet id to names that two classes share: a crane may be a bird or a machine."""
    times = Counter(names.values())
    return {wnid: f"{n} ({wnid})" if times[n] > 1 else n for wnid, n in names.items()}
