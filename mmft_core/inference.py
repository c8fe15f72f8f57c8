"""Using a finished model: on files (`predict`) and on a data set (`eval`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from mmft_core import soundness
from mmft_core.artifacts import LoadedModel
from mmft_core.config import EngineConfig
from mmft_core.contracts import Dataset, Metric, Processor, Sample, Split
from mmft_core.data import PreparedSplit, choose_workers, evaluation_loader
from mmft_core.engine import make_accelerator
from mmft_core.errors import DataError, IncompatibleError, SampleError
from mmft_core.evaluation import Evaluation, evaluate
from mmft_core.splits import Joined
from mmft_core.tracking import Sink


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What was predicted for a file, or why nothing could be."""

    source: str
    record: Mapping[str, Any] | None = None
    error: str | None = None


class Files(Split):
    """Files as a split without targets."""

    def __init__(self, modality: str, paths: Sequence[Path], processor: Processor) -> None:
        self.modality, self.paths, self.processor = modality, tuple(paths), processor

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        path = self.paths[index]
        return Sample({self.modality: self.processor.read(path)}, None, str(path))


class Predictor:
    """A loaded model on its device."""

    def __init__(self, model: LoadedModel, config: EngineConfig) -> None:
        self.model, self.config = model, config
        self.accelerator: Accelerator = make_accelerator(config)
        self.model.task.to(self.accelerator.device).eval()

    @torch.no_grad()
    def predict(self, paths: Sequence[Path], top_k: int = 1) -> Iterator[Prediction]:
        """Predict files in their order, as they are done. A file that cannot be read is told of.

        Raises:
            IncompatibleError: the task reads several modalities, so a file alone says too little.
        """
        (modality, processor), *others = self.model.processors.items()
        if others:
            raise IncompatibleError(
                f"A {self.model.component.name} model reads {', '.join(self.model.processors)} "
                "together, which single files cannot give."
            )
        data = PreparedSplit(
            Files(modality, paths, processor),
            self.model.processors,
            self.model.task.codec,
            train=False,
        )
        for loaded in self._load(data):
            records: Iterator[dict[str, Any]] = iter(())
            if loaded.batch is not None:
                with self.accelerator.autocast():
                    outputs = self.model.task(loaded.batch.to(self.accelerator.device))
                records = iter(self.model.task.decode(outputs.predictions, top_k))
            for result in loaded.results:
                if isinstance(result, SampleError):
                    yield Prediction(source=result.sample_id, error=result.reason)
                else:
                    yield Prediction(source=result, record=next(records))

    def _load(self, data: PreparedSplit) -> Any:
        # Starting processes takes longer than a few files.
        workers = choose_workers(self.config.workers) if len(data) > self.config.batch_size else 0
        return evaluation_loader(data, self.config.batch_size, workers=workers)

    def evaluate(
        self, dataset: Dataset, split: str, metrics: Mapping[str, Metric], sink: Sink
    ) -> Evaluation:
        """Judge the model on a split of a data set, all of whose samples must be sound.

        Args:
            split: its name, or "all".

        Raises:
            DataError: there is no such split, or samples cannot be used.
        """
        chosen = choose_split(dataset, split)
        total = len(chosen)
        faults = soundness.find_faults(
            Dataset(info=dataset.info, splits={split: chosen}), self.model.task.codec
        )
        if faults:
            raise soundness.refuse(faults, total)
        done = 0

        def on_batch(samples: int) -> None:
            nonlocal done
            done += samples
            sink.evaluating(split, done, total)

        data = PreparedSplit(chosen, self.model.processors, self.model.task.codec, train=False)
        loader = evaluation_loader(
            data, self.config.batch_size, workers=choose_workers(self.config.workers)
        )
        return evaluate(self.model.task, loader, metrics, self.accelerator, on_batch=on_batch)


def choose_split(dataset: Dataset, name: str) -> Split:
    """A split by its name, or "all" of them.

    Raises:
        DataError: there is no such split.
    """
    if name == "all":
        return Joined(dataset.splits.values())
    if name not in dataset.splits:
        raise DataError(
            f"Dataset '{dataset.info.name}' has no split '{name}'.",
            hint=f"It has {', '.join(dataset.splits)}; `all` takes them together.",
        )
    return dataset.splits[name]


def expand(sources: Sequence[str], suffixes: tuple[str, ...]) -> list[Path]:
    """Turn files, folders (searched at any depth) and glob patterns into files.

    Raises:
        DataError: one names nothing that can be read.
    """
    files: list[Path] = []
    for source in sources:
        path = Path(source).expanduser()
        if path.is_file():
            files.append(path)
            continue
        if path.is_dir():
            found = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in suffixes]
            wanted = f"files ending in {', '.join(suffixes)} in this folder"
        else:
            anchor = Path(path.anchor) if path.anchor else Path()
            pattern = str(path.relative_to(path.anchor) if path.anchor else path)
            found = [p for p in sorted(anchor.glob(pattern)) if p.is_file()]
            wanted = "such file or folder"
        if not found:
            raise DataError(f"{source}: found no {wanted}.")
        files += found
    return files
