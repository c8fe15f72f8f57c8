"""Checkpoints as transformers saves them hear and write what transformers does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForCTC,
    AutoProcessor,
    HubertConfig,
    PreTrainedConfig,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Processor,
)

from mmft_core.config.generation import Generation
from tests.audio.networks import RATE, Recordings, collated, heard, make_backbone
from tests.export.families import LAYERS, STABLE, WAVES

ANGLES, BRACKETS = ("<pad>", "<unk>"), ("[PAD]", "[UNK]")
CTC: dict[str, tuple[type[PreTrainedConfig], dict[str, Any], tuple[str, str], bool]] = {
    "wav2vec 2.0 as base-960h": (Wav2Vec2Config, {}, ANGLES, True),
    "wav2vec 2.0 as most fine-tuned": (Wav2Vec2Config, STABLE, BRACKETS, True),
    "HuBERT": (HubertConfig, STABLE, ANGLES, True),
    "waves as they are": (HubertConfig, STABLE, BRACKETS, False),
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return Recordings(tmp_path_factory.mktemp("recordings"))


def save_ctc(folder: Path, what: str) -> None:
    """Save network, feature extractor and tokenizer by transformers' own means."""
    kind, more, (pad, unknown), normalize = CTC[what]
    vocabulary = folder / "vocab.json"
    labels = ["|", *"abcdefghijklmnopqrstuvwxyz'", unknown, pad]
    vocabulary.write_text(json.dumps({text: i for i, text in enumerate(labels)}))
    tokenizer = Wav2Vec2CTCTokenizer(
        str(vocabulary), unk_token=unknown, pad_token=pad, word_delimiter_token="|"
    )
    extractor = Wav2Vec2FeatureExtractor(do_normalize=normalize)
    Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    # With <s> and </s>, which the tokenizer adds.
    sizes = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    network = AutoModelForCTC.from_config(kind(**WAVES, **more, **sizes))
    with torch.no_grad():
        network.lm_head.weight.normal_(std=2.0)  # Else one letter is all that is written.
        # Of which transformers writes the names, where ours writes nothing.
        network.lm_head.weight[labels.index(unknown)] = 0.0
        network.lm_head.weight[len(labels) :] = 0.0
    network.save_pretrained(folder)


@pytest.mark.parametrize("what", CTC)
@torch.no_grad()
def test_ctc(what: str, recordings: Recordings, tmp_path: Path) -> None:
    save_ctc(tmp_path, what)
    processor: Any = AutoProcessor.from_pretrained(tmp_path)
    network = AutoModelForCTC.from_pretrained(tmp_path).eval()
    backbone = make_backbone("ctc", recordings, weights=str(tmp_path))
    features = heard(backbone, recordings)
    own, written = backbone._logits(features), backbone.transcribe(features, Generation())
    for i, file in enumerate(recordings.files):
        wave, _ = soundfile.read(file, dtype="float32")
        theirs = network(processor(wave, sampling_rate=RATE, return_tensors="pt").input_values)
        count = theirs.logits.shape[1]
        assert int(features.mask[i].sum()) == count
        torch.testing.assert_close(own[i, :count], theirs.logits[0], rtol=1e-3, atol=1e-3)
        (text,) = processor.batch_decode(theirs.logits.argmax(-1))
        assert written[i].text == " ".join(text.split()) and len(set(text)) > 2
    backbone.save_assets(tmp_path / "run")
    again = make_backbone("ctc", None, assets=tmp_path / "run")
    again.load_state_dict(backbone.state_dict())
    torch.testing.assert_close(
        again.encode(collated(again, recordings)).sequence, features.sequence
    )


@pytest.mark.parametrize("more", [{}, {"mean": -2.0, "std": 3.0}, {"do_normalize": False}])
@torch.no_grad()
def test_spectrograms(more: dict[str, Any], recordings: Recordings, tmp_path: Path) -> None:
    torch.manual_seed(0)
    AutoModel.from_config(ASTConfig(**LAYERS, max_length=256)).save_pretrained(tmp_path)
    ASTFeatureExtractor(max_length=256, **more).save_pretrained(tmp_path)
    extractor: Any = AutoFeatureExtractor.from_pretrained(tmp_path)
    network = AutoModel.from_pretrained(tmp_path).eval()
    backbone = make_backbone("ast-base", None, needs=("pooled",), weights=str(tmp_path))
    waves = [soundfile.read(file, dtype="float32")[0] for file in recordings.files]
    given = extractor(waves, sampling_rate=RATE, return_tensors="pt").input_values
    inputs = collated(backbone, recordings)
    torch.testing.assert_close(inputs["features"], given, rtol=1e-4, atol=1e-4)
    theirs = network(given).pooler_output
    torch.testing.assert_close(backbone.encode(inputs).pooled, theirs, rtol=1e-4, atol=1e-4)
