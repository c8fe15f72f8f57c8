"""What writes down segments of recordings: a run's model, or pretrained weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mmft_audio.recordings import Recording
from mmft_core import BackboneSpec, Component, TaskSpec, discover
from mmft_core.config import EngineConfig, convert
from mmft_core.contracts import BackboneContext, DatasetInfo, Sample, Split, TaskContext
from mmft_core.errors import ConfigError, IncompatibleError, SampleError
from mmft_core.inference import Predictor
from mmft_core.run import LoadedModel, artifacts
from mmft_core.utils import user_path
from mmft_core.weights import WeightsRequest

_NEEDS = ("transcription",)
_WRITES = "transcripts"
"""What the predictions of its task are."""


class Recognizer:
    """Writes down recordings by a model whose predictions are transcripts."""

    def __init__(self, model: LoadedModel) -> None:
        self._predictor = Predictor(model, EngineConfig(batch_size=8, workers=0))

    @classmethod
    def of(cls, place: str, train: Split) -> Recognizer:
        """Open the one that a user names.

        Args:
            place: the folder of a run or of weights that transformers saved, or the name of a
                backbone with published weights.
            train: samples in whose language it is to write, where it can write in several.

        Raises:
            ConfigError: it is none of these.
            IncompatibleError: it does not write transcripts of recordings.
            RunDirectoryError, WeightsError: it is damaged or cannot be had.
        """
        folder = user_path(place)
        if (folder / "config.json").is_file() and not (folder / "model.json").is_file():
            name = "whisper" if _kind(folder) == "whisper" else "ctc"
            return cls(_pretrained(discover().get(BackboneSpec, name), str(folder), train))
        if folder.exists():
            return cls(_of_run(folder))
        names = {c.name for c in discover().of(BackboneSpec) if _writes(c.spec)}
        if place not in names:
            raise ConfigError(
                f"--aligner {place} is neither a folder nor a backbone that writes transcripts.",
                hint=_HINT,
            )
        return cls(_pretrained(discover().get(BackboneSpec, place), "pretrained", train))

    def write(self, recordings: Sequence[Recording]) -> list[str]:
        """What is said in each.

        Raises:
            SampleError: one cannot be read.
        """
        texts = []
        for prediction in self._predictor.predict_split(_Segments(recordings)):
            if prediction.record is None:
                raise SampleError(prediction.source, prediction.error or "it cannot be read")
            texts.append(str(prediction.record["text"]))
        return texts


_HINT = (
    "Give --aligner RUN, a run of a task that writes transcripts (asr), the folder of a pretrained "
    "Whisper or wav2vec 2.0 with CTC, or the name of such a backbone."
)


def no_aligner() -> ConfigError:
    """The error where one is needed and none is named."""
    return ConfigError(
        "--longest cuts recordings with their transcripts, and needs an aligner to divide them.",
        hint=_HINT,
    )


class _Segments(Split):
    def __init__(self, recordings: Sequence[Recording]) -> None:
        self.recordings = recordings

    def __len__(self) -> int:
        return len(self.recordings)

    def sample_id(self, index: int) -> str:
        return self.recordings[index].name

    def __getitem__(self, index: int) -> Sample:
        return Sample({"audio": self.recordings[index]}, None, self.sample_id(index))


def _kind(folder: Path) -> object:
    """The type of the network that transformers saved; None if its file does not say."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None


def _writes(spec: object) -> bool:
    return (
        isinstance(spec, BackboneSpec)
        and spec.modality == "audio"
        and set(_NEEDS) <= set(spec.provides)
    )


def _of_run(folder: Path) -> LoadedModel:
    model = artifacts.load(folder, discover())
    spec = model.component.spec
    if spec.predicts != _WRITES or set(model.processors) != {"audio"}:
        raise IncompatibleError(
            f"--aligner {folder} is a run of {model.component.name}, which does not write down "
            "what is said in recordings.",
            hint=_HINT,
        )
    return model


def _pretrained(backbone: Component[BackboneSpec], weights: str, train: Split) -> LoadedModel:
    """The task of speech recognition on pretrained weights, which writes greedily."""
    task, info = discover().get(TaskSpec, "asr"), DatasetInfo(name="recordings to cut")
    context = BackboneContext(
        weights=WeightsRequest(weights, "audio"), info=info, needs=_NEEDS, train=train
    )
    built = backbone.build(convert({}, backbone.options_type(), "backbone"), context)
    options = convert({"num_beams": 1}, task.options_type(), "task")
    own = task.build(options, TaskContext(backbones={"audio": built}, info=info))
    return LoadedModel(task=own.eval(), component=task, info=info, parts={})
