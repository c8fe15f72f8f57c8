"""Checks of datasets: splits, ids, targets. Without its data, a dataset is checked for less."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

from mmft_core import Component, DatasetSpec
from mmft_core.config import convert, option_names
from mmft_core.contracts import Dataset, DatasetContext, Split
from mmft_core.data import Fingerprints
from mmft_core.errors import MmftError
from mmft_testing.tools import equal, no_network, skip_without_extras
from mmft_testing.workbench import Workbench

Spec = Component[DatasetSpec]

MOST = 5000
"""So many samples of a split are looked at, at most."""

_TARGETS: dict[str, Any] = {
    "class": str,
    "labels": (list, tuple),
    "text": str,
    "number": (int, float),
    "pair": str,
    "none": type(None),
}


def builds_offline(bench: Workbench, component: Spec) -> None:
    """A bundled dataset needs no download; it has training samples, and no split is empty."""
    dataset = _dataset(bench, component)
    assert "train" in dataset.splits, "there is no split 'train'"
    for name, split in dataset.splits.items():
        assert isinstance(split, Split), f"split '{name}' is not a Split"
        assert len(split) > 0, f"split '{name}' is empty"


def refuses_a_missing_path(bench: Workbench, component: Spec) -> None:
    """One that opens paths has an option for it, and says so where there is nothing."""
    if not component.spec.opens:
        return
    skip_without_extras(component)
    options_type = component.options_type()
    assert "path" in option_names(options_type), "it opens paths but has no option 'path'"
    for form in component.spec.opens:
        path = Path("no", "such", "place").with_suffix("" if form == "/" else form)
        options = convert({"path": str(path)}, options_type, "dataset")
        try:
            with no_network():
                component.build(options, DatasetContext(target=component.spec.targets[0]))
        except MmftError as error:
            assert path.name in str(error), f"the message does not name the path: {error}"
        except Exception as error:
            raise AssertionError(f"a missing path ends in {error!r}, not in a DataError") from error
        else:
            raise AssertionError("a missing path is accepted")


def ids_are_unique(bench: Workbench, component: Spec) -> None:
    """Ids point at samples: none is there twice, and none in two splits."""
    dataset = _dataset(bench, component)
    ids = Counter(s.sample_id(i) for s in dataset.splits.values() for i in _some(s))
    assert all(isinstance(i, str) and i for i in ids), "an id is empty or not a string"
    repeated = [i for i, count in ids.items() if count > 1]
    assert not repeated, f"the id '{repeated[0]}' is there more than once"


def samples_hold_what_is_declared(bench: Workbench, component: Spec) -> None:
    """Inputs of the declared modalities; the short ways to target and id lead to the same."""
    for name, split in _dataset(bench, component).splits.items():
        for index in {0, len(split) // 2, len(split) - 1}:
            sample = split[index]
            lacking = set(component.spec.modalities) - set(sample.inputs)
            assert not lacking, f"{name}[{index}] has no input of {', '.join(lacking)}"
            assert sample.id == split.sample_id(index), f"{name}[{index}] has two ids"
            assert equal(sample.target, split.target(index)), f"{name}[{index}] has two targets"
            split.check(index)


def targets_are_of_the_declared_types(bench: Workbench, component: Spec) -> None:
    """Whichever target is asked for: class names of the info, strings, numbers, nothing."""
    for kind in component.spec.targets:
        dataset = bench.dataset(component, kind)
        wanted, classes = _TARGETS.get(kind, object), dataset.info.classes
        if kind == "class":
            assert len(set(classes)) == len(classes) >= 2, f"its classes are {classes}"
        for name, split in dataset.splits.items():
            targets = [split.target(i) for i in _some(split)]
            for target in targets:
                assert isinstance(target, wanted), (
                    f"'{name}' has the target {target!r}, not one of type {kind}"
                )
            if kind == "class":
                strange = set(targets) - set(classes)
                assert not strange, f"'{name}' has the class {strange.pop()!r}, not among {classes}"


def sizes_are_for_every_sample(bench: Workbench, component: Spec) -> None:
    """Where samples have sizes, each has one."""
    for name, split in _dataset(bench, component).splits.items():
        sizes = split.sizes()
        assert sizes is None or len(sizes) == len(split), (
            f"'{name}' has {len(split)} samples and sizes of {len(sizes or ())}"
        )


def groups_are_of_every_sample(bench: Workbench, component: Spec) -> None:
    """Where samples are of groups, each is, and no group is in two splits."""
    home: dict[str, str] = {}
    for name, split in _dataset(bench, component).splits.items():
        groups = split.groups()
        assert groups is None or len(groups) == len(split), (
            f"'{name}' has {len(split)} samples and groups of {len(groups or ())}"
        )
        for group in set(groups or ()):
            other = home.setdefault(group, name)
            assert other == name, f"the group '{group}' is in '{other}' and in '{name}'"


def origins_stay_the_same(bench: Workbench, component: Spec) -> None:
    """Where a dataset tells what samples are made of, it tells the same whenever it is built, and
    a run can write it down."""
    first, second = (
        bench.new_dataset(component, component.spec.targets[0], seed=3) for _ in range(2)
    )
    fingerprints = Fingerprints(())
    for name, split in first.splits.items():
        indices = range(min(len(split), MOST // 10))
        tables = [fingerprints.table(s, indices) for s in (split, second.splits[name])]
        for one, other in zip(*(table.to_pylist() for table in tables), strict=True):
            assert one == other, f"'{name}' tells of {one['id']} otherwise when it is built again"


def splits_are_picklable(bench: Workbench, component: Spec) -> None:
    """They travel to worker processes, and give the same there."""
    for name, split in _dataset(bench, component).splits.items():
        again = pickle.loads(pickle.dumps(split))
        assert len(again) == len(split), f"'{name}' has another length after pickling"
        here, there = split[0], again[0]
        assert (here.id, here.target) == (there.id, there.target), f"'{name}' changes in pickling"


def same_seed_same_split(bench: Workbench, component: Spec) -> None:
    """Random divisions follow from the seed."""
    first, second = (
        bench.new_dataset(component, component.spec.targets[0], seed=3) for _ in range(2)
    )
    for name, split in first.splits.items():
        other = second.splits[name]
        ids, others = ([s.sample_id(i) for i in _some(s)] for s in (split, other))
        assert ids == others, f"with the same seed '{name}' holds other samples"


def _dataset(bench: Workbench, component: Spec) -> Dataset:
    return bench.dataset(component, component.spec.targets[0])


def _some(split: Split) -> range:
    return range(min(len(split), MOST))


CHECKS = (refuses_a_missing_path,)
BUNDLED_CHECKS = (
    builds_offline,
    ids_are_unique,
    samples_hold_what_is_declared,
    targets_are_of_the_declared_types,
    sizes_are_for_every_sample,
    groups_are_of_every_sample,
    origins_stay_the_same,
    splits_are_picklable,
    same_seed_same_split,
)
