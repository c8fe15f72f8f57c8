"""A whole run, from a plan to a run directory with a model, results and a report.

train(plan)   check the place -> dataset -> backbones, task, metrics -> check the data
              -> fit -> test -> model, results, report, card
resume(path)  the same plan and data again, with the engine going on from its checkpoint
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from mmft_core import artifacts
from mmft_core.batches.prepared import PreparedSplit
from mmft_core.contracts import Calibrated, Dataset, Task
from mmft_core.data import soundness
from mmft_core.data.splits import Subset
from mmft_core.distributed import batch_norm, processes
from mmft_core.errors import CheckpointError, first_line
from mmft_core.evaluation import Evaluation, Predicted
from mmft_core.features import feed
from mmft_core.files import read_as, replacing_folder, write_json
from mmft_core.kept_samples import KeptSamples
from mmft_core.memory_errors import out_of_memory
from mmft_core.own_data import RESUMING, changed, check_moved, same_data
from mmft_core.parts import (
    build_dataset,
    build_metrics,
    build_task,
    save_assets,
    tell_warnings,
)
from mmft_core.planning.places import places
from mmft_core.planning.plan import Plan
from mmft_core.planning.trees import flatten
from mmft_core.precision import Inference
from mmft_core.results import collect_results, suppliers
from mmft_core.run_directory import RunDirectory
from mmft_core.sinks import Evaluated, MetricsFile, Sink, Sinks
from mmft_core.trackers.following import Tracking
from mmft_core.trackers.options import TrackingConfig
from mmft_core.training import checkpoint, kept_weights
from mmft_core.training.device import chosen_precision, make_accelerator
from mmft_core.training.engine import Engine, Outcome
from mmft_core.training.fitting_batch import out_of_memory_error
from mmft_core.training.monitor import Monitor, choose_monitor
from mmft_core.usable_data import inspected, readable, with_notes
from mmft_core.weights import LoadedWeights

EXAMPLES = 24
"""How many samples of each ranking the report shows."""


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What a run came to; `results` is None for one that was interrupted."""

    directory: RunDirectory
    fit: Outcome
    results: dict[str, Any] | None


def train(plan: Plan, output: Path, sink: Sink, command: str = "") -> RunOutcome:
    """Do a new run. Nothing is written before training starts.

    Raises:
        MmftError: see the tree in `mmft_core.errors`.
    """
    directory = RunDirectory(output)
    directory.ensure_usable()
    run = _new(plan, directory, sink, command)
    with directory.held():
        directory.ensure_usable()  # Another process may have been here since.
        directory.clear()
        return run.begin()


def _new(plan: Plan, directory: RunDirectory, sink: Sink, command: str) -> _Run:
    """Build a new run and make sure of its data, without writing anything."""
    monitor = choose_monitor(plan)
    with processes.main_first():  # It fills caches for the others.
        dataset = build_dataset(plan)
    tell_warnings(dataset, sink.say)
    plan = plan.with_data_options(dataset.options)
    sound, read = readable(dataset, plan, sink)
    task = build_task(plan, sound, sink.say)
    plan = plan.with_backbone_options({m: task.backbone(m).fitted_options for m in task.backbones})
    if all(task.backbone(m).loaded.source == "random" for m in task.backbones):
        plan = plan.from_scratch()
    findings = inspected(dataset, task, plan, read, sink)
    samples = KeptSamples.found(dataset, findings)
    left = soundness.without(dataset, findings.faulty())
    dataset = replace(left, info=with_notes(sound.info, findings, plan))
    sink.data(dataset)
    directory.ensure_space(_needed_bytes(task))
    data = {
        "samples": {name: len(split) for name, split in dataset.splits.items()},
        "skipped": [asdict(fault) for fault in findings.faults],
        "changed": findings.remarks(),
        "target_scale": dataset.info.target_scale,
        "weights": {m: asdict(task.backbone(m).loaded) for m in task.backbones},
    }
    run = _Run(plan, dataset, task, data, samples, monitor, directory, sink, command)
    run.rehearse()
    return run


