"""Adapters as they are kept: PEFT loads them on the network that they belong to, with what it says.

Of each family a tiny network of random weights is adapted, so that nothing has to be trained.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import torchvision.models as zoo
import transformers
from safetensors.torch import load_file, save_file

from mmft_core import BackboneSpec, discover
from mmft_core.config.engine_config import LoraConfig
from mmft_core.config.options import convert
from mmft_core.config.plan import PlanPart
from mmft_core.contracts import (
    Backbone,
    BackboneContext,
    DatasetInfo,
    Features,
    Generator,
    Split,
)
from mmft_core.engine import adapter_files, kept_weights, lora
from mmft_core.run.build import rebuild
from mmft_core.weights import WeightsRequest
from mmft_transformers.masked import cross_entropies
from tests.audio.networks import Recordings
from tests.export.families import AUDIO, TEXT, Family
from tests.text.tools import TEXTS, Texts

POOLED, WRITING, SPEECH = ("pooled",), ("generation",), ("transcription",)


@dataclass(frozen=True)
class Made:
    """A backbone with adapters, and the folder of these.

    Attributes:
        again: makes the same backbone without adapters, as a finished run is loaded.
    """

    backbone: Any
    folder: Path
    checkpoint: Path
    again: Any

    def settings(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "adapter_config.json").read_text())
        return content


def adapted(
    family: Family, folder: Path, needs: Sequence[str], train: Split, modality: str, **options: Any
) -> Made:
    checkpoint = family.save(folder / "checkpoint")
    component = discover().get(BackboneSpec, family.backbone)
    part = PlanPart(
        component=component, options=convert(options, component.options_type(), "backbone")
    )
    context = BackboneContext(
        weights=WeightsRequest(str(checkpoint), modality),
        info=DatasetInfo(name="some"),
        needs=tuple(needs),
        train=train,
    )
    backbone = component.build(part.options, context)
    assert isinstance(backbone, Backbone)
    with_adapters(backbone)
    assets = folder / "assets"
    assets.mkdir()
    backbone.save_assets(assets)
    adapter_files.save(backbone, folder / "adapter")
    later = BackboneContext(
        weights=WeightsRequest("run", modality), info=context.info, needs=context.needs
    )
    return Made(
        backbone.eval(),
        folder / "adapter",
        checkpoint,
        lambda: rebuild(part, later, backbone.loaded, assets),
    )


def with_adapters(backbone: Backbone) -> None:
    kept_weights.leave_out(backbone, "the test")
    lora.inject(backbone, LoraConfig(rank=2, alpha=4, targets=("all",)))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
            elif lora.is_fresh(backbone, name):
                parameter.normal_(std=0.5)


def loaded_by_peft(made: Made, auto: str, **more: Any) -> Any:
    """What PEFT makes of the folder, with no word of what is missing or initialized anew."""
    base = getattr(transformers, auto).from_pretrained(made.checkpoint, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", FutureWarning)  # Between PEFT and transformers.
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")
        network = peft.PeftModel.from_pretrained(base, str(made.folder)).eval()
    written = load_file(made.folder / "adapter_model.safetensors")
    state = peft.get_peft_model_state_dict(network, save_embedding_layers=False)
    assert state.keys() == written.keys(), "PEFT's names are others"
    assert all(torch.equal(state[name], written[name]) for name in written)
    return network


@torch.no_grad()
def check_read_again(made: Made, inputs: Mapping[str, Any], wanted: Features) -> None:
    """mmft reads them itself, by PEFT's names as by those that mmft 0.1 wrote."""
    for former in (False, True):
        if former:
            as_before(made.backbone, made.folder)
        again = made.again()
        adapter_files.load(again, made.folder)
        lora.merge(again)
        found = again.eval().encode(inputs)
        torch.testing.assert_close(found.pooled, wanted.pooled, rtol=1e-4, atol=1e-5)


def as_before(backbone: Backbone, folder: Path) -> None:
    """Write an adapter as mmft 0.1 did: by the names that modules have in mmft."""
    file, settings = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    names = {k.replace(".default.", "."): t for k, t in backbone.state_dict().items()}
    kept = {k: t for k, t in names.items() if lora.is_adapter(k) or lora.is_fresh(backbone, k)}
    save_file({f"base_model.model.{k}": t.contiguous() for k, t in kept.items()}, file)
    content = json.loads(settings.read_text())
    content |= {"base_model_name_or_path": None, "task_type": None, "auto_mapping": None}
    content["target_modules"] = "|".join(re.escape(n) for n in lora.adapted_layers(backbone))
    settings.write_text(json.dumps(content))


