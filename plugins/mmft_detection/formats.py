"""Annotations of COCO, YOLO and Pascal VOC, read to one form."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from mmft_core.data import SPLIT_NAMES
from mmft_core.errors import DataError, first_line
from mmft_datasets.class_folders import NoFilesError
from mmft_detection.folder import Found, Picture
from mmft_detection.options import DetectionFolderOptions
from mmft_vision.formats import SUFFIXES

_EXPECTED = (
    "Expected: annotations/*.json (COCO), images/ and labels/ with data.yaml or classes.txt "
    "(YOLO), or Annotations/*.xml (Pascal VOC); say where they are with dataset.annotations and "
    "dataset.images."
)
_SHOWN = 5


def read(root: Path, options: DetectionFolderOptions) -> Found:
    """Read a folder's annotations in whichever format they are.

    Raises:
        DataError: there are none, or of several formats, or they cannot be read.
    """
    given = options.annotations
    place = None if given is None else root / given
    if place is not None and not place.exists():
        raise DataError(f"There are no annotations at {place} (dataset.annotations).")
    finders = {"coco": _coco_files, "yolo": _yolo_folders, "voc": _voc_files}
    if options.format != "auto":
        finders = {options.format: finders[options.format]}
    there = {name: found for name, finder in finders.items() if (found := finder(root, place))}
    if not there:
        raise NoFilesError(f"There are no box annotations in {place or root}.", hint=_EXPECTED)
    if len(there) > 1:
        raise DataError(
            f"{root} has annotations of several formats: {', '.join(there)}.",
            hint=f"Choose one with --set dataset.format={next(iter(there))}.",
        )
    (name, files), images = next(iter(there.items())), options.images
    if images is not None and not (root / images).is_dir():
        raise DataError(f"There is no folder {root / images} (dataset.images).")
    if name == "coco":
        return _coco(root, files, images)
    if name == "yolo":
        return _yolo(root, files, images)
    return _voc(root, files, images, options.voc_origin)


def _name(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _split_of(text: str) -> str | None:
    """The split that a name's words suggest: "instances_val2017" is "val"."""
    words = "".join(c if c.isalpha() else " " for c in text.lower()).split()
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


# --- COCO -----------------------------------------------------------------------------------------


def _coco_files(root: Path, given: Path | None) -> list[Path]:
    """The JSON files that hold pictures and boxes."""
    if given is not None and given.is_file():
        return [given] if given.suffix == ".json" else []
    places = (
        [given]
        if given is not None
        else [
            root,
            root / "annotations",
            *sorted(p for p in root.glob("*") if p.name in SPLIT_NAMES),
        ]
    )
    files = [file for place in places for file in sorted(place.glob("*.json"))]
    return [file for file in files if _holds_boxes(file)]


def _holds_boxes(file: Path) -> bool:
    """Whether a file begins as a COCO file of instances may, without reading all of it."""
    if file.name.startswith(("captions_", "person_keypoints_", "image_info_", "panoptic_")):
        return False
    with file.open("rb") as stream:
        if not stream.read(64).lstrip().startswith(b"{"):
            return False
        stream.seek(0)
        content = stream.read()
    return b'"annotations"' in content and b'"images"' in content


def _coco(root: Path, files: list[Path], images: str | None) -> Found:
    contents = {file: _json(file) for file in files}
    names: dict[Path, dict[Any, str]] = {}
    classes: dict[str, None] = {}
    notes: list[str] = []
    for file, content in contents.items():
        own = _categories(file, content)
        names[file] = own
        classes |= dict.fromkeys(own.values())
        ids = [key for key in own if isinstance(key, int)]
        if ids and sorted(ids) != list(range(len(ids))):
            told = f"category ids {min(ids)} to {max(ids)} became classes 0 to {len(ids) - 1}" + (
                ", because some are not used" if max(ids) - min(ids) >= len(ids) else ""
            )
            notes += [told] if told not in notes else []
    splits: dict[str, list[Picture]] = {}
    for file, content in contents.items():
        split = _split_of(file.stem) or _split_of(file.parent.name)
        if split is None and len(files) > 1:
            raise DataError(
                f"{file} names no split, and there are {len(files)} annotation files.",
                hint="Put train, val or test into its name, or choose one with "
                "dataset.annotations.",
            )
        pictures = _coco_pictures(root, file, content, names[file], images)
        splits.setdefault(split or "train", []).extend(pictures)
    return Found("COCO", tuple(classes), splits, notes=notes)


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as JSON: {first_line(error)}.") from None
    lists = ("images", "annotations", "categories")
    lacking = [key for key in lists if not isinstance(content.get(key), list)]
    if lacking:
        raise DataError(
            f"{file} has no list '{lacking[0]}', which COCO's format needs.",
            hint="Choose another file with dataset.annotations.",
        )
    return content  # type: ignore[no-any-return]


