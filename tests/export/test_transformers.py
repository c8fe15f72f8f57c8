"""`--format safetensors` of transformers' networks: they load what was written and answer alike.

Of each family a task on a tiny network of random weights is written, so that nothing is trained.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import transformers
from safetensors.torch import load_file, save_file, save_model

from mmft_core import BackboneSpec, TaskSpec, discover
from mmft_core.config.options import convert
from mmft_core.contracts import (
    Backbone,
    BackboneContext,
    Batch,
    DatasetInfo,
    Split,
    Task,
    TaskContext,
)
from mmft_core.weights import WeightsRequest
from mmft_export import weights_format as weights
from tests.audio.networks import Recordings
from tests.export.families import AUDIO, TEXT, Family
from tests.text.tools import TEXTS, Texts

CLASSES = ("rain", "sun", "größe")


def exported(task: Any, folder: Path) -> tuple[Path, Any, Any]:
    """The folder of an export of a task, with what `weights.write` gives: its files, and notes."""
    out = folder / "export"
    out.mkdir()
    return out, *weights.write(task, out)


def built(
    family: Family,
    task: str,
    checkpoint: str,
    train: Split,
    *,
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """A task on a family's network, whose head is random."""
    registry = discover()
    component, backbone = registry.get(TaskSpec, task), registry.get(BackboneSpec, family.backbone)
    (modality,) = component.spec.modalities
    info = DatasetInfo(name="some", classes=CLASSES if component.spec.target == "class" else ())
    context = BackboneContext(
        weights=WeightsRequest(checkpoint, modality),
        info=info,
        needs=component.spec.needs_of(modality),
        train=train,
    )
    torch.manual_seed(0)
    made = backbone.build(convert(options, backbone.options_type(), "backbone"), context)
    assert isinstance(made, Backbone)
    given = convert(settings or {}, component.options_type(), "task")
    found = component.build(given, TaskContext(backbones={modality: made}, info=info))
    assert isinstance(found, Task)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if name.startswith("head."):
                parameter.normal_()
    return found.eval()


@torch.no_grad()
def predicted(task: Any, modality: str, raw: Sequence[Any]) -> Any:
    processor = task.processors[modality]
    inputs = processor.collate([processor.prepare(one, train=False) for one in raw])
    return task(Batch({modality: inputs}, None, [""] * len(raw))).predictions