@pytest.mark.parametrize("name", TEXT)
@torch.no_grad()
def test_features_of_texts(name: str, tmp_path: Path) -> None:
    made = adapted(TEXT[name], tmp_path, POOLED, Texts(), "text")
    settings, processor = made.settings(), made.backbone.processor
    assert settings["base_model_name_or_path"] == str(made.checkpoint.resolve())
    assert settings["task_type"] == "FEATURE_EXTRACTION" and not settings["modules_to_save"]
    network = loaded_by_peft(made, "AutoModel")
    for text in TEXTS[:3]:  # Alone, for not every network takes padding on the left as it is.
        inputs = processor.collate([processor.prepare(text, train=False)])
        wanted = made.backbone.encode(inputs)
        given = {"input_ids": inputs["tokens"], "attention_mask": inputs["mask"].long()}
        if TEXT[name].kind.endswith("ForConditionalGeneration"):
            states = network.get_encoder()(**given).last_hidden_state
        else:
            states = network(**given).last_hidden_state
        torch.testing.assert_close(states, wanted.sequence, rtol=1e-4, atol=1e-5)
    check_read_again(made, inputs, wanted)


@pytest.mark.parametrize(
    ("name", "auto", "task_type"),
    [
        ("gpt2", "AutoModelForCausalLM", "CAUSAL_LM"),
        ("llama", "AutoModelForCausalLM", "CAUSAL_LM"),
        ("bart", "AutoModelForSeq2SeqLM", "SEQ_2_SEQ_LM"),
        ("t5", "AutoModelForSeq2SeqLM", "SEQ_2_SEQ_LM"),
    ],
)
@torch.no_grad()
def test_writers_of_texts(name: str, auto: str, task_type: str, tmp_path: Path) -> None:
    made = adapted(TEXT[name], tmp_path, WRITING, Texts(), "text")
    assert made.settings()["task_type"] == task_type
    network, backbone = loaded_by_peft(made, auto), made.backbone
    assert isinstance(backbone, Generator)
    inputs = backbone.processor.collate([backbone.processor.prepare(TEXTS[0], train=False)])
    targets = backbone.codec.collate([backbone.codec.encode("a cat")])
    wanted = backbone.token_losses(inputs, targets).sum()
    tokens = inputs["tokens"]
    if task_type == "CAUSAL_LM":
        whole, size = torch.cat([tokens, targets], 1), tokens.shape[1]
        labels = torch.cat([torch.full_like(tokens, -100), targets], 1)
        loss = network(input_ids=whole, labels=labels).loss * targets.shape[1]
        assert size > 3
    else:
        loss = network(input_ids=tokens, labels=targets).loss * targets.shape[1]
    torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=1e-4)
    check_read_again(made, inputs, backbone.encode(inputs))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return Recordings(tmp_path_factory.mktemp("recordings"))


@pytest.mark.parametrize(
    ("name", "needs", "auto"),
    [
        ("wav2vec2", SPEECH, "AutoModelForCTC"),
        ("wav2vec2", POOLED, "AutoModel"),
        ("wav2vec2, norms by groups", SPEECH, "AutoModelForCTC"),
        ("hubert", SPEECH, "AutoModelForCTC"),
        ("hubert", POOLED, "AutoModel"),
        ("whisper", SPEECH, "AutoModelForSpeechSeq2Seq"),
        ("whisper", POOLED, "AutoModel"),
        ("whisper", POOLED, "AutoModelForAudioClassification"),
        ("ast", POOLED, "AutoModel"),
    ],
)
@torch.no_grad()
def test_networks_that_hear(
    name: str, needs: Sequence[str], auto: str, recordings: Recordings, tmp_path: Path
) -> None:
    made = adapted(AUDIO[name], tmp_path, needs, recordings, "audio")
    settings, backbone = made.settings(), made.backbone
    assert settings["base_model_name_or_path"] == str(made.checkpoint.resolve())
    assert settings["task_type"] is None, "PEFT has no name for networks that hear"
    assert settings["auto_mapping"]["parent_library"].startswith("transformers.models.")
    network = loaded_by_peft(made, auto)
    inputs = backbone.processor.collate(
        [backbone.processor.prepare(recordings.raw(0), train=False)]
    )
    wanted = backbone.encode(inputs)
    given = heard(made.checkpoint, recordings)
    base = network.get_base_model()
    body = base.get_encoder() if name == "whisper" else base.base_model
    states = body(given).last_hidden_state
    torch.testing.assert_close(states, wanted.sequence, rtol=1e-3, atol=1e-4)
    if auto == "AutoModelForCTC":
        torch.testing.assert_close(
            network(input_values=given).logits, backbone._logits(wanted), rtol=1e-3, atol=1e-4
        )
    if auto == "AutoModelForSpeechSeq2Seq":
        prompt = torch.tensor([backbone.prompt.tokens])
        targets = backbone.codec.collate([backbone.codec.encode("the rain")])
        tokens = torch.cat([prompt, targets[:, :-1]], 1)
        logits = network(input_features=given, decoder_input_ids=tokens).logits
        losses = cross_entropies(logits[:, prompt.shape[1] - 1 :], targets)
        own = backbone.transcript_losses(wanted, targets)
        torch.testing.assert_close(losses.sum(1), own, rtol=1e-3, atol=1e-3)
    check_read_again(made, inputs, wanted)


