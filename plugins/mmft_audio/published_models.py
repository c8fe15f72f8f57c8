"""Audio backbones as models of transformers: classes, preprocessing, tokenizers, and their use."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import (
    ASTFeatureExtractor,
    GenerationConfig,
    PreTrainedTokenizerFast,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
    WhisperTokenizer,
)
from transformers.models.auto import modeling_auto

from mmft_audio.characters import Alphabet
from mmft_audio.recognition import Recognition
from mmft_audio.spectra import HOP, RATE, STRIDE
from mmft_audio.whisper_text import enumerate_special, languages
from mmft_audio.whisper_writing import writing_config
from mmft_classification.task import Classification
from mmft_core.contracts import Task
from mmft_transformers.published_models import Described, TransformersModel, labelled, loading

if TYPE_CHECKING:
    from mmft_audio.ctc import CtcBackbone
    from mmft_audio.spectrogram import SpectrogramBackbone
    from mmft_audio.whisper import WhisperBackbone

_SPEECH, _SOUNDS = "automatic-speech-recognition", "audio-classification"
_NO_TIMES = "<|notimestamps|>"


def _pipeline(name: str) -> str:
    return f'from transformers import pipeline\n\nprint(pipeline("{name}", ".")("recording.wav"))'


def _encoder(pooled: str) -> str:
    """The note on a classifier whose head no class of transformers has."""
    return (
        f"It is the network without the classifier, which is linear on the {pooled} "
        "(head.safetensors in the folder above): transformers has no class with such a head, so "
        f'pipeline("{_SOUNDS}") cannot use it.'
    )


def ctc_model(backbone: CtcBackbone, task: Task) -> TransformersModel:
    """A network with a head for characters, with one for classes, or without."""
    config = backbone.config

    def save(folder: Path) -> None:
        Wav2Vec2FeatureExtractor(
            sampling_rate=RATE,
            do_normalize=bool(getattr(config, "mmft_normalize", True)),
            return_attention_mask=backbone.normed == "layer",
        ).save_pretrained(folder)
        if backbone.alphabet is not None:
            _save_characters(backbone.alphabet, folder)

    if backbone.alphabet is not None:
        described = Described(code=_pipeline(_SPEECH), pipeline=_SPEECH)
        return TransformersModel(backbone, described, more=save)
    kind = _classifying(config)
    if kind is None or not isinstance(task, Classification):
        code = loading("AutoModel", extractor="AutoFeatureExtractor")
        return TransformersModel(backbone, Described(code=code), more=save)
    width, place = backbone.width, kind.base_model_prefix
    own: dict[str, Tensor] = {f"{place}.{k}": t for k, t in backbone.network.state_dict().items()}
    return TransformersModel(
        backbone,
        Described(code=_pipeline(_SOUNDS), pipeline=_SOUNDS),
        kind=kind,
        tensors={
            **own,
            # transformers' head projects before it takes the mean, ours does not.
            "projector.weight": torch.eye(width),
            "projector.bias": torch.zeros(width),
            "classifier.weight": task.head.weight.detach(),
            "classifier.bias": task.head.bias.detach(),
        },
        config={
            **labelled(task.codec.classes),
            "classifier_proj_size": width,
            "use_weighted_layer_sum": False,
        },
        more=save,
    )


def _classifying(config: Any) -> Any:
    """The class of transformers that classifies recordings by such a network; None for none."""
    names = modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES
    known = config.model_type in names and hasattr(config, "classifier_proj_size")
    return modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING[type(config)] if known else None


def _save_characters(alphabet: Alphabet, folder: Path) -> None:
    """Write an alphabet as transformers' tokenizer.

    Labels that write nothing are left out and read as blanks: transformers would write their
    names.
    """
    blank = alphabet.labels[alphabet.blank]
    written = {
        text: label
        for label, text in enumerate(alphabet.labels)
        if label == alphabet.blank or alphabet.letter(label)
    }
    file = folder / "vocab.json"
    file.write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
    Wav2Vec2CTCTokenizer(
        str(file),
        unk_token=blank,
        pad_token=blank,
        bos_token=None,
        eos_token=None,
        do_lower_case=alphabet.lower,
    ).save_pretrained(folder)


def whisper_model(backbone: WhisperBackbone, task: Task) -> TransformersModel:
    """A Whisper that writes, or its encoder."""
    seconds = backbone.positions * STRIDE * HOP / RATE
    heard = backbone.processor.padded and seconds.is_integer()

    def save(folder: Path) -> None:
        if heard:  # Else the features that it makes are not what the network has heard.
            WhisperFeatureExtractor(
                feature_size=backbone.config.num_mel_bins, chunk_length=int(seconds)
            ).save_pretrained(folder)
        if backbone.tokenizer is not None:
            _whisper_tokenizer(backbone.tokenizer).save_pretrained(folder)

    if backbone.tokenizer is None:
        code = "from transformers.models.whisper.modeling_whisper import WhisperEncoder\n\n"
        code += 'network = WhisperEncoder.from_pretrained(".")'
        note = "It is only the encoder, without a decoder."
        if isinstance(task, Classification):
            note = _encoder("mean over all moments of the recording, without the silence behind it")
        return TransformersModel(backbone, Described(code=code, note=note), more=save)
    described = Described(code=_pipeline(_SPEECH), pipeline=_SPEECH)
    if not heard:
        note = (
            "The network was trained on recordings without padding to 30 s (backbone.padding = "
            f'"batch"), which transformers adds, so pipeline("{_SPEECH}") would give other '
            "transcripts. To use the pipeline, train with --set backbone.padding=window."
        )
        described = Described(
            code=loading("AutoModelForSpeechSeq2Seq", tokenizer="AutoTokenizer"), note=note
        )
    return TransformersModel(
        backbone, described, more=save, generation=_whisper_generation(backbone, task)
    )


def _whisper_generation(backbone: WhisperBackbone, task: Task) -> GenerationConfig:
    """What the network's makers advise, with the settings of the task and our prompt."""
    generation = copy.deepcopy(backbone.advice)
    if isinstance(task, Recognition):
        most = min(task.options.max_new_tokens, backbone.codec.most)
        own = writing_config(backbone, task.options, most)
        generation.update(**{**own.to_diff_dict(), "max_length": None})
    special = {token: i for i, token in enumerate_special(backbone.tokenizer)}
    known, language = languages(backbone.tokenizer), backbone.prompt.language
    told: dict[str, Any] = {
        "is_multilingual": bool(language),
        "no_timestamps_token_id": special.get(_NO_TIMES),
        "language": f"<|{language}|>",
        "task": backbone.options.speech_task,
        "lang_to_id": {f"<|{name}|>": i for name, i in known.items()},
        "task_to_id": {t: special.get(f"<|{t}|>") for t in ("transcribe", "translate")},
    }
    several = ("language", "task", "lang_to_id", "task_to_id")
    told |= {} if language else dict.fromkeys(several)
    for name, value in told.items():
        # transformers asks whether they are there at all.
        if value is not None:
            setattr(generation, name, value)
        elif hasattr(generation, name):
            delattr(generation, name)
    generation.forced_decoder_ids = None
    return generation