@contextmanager
def silent(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """transformers has nothing to say of weights that it lacks or does not know."""
    caplog.clear()
    transformers.logging.enable_propagation()
    with caplog.at_level(logging.WARNING, "transformers"):
        yield
    transformers.logging.disable_propagation()
    assert not [r for r in caplog.records if "LOAD REPORT" in r.getMessage()], caplog.text


def check_read_again(task: Any, folder: Path, again: Any) -> None:
    """mmft reads what it wrote."""
    weights.read(again, folder)
    wanted, got = task.state_dict(), again.state_dict()
    assert wanted.keys() == got.keys()
    assert all(torch.equal(wanted[key], got[key]) for key in wanted)


def config(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return content


def told(folder: Path, until: str = "") -> dict[str, Any]:
    """What the code in README.md computes, run in its folder."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    code = code.replace('(".")', f"({str(folder)!r})").replace('"../', f'"{folder.parent}/')
    names: dict[str, Any] = {}
    exec(code, names)
    return names


@pytest.mark.parametrize("name", TEXT)
def test_text_classifiers_claim_the_network_alone(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = str(TEXT[name].save(tmp_path / "checkpoint"))
    task = built(TEXT[name], "text-cls", checkpoint, Texts(), max_length=32)
    out, _, notes = exported(task, tmp_path)
    assert len(notes) == 1 and "without the classifier" in notes[0]
    found = config(out / "text")
    assert "id2label" not in found and found["dtype"] == "float32"
    with silent(caplog):
        network = transformers.AutoModel.from_pretrained(out / "text").eval()
        getattr(transformers, found["architectures"][0]).from_pretrained(out / "text")
    tokenizer = transformers.AutoTokenizer.from_pretrained(out / "text")
    backbone, processor = task.backbone("text"), task.processors["text"]
    assert tokenizer.padding_side == processor.side and tokenizer.model_max_length == 32
    for text in (*TEXTS, " ".join(TEXTS)):
        given = tokenizer(text, truncation=True, return_tensors="pt")
        inputs = processor.collate([processor.prepare(text, train=False)])
        assert torch.equal(given["input_ids"], inputs["tokens"])
    with torch.no_grad():
        body = network.get_encoder() if backbone.kind == "seq2seq" else network
        states = body(**given).last_hidden_state
        torch.testing.assert_close(states, backbone.encode(inputs).sequence, rtol=1e-4, atol=1e-5)
    (wanted,) = predicted(task, "text", ["A text."])
    names = told(out / "text")
    torch.testing.assert_close(names["probabilities"][0], wanted, rtol=1e-4, atol=1e-5)
    assert names["classes"] == list(CLASSES)
    again = built(TEXT[name], "text-cls", checkpoint, Texts(), max_length=32)
    check_read_again(task, out, again)
    # mmft itself starts from it.
    other = built(TEXT[name], "text-cls", str(out / "text"), Texts(), max_length=32)
    other.head.load_state_dict(task.head.state_dict())
    torch.testing.assert_close(predicted(other, "text", ["A text."])[0], wanted)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "t5"])
def test_exports_of_mmft_0_1_are_read(name: str, tmp_path: Path) -> None:
    checkpoint = str(TEXT[name].save(tmp_path / "checkpoint"))
    task = built(TEXT[name], "text-cls", checkpoint, Texts())
    (tmp_path / "text").mkdir()
    save_model(task.backbone("text").network, str(tmp_path / "text" / "model.safetensors"))
    save_file(dict(task.head.state_dict(prefix="head.")), tmp_path / "head.safetensors")
    check_read_again(task, tmp_path, built(TEXT[name], "text-cls", checkpoint, Texts()))


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt"])
def test_language_models(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = str(TEXT[name].save(tmp_path / "checkpoint"))
    settings = {"max_new_tokens": 9, "num_beams": 2, "no_repeat_ngram": 2}
    task = built(TEXT[name], "summarization", checkpoint, Texts(), settings=settings)
    out, _, notes = exported(task, tmp_path)
    assert notes == []
    with silent(caplog):
        pipeline = transformers.pipeline("text-generation", str(out / "text"))
    (wanted,) = predicted(task, "text", ["A short one."])
    prompt = task.backbone("text").prompt.format(text="A short one.")
    (found,) = pipeline(prompt, return_full_text=False)
    assert found["generated_text"].strip() == wanted and wanted
    check_read_again(task, out, built(TEXT[name], "summarization", checkpoint, Texts()))


def test_what_a_checkpoint_says_of_generation_is_kept(tmp_path: Path) -> None:
    checkpoint = TEXT["llama"].save(tmp_path / "checkpoint")
    advice = transformers.GenerationConfig.from_pretrained(checkpoint)
    advice.update(do_sample=True, temperature=0.6, eos_token_id=[2, 7])
    advice.save_pretrained(checkpoint)
    task = built(TEXT["llama"], "language-modeling", str(checkpoint), Texts())
    assets = tmp_path / "assets"
    assets.mkdir()
    task.backbone("text").save_assets(assets)
    out, *_ = exported(task, tmp_path)
    for folder in (assets, out / "text"):
        kept = transformers.GenerationConfig.from_pretrained(folder)
        assert (kept.temperature, kept.eos_token_id, kept.pad_token_id) == (0.6, [2, 7], 0)


@pytest.mark.parametrize("name", ["bart", "t5"])
def test_encoder_decoders(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = str(TEXT[name].save(tmp_path / "checkpoint"))
    settings = {"max_new_tokens": 9, "num_beams": 3, "prompt": "Sum up: {text} -->"}
    task = built(TEXT[name], "summarization", checkpoint, Texts(), settings=settings)
    out, _, notes = exported(task, tmp_path)
    assert notes == []
    with silent(caplog):
        network = transformers.AutoModelForSeq2SeqLM.from_pretrained(out / "text")
    assert network.generation_config.num_beams == 3
    (wanted,) = predicted(task, "text", ["A text."])
    names = told(out / "text")
    found = names["tokenizer"].decode(names["written"][0], skip_special_tokens=True)
    assert found.strip() == wanted and wanted
    check_read_again(task, out, built(TEXT[name], "summarization", checkpoint, Texts()))


@pytest.mark.parametrize("name", ["minilm", "gpt2"])
def test_sentence_transformers(name: str, tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    checkpoint = str(TEXT[name].save(tmp_path / "checkpoint"))
    task = built(TEXT[name], "text-retrieval", checkpoint, Texts(), max_length=16)
    out, _, notes = exported(task, tmp_path)
    assert notes == []
    network = told(out / "text")["network"]
    for text in TEXTS:  # Some of them are longer than 16 tokens.
        found = torch.from_numpy(network.encode([text]))
        wanted = predicted(task, "text", [text])
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_sentence_embeddings_of_an_encoder_decoder_claim_the_network_alone(tmp_path: Path) -> None:
    checkpoint = str(TEXT["t5"].save(tmp_path / "checkpoint"))
    task = built(TEXT["t5"], "text-retrieval", checkpoint, Texts())
    (note,) = weights.write(task, tmp_path)[1]
    assert "mean over all tokens that the encoder gives" in note
    assert not (tmp_path / "text" / "modules.json").exists()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return Recordings(tmp_path_factory.mktemp("recordings"))


def heard(recordings: Recordings) -> Iterator[dict[str, Any]]:
    for file in recordings.files:
        wave, rate = soundfile.read(file, dtype="float32")
        yield {"raw": wave, "sampling_rate": rate}


CTC = ("wav2vec2", "wav2vec2, norms by groups", "hubert", "wav2vec2, no head")


@pytest.mark.parametrize("name", CTC)
def test_ctc(
    name: str, recordings: Recordings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = str(AUDIO[name].save(tmp_path / "checkpoint"))
    task = built(AUDIO[name], "asr", checkpoint, recordings)
    backbone, processor = task.backbone("audio"), task.processors["audio"]
    head, unknown = backbone.network.lm_head, backbone.alphabet.labels.index("<unk>")
    with torch.no_grad():  # Else one letter is all that is written.
        head.weight.normal_(std=2.0)
        inputs = processor.collate([processor.prepare(recordings.raw(0), train=False)])
        often = int(backbone._logits(backbone.encode(inputs)).argmax(-1).mode().values)
        # What writes nothing in mmft has a name that transformers would write.
        head.weight[[often, unknown]] = head.weight[[unknown, often]]
    out, _, notes = exported(task, tmp_path)
    assert notes == []
    with silent(caplog):
        pipeline = transformers.pipeline("automatic-speech-recognition", str(out / "audio"))
        transformers.AutoProcessor.from_pretrained(out / "audio")
    for index, given in enumerate(heard(recordings)):
        (wanted,) = predicted(task, "audio", [recordings.raw(index)])
        assert pipeline(given)["text"].split() == wanted["text"].split()
        assert len(set(wanted["text"])) > 2
    check_read_again(task, out, built(AUDIO[name], "asr", checkpoint, recordings))


@pytest.mark.parametrize("name", CTC)
def test_sounds_in_classes(
    name: str, recordings: Recordings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = str(AUDIO[name].save(tmp_path / "checkpoint"))
    task = built(AUDIO[name], "audio-cls", checkpoint, recordings)
    out, _, notes = exported(task, tmp_path)
    assert notes == []
    with silent(caplog):
        pipeline = transformers.pipeline("audio-classification", str(out / "audio"), top_k=None)
    for index, given in enumerate(heard(recordings)):
        (wanted,) = predicted(task, "audio", [recordings.raw(index)])
        found = {one["label"]: one["score"] for one in pipeline(given)}
        assert found == pytest.approx(dict(zip(CLASSES, wanted.tolist(), strict=True)), abs=1e-5)
    check_read_again(task, out, built(AUDIO[name], "audio-cls", checkpoint, recordings))


@pytest.mark.parametrize("name", ["ast", "whisper"])
def test_classifiers_whose_head_transformers_lacks(
    name: str, recordings: Recordings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = str(AUDIO[name].save(tmp_path / "checkpoint"))
    task = built(AUDIO[name], "audio-cls", checkpoint, recordings)
    out, _, (note,) = exported(task, tmp_path)
    assert "without the classifier" in note and note in (out / "audio" / "README.md").read_text()
    with silent(caplog):
        network = told(out / "audio")["network"].eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(out / "audio")
    (given, *_) = heard(recordings)
    values = extractor(given["raw"], sampling_rate=16_000, return_tensors="pt")
    processor = task.processors["audio"]
    inputs = processor.collate([processor.prepare(recordings.raw(0), train=False)])
    with torch.no_grad():
        states = network(next(iter(values.values()))).last_hidden_state
        wanted = task.backbone("audio").encode(inputs).sequence
    torch.testing.assert_close(states, wanted, rtol=1e-3, atol=1e-4)
    check_read_again(task, out, built(AUDIO[name], "audio-cls", checkpoint, recordings))


@pytest.mark.parametrize("language", ["auto", "de"])
@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
def test_whisper(
    language: str,
    precision: torch.dtype,
    recordings: Recordings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    family = AUDIO["whisper"]
    checkpoint = family.save(tmp_path / "checkpoint")
    if precision == torch.float16:  # As most are published.
        network = transformers.WhisperForConditionalGeneration.from_pretrained(
            checkpoint, dtype=precision
        )
        network.save_pretrained(checkpoint)
    settings = {"max_new_tokens": 12, "num_beams": 2}
    task = built(family, "asr", str(checkpoint), recordings, settings=settings, language=language)
    out, _, notes = exported(task, tmp_path)
    assert notes == []
    assert config(out / "audio")["dtype"] == "float32"
    assert (out / "audio" / "preprocessor_config.json").is_file()
    with silent(caplog):
        pipeline = transformers.pipeline("automatic-speech-recognition", str(out / "audio"))
        transformers.AutoProcessor.from_pretrained(out / "audio")
    texts = set()
    for index, given in enumerate(heard(recordings)):
        (wanted,) = predicted(task, "audio", [recordings.raw(index)])
        assert pipeline(given)["text"].strip() == wanted["text"]
        texts.add(wanted["text"])
    assert texts != {""}
    check_read_again(
        task, out, built(family, "asr", str(checkpoint), recordings, language=language)
    )


def test_a_whisper_with_a_tokenizer_of_its_own(
    recordings: Recordings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    family, settings = AUDIO["whisper"], {"max_new_tokens": 6, "num_beams": 1}
    task = built(family, "asr", "none", recordings, settings=settings, size="tiny")
    out, _, notes = exported(task, tmp_path)
    assert notes == []
    with silent(caplog):
        pipeline = transformers.pipeline("automatic-speech-recognition", str(out / "audio"))
    (wanted,) = predicted(task, "audio", [recordings.raw(0)])
    assert pipeline(next(heard(recordings)))["text"].strip() == wanted["text"]
    check_read_again(task, out, built(family, "asr", "none", recordings, size="tiny"))


def test_a_whisper_that_has_heard_no_silence_claims_no_pipeline(
    recordings: Recordings, tmp_path: Path
) -> None:
    family = AUDIO["whisper"]
    checkpoint = str(family.save(tmp_path / "checkpoint"))
    task = built(family, "asr", checkpoint, recordings, padding="batch")
    out, _, (note,) = exported(task, tmp_path)
    assert "padding" in note and not (out / "audio" / "preprocessor_config.json").exists()
    assert not re.search("^pipeline_tag", (out / "audio" / "README.md").read_text(), re.M)
    told(out / "audio")


def test_heads_are_written_beside_the_networks(tmp_path: Path) -> None:
    checkpoint = str(TEXT["bert"].save(tmp_path / "checkpoint"))
    task = built(TEXT["bert"], "text-cls", checkpoint, Texts())
    out, files, _ = exported(task, tmp_path)
    assert [f.relative_to(out).as_posix() for f in files] == [
        "text/model.safetensors",
        "head.safetensors",
    ]
    assert set(load_file(out / "head.safetensors")) == {"head.weight", "head.bias"}