def _categories(file: Path, content: Mapping[str, Any]) -> dict[Any, str]:
    """Class names by category id, in the order of the ids."""
    try:
        pairs = sorted((c["id"], str(c["name"])) for c in content["categories"])
    except (KeyError, TypeError):
        raise DataError(f"{file} has a category without an id or a name.") from None
    repeated = [name for name, n in Counter(name for _, name in pairs).items() if n > 1]
    repeated += [str(key) for key, n in Counter(key for key, _ in pairs).items() if n > 1]
    if repeated:
        raise DataError(f"{file} has the category '{repeated[0]}' more than once.")
    if not pairs:
        raise DataError(f"{file} has no categories.")
    return dict(pairs)


def _coco_pictures(
    root: Path, file: Path, content: Mapping[str, Any], names: Mapping[Any, str], images: str | None
) -> list[Picture]:
    split = file.stem.partition("_")[2] or file.stem
    folders = (
        [root / images]
        if images is not None
        else [file.parent, root / split, root / "images" / split, root / "images", root]
    )
    pictures: dict[Any, Picture] = {}
    for number, entry in enumerate(content["images"], start=1):
        try:
            key, name = entry["id"], str(entry["file_name"])
        except (KeyError, TypeError):
            raise DataError(f"{file}: image {number} has no id or no file_name.") from None
        if key in pictures:
            raise DataError(f"{file} has the image id {key} more than once.")
        # The others are probably where the first one is.
        folders.sort(key=lambda folder: not (folder / name).is_file())
        path = folders[0] / name
        size = (entry.get("width"), entry.get("height"))
        known = all(isinstance(side, int) for side in size)
        pictures[key] = Picture(path, _name(path, root), size=size if known else None)  # type: ignore[arg-type]
    orphans: dict[Any, int] = {}
    for number, thing in enumerate(content["annotations"], start=1):
        key = thing.get("image_id")
        called = f"annotation {thing.get('id', number)}"
        picture = pictures.get(key)
        if picture is None:
            orphans[key] = orphans.get(key, 0) + 1
            continue
        category, box = thing.get("category_id"), thing.get("bbox")
        if category not in names:
            picture.fault = picture.fault or (
                f"{called} has the category id {category}, which is not among the categories"
            )
        elif not _is_box(box):
            picture.fault = picture.fault or f"{called} has no bbox of four numbers"
        else:
            left, top, width, height = (float(n) for n in box)
            edges = (left, top, left + width, top + height)
            picture.objects.append((names[category], edges, bool(thing.get("iscrowd"))))
    where = _name(file, root)
    return [
        *pictures.values(),
        *(
            Picture(
                None,
                f"{where}, image_id {key}",
                fault=f"{count} of the annotations refer to an image that the file does not list",
            )
            for key, count in orphans.items()
        ),
    ]


def _is_box(box: Any) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(n, int | float) and math.isfinite(n) for n in box)
    )


# --- YOLO -----------------------------------------------------------------------------------------


def _yolo_folders(root: Path, given: Path | None) -> list[Path]:
    """The folders of label files."""
    if given is not None:
        return [given] if given.is_dir() and any(given.rglob("*.txt")) else []
    found = [path for path in sorted(root.rglob("labels")) if path.is_dir()]
    return [path for path in found if any(path.rglob("*.txt"))]