def _whisper_tokenizer(tokenizer: Any) -> Any:
    """A tokenizer as Whisper's pipeline needs it, also of one that was trained with a network."""
    if isinstance(tokenizer, WhisperTokenizer):
        return tokenizer
    state = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or state.get("type") != "BPE":
        return tokenizer
    roles = ("pad_token", "bos_token", "eos_token", "unk_token", "mask_token")
    made = WhisperTokenizer(
        vocab=state["vocab"],
        merges=[tuple(pair) for pair in state["merges"]],
        **{role: getattr(tokenizer, role) for role in roles},
    )
    # What stands behind it is read as times, so it must come last.
    made.add_special_tokens({"additional_special_tokens": [_NO_TIMES]})
    return made


def spectrogram_model(backbone: SpectrogramBackbone, task: Task) -> TransformersModel:
    """A spectrogram transformer without a head, whose own has a norm that ours lacks."""
    processor = backbone.processor

    def save(folder: Path) -> None:
        ASTFeatureExtractor(
            sampling_rate=processor.rate,
            num_mel_bins=processor.channels,
            max_length=processor.frames,
            mean=processor.mean,
            std=processor.std,
        ).save_pretrained(folder)

    note = ""
    if isinstance(task, Classification):
        note = _encoder("pooled output")
    code = loading("AutoModel", extractor="AutoFeatureExtractor")
    return TransformersModel(backbone, Described(code=code, note=note), more=save)
