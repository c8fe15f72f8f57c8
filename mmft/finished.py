"""Finished runs: what came of them, and their models put to use."""

from __future__ import annotations

import html
import inspect
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mmft.tables import Data, as_file, is_table, place_of
from mmft.wording import in_python
from mmft_core import discover
from mmft_core.errors import (
    ConfigError,
    DataError,
    ExportError,
    RunDirectoryError,
    did_you_mean,
    some_of,
)
from mmft_core.run import RunDirectory

if TYPE_CHECKING:
    from mmft_core.inference import Given, Prediction, Predictor

Metrics: TypeAlias = dict[str, Any]
"""Metrics by name: numbers, None where one is undefined, and lists such as a confusion matrix."""


class Report:
    """The report of a run; a notebook shows it inline."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def html(self) -> str:
        """The whole page, which needs no other file."""
        return self.path.read_text(encoding="utf-8")

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" sandbox="allow-scripts" '
            'style="width: 100%; height: 640px; border: 1px solid #8886"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Report {self.path}>"


class Run:
    """A finished run, or an export of one.

    Attributes:
        path: its folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Args:
        path: of the run directory, of an export, or of a file of one.

        Raises:
            RunDirectoryError: it is not a finished run.
            ExportError: the export is damaged.
        """
        from mmft_core.inference import opening

        self._predictors: dict[str, Predictor] = {}
        self.path = opening.place(as_path(path, "path"))
        self._directory = RunDirectory(self.path)
        self._export = opening.find_export(self.path) is not None
        self.settings: Mapping[str, Any] = self._directory.open()
        if not self._export and not self._directory.results.is_file():
            raise RunDirectoryError(
                f"{self.path} is not finished.", hint=f"Resume with mmft.resume({str(path)!r})."
            )

    @cached_property
    def results(self) -> dict[str, Any]:
        """Everything that `results.json` holds: metrics, timings, versions, settings.

        Raises:
            RunDirectoryError: it is an export, which has none; or the file is damaged.
        """
        if self._export:
            raise RunDirectoryError(
                f"{self.path} is an export, which has no results of its own.",
                hint="Evaluate it, or load the run that it was made from.",
            )
        return self._directory.read_results()

    @property
    def metrics(self) -> dict[str, Metrics]:
        """The metrics of the kept model, by split: `run.metrics["test"]["accuracy"]`."""
        metrics: dict[str, Metrics] = self.results["metrics"]
        return metrics

    @property
    def report(self) -> Report:
        """The run's report.

        Raises:
            RunDirectoryError: the run has none.
        """
        path = self.path / "report.html"
        if not path.is_file():
            raise RunDirectoryError(f"{self.path} has no report.")
        return Report(path)

    @in_python()
    def predict(
        self,
        inputs: Any,
        *,
        top_k: int = 1,
        split: str = "all",
        batch_size: int = 32,
        on_error: str = "raise",
        **settings: Any,
    ) -> list[dict[str, Any]]:
        """Predict inputs, in their order.

        Args:
            inputs: a file, folder, glob pattern, URL or text; a PIL image; a recording as
                {"array": samples, "sampling_rate": 16000}; the content of a file as bytes; a list
                of any of these; or rows of a table (a DataFrame, a `datasets.Dataset`, a list of
                dictionaries) as for training, whose targets are not needed. Of a model that chats
                also the messages of a chat, [{"role": "user", "content": "..."}], or a list of
                chats; pictures in them are paths, bytes or PIL images.
            top_k: predictions for each input, such as the most likely classes.
            split: of a table that is divided: train, val or test.
            batch_size: samples in a forward pass.
            on_error: "raise", or "keep" to have {"input": ..., "error": ...} for an input that
                cannot be read.
            settings: of the task, the data set and the engine, as for `mmft.run`:
                `task={"num_beams": 4}`, `engine={"precision": "bf16"}`.

        Returns:
            A dictionary for each input: "input", what it was, and what the task predicts.

        Raises:
            DataError: an input cannot be read; the message names all of them.
            IncompatibleError: the model reads several modalities; give rows of a table.
        """
        if on_error not in ("raise", "keep"):
            raise ConfigError(f"on_error is {on_error!r}.", hint='Give "raise" or "keep".')
        if not isinstance(top_k, int) or top_k < 1:
            raise ConfigError(f"top_k is {top_k!r}.", hint="Give a whole number from 1 on.")
        nested = self._settings(settings, Run.predict)
        predictions = list(self._predictions(inputs, top_k, split, batch_size, nested))
        failed = [f"{p.source} ({p.error})" for p in predictions if p.record is None]
        if failed and on_error == "raise":
            hints = [*dict.fromkeys(p.hint for p in predictions if p.hint)]
            if len(failed) < len(predictions):
                hints.insert(0, 'Give on_error="keep" to get the others.')
            raise DataError(
                f"{len(failed)} of {len(predictions)} inputs could not be read: {some_of(failed)}",
                hint=" ".join(hints) or None,
            )
        return [
            {"input": p.source, **({"error": p.error} if p.record is None else p.record)}
            for p in predictions
        ]

    @in_python()
    def evaluate(
        self,
        dataset: str | os.PathLike[str] | Data | None = None,
        *,
        split: str | None = None,
        metrics: str | Sequence[str] = (),
        batch_size: int | None = None,
        on_bad_sample: str | None = None,
        progress: bool = True,
        **settings: Any,
    ) -> Metrics:
        """Evaluate the model.

        Args:
            dataset: as for `mmft.run`; None for the run's own data.
            split: train, val, test or "all"; by default the test split of the run's own data, and
                all of other data.
            metrics: names, instead of the run's.
            batch_size: samples in a forward pass, instead of the run's.
            on_bad_sample: "fail" or "skip", instead of the run's.
            progress: whether to show what is going on.
            settings: as for `predict`.

        Raises:
            DataError: the data cannot be used.
        """
        from mmft.display import quiet_or_shown
        from mmft_core.inference import evaluate_finished

        with quiet_or_shown(progress) as display:
            found = evaluate_finished(
                self.path,
                discover(),
                display,
                dataset=None if dataset is None else place_of(dataset),
                split=split,
                metrics=names_of(metrics),
                batch_size=batch_size,
                on_bad_sample=on_bad_sample,
                settings=self._settings(settings, Run.evaluate),
            )
        return {"loss": None, **found.evaluation.record}

    @in_python()
    def export(
        self,
        format: str = "onnx",
        *,
        quantize: str | None = None,
        output: str | os.PathLike[str] | None = None,
        dataset: str | os.PathLike[str] | None = None,
        samples: int = 64,
        batch_size: int = 32,
        max_drop: float = 0.02,
        progress: bool = True,
    ) -> Run:
        """Export the model, and compare the export with it on real samples.

        Args:
            format: the name of an exporter; `mmft plugins --kind exporter` lists them.
            quantize: what the format offers, such as "int8".
            output: the folder; by default export/FORMAT in the run's.
            dataset: data to compare on; by default the run's own.
            samples: how many samples to compare on.
            batch_size: for which latency is measured, besides 1.
            max_drop: how much worse the monitored metric of the export may be.
            progress: whether to show what is going on.

        Returns:
            The export, which predicts and evaluates as the run does.

        Raises:
            ExportError: it cannot be exported, or its results differ; nothing is left.
        """
        from mmft.display import quiet_or_shown
        from mmft_export.exporting import export
        from mmft_export.request import ExportRequest

        request = ExportRequest(
            kind=format,
            quantize=quantize,
            output=None if output is None else Path(output),
            dataset=None if dataset is None else os.fspath(dataset),
            samples=samples,
            batch_size=batch_size,
            most=max_drop,
        )
        if self._export:
            raise ExportError(f"{self.path} is an export already.", hint="Load the run.")
        with quiet_or_shown(progress) as display:
            folder, _ = export(self.path, request, discover(), display)
        return Run(folder)

    def _predictions(
        self, inputs: Any, top_k: int, split: str, batch_size: int, settings: dict[str, Any]
    ) -> Any:
        predictor = self._predictor(batch_size, settings)
        held = _accepted(predictor, inputs)
        if held is not None:
            return predictor.predict(held, top_k)
        if isinstance(inputs, Mapping) and is_table([inputs]):
            inputs = [inputs]  # A single row.
        if is_table(inputs):
            from mmft.display import quiet_or_shown
            from mmft_core.inference import samples_of

            with quiet_or_shown(False) as display:
                chosen = samples_of(
                    self.path, place_of(inputs), split, discover(), settings, display.on_message
                )
            return predictor.predict_split(chosen, top_k)
        return self._inputs(predictor, _several(inputs), top_k)

    def _inputs(self, predictor: Predictor, inputs: Sequence[Any], top_k: int) -> list[Prediction]:
        """Predict inputs of the one modality that the model reads."""
        from mmft_core.inference import Given, Limits, Piped, Source, expand

        processor = predictor.processor  # Refuses models that read several modalities.
        with tempfile.TemporaryDirectory(prefix="mmft-") as temporary:
            folder = Path(temporary)
            sources: list[Source] = []
            for number, one in enumerate(inputs):
                if isinstance(one, str | os.PathLike):
                    sources += expand([os.fspath(one)], processor, Limits(folder))
                elif isinstance(content := as_file(one), bytes):
                    file = folder / f"{number}"
                    file.write_bytes(content)
                    sources.append(Piped(file, f"input {number}"))
                else:
                    sources.append(Given(one, f"input {number}"))
            return list(predictor.predict(sources, top_k))

    def _predictor(self, batch_size: int, settings: dict[str, Any]) -> Predictor:
        """The model, kept for as long as the settings stay the same."""
        from mmft_core.inference import make_predictor, opening

        key = json.dumps([batch_size, settings], sort_keys=True, default=str)
        if key not in self._predictors:
            model = opening.load(self.path, discover(), settings)
            self._predictors = {key: make_predictor(model, settings, batch_size)}
        return self._predictors[key]

    @staticmethod
    def _settings(given: Mapping[str, Any], method: Callable[..., Any]) -> dict[str, Any]:
        """Settings as nested tables.

        Args:
            method: which takes them.

        Raises:
            ConfigError: one is of another part, and would change nothing, or names no option.
        """
        from mmft_core.config import nest

        tree = nest(given)
        for name in tree:
            if name not in ("task", "dataset", "engine"):
                arguments = [a for a in inspect.signature(method).parameters if a != "self"]
                raise ConfigError(
                    f"'{name}' is not an argument of {method.__name__}, and not a setting that can "
                    f"be changed in a finished run.{did_you_mean(name, arguments)}",
                    hint="Here settings of task, dataset and engine can be given.",
                )
            if not isinstance(tree[name], Mapping):
                raise ConfigError(
                    f"{name} is {tree[name]!r}, which names no option.",
                    hint=f'Give its options: {name}={{"OPTION": VALUE}}.',
                )
        return tree

    def __repr__(self) -> str:
        return f"<Run {self.path}>"

    def _repr_html_(self) -> str:
        if self._export:
            return html.escape(repr(self))
        from mmft.display import metrics_table

        return metrics_table(self.metrics) + f"<p><code>{html.escape(str(self.path))}</code></p>"


def _accepted(predictor: Predictor, inputs: Any) -> list[Given] | None:
    """Inputs that a processor takes as a program holds them: one, or a list; None for others.

    Raises:
        DataError: one cannot be used.
    """
    from mmft_core.contracts import Accepting
    from mmft_core.inference import Given

    (processor, *others) = predictor.processors.values()
    if others or not isinstance(processor, Accepting):
        return None
    try:
        one = processor.accept(inputs)
        if one is not None:
            return [Given(one, "input 0")]
        if not isinstance(inputs, list | tuple) or not inputs:
            return None
        found = [processor.accept(item) for item in inputs]
    except ValueError as error:
        raise DataError(f"An input cannot be used: {error}.") from None
    if any(raw is None for raw in found):
        return None
    return [Given(raw, f"input {number}") for number, raw in enumerate(found)]


def _several(inputs: Any) -> list[Any]:
    """Inputs as a list: of a pandas Series or an array of texts its items, and of one input it."""
    if isinstance(inputs, Sequence | Iterator | set) and not isinstance(inputs, str | bytes):
        return list(inputs)
    if getattr(inputs, "ndim", None) == 1 and hasattr(inputs, "tolist"):
        items = inputs.tolist()
        return list(items) if all(isinstance(one, str) for one in items) else [inputs]
    return [inputs]


def as_path(path: Any, what: str) -> Path:
    """Raises:
    ConfigError: it is not a path.
    """
    if isinstance(path, str | os.PathLike):
        return Path(path)
    raise ConfigError(f"{what} is {path!r}, not a path.", hint='Give a path: "runs/flowers".')


def names_of(given: Any) -> tuple[Any, ...]:
    """A single name, or several."""
    return (given,) if isinstance(given, str) else tuple(given)


@in_python()
def load(path: str | os.PathLike[str]) -> Run:
    """Open a finished run, or an export of one.

    Args:
        path: of the run directory, of an export, or of a file of one.

    Raises:
        RunDirectoryError: it is not a finished run.
        ExportError: the export is damaged.
    """
    return Run(path)
