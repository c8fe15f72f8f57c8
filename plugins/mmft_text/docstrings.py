"""The embedded text data: documentation strings of the packages that mmft itself needs.

Real prose that a fresh machine has: its class is the package that it comes from, its summary the
first line; what is summarized is the rest, below the name of what it documents; its labels are the
sections that it has, whose headings are left out. Near duplicates are
left out, and splits and folds are made of whole modules, so that nothing of the test data is
trained on.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather

from mmft_classification.label_sets import LabelledRows, LabelSets
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.data import Grouped, Indices, Subset
from mmft_core.errors import DataError, StorageError
from mmft_core.utils import cache_root, replacing
from mmft_tables.tables import RowIds
from mmft_text.options import DocstringOptions
from mmft_text.python_sources import Shingles, docstrings, package_folder
from mmft_text.rows import TextRows

# Import name -> (distribution, what else it is called in texts).
PACKAGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "numpy": ("numpy", ("np",)),
    "pandas": ("pandas", ("pd",)),
    "sklearn": ("scikit-learn", ("scikit", "learn")),
    "scipy": ("scipy", ("sp",)),
    "sympy": ("sympy", ()),
    "networkx": ("networkx", ("nx",)),
    "torch": ("torch", ("pytorch",)),
    "torchmetrics": ("torchmetrics", ()),
    "torchvision": ("torchvision", ()),
    "transformers": ("transformers", ("huggingface", "hf")),
    "datasets": ("datasets", ()),
    "huggingface_hub": ("huggingface_hub", ("hub",)),
}

PER_PACKAGE = 2000
"""At most so many are collected of each."""

PER_TARGET = {"class": 600, "labels": 400, "none": 300}
"""At most so many are used of each, so that no class is most of the data, and what is learned from
every token is learned in minutes."""

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "parameters": ("parameters", "args", "arguments"),
    "returns": ("returns", "return"),
    "raises": ("raises",),
    "examples": ("examples", "example"),
    "see also": ("see also",),
}
"""By label the headings of the section, as numpydoc and Google's style have them."""

_LONGEST_LABELLED = 500
"""Characters of a text with labels: what is read of it should hold all of its sections."""

_HEADING = re.compile(
    r"^[ \t]*(" + "|".join(h for own in SECTIONS.values() for h in own) + r")[ \t]*:?[ \t]*$"
    r"(?:\n[ \t]*[-=~]{3,}[ \t]*$)?\n?",
    re.IGNORECASE | re.MULTILINE,
)

_SPLITS = ("train", "val", "test")
_FORMAT = 3  # Of the cache; other code gives other texts.
_MASK = "PACKAGE"
_NAMES = re.compile(
    r"(?<![a-z])(?:"
    + "|".join(sorted({n for p, (_, more) in PACKAGES.items() for n in (p, *more)}, key=len)[::-1])
    + r")(?![a-z])",
    re.IGNORECASE,
)


def build(options: DocstringOptions, context: DatasetContext) -> Dataset:
    """Collect the documentation strings.

    Raises:
        DataError: too few of the packages are installed.
    """
    target = context.learned or context.target
    versions = _installed()
    if len(versions) < 2:
        raise DataError("None of the packages whose documentation is read is installed.")
    table = _load(versions)
    # Divided before anything is left out, so that one task's test texts are no other's to learn.
    table = table.append_column("split", _divide(table, options, context.seed))
    table = _usable(table, target, options.samples)
    classes = {"class": tuple(versions), "labels": tuple(SECTIONS)}.get(target, ())
    texts = _rows(table, classes, target)
    rows = Grouped(texts, table["module"].to_pylist())
    parts = table["split"].to_numpy()
    splits = {p: Subset(rows, np.flatnonzero(parts == p)) for p in _SPLITS if (parts == p).any()}
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    told_of = {
        "class": "the names of the packages are masked, ",
        "labels": "labels are the sections of a text, whose headings are left out, ",
    }
    return Dataset(
        info=DatasetInfo(
            name="docstrings",
            classes=classes,
            source=f"documentation strings of {told}",
            licence="those of the packages, BSD-3-Clause and Apache-2.0 for the most part",
            notes=(
                f"{told_of.get(target, '')}near duplicates are left out, "
                "splits are made of whole modules",
            ),
        ),
        splits=splits,
    )


def mask_names(text: str) -> str:
    """Replace the names of all the packages, which would give their texts away."""
    return _NAMES.sub(_MASK, text)


def split_sections(text: str) -> tuple[str, tuple[str, ...]]:
    """A documentation string without the headings of its sections, and which of `SECTIONS` these
    are."""
    found = {heading.lower() for heading in _HEADING.findall(text)}
    labels = [name for name, headings in SECTIONS.items() if not found.isdisjoint(headings)]
    return _HEADING.sub("", text), tuple(labels)


