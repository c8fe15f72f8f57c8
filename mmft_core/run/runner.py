"""A whole run, from a plan to a run directory with a model and results.

train(plan)   data and model -> device, features and engine -> first files of the run directory
              -> fit -> evaluation of the best model -> model, callbacks' reports, results
resume(path)  the same plan and data again, with the engine resuming from its checkpoint
run_or_resume(plan, path)  either of them, or nothing if the run is finished
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from mmft_core.config.options import as_written
from mmft_core.config.places import places, with_paths_of
from mmft_core.config.plan import Plan
from mmft_core.config.resolving import make_plan
from mmft_core.config.trees import flatten
from mmft_core.contracts import Calibrated, Dataset, Referenced, Task
from mmft_core.contracts.callbacks import Callback, Evaluated, FinishedRun, RunStart
from mmft_core.data import soundness
from mmft_core.distributed import batch_norm, comm
from mmft_core.engine import checkpoint, compute, kept_weights
from mmft_core.engine.device import make_accelerator
from mmft_core.engine.evaluation import Evaluation, Predicted
from mmft_core.engine.fitting_batch import out_of_memory_error
from mmft_core.engine.loop import Engine, FitResult
from mmft_core.engine.metrics_log import read_metrics
from mmft_core.engine.monitor import Monitor, choose_monitor, naming_the_recommender
from mmft_core.errors import CheckpointError, first_line
from mmft_core.features import TrainingData, attach_features
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.precision import Inference
from mmft_core.registry import Registry
from mmft_core.run import artifacts
from mmft_core.run.build import (
    as_built,
    build_dataset,
    build_metrics,
    build_task,
    save_assets,
    tell_warnings,
)
from mmft_core.run.callbacks import Callbacks
from mmft_core.run.directory import RunDirectory
from mmft_core.run.kept_samples import KeptSamples
from mmft_core.run.own_data import RESUMING, changed, check_moved, same_data
from mmft_core.run.rehearsal import rehearse
from mmft_core.run.results import collect_results, suppliers
from mmft_core.run.usable_data import drop_unreadable, inspect_samples, with_notes
from mmft_core.utils.files import read_as, replacing, replacing_folder, write_json
from mmft_core.utils.memory_errors import out_of_memory
from mmft_core.weights import LoadedWeights

_REFERENCE = "reference.safetensors"
"""In the folder of checkpoints."""

EXAMPLES = 24
"""How many samples of each ranking the report shows."""


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """A whole run: its training, and its results, which are None if it was interrupted."""

    directory: RunDirectory
    fit: FitResult
    results: dict[str, Any] | None


def train(
    plan: Plan, output: Path, callbacks: Sequence[Callback] = (), command: str = ""
) -> RunOutcome:
    """Do a new run. Nothing is written before training starts.

    Args:
        callbacks: callbacks in addition to those of the plan.

    Raises:
        MmftError: see the tree in `mmft_core.errors`.
    """
    directory = RunDirectory(output)
    directory.ensure_usable()
    with Callbacks(plan, directory.path, callbacks) as followers:
        run = _new_run(plan, directory, followers, command)
        run.make_engine()
        run.rehearse()
        with directory.held():
            directory.ensure_usable()  # Another process may have been here since.
            directory.clear()
            run.create_directory()
            return run.fit(resume=False)


def resume(
    path: Path, plan: Plan, callbacks: Sequence[Callback] = (), command: str = ""
) -> RunOutcome:
    """Resume an interrupted run; without a checkpoint it starts from the beginning.

    Args:
        plan: the plan from the run directory's configuration.
        callbacks: callbacks in addition to those of the plan.

    Raises:
        RunDirectoryError: another process is training it, or has finished it.
        DataError: the data have changed, or have been moved and cannot be compared.
        CheckpointError: all checkpoints are damaged.
    """
    directory = RunDirectory(path)
    with Callbacks(plan, path, callbacks) as followers, directory.held():
        if comm.from_main(directory.results.exists):
            raise directory.already_finished()
        directory.clear()
        check_moved(plan, directory)
        if comm.from_main(lambda: checkpoint.found(directory.checkpoints)):
            run = _interrupted_run(plan, directory, followers, command)
            run.make_engine()
            run.read_reference()
            return run.fit(resume=True)
        if directory.elsewhere(plan):
            same_data(plan, directory, followers)
        followers.on_message(
            "No checkpoint was written yet, so the run starts again from the beginning."
        )
        run = _new_run(plan, directory, followers, command)
        run.make_engine()
        run.rehearse()
        run.create_directory()
        return run.fit(resume=False)


def run_or_resume(
    plan: Plan,
    path: Path,
    registry: Registry,
    callbacks: Sequence[Callback] = (),
    command: str = "",
) -> dict[str, Any] | None:
    """Do what is left to do of a run, in a folder that holds nothing else.

    A finished run is kept. An interrupted run is resumed with its own settings, except for the
    place of its data, which the plan says.

    Returns:
        Its results; None if it was interrupted by Ctrl-C or SIGTERM.

    Raises:
        MmftError: as `train` and `resume` do.
    """
    directory = RunDirectory(path)
    finished, begun = comm.from_main(
        lambda: (directory.results.is_file(), directory.config.is_file())
    )
    if finished:
        return directory.read_results()
    if begun:
        with as_written():
            settings = with_paths_of(make_plan(directory.open(), registry), plan)
        return resume(path, settings, callbacks, command).results
    return train(plan, path, callbacks, command).results


def _new_run(plan: Plan, directory: RunDirectory, callbacks: Callbacks, command: str) -> Run:
    """Build the parts of a new run and check its data, without writing anything."""
    monitor = choose_monitor(plan)
    with comm.main_first():  # It fills caches for the others.
        dataset = build_dataset(plan)
    tell_warnings(dataset, callbacks.on_message)
    plan = plan.with_data_options(dataset.options)
    sound, read = drop_unreadable(dataset, plan, callbacks)
    task = build_task(plan, sound, callbacks.on_message)
    plan = as_built(plan, task)
    findings = inspect_samples(dataset, task, plan, read, callbacks)
    samples = KeptSamples.found(dataset, findings)
    left = soundness.without(dataset, findings.faulty())
    dataset = replace(left, info=with_notes(sound.info, findings, plan))
    callbacks.on_data(dataset)
    directory.ensure_space(_needed_bytes(task))
    data = {
        "monitor": monitor.name,
        "samples": {name: len(split) for name, split in dataset.splits.items()},
        "skipped": [asdict(fault) for fault in findings.faults],
        "changed": findings.remarks(),
        "target_scale": dataset.info.target_scale,
        "weights": {m: asdict(task.backbone(m).loaded) for m in task.backbones},
    }
    return Run(
        plan=plan,
        dataset=dataset,
        task=task,
        data=data,
        samples=samples,
        monitor=monitor,
        directory=directory,
        callbacks=callbacks,
        command=command,
    )


def _interrupted_run(
    plan: Plan, directory: RunDirectory, callbacks: Callbacks, command: str
) -> Run:
    """Rebuild a run, except for what its checkpoints hold."""
    data = directory.read_data()
    own, samples = same_data(plan, directory, callbacks)
    dataset = own.dataset
    if data.get("target_scale") is not None:  # Runs of earlier versions have it of all samples.
        info = replace(dataset.info, target_scale=tuple(data["target_scale"]))
        dataset = replace(dataset, info=info)
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    if sizes != data["samples"]:
        raise changed(directory, f"{data['samples']} samples then, {sizes} now", RESUMING)
    if samples is not None and comm.is_main():
        if samples is not own.kept:
            samples.write(directory.samples)
        directory.follow(plan)
    loaded = {}
    for modality, saved in data["weights"].items():
        weights = read_as(LoadedWeights, saved, directory.data)
        place = places(plan).get(f"backbone.{modality}.weights")
        # Weights that are not kept with the run are where the plan says now.
        loaded[modality] = replace(weights, source=place) if weights.digest and place else weights
    return Run(
        plan=plan,
        dataset=dataset,
        task=build_task(plan, dataset, callbacks.on_message, loaded, directory.assets),
        data=data,
        samples=samples,
        monitor=choose_monitor(plan),
        directory=directory,
        callbacks=callbacks,
        command=command,
    )


@dataclass(kw_only=True)
class Run:
    """A run whose parts are built.

    Attributes:
        data: the content of `data.json`.
        samples: the samples of each split; None for a run of an older version.
        command: the command that started it.
        started: the start time by `time.perf_counter`.
    """

    plan: Plan
    dataset: Dataset
    task: Task
    data: Mapping[str, Any]
    samples: KeptSamples | None
    monitor: Monitor
    directory: RunDirectory
    callbacks: Callbacks
    command: str
    started: float = field(default_factory=time.perf_counter)
    training_data: TrainingData = field(init=False)
    engine: Engine = field(init=False)

    def make_engine(self) -> None:
        """Choose device and precision, compute the features of frozen backbones that are to be
        kept, and make the engine that trains on them."""
        plan = self.plan
        partial = plan.task.spec.partial_for(plan.backbones)
        accelerator = make_accelerator(
            plan.engine, partial=partial, chosen=self.data.get("trained_in")
        )
        if not partial:  # Otherwise a process may skip a backbone, and the others wait.
            batch_norm.synchronize(self.task, accelerator.device)
        inference = Inference.of(plan.engine.precision, accelerator.device)
        self.training_data = attach_features(
            self.task, self.dataset, plan, inference, self.callbacks
        )
        val = self.training_data.splits.get("val")
        self.engine = Engine(
            self.task,
            self._prepared_split(self.training_data.splits["train"], train=True),
            self._prepared_split(val) if val is not None else None,
            replace(plan, engine=self.training_data.config),
            metrics=build_metrics(plan.metrics, self.dataset.info),
            monitor=self.monitor,
            accelerator=accelerator,
            folder=self.directory.checkpoints,
            callback=self.callbacks,
            begun=self.data.get("trained_in"),
        )

    def rehearse(self) -> None:
        """Rehearse on a few samples, so that a wrong monitor or a plugin's fault shows before
        training and not after an epoch; let the task look at its reference, if it has one; then
        time a few steps to choose how to compute."""
        splits = self.training_data.splits
        evaluation = rehearse(self.engine, self._prepared_split(splits.get("val", splits["train"])))
        if "val" in splits:
            with naming_the_recommender(self.plan):
                evaluation.scalar(self.engine.monitor.name)
        self._refer()
        if (chosen := compute.choose(self.engine)) is not None:
            self.callbacks.on_info(chosen)

    def _refer(self) -> None:
        """Let the task store what its reference predicts on the splits that it asks for."""
        task = self.engine.state.eval_model
        if not isinstance(task, Referenced):
            return
        for name in task.reference_splits(tuple(self.training_data.splits)):
            task.remember(*self._predicted(name))

    def read_reference(self) -> None:
        """Raises:
        CheckpointError: the reference's weights are missing or damaged.
        """
        model = self._reference_model()
        if model is None:
            return
        file = self.directory.checkpoints / _REFERENCE
        try:
            strange = [name for names in kept_weights.read_tensors(model, file) for name in names]
            if strange:
                raise ValueError(f"'{strange[0]}' does not fit")
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(
                f"The weights of the reference model, {file}, cannot be read: {first_line(error)}.",
                hint="Repeat the run in a new folder, with -c and its config.toml.",
            ) from error

    def _reference_model(self) -> torch.nn.Module | None:
        return self.task.reference_model() if isinstance(self.task, Referenced) else None

    def create_directory(self) -> None:
        """Write what a run starts with."""
        self.data = {**self.data, "trained_in": self.engine.compute.record()}
        self.directory.create(self.plan, suppliers(self.plan), self.data)
        if comm.is_main():
            if self.samples is not None:
                self.samples.write(self.directory.samples)
            with replacing_folder(self.directory.assets) as temporary:
                save_assets(self.task, temporary)
        reference = self._reference_model()
        if reference is not None and comm.is_main():
            self.directory.checkpoints.mkdir(exist_ok=True)
            with replacing(self.directory.checkpoints / _REFERENCE) as temporary:
                kept_weights.write_tensors(reference.state_dict(), temporary)

    def fit(self, *, resume: bool) -> RunOutcome:
        """Train, evaluate the best model, and write model and results."""
        self.callbacks.on_run_start(
            RunStart(
                directory=self.directory.path,
                settings=flatten(self.plan.tree()),
                logged=read_metrics(self.directory.metrics),
            )
        )
        outcome = self._trained(resume=resume)
        if outcome.ending == "interrupted":
            results = None
        else:
            self._read_best(outcome)
            self._calibrate()
            results = self._finish(outcome, self._evaluate())
        comm.wait()  # Until the main process has written everything.
        return RunOutcome(directory=self.directory, fit=outcome, results=results)

    def _trained(self, *, resume: bool) -> FitResult:
        """Raises:
        OutOfMemoryError: memory ran out; says how large a batch would fit.
        """
        try:
            return self.engine.fit(resume=resume)
        except Exception as error:
            if not out_of_memory(error):
                raise
        # Outside the handler: its traceback would keep the tensors of the failed pass.
        raise out_of_memory_error(self.engine)

    def _read_best(self, outcome: FitResult) -> None:
        """Load the weights of the best step, if they are not the current ones.

        Raises:
            CheckpointError: their file is damaged.
        """
        file = outcome.best_weights
        if file is None:
            return
        try:
            kept_weights.read(self.engine.state.eval_model, file)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(
                f"The weights of the best step, {file}, are damaged: {first_line(error)}.",
                hint="Repeat the run in a new folder, with -c and its config.toml.",
            ) from error

    def _calibrate(self) -> None:
        """Let the best model choose its thresholds, or similar values, on val."""
        task = self.engine.state.eval_model
        if "val" not in self.training_data.splits or not isinstance(task, Calibrated):
            return
        # All processes get the same predictions, so their models stay equal.
        task.calibrate(*self._predicted("val"))

    def _predicted(self, name: str) -> tuple[Any, Any]:
        """The model's predictions for a split, and the targets, on every process."""
        predicted = Predicted()
        split = self._prepared_split(self.training_data.splits[name])
        self.engine.evaluate(split, name, {"": predicted})
        return comm.from_main(predicted.joined)

    def _evaluate(self) -> dict[str, Evaluation]:
        """Evaluate the best model on val and test."""
        evaluations = {}
        for name in ("val", "test"):
            if name in self.training_data.splits:
                split = self._prepared_split(self.training_data.splits[name])
                evaluations[name] = self.engine.evaluate(split, name, examples=EXAMPLES)
        for name, evaluation in evaluations.items():
            for remark in evaluation.remarks:
                self.callbacks.on_message(f"{name}: {remark}")
        if "test" in evaluations:
            step, test = self.engine.state.progress.step, evaluations["test"]
            self.callbacks.on_evaluation(
                Evaluated(step=step, epoch=0, split="test", evaluation=test, best=False)
            )
        return evaluations

    def _finish(self, outcome: FitResult, evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
        """Save the model, let callbacks write their reports, and write the results."""
        results = collect_results(self, outcome, evaluations)
        if comm.is_main():
            directory, task = self.directory, self.engine.state.eval_model
            artifacts.save(directory.model, task, self.plan, self.dataset.info)
            self.callbacks.on_finish(
                FinishedRun(
                    directory=directory.path,
                    results=results,
                    plan=self.plan,
                    dataset=self.dataset,
                    evaluations=evaluations,
                    task=task,
                )
            )
            # Last, because this file marks the run as finished.
            write_json(directory.results, results)
            shutil.rmtree(directory.checkpoints, ignore_errors=True)
            self.callbacks.finished()
        return results

    def _prepared_split(self, split: Any, *, train: bool = False) -> PreparedSplit:
        return PreparedSplit(
            split,
            self.training_data.processors,
            self.task.codec,
            train=train,
            seed=self.plan.engine.seed,
            partial=self.plan.task.spec.partial_for(self.plan.backbones),
        )


def _needed_bytes(task: Task) -> int:
    """Bytes for two checkpoints with two moments each, the best model and the final one."""
    keep = kept_weights.kept(task)
    sizes = [(n, p.numel() * p.element_size(), p.requires_grad) for n, p in task.named_parameters()]
    kept = sum(size for name, size, _ in sizes if keep(name))
    return 4 * kept + 4 * sum(size for _, size, trained in sizes if trained)
