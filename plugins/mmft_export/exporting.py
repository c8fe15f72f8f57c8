"""A run to an export: traced, written, quantized, compared with the run, and only then kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

import mmft_core
from mmft_core import Registry
from mmft_core.config import (
    PLACES_TABLE,
    EngineConfig,
    Plan,
    as_written,
    dump_toml,
    make_plan,
    merge,
    rewritten,
    with_data,
    without_callbacks,
)
from mmft_core.contracts import Batch, Callback, Dataset, Runner, Split
from mmft_core.data import Joined, Subset, Unlabelled
from mmft_core.engine import choose_monitor
from mmft_core.errors import DataError, PluginError, SampleError
from mmft_core.inference import Predictor, opening
from mmft_core.loading import PreparedSplit
from mmft_core.run import (
    KeptSamples,
    LoadedModel,
    OwnData,
    RunDirectory,
    artifacts,
    build_dataset,
    build_metrics,
    tell_warnings,
)
from mmft_core.utils import replacing_folder, sha256
from mmft_export import folder as exports
from mmft_export.comparison import Comparison, compare
from mmft_export.folder import Description
from mmft_export.formats import Exporter, Job, Written, exporter_of
from mmft_export.request import ExportRequest, check_output, check_weights
from mmft_export.tracing import Traced, trace

_SPLITS = ("test", "val", "train")
_EXAMPLES, _CALIBRATION = 3, 64
"""Samples of the example that graphs are traced with, and of those that ranges are measured on."""


def export(
    run: Path, request: ExportRequest, registry: Registry, callback: Callback
) -> tuple[Path, Comparison]:
    """Export a finished run.

    Returns:
        the folder, and how what is in it compares with the run.

    Raises:
        ExportError: it cannot be exported, or what comes of it is another model; nothing is left.
        RunDirectoryError: the run is not finished, or the output is something else.
    """
    request.check()
    directory = RunDirectory(run)
    tree = without_callbacks(directory.open())
    directory.read_results()
    exporter = exporter_of(registry, request.kind, request.quantize)
    output = request.place(run)
    check_output(output)
    if request.dataset is not None:
        with as_written():
            tree = merge(with_data(tree, request.dataset, registry), request.settings)
    # No processes that load data: they would be forked from one in which converters have threads.
    engine = {
        "batch_size": request.batch_size,
        "device": "cpu",
        "precision": "fp32",
        "workers": 0,
    }
    with as_written():
        plan = make_plan(merge(tree, {"engine": engine}), registry)
    model = artifacts.load(run, registry)
    check_weights(model)
    dataset = _data(directory, plan, request, callback)
    samples = _samples(dataset, request)
    with replacing_folder(output) as temporary:
        making = _Making(
            exporter, directory, request, registry, plan, model, dataset, samples, output
        )
        written = making.make(temporary)
        found = making.compared(temporary, written, callback)
        found.check(exact=request.quantize is None, most=request.most)
        told = exports.describe(temporary)
        replace(told, check=asdict(found)).write(temporary)
    return output, found


def _data(
    directory: RunDirectory, plan: Plan, request: ExportRequest, callback: Callback
) -> Dataset:
    """What the export is compared with its run on: the run's own data, or what is named.

    Raises:
        DataError: it cannot be used, or the run's own have changed.
    """
    if request.dataset is not None:
        named = build_dataset(plan, training=False)
        tell_warnings(named, callback.on_message)
        return named
    own = OwnData.read(directory, plan)
    own.check(next(name for name in _SPLITS if name in own.dataset.splits))
    return own.dataset


@dataclass(frozen=True)
class _Making:
    """The files of an export in the making."""

    exporter: Exporter
    run: RunDirectory
    request: ExportRequest
    registry: Registry
    plan: Plan
    model: LoadedModel
    dataset: Dataset
    samples: Split
    output: Path

    @torch.no_grad()
    def make(self, folder: Path) -> Written:
        """Write all of it but how it compares.

        It is written without gradients, as it is traced: attention becomes other operators with
        them, whose tensors lie in memory otherwise (T5's, as ONNX).
        """
        self._copy_settings(folder)
        shutil.copy(self.run.model / "model.json", folder)
        shutil.copytree(self.run.model / "assets", folder / "assets")
        self.model.task.cpu().eval()
        job = Job(self.model, self._traced, self.request.quantize, partial(self._calibrate, folder))
        written = self.exporter.write(job, folder)
        if not isinstance(written, Written):
            raise PluginError(
                f"The exporter '{self.request.kind}' returned a {type(written).__name__} from "
                "`write`, not a Written."
            )
        self._description(folder, written).write(folder)
        return written

    def _copy_settings(self, folder: Path) -> None:
        """The run's settings, and its splits without the names of their samples."""
        settings = rewritten(self.run.config, self.output)
        if PLACES_TABLE in settings:  # No absolute path of this machine where a relative one does.
            others = settings[PLACES_TABLE].items()
            settings[PLACES_TABLE] = {k: "" if Path(v).is_absolute() else v for k, v in others}
        (folder / self.run.config.name).write_text(dump_toml(settings), encoding="utf-8")
        samples = KeptSamples.read(self.run.samples)
        if samples is not None:
            samples.nameless().write(folder / self.run.samples.name)

    def compared(self, folder: Path, written: Written, callback: Callback) -> Comparison:
        """How what `make` wrote compares with the run."""
        exported = opening.load(folder, self.registry)
        size = sum(file.stat().st_size for file in written.files)
        return compare(
            Predictor(self.model, self.plan.engine),
            Predictor(exported, self.plan.engine),
            replace(self.dataset, splits={"export": self.samples}),
            "export",
            build_metrics(self.plan.metrics, self.model.info),
            choose_monitor(self.plan),
            (_megabytes(self.model), size / 1e6),
            callback,
        )

    def _traced(self) -> list[Traced]:
        graphs = self.model.task.graphs(self._example())
        processors = self.model.task.processors
        longest = {
            f"{m}.{axis}": n for m, p in processors.items() for axis, n in p.longest().items()
        }
        return [replace(trace(graph), longest=longest) for graph in graphs]

    def _example(self) -> Batch:
        """A batch that has all modalities; of one sample several times if there is but one."""
        task, found = self.model.task, []
        data = PreparedSplit(Unlabelled(self.samples), task.processors, task.codec, train=False)
        for index in range(len(data)):
            sample = data[0, index]
            if not isinstance(sample, SampleError) and set(sample.inputs) == set(task.processors):
                found.append(sample)
            if len(found) == _EXAMPLES:
                break
        if not found:
            raise DataError(
                "None of the samples has all modalities, so there is no example to export with.",
                hint="Give --dataset with samples that have them all.",
            )
        batch = data.collate([*found, *found[:1] * (_EXAMPLES - len(found))]).batch
        assert batch is not None
        return batch

    def _calibrate(self, folder: Path, runners: Mapping[str, Runner]) -> None:
        """Have runners compute some samples of the training split."""
        model = exports.adopted(folder, self.registry, runners)
        train = self.dataset.splits.get("train") or Joined(self.dataset.splits.values())
        # One at a time, so that no padding counts.
        predictor = Predictor(model, EngineConfig(batch_size=1, workers=0))
        for _ in predictor.outputs(_spread(train, _CALIBRATION)):
            pass

    def _description(self, folder: Path, written: Written) -> Description:
        processors = self.model.processors
        return Description(
            kind=self.request.kind,
            quantize=self.request.quantize,
            run=self.run.path.resolve().name,
            task=self.model.component.name,
            predicts=self.model.component.spec.predicts,
            versions={"mmft": mmft_core.__version__, **written.versions},
            graphs=written.graphs,
            files={f.relative_to(folder).as_posix(): sha256(f) for f in _loaded(folder, written)},
            preprocessing={m: dict(p.manifest()) for m, p in processors.items()},
            classes=self.model.info.classes,
            notes=written.notes,
        )


def _loaded(folder: Path, written: Written) -> list[Path]:
    """All files that loading the export reads."""
    assets = sorted(file for file in (folder / "assets").rglob("*") if file.is_file())
    return [*written.files, folder / "model.json", *assets]


def _megabytes(model: LoadedModel) -> float:
    """The size of a model's weights."""
    tensors = (*model.task.parameters(), *model.task.buffers())
    return sum(t.numel() * t.element_size() for t in tensors) / 1e6


def _samples(dataset: Dataset, request: ExportRequest) -> Split:
    """The samples that both predict: of test, else val; of other data, of all."""
    names = [n for n in _SPLITS if n in dataset.splits] if request.dataset is None else []
    split = dataset.splits[names[0]] if names else Joined(dataset.splits.values())
    return _spread(split, request.samples)


def _spread(split: Split, most: int) -> Split:
    """So many samples of a split, evenly from all of it."""
    places = np.linspace(0, len(split) - 1, min(most, len(split)))
    return Subset(split, np.unique(places.round().astype(np.int64)))