def _rows(table: pa.Table, classes: tuple[str, ...], target: str) -> Split:
    if target == "text":
        parts = zip(table["heading"].to_pylist(), table["body"].to_pylist(), strict=True)
        texts = pa.chunked_array([[f"{heading}\n\n{body}" for heading, body in parts]])
        return TextRows(RowIds("docstrings"), texts, table["summary"], ids=table["id"])
    summaries, bodies = table["summary"].to_pylist(), table["body"].to_pylist()
    texts = [f"{s}\n\n{b}" if s else b for s, b in zip(summaries, bodies, strict=True)]
    if target == "none":
        headed = [f"{h}\n\n{t}" for h, t in zip(table["heading"].to_pylist(), texts, strict=True)]
        return TextRows(RowIds("docstrings"), pa.chunked_array([headed]), ids=table["id"])
    if target == "labels":
        cut = [split_sections(text) for text in texts]
        rows = TextRows(
            RowIds("docstrings"), pa.chunked_array([[text for text, _ in cut]]), ids=table["id"]
        )
        return LabelledRows(rows, LabelSets.of_names([own for _, own in cut], classes))
    labels = np.array([classes.index(p) for p in table["package"].to_pylist()], dtype=np.int64)
    masked = pa.chunked_array([[mask_names(text) for text in texts]])
    return TextRows(RowIds("docstrings"), masked, labels, classes, table["id"])


def _usable(table: pa.Table, target: str, most: int | None) -> pa.Table:
    """The rows that have the target, no more than asked for, evenly spread."""
    if target == "text":
        table = table.filter(pc.not_equal(table["summary"], ""))
    if target == "labels":
        lengths = pc.add(pc.utf8_length(table["summary"]), pc.utf8_length(table["body"]))
        table = table.filter(pc.less_equal(lengths, _LONGEST_LABELLED))
    if target in PER_TARGET:
        table = table.filter(_ordinals(table["package"].to_numpy()) < PER_TARGET[target])
    if most is not None and most < len(table):
        table = table.take(np.linspace(0, len(table) - 1, most).astype(np.int64))
    return table


def _ordinals(names: np.ndarray[Any, Any]) -> Indices:
    """How many equal names come before each, where equal ones stand together."""
    _, first, place = np.unique(names, return_index=True, return_inverse=True)
    return np.arange(len(names)) - first[place]


def _divide(table: pa.Table, options: DocstringOptions, seed: int) -> pa.Array:
    """The split of each row: whole modules, in proportion within each package."""
    packages, modules = table["package"].to_numpy(), table["module"].to_numpy()
    parts = np.full(len(table), "train", dtype=object)
    random = np.random.default_rng(seed)
    for package in dict.fromkeys(packages.tolist()):
        members = np.flatnonzero(packages == package)
        left = {"val": options.val * len(members), "test": options.test * len(members)}
        for module in random.permutation(np.unique(modules[members])):
            own = members[modules[members] == module]
            part = next((p for p, wanted in left.items() if wanted >= len(own) / 2), "train")
            parts[own] = part
            if part in left:
                left[part] -= len(own)
    return pa.array(parts, pa.string())


def _installed() -> dict[str, str]:
    """The versions of the packages that are there."""
    versions = {}
    for package, (distribution, _) in PACKAGES.items():
        if package_folder(package) is not None:
            versions[package] = importlib.metadata.version(distribution)
    return versions


def _load(versions: Mapping[str, str]) -> pa.Table:
    """Collect the texts, or take them from the user's cache where they are already."""
    key = hashlib.sha256(repr((_FORMAT, PER_PACKAGE, sorted(versions.items()))).encode())
    folder = cache_root()
    file = folder / f"docstrings-{key.hexdigest()[:16]}.arrow"
    try:
        return feather.read_table(file, memory_map=True)
    except (OSError, pa.ArrowException):  # Not there, or damaged.
        pass
    table = _collect(versions)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            feather.write_feather(table, temporary, compression="uncompressed")
    except (OSError, StorageError):  # A cache is a convenience.
        pass
    return table


def _collect(versions: Mapping[str, str]) -> pa.Table:
    known, found = Shingles(), []
    for package in versions:
        folder = package_folder(package)
        assert folder is not None
        found += docstrings(package, folder, PER_PACKAGE, known)
    columns = ("package", "module", "id", "heading", "summary", "body")
    return pa.table({c: pa.array([getattr(d, c) for d in found], pa.string()) for c in columns})