def resume(path: Path, plan: Plan, sink: Sink, command: str = "") -> RunOutcome:
    """Go on with an interrupted run; one without any checkpoint is begun anew.

    Args:
        plan: what the run directory's configuration resolves to.

    Raises:
        RunDirectoryError: another process is at it, or has finished it.
        DataError: the data are no longer the same, or lie elsewhere and cannot be compared.
        CheckpointError: all checkpoints are damaged.
    """
    directory = RunDirectory(path)
    with directory.held():
        if processes.from_main(directory.results.exists):
            raise directory.finished()
        directory.clear()
        check_moved(plan, directory)
        if not processes.from_main(lambda: checkpoint.found(directory.checkpoints)):
            if directory.elsewhere(plan):
                same_data(plan, directory, sink)
            sink.say("No checkpoint was written yet, so the run is begun anew.")
            return _new(plan, directory, sink, command).begin()
        return _interrupted(plan, directory, sink, command).fit(resume=True)


def _interrupted(plan: Plan, directory: RunDirectory, sink: Sink, command: str) -> _Run:
    """Build a run again as it was, but for what its checkpoints hold."""
    data = directory.read_data()
    own, samples = same_data(plan, directory, sink)
    dataset = own.dataset
    if data.get("target_scale") is not None:  # Runs of earlier versions have it of all samples.
        info = replace(dataset.info, target_scale=tuple(data["target_scale"]))
        dataset = replace(dataset, info=info)
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    if sizes != data["samples"]:
        raise changed(directory, f"{data['samples']} samples then, {sizes} now", RESUMING)
    if samples is not None and processes.is_main():
        if samples is not own.kept:
            samples.write(directory.samples)
        directory.follow(plan)
    weights = {m: read_as(LoadedWeights, w, directory.data) for m, w in data["weights"].items()}
    loaded = {m: _told(own_weights, m, plan) for m, own_weights in weights.items()}
    task = build_task(plan, dataset, sink.say, loaded, directory.assets)
    monitor = choose_monitor(plan)
    return _Run(plan, dataset, task, data, samples, monitor, directory, sink, command)


def _told(loaded: LoadedWeights, modality: str, plan: Plan) -> LoadedWeights:
    """What weights once were; those that are not kept are where the plan says now."""
    place = places(plan).get(f"backbone.{modality}.weights")
    return replace(loaded, source=place) if loaded.digest and place else loaded


