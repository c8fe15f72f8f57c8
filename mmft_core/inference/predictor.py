"""Predicting with a finished model: files, texts and splits."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mmft_core import cpus
from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import (
    Attaching,
    Batch,
    Completing,
    Dataset,
    Metric,
    Processor,
    Split,
    Task,
)
from mmft_core.contracts.callbacks import Callback
from mmft_core.contracts.returned import decoded, outputs_of
from mmft_core.data import soundness
from mmft_core.data.splits import Unlabelled, together
from mmft_core.engine.evaluation import Evaluation, evaluate
from mmft_core.errors import DataError, IncompatibleError, SampleError
from mmft_core.inference.pieces import Pieces, divided_modality
from mmft_core.inference.sources import Source, Sources
from mmft_core.loading.loaders import (
    Loader,
    choose_workers,
    evaluation_loader,
    outcomes,
    prediction_loader,
)
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.loading.similar_lengths import WindowedBatchSampler
from mmft_core.plugin_errors import with_article
from mmft_core.precision import Inference, choose_device
from mmft_core.run.artifacts import LoadedModel


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What was predicted for an input, or why nothing could be and what to do about it."""

    source: str
    record: Mapping[str, Any] | None = None
    error: str | None = None
    hint: str | None = None


class Predictor:
    """A loaded model on its device.

    Attributes:
        processors: the preprocessing of the modalities that it is given.
        attached: files that belong to each source.
        inference: its device and precision: the configuration's, or those of its evaluation.
    """

    def __init__(self, model: LoadedModel, config: EngineConfig) -> None:
        if model.exported:
            config = replace(config, device="cpu", precision="fp32")
        precision = model.precision if config.precision == "auto" else config.precision
        self.model, self.config = model, config
        self.attached: tuple[Path, ...] = ()
        self.processors: Mapping[str, Processor] = model.processors
        cpus.limit_threads(config.threads)
        self.inference = Inference.of(precision, choose_device(config.device))
        self.model.task.to(self.inference.device).eval()

    def of(self, modality: str) -> Predictor:
        """The same model, given this modality alone.

        Only for models that can predict from one alone, such as those that embed pairs; their
        predictions are then those of that modality.
        """
        alone = copy.copy(self)
        alone.processors = {modality: self.model.processors[modality]}
        return alone

    @property
    def processor(self) -> Processor:
        """The preprocessing of the one modality that it is given.

        Raises:
            IncompatibleError: it is given several, so single files are not enough.
        """
        processor, *others = self.processors.values()
        if others:
            raise IncompatibleError(
                f"{self._called} reads {', '.join(self.model.processors)} together, so single "
                "files are not enough.",
                hint="Give --dataset with all of them.",
            )
        return processor

    @property
    def _called(self) -> str:
        """What it is called at the beginning of a sentence: "An image-cls model"."""
        return f"{with_article(self.model.component.name).capitalize()} model"

    @property
    def takes_some(self) -> bool:
        """Whether a model of several modalities can predict from some of them.

        A model of pairs embeds each alone.
        """
        return self._evaluates_some or self.model.component.spec.predicts == "pairs"

    @property
    def _evaluates_some(self) -> bool:
        """Whether it can be evaluated on samples that lack some of its modalities."""
        return self.model.component.spec.partial_for(self.model.parts)

    def attaching(self, files: Sequence[Path]) -> Predictor:
        """The same model, with files that belong to each of the sources that it predicts.

        Raises:
            IncompatibleError: it takes no files beside an input.
        """
        if not isinstance(self.processor, Attaching):
            raise IncompatibleError(
                f"{self._called} takes no files beside an input.",
                hint="Give the files as inputs, without --attach, --image or --audio.",
            )
        copied = copy.copy(self)
        copied.attached = tuple(files)
        return copied

    def predict(self, sources: Sequence[Source], top_k: int = 1) -> Iterator[Prediction]:
        """Predict files and texts in their order, as they are done.

        Raises:
            IncompatibleError: the task reads several modalities.
        """
        processor = self.processor
        (modality,) = self.processors
        found = self.predict_split(Sources(modality, sources, processor, self.attached), top_k)
        for source, prediction in zip(sources, found, strict=True):
            # Errors name the file that was read, which may be a copy of what the user named.
            yield replace(prediction, source=str(source))

    def predict_split(self, split: Split, top_k: int = 1) -> Iterator[Prediction]:
        """Predict the samples of a split in order; unreadable ones have an error instead."""
        task, found = self.model.task, self._predict_whole(split, top_k)
        if not isinstance(task, Completing):
            yield from found
            return
        for index, prediction in enumerate(found):
            if prediction.record is not None:
                record = task.complete(dict(prediction.record), split[index].inputs)
                prediction = replace(prediction, record=record)
            yield prediction

    def _predict_whole(self, split: Split, top_k: int) -> Iterator[Prediction]:
        """Predict samples in their order, in pieces where they are too long for one pass."""
        modality = divided_modality(self.processors)
        if modality is None:
            yield from self._predict(split, top_k)
            return
        divided = Pieces(split, modality, self.processors[modality])
        task, pieces, done = self.model.task, [], []
        for piece, prediction in zip(divided.pieces, self._predict(divided, top_k), strict=True):
            pieces.append(piece.raw)
            done.append(prediction)
            if piece.last:
                yield _joined(task, pieces, done)
                pieces, done = [], []

    def _predict(self, split: Split, top_k: int) -> Iterator[Prediction]:
        data = self._prepared(split)
        batches = WindowedBatchSampler(data, self.config.batch_size)
        loader = prediction_loader(data, batches, choose_workers(self.config.workers))
        yield from batches.in_order(self._decoded(loader, top_k))

    def _decoded(self, loader: Loader, top_k: int) -> Iterator[Prediction]:
        for results, predictions in self._outputs(loader):
            records: Iterator[dict[str, Any]] = iter(())
            if predictions is not None:
                count = sum(not isinstance(result, SampleError) for result in results)
                records = iter(decoded(self.model.task, predictions, count, top_k))
            for result in results:
                if isinstance(result, SampleError):
                    yield Prediction(source=result.sample_id, error=result.reason, hint=result.hint)
                else:
                    yield Prediction(source=result, record=next(records))

    @torch.no_grad()
    def compute(self, batch: Batch) -> Any:
        """The task's predictions for a batch of what it is given."""
        with self.inference.autocast():
            return outputs_of(self.model.task, batch.to(self.inference.device)).predictions

    def outputs(
        self, split: Split, *, in_order: bool = True
    ) -> Iterator[tuple[list[str | SampleError], Any]]:
        """Predict the samples of a split, a batch at a time.

        Args:
            in_order: otherwise samples of similar size come together, which is faster.

        Yields:
            for each sample its id or why it cannot be read, and the task's predictions for those
            that can; None where none can.
        """
        data = self._prepared(split)
        size, workers = self.config.batch_size, choose_workers(self.config.workers)
        loader = evaluation_loader(data, size, workers=workers, in_order=in_order)
        pairs = self.model.component.spec.predicts == "pairs"
        for results, predictions in self._outputs(loader):
            if pairs and predictions is not None and len(self.processors) == 1:
                (modality,) = self.processors  # Only this one has embeddings.
                predictions = predictions[modality]
            yield results, predictions

    def _prepared(self, split: Split) -> PreparedSplit:
        codec = self.model.task.codec
        return PreparedSplit(
            Unlabelled(split), self.processors, codec, train=False, partial=self._evaluates_some
        )

    def _outputs(self, loader: Loader) -> Iterator[tuple[list[str | SampleError], Any]]:
        for batch, results in outcomes(loader):
            yield results, None if batch is None else self.compute(batch)

    def evaluate(
        self,
        dataset: Dataset,
        split: str,
        metrics: Mapping[str, Metric],
        callback: Callback,
        *,
        skip_bad: bool = False,
    ) -> Evaluation:
        """Evaluate the model on a split of a data set.

        Args:
            split: its name, or "all".
            skip_bad: leave out samples that cannot be used, and say so.

        Raises:
            DataError: there is no such split, or samples cannot be used.
        """
        alone = Dataset(info=dataset.info, splits={split: choose_split(dataset, split)})
        chosen = self._usable(alone, callback, skip_bad=skip_bad).splits[split]
        total, done = len(chosen), 0

        def on_batch(samples: int) -> None:
            nonlocal done
            done += samples
            callback.on_evaluation_progress(split, done, total)

        data = PreparedSplit(
            chosen,
            self.model.processors,
            self.model.task.codec,
            train=False,
            partial=self._evaluates_some,
        )
        loader = evaluation_loader(
            data,
            self.config.batch_size,
            workers=choose_workers(self.config.workers),
            in_order=False,
            batch_total=self.config.batch_total,
        )
        return evaluate(self.model.task, loader, metrics, self.inference, on_batch=on_batch)

    def _usable(self, dataset: Dataset, callback: Callback, *, skip_bad: bool) -> Dataset:
        """The data without samples that cannot be used, which are reported."""
        total = sum(len(split) for split in dataset.splits.values())
        targets = self.model.component.spec.target != "none"
        findings = soundness.inspect(
            dataset,
            self.model.processors,
            self.model.task.codec,
            targets=targets,
            partial=self._evaluates_some,
        )
        if findings.faults:
            refusal = soundness.refuse(findings.faults, total)
            if not skip_bad or len(findings.faults) == total:
                raise refusal
            callback.on_message(f"Left out: {refusal.message}")
            dataset = soundness.without(dataset, findings.faulty())
        for remark in findings.remarks():
            callback.on_message(remark)
        return dataset


def _joined(task: Task, pieces: Sequence[Any], done: Sequence[Prediction]) -> Prediction:
    """The prediction for an input, from those for its pieces; an error if one is unreadable."""
    failed = next((prediction for prediction in done if prediction.record is None), None)
    records = [dict(prediction.record or {}) for prediction in done]
    return failed or Prediction(source=done[0].source, record=task.join(pieces, records))


def choose_split(dataset: Dataset, name: str) -> Split:
    """A split by its name, or "all" of them.

    Raises:
        DataError: there is no such split.
    """
    if name == "all":
        return together(dataset.splits.values())
    if name not in dataset.splits:
        raise DataError(
            f"Dataset '{dataset.info.name}' has no split '{name}'.",
            hint=f"It has {', '.join(dataset.splits)}; `all` takes them together.",
        )
    return dataset.splits[name]