def _yolo(root: Path, folders: list[Path], images: str | None) -> Found:
    classes, source = _yolo_classes(root)
    splits: dict[str, list[Picture]] = {}
    polygons = 0
    for labels in folders:
        pictures = root / images if images is not None else labels.with_name("images")
        if not pictures.is_dir():
            raise DataError(
                f"There is no folder images/ beside {labels}.",
                hint="Say where the pictures are with dataset.images.",
            )
        files = {p.relative_to(pictures).with_suffix(""): p for p in _picture_files(pictures)}
        texts = {
            p.relative_to(labels).with_suffix(""): p
            for p in sorted(labels.rglob("*.txt"))
            if p.name != "classes.txt"
        }
        for stem in [*files, *(stem for stem in texts if stem not in files)]:
            parts = [*labels.relative_to(root).parts, *stem.parent.parts]
            split = next((s for part in parts if (s := _split_of(part))), "train")
            text = texts.get(stem)
            if stem not in files:
                assert text is not None
                lost = Picture(
                    None, _name(text, root), fault="there is no picture for these labels"
                )
                splits.setdefault(split, []).append(lost)
                continue
            picture = Picture(files[stem], _name(files[stem], root))
            if text is not None:
                polygons += _read_yolo(text, root, classes, picture)
            splits.setdefault(split, []).append(picture)
    notes = [f"class names from {source}"]
    if polygons:
        notes.append(f"{polygons:,} polygons were replaced by the boxes around them")
    return Found("YOLO", classes, _ordered(splits), relative=True, notes=notes)


def _yolo_classes(root: Path) -> tuple[tuple[str, ...], str]:
    """The class names, and the file that they are from."""
    for file in (*sorted(root.glob("*.y*ml")), *sorted(root.rglob("classes.txt"))):
        if file.suffix == ".txt":
            lines = file.read_text(encoding="utf-8").splitlines()
            names = [line.strip() for line in lines if line.strip()]
        else:
            try:
                content = yaml.safe_load(file.read_text(encoding="utf-8"))
            except (OSError, ValueError, yaml.YAMLError) as error:
                raise DataError(f"{file} cannot be read as YAML: {first_line(error)}.") from None
            found = content.get("names") if isinstance(content, dict) else None
            if isinstance(found, dict):
                if sorted(found) != list(range(len(found))):
                    raise DataError(f"{file}: the keys of names are not 0 to {len(found) - 1}.")
                found = [found[key] for key in sorted(found)]
            if not isinstance(found, list):
                continue
            names = [str(name) for name in found]
        if not names or len(set(names)) < len(names):
            raise DataError(f"{file} names no classes, or one of them twice.")
        return tuple(names), file.name
    raise DataError(
        f"{root} has no data.yaml with names and no classes.txt.",
        hint="Add classes.txt with a class name on each line, in the order of their numbers.",
    )


def _read_yolo(file: Path, root: Path, classes: tuple[str, ...], picture: Picture) -> int:
    """Read a label file into its picture; return how many polygons it holds."""
    polygons = 0
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        where = f"{_name(file, root)}, line {number}:"
        try:
            label, numbers = int(cells[0]), [float(cell) for cell in cells[1:]]
        except ValueError:
            picture.fault = picture.fault or f"{where} a value is not a number"
            continue
        if not 0 <= label < len(classes):
            picture.fault = picture.fault or (
                f"{where} class {label} is not one of the {len(classes)} that are named"
            )
        elif len(numbers) == 4:
            x, y, width, height = numbers
            edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            picture.objects.append((classes[label], edges, False))
        elif len(numbers) >= 6 and len(numbers) % 2 == 0:
            xs, ys = numbers[::2], numbers[1::2]
            picture.objects.append((classes[label], (min(xs), min(ys), max(xs), max(ys)), False))
            polygons += 1
        else:
            picture.fault = picture.fault or (
                f"{where} {len(numbers)} numbers after the class, not the four of a box"
            )
    return polygons


def _picture_files(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES)


# --- Pascal VOC -----------------------------------------------------------------------------------


def _voc_files(root: Path, given: Path | None) -> list[Path]:
    folder = given or root / "Annotations"
    return sorted(folder.glob("*.xml")) if folder.is_dir() else []


