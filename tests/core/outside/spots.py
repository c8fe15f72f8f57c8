"""An outside plugin that uses all of the contracts' second version: a bright spot is to be found.

A sample is a grid with a word; its target is a list of dictionaries that is mirrored with the grid.
"""

from mmft_core import BackboneSpec, DatasetSpec, MetricSpec, TaskSpec, hookimpl

MMFT_API_VERSION = 2


@hookimpl
def register_dataset():
    return [
        DatasetSpec(
            name="spot-grids",
            summary="Grids with a bright spot each",
            modalities=("grid", "word"),
            targets=("spots", "class"),
            bundled=True,
            build="spots_work:build_dataset",
        )
    ]


@hookimpl
def register_backbone():
    return [
        BackboneSpec(
            name="grid-net",
            summary="A linear layer over a windowed grid",
            modality="grid",
            build="spots_work:GridNet",
        ),
        BackboneSpec(
            name="grid-word-net",
            summary="Reads a grid and a word together",
            modalities=("word", "grid"),
            build="spots_work:GridWordNet",
        ),
    ]


@hookimpl
def register_task():
    return [
        TaskSpec(
            name="spots",
            summary="Where the bright spot is",
            modalities=("grid",),
            target="spots",
            predicts="spots",
            default_dataset="spot-grids",
            default_metrics=("spot-hits",),
            monitor="spot-hits",
            build="spots_work:SpotTask",
            defaults={"engine.lr": 0.05, "engine.steps": 150, "engine.batch_size": 16},
        ),
        TaskSpec(
            name="captioned-spots",
            summary="On which side the bright spot is, of a grid and a word together",
            modalities=("grid+word",),
            target="class",
            predicts="classes",
            default_dataset="spot-grids",
            default_metrics=("accuracy",),
            monitor="accuracy",
            build="spots_work:build_sides",
            defaults={"engine.lr": 0.05},
        ),
    ]


@hookimpl
def register_metric():
    return [
        MetricSpec(
            name="spot-hits",
            summary="Share of spots that are found",
            measures="spots",
            build="spots_work:Hits",
        )
    ]