class _Run:
    """A run whose parts are built."""

    def __init__(
        self,
        plan: Plan,
        dataset: Dataset,
        task: Task,
        data: Mapping[str, Any],
        samples: KeptSamples | None,
        monitor: Monitor,
        directory: RunDirectory,
        sink: Sink,
        command: str,
    ) -> None:
        self.started = time.perf_counter()
        self.plan, self.dataset, self.task = plan, dataset, task
        self.samples = samples
        self.directory, self.command = directory, command
        self.accelerator = make_accelerator(
            plan.engine, partial=plan.task.spec.partial, chosen=data.get("trained_in")
        )
        self.data = {"trained_in": chosen_precision(self.accelerator), **data}
        if not plan.task.spec.partial:  # Else a process may not use a backbone, and others wait.
            batch_norm.synchronize(task, self.accelerator.device)
        told = plan.tracking if processes.is_main() else TrackingConfig()
        self.tracking = Tracking(told, directory.path, flatten(plan.tree()), sink.say)
        metrics = MetricsFile(directory.metrics, plan.engine.log_every, self.tracking)
        self.sink = Sinks([metrics, sink] if processes.is_main() else [])
        inference = Inference.of(plan.engine.precision, self.accelerator.device)
        self.fed = feed(task, dataset, plan, inference, self.sink)
        val = self.fed.splits.get("val")
        self.engine = Engine(
            task,
            self._prepared_split(self.fed.splits["train"], train=True),
            self._prepared_split(val) if val is not None else None,
            replace(plan, engine=self.fed.config),
            metrics=build_metrics(plan.metrics, dataset.info),
            monitor=monitor,
            accelerator=self.accelerator,
            folder=directory.checkpoints,
            sink=self.sink,
        )

    def rehearse(self) -> None:
        """Evaluate a few samples, so that a wrong monitor or a plugin's fault shows before training
        and not after an epoch."""
        split = self.fed.splits.get("val")
        if split is None:
            return
        few = Subset(split, torch.arange(min(2, len(split))).numpy())
        evaluation = self.engine.evaluate(self._prepared_split(few), "rehearsal", examples=1)
        evaluation.figure(self.engine.monitor.name)

    def begin(self) -> RunOutcome:
        """Write what a run starts with, and train."""
        self.directory.create(self.plan, suppliers(self.plan), self.data)
        if processes.is_main():
            if self.samples is not None:
                self.samples.write(self.directory.samples)
            with replacing_folder(self.directory.assets) as temporary:
                save_assets(self.task, temporary)
        return self.fit(resume=False)

    def fit(self, *, resume: bool) -> RunOutcome:
        """Train to the end, judge the model, and write what a run leaves.

        Raises:
            OutOfMemoryError: says how large a batch would fit.
        """
        with self.tracking:
            try:
                outcome = self._end(self.engine.fit(resume=resume))
                processes.wait()  # Until the main one has written everything.
                return outcome
            except Exception as error:
                if not out_of_memory(error):
                    raise
            # Not before the traceback is gone, which holds the tensors of the failed pass.
            raise out_of_memory_error(self.engine)

    def _end(self, outcome: Outcome) -> RunOutcome:
        if outcome.ending == "interrupted":
            return RunOutcome(directory=self.directory, fit=outcome, results=None)
        if outcome.best_weights is not None:
            _read_best(self.engine.state.eval_model, outcome.best_weights)
        return RunOutcome(directory=self.directory, fit=outcome, results=self._conclude(outcome))

    def _conclude(self, outcome: Outcome) -> dict[str, Any]:
        """Judge the kept model on val and test, and write everything that a run leaves."""
        from mmft_core.report.collect import write_report_and_card

        self._calibrate()
        evaluations = {
            name: self._judge(name) for name in ("val", "test") if name in self.fed.splits
        }
        for name, evaluation in evaluations.items():
            for remark in evaluation.remarks:
                self.sink.say(f"{name}: {remark}")
        if "test" in evaluations:
            step, test = outcome.progress.step, evaluations["test"]
            self.sink.evaluated(
                Evaluated(step=step, epoch=0, split="test", evaluation=test, best=False)
            )
        results = collect_results(
            self.plan,
            self.task,
            self.dataset.info,
            self.data,
            outcome,
            self.engine.monitor,
            evaluations,
            device=str(self.accelerator.device),
            precision=self.accelerator.mixed_precision.replace("no", "fp32"),
            inference_precision=self.engine.inference.precision,
            total_seconds=time.perf_counter() - self.started,
            command=self.command,
        )
        if processes.is_main():
            directory, model = self.directory, self.engine.state.eval_model
            artifacts.save(directory.model, model, self.plan, self.dataset.info)
            write_report_and_card(
                directory, results, self.plan, self.dataset, evaluations, self.task
            )
            # Last, for it marks the run as finished.
            write_json(directory.results, results)
            shutil.rmtree(directory.checkpoints, ignore_errors=True)
            self.tracking.finished(directory.documents)
        return results

    def _calibrate(self) -> None:
        """Let the kept model choose by val what it leaves open until then, such as thresholds."""
        task = self.engine.state.eval_model
        if "val" not in self.fed.splits or not isinstance(task, Calibrated):
            return
        predicted = Predicted()
        self.engine.evaluate(self._prepared_split(self.fed.splits["val"]), "val", {"": predicted})
        # Every process chooses by the same, so all have the same model.
        task.calibrate(*processes.from_main(predicted.joined))

    def _judge(self, name: str) -> Evaluation:
        split = self._prepared_split(self.fed.splits[name])
        return self.engine.evaluate(split, name, examples=EXAMPLES)

    def _prepared_split(self, split: Any, *, train: bool = False) -> PreparedSplit:
        return PreparedSplit(
            split,
            self.fed.processors,
            self.task.codec,
            train=train,
            seed=self.plan.engine.seed,
        )


def _read_best(task: Task, file: Path) -> None:
    """Raises:
    CheckpointError: the file is damaged.
    """
    try:
        kept_weights.read(task, file)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"The weights of the best step, {file}, are damaged: {first_line(error)}.",
            hint="Repeat the run in a new folder, with -c and its config.toml.",
        ) from error


def _needed_bytes(task: Task) -> int:
    """Room for two checkpoints with an optimizer's two moments, the best and the final model."""
    keep = kept_weights.kept(task)
    sizes = [(n, p.numel() * p.element_size(), p.requires_grad) for n, p in task.named_parameters()]
    kept = sum(size for name, size, _ in sizes if keep(name))
    return 4 * kept + 4 * sum(size for _, size, trained in sizes if trained)