def heard(checkpoint: Path, recordings: Recordings) -> torch.Tensor:
    """What transformers makes of the first recording."""
    import soundfile

    wave, rate = soundfile.read(recordings.files[0], dtype="float32")
    extractor = transformers.AutoFeatureExtractor.from_pretrained(checkpoint)
    found = extractor(wave, sampling_rate=rate, return_tensors="pt")
    return next(iter(found.values()))


@pytest.mark.parametrize("name", ["wav2vec2, no head", "wav2vec2"])
@torch.no_grad()
def test_a_head_for_new_characters_is_kept_with_the_adapters(name: str, tmp_path: Path) -> None:
    split = Recordings(tmp_path, texts=["ODA", "Łoś!", "a b", "ü"])
    made = adapted(AUDIO[name], tmp_path, SPEECH, split, "audio")
    settings, labels = made.settings(), made.backbone.alphabet.labels
    assert settings["modules_to_save"] == ["lm_head"]
    assert "lm_head" not in settings["target_modules"]
    network = loaded_by_peft(
        made, "AutoModelForCTC", vocab_size=len(labels), ignore_mismatched_sizes=True
    )
    inputs = made.backbone.processor.collate(
        [made.backbone.processor.prepare(split.raw(0), train=False)]
    )
    wanted = made.backbone._logits(made.backbone.encode(inputs))
    given = heard(made.checkpoint, split)
    torch.testing.assert_close(network(input_values=given).logits, wanted, rtol=1e-3, atol=1e-4)
    again = made.again()
    assert again.alphabet == made.backbone.alphabet, "the alphabet follows from the data of then"
    adapter_files.load(again, made.folder)
    found = again.eval()._logits(again.encode(inputs))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    # What README.md says is how it is loaded.
    told = as_told(made.folder)
    assert torch.equal(told(input_values=given).logits, network(input_values=given).logits)


def test_the_language_that_was_heard_is_kept(tmp_path: Path, recordings: Recordings) -> None:
    made = adapted(AUDIO["whisper"], tmp_path, SPEECH, recordings, "audio")
    assert made.backbone.prompt.language in ("en", "de")
    assert made.again().prompt == made.backbone.prompt


@pytest.mark.usefixtures("narrow_pictures")
@pytest.mark.parametrize("name", ["resnet18", "efficientnet-b0", "swin-t", "vit-b-16"])
@torch.no_grad()
def test_networks_of_torchvision(name: str, tmp_path: Path) -> None:
    sized = {"image_size": 32} if name == "vit-b-16" else {}
    weights = tmp_path / "weights.safetensors"
    torch.manual_seed(0)
    save_file(zoo.get_model(name.replace("-", "_"), **sized).state_dict(), weights)
    component = discover().get(BackboneSpec, name)
    backbone: Any = component.build(
        convert({"image_size": 32}, component.options_type(), "backbone"),
        BackboneContext(
            weights=WeightsRequest(str(weights), "image"), info=DatasetInfo(name="some")
        ),
    )
    with_adapters(backbone)
    adapter_files.save(backbone.eval(), tmp_path / "adapter")
    content = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert content["base_model_name_or_path"] == str(weights)
    network = as_told(tmp_path / "adapter")
    for head in backbone.recipe.head:
        parent, _, child = head.rpartition(".")
        setattr(network.base_model.model.get_submodule(parent), child, torch.nn.Identity())
    pixels = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    wanted = backbone.encode({"pixels": pixels}).pooled
    got = network((pixels - backbone.mean) / backbone.std).flatten(1)
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)


def as_told(folder: Path) -> Any:
    """What the code in README.md makes of the folder."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    code, names = text.partition("```python\n")[2].partition("```")[0], dict[str, Any]()
    exec(code.replace('"."', repr(str(folder))), names)
    return names["network"].eval()
