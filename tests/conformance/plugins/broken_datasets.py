"""Datasets that each break the contract in one way; see `broken_dataset_parts`."""

from mmft_core import DatasetSpec, hookimpl

NAMES = (
    "not-a-dataset",
    "downloads",
    "no-train",
    "empty-split",
    "id-twice",
    "id-in-two-splits",
    "other-modality",
    "two-targets",
    "strange-class",
    "number-as-class",
    "one-class",
    "too-few-sizes",
    "torn-group",
    "other-origins",
    "open-file",
    "unseeded-split",
    "missing-path",
    "crashing-path",
)


@hookimpl
def register_dataset():
    return [
        DatasetSpec(
            name=name,
            summary="Broken",
            modalities=("numbers",),
            targets=("class",),
            build=f"broken_dataset_parts:build_{name.replace('-', '_')}",
            options="sound_options:SignsOptions",
            opens=(".txt",) if name.endswith("path") else (),
            bundled=True,
        )
        for name in NAMES
    ]