def _voc(root: Path, files: list[Path], images: str | None, origin: str) -> Found:
    folder = (
        root / images
        if images is not None
        else next((p for name in ("JPEGImages", "images") if (p := root / name).is_dir()), root)
    )
    known = {p.stem: p for p in _picture_files(folder)}
    pictures: dict[str, Picture] = {}
    difficult = 0
    for file in files:
        tree = _xml(file)
        path = folder / (tree.findtext("filename") or "")
        path = path if path.is_file() else known.get(file.stem, path)
        if not path.is_file():
            fault = f"there is no picture {path.name} for it"
            pictures[file.stem] = Picture(None, _name(file, root), fault=fault)
            continue
        picture = pictures[file.stem] = Picture(path, _name(path, root))
        size = [tree.findtext(f"size/{side}") or "" for side in ("width", "height")]
        if all(side.isdigit() and int(side) for side in size):
            picture.size = (int(size[0]), int(size[1]))
        for number, thing in enumerate(tree.iterfind("object"), start=1):
            label = (thing.findtext("name") or "").strip()
            cells = [thing.findtext(f"bndbox/{e}") or "" for e in ("xmin", "ymin", "xmax", "ymax")]
            try:
                left, top, right, bottom = (float(cell) for cell in cells)
            except ValueError:
                label = ""
            if not label:
                picture.fault = picture.fault or (
                    f"{_name(file, root)}: object {number} has no name or no bndbox of four numbers"
                )
                continue
            picture.objects.append((label, (left, top, right, bottom), False))
            difficult += thing.findtext("difficult") == "1"
    for stem, path in known.items():
        if stem not in pictures and folder != root:
            pictures[stem] = Picture(path, _name(path, root))
    first = _voc_origin(pictures.values(), origin)
    for picture in pictures.values():
        picture.objects = [
            (label, (left - first, top - first, right, bottom), crowd)
            for label, (left, top, right, bottom), crowd in picture.objects
        ]
    names = sorted({label for p in pictures.values() for label, _, _ in p.objects})
    if not names:
        raise DataError(f"The XML files in {files[0].parent} contain no objects.")
    notes = [f"pixels are counted from {first}"]
    if difficult:
        notes.append(f"{difficult:,} boxes are marked difficult; they count like the others")
    return Found("Pascal VOC", tuple(names), _voc_splits(root, pictures, notes), notes=notes)


def _voc_origin(pictures: Iterable[Picture], given: str) -> int:
    """The number of the first pixel; if it is 1, the last pixel of a box is inside the box."""
    if given != "auto":
        return int(given == "one")
    return int(all(min(box[:2]) >= 1 for p in pictures for _, box, _ in p.objects))


def _xml(file: Path) -> ElementTree.Element:
    try:
        text = file.read_text(encoding="utf-8")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise DataError(f"{file} defines XML entities, which annotations do not need.")
        return ElementTree.fromstring(text)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise DataError(f"{file} cannot be read as XML: {first_line(error)}.") from None


def _voc_splits(
    root: Path, pictures: Mapping[str, Picture], notes: list[str]
) -> dict[str, list[Picture]]:
    """The pictures by the lists in ImageSets/Main; without lists all are for training."""
    splits: dict[str, list[Picture]] = {}
    listed: set[str] = set()
    for name in ("train", "val", "test"):
        file = root / "ImageSets" / "Main" / f"{name}.txt"
        if not file.is_file():
            continue
        stems = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
        lost = [stem for stem in stems if stem not in pictures]
        splits[name] = [pictures[stem] for stem in stems if stem in pictures]
        splits[name] += [
            Picture(None, f"{_name(file, root)}: {stem}", fault="there is no picture of this name")
            for stem in lost
        ]
        listed |= set(stems)
    if not splits:
        return {"train": list(pictures.values())}
    left = len(set(pictures) - listed)
    if left:
        notes.append(f"{left:,} pictures are in no list of ImageSets/Main and are not used")
    return _ordered(splits)


def _ordered(splits: Mapping[str, list[Picture]]) -> dict[str, list[Picture]]:
    order = ("train", "val", "test")
    return {name: splits[name] for name in order if splits.get(name)}
