"""One fault each, on top of the sound dataset."""

from __future__ import annotations

import dataclasses
import random
import urllib.request

from sound_parts import CLASSES, Signs, build_signs, divided

from mmft_core.contracts import Dataset, DatasetInfo, Origin


def _with(split_type, options, context, **info) -> Dataset:
    parts = divided(options, context)
    return Dataset(
        info=DatasetInfo(name="x", **{"classes": CLASSES, **info}),
        splits={name: split_type(name, indices) for name, indices in parts.items()},
    )


def build_not_a_dataset(options, context):
    return build_signs(options, context).splits


def build_downloads(options, context):
    urllib.request.urlopen("http://127.0.0.1:9/data.zip", timeout=1)


class _OtherOrigins(Signs):
    def origin(self, index):
        return Origin((self.sample_id(index), random.random()))


def build_other_origins(options, context):
    return _with(_OtherOrigins, options, context)


def build_no_train(options, context):
    sound = build_signs(options, context)
    return Dataset(info=sound.info, splits={"test": sound.splits["val"]})


def build_empty_split(options, context):
    sound = build_signs(options, context)
    return Dataset(info=sound.info, splits={**sound.splits, "test": Signs("test", [])})


def build_id_twice(options, context):
    sound = build_signs(options, context)
    return Dataset(info=sound.info, splits={"train": Signs("train", [1, 2, 3, 4, 1])})


def build_id_in_two_splits(options, context):
    sound = build_signs(options, context)
    return Dataset(info=sound.info, splits={"train": Signs("a", [1, 2]), "val": Signs("b", [2])})


class _OtherModality(Signs):
    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return dataclasses.replace(sample, inputs={"numbrs": sample.inputs["numbers"]})


def build_other_modality(options, context):
    return _with(_OtherModality, options, context)


class _TwoTargets(Signs):
    def target(self, index):
        return CLASSES[0]


def build_two_targets(options, context):
    return _with(_TwoTargets, options, context)


def build_strange_class(options, context):
    return _with(Signs, options, context, classes=("negative", "Positive"))


class _Numbers(Signs):
    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return dataclasses.replace(sample, target=CLASSES.index(sample.target))


def build_number_as_class(options, context):
    return _with(_Numbers, options, context)


def build_one_class(options, context):
    return _with(Signs, options, context, classes=("positive",))


class _OpenFile(Signs):
    def __init__(self, name, indices) -> None:
        super().__init__(name, indices)
        self.file = open(__file__)  # noqa: SIM115, PTH123


def build_open_file(options, context):
    return _with(_OpenFile, options, context)


def build_unseeded_split(options, context):
    order = list(range(100))
    random.Random().shuffle(order)
    info = build_signs(options, context).info
    return Dataset(
        info=info, splits={"train": Signs("a", order[:50]), "val": Signs("b", order[50:])}
    )


def build_missing_path(options, context):
    return build_signs(dataclasses.replace(options, path=""), context)


def build_crashing_path(options, context):
    if options.path:
        open(options.path)  # noqa: SIM115, PTH123
    return build_signs(options, context)


class _TooFewSizes(Signs):
    def sizes(self):
        return [1.0] * (len(self) - 1)


def build_too_few_sizes(options, context):
    return _with(_TooFewSizes, options, context)


class _TornGroup(Signs):
    def groups(self):
        return ["everywhere"] * len(self)


def build_torn_group(options, context):
    return _with(_TornGroup, options, context)
