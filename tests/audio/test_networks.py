"""The audio backbones: features, losses and transcripts whatever the batch; reloading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_model, save_model

from mmft_audio.options import RecognitionOptions
from mmft_audio.recognition import Recognition
from mmft_core.config.generation import Generation
from mmft_core.contracts import PADDING, Batch, Features, Tensors
from mmft_core.errors import WeightsError
from tests.audio.networks import Recordings, collated, heard, make_backbone

WRITERS = [
    ("whisper-tiny", {"padding": "batch"}),
    ("whisper-tiny", {"padding": "window"}),
    ("wav2vec2-base", {}),
    ("hubert-large", {}),
    ("ctc", {}),
]
WRITER_IDS = [f"{name} {options.get('padding', '')}".strip() for name, options in WRITERS]
HEARTS = [WRITERS[0], WRITERS[2]]  # The others are built and decoded as the second is.
LISTENERS = [*WRITERS, ("ast-base", {})]
FEW = Generation(max_new_tokens=6)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return Recordings(tmp_path_factory.mktemp("recordings"))


@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize(("name", "options"), LISTENERS, ids=[*WRITER_IDS, "ast-base"])
@torch.no_grad()
def test_the_batch_does_not_change_a_recordings_features(
    name: str, options: dict[str, str], recordings: Recordings
) -> None:
    backbone = make_backbone(name, recordings, needs=("pooled",), **options)
    together = backbone.encode(collated(backbone, recordings)).pooled
    assert together.shape == (len(recordings), backbone.width)
    assert not torch.allclose(together[0], together[1], atol=1e-3)
    for i, pooled in enumerate(together):
        alone = backbone.encode(collated(backbone, recordings, [i])).pooled[0]
        torch.testing.assert_close(pooled, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("narrow_networks")
@torch.no_grad()
def test_nor_where_a_norm_is_over_all_of_a_row(recordings: Recordings) -> None:
    backbone = make_backbone("wav2vec2-base", recordings)
    backbone.config.feat_extract_norm = "group"  # As published; the random ones have none such.
    from transformers import AutoModelForCTC

    backbone.network = AutoModelForCTC.from_config(backbone.config).eval()
    together = backbone.encode(collated(backbone, recordings)).pooled
    alone = backbone.encode(collated(backbone, recordings, [3])).pooled[0]
    torch.testing.assert_close(together[3], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize(("name", "options"), WRITERS, ids=WRITER_IDS)
@torch.no_grad()
def test_nor_its_loss_nor_its_transcript(
    name: str, options: dict[str, str], recordings: Recordings
) -> None:
    backbone = make_backbone(name, recordings, **options)
    rows = [backbone.codec.encode(text) for text in recordings.texts]
    targets = backbone.codec.collate(rows)
    assert (targets == PADDING).any()
    losses = backbone.transcript_losses(heard(backbone, recordings), targets)
    assert losses.shape == (len(recordings),) and (losses > 0).all()
    written = backbone.transcribe(heard(backbone, recordings), FEW)
    for i, row in enumerate(rows):
        own = heard(backbone, recordings, [i])
        alone = backbone.transcript_losses(own, backbone.codec.collate([row]))
        torch.testing.assert_close(losses[i], alone[0], rtol=1e-4, atol=1e-3)
        assert backbone.transcribe(own, FEW) == [written[i]]


@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("beam_count", [1, 3])
@torch.no_grad()
def test_texts_are_of_their_own_recording(
    beam_count: int, sample: bool, recordings: Recordings
) -> None:
    # Random weights write in circles, up to a length that follows from their own recording.
    backbone = make_backbone("whisper-tiny", recordings, padding="batch")
    settings = Generation(max_new_tokens=100, num_beams=beam_count, sample=sample)
    together = backbone.transcribe(heard(backbone, recordings), settings)
    alone = [
        backbone.transcribe(heard(backbone, recordings, [i]), settings)[0]
        for i in range(len(recordings))
    ]
    assert together == alone


@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize("padding", ["batch", "window"])
@torch.no_grad()
def test_recordings_as_long_as_the_window_and_longer_are_heard(
    tmp_path: Path, padding: str
) -> None:
    split = Recordings(tmp_path, seconds=(29.99, 30.0, 31.0), texts=["a", "b", "c"])
    for needs in ((), ("transcription",)):
        backbone = make_backbone("whisper-tiny", split, needs=needs, padding=padding)
        for rows in ([0], [1], [0, 1, 2]):
            assert heard(backbone, split, rows).pooled.isfinite().all()


@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize(("name", "options"), HEARTS, ids=[name for name, _ in HEARTS])
def test_a_recording_is_learned_by_heart(
    name: str, options: dict[str, str], recordings: Recordings
) -> None:
    backbone = make_backbone(name, recordings, **options)
    inputs = collated(backbone, recordings, [0, 3])
    texts = [recordings.texts[0], recordings.texts[3]]
    targets = backbone.codec.collate([backbone.codec.encode(text) for text in texts])
    optimizer = torch.optim.Adam(backbone.parameters(), lr=3e-3)
    for _ in range(150):
        loss = backbone.transcript_losses(backbone.encode(inputs), targets).sum()
        if float(loss.detach()) < 0.1:
            break
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(backbone.parameters(), 1.0)
        optimizer.step()
    features = backbone.encode(inputs)
    written = backbone.transcribe(features, Generation(max_new_tokens=20), words=True)
    assert [transcript.text for transcript in written] == texts
    for transcript, length in zip(written, (1.3, 0.5), strict=True):
        words = transcript.words
        assert [word["word"] for word in words] == transcript.text.split()
        assert all(0 <= w["start"] <= w["end"] <= length + 0.1 for w in words)
        assert [w["start"] for w in words] == sorted(w["start"] for w in words)


@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize("needs", [("pooled",), ("transcription",)])
@pytest.mark.parametrize("name", ["whisper-tiny", "wav2vec2-base", "ast-base"])
def test_reloading(
    name: str, needs: tuple[str, ...], recordings: Recordings, tmp_path: Path
) -> None:
    if name == "ast-base" and needs != ("pooled",):
        return
    backbone = make_backbone(name, recordings, needs=needs)
    backbone.save_assets(tmp_path)
    save_model(backbone, str(tmp_path / "weights.safetensors"))
    again = make_backbone(name, None, needs=needs, assets=tmp_path)
    load_model(again, tmp_path / "weights.safetensors")
    with torch.no_grad():
        inputs = collated(backbone, recordings)
        here, there = (b.encode(inputs).pooled for b in (backbone, again))
        torch.testing.assert_close(here, there)
        if "transcription" in needs:
            texts = [b.transcribe(b.encode(inputs), FEW) for b in (backbone, again)]
            assert texts[0] == texts[1]


@pytest.mark.usefixtures("narrow_networks")
def test_a_decoder_is_there_only_where_it_is_needed(recordings: Recordings) -> None:
    sizes = [
        sum(p.numel() for p in make_backbone("whisper-tiny", recordings, needs=n).parameters())
        for n in (("pooled",), ("transcription",))
    ]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize("name", ["whisper-tiny", "ctc"])
def test_transcripts_that_cannot_be_learned(name: str, recordings: Recordings) -> None:
    codec = make_backbone(name, recordings).codec
    for empty in ("", "  "):
        with pytest.raises(ValueError, match="empty"):
            codec.encode(empty)
    assert codec.inspect("set a timer") is None


@pytest.mark.usefixtures("narrow_networks")
def test_a_transcript_longer_than_the_model_writes(recordings: Recordings) -> None:
    codec = make_backbone("whisper-tiny", recordings).codec
    with pytest.raises(ValueError, match=r"is \d+ tokens long, and the model writes 446"):
        codec.inspect("light timer " * 400)


@pytest.mark.usefixtures("narrow_networks")
def test_a_word_ends_with_its_last_letter(recordings: Recordings) -> None:
    """Blanks after it are a pause, whether another word follows or none."""
    backbone = make_backbone("ctc", recordings)
    (s, space, a), blank = backbone.codec.encode("s a").tolist(), backbone.alphabet.blank
    labels = torch.tensor([blank, s, s, blank, blank, space, a, blank, blank])
    logits = torch.nn.functional.one_hot(labels, len(backbone.alphabet.labels))[None].float()
    frames = torch.tensor([len(labels)])
    heard = backbone.adopt({"model": lambda given: {"logits": logits, "frames": frames}})
    (written,) = heard.transcribe(heard.encode({}), FEW, words=True)
    hops = [(w["word"], round(w["start"] * 50), round(w["end"] * 50)) for w in written.words]
    assert hops == [("s", 1, 3), ("a", 6, 7)]


@pytest.mark.usefixtures("narrow_networks")
def test_all_that_a_gpu_does_is_in_the_real_time_factor(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works while Python goes on, until its results are looked at."""
    backbone = make_backbone("ctc", recordings)
    inputs, tokens = collated(backbone, recordings), map(backbone.codec.encode, recordings.texts)
    clock, queued = 0.0, 0.0

    def encode(given: Tensors) -> Features:
        nonlocal queued
        queued += 5.0
        return type(backbone).encode(backbone, given)

    def waited(name: str) -> Callable[..., Any]:
        inner = getattr(backbone, name)

        def call(*args: Any, **more: Any) -> Any:
            nonlocal clock, queued
            clock, queued = clock + queued, 0.0
            return inner(*args, **more)

        return call

    for name in ("transcribe", "transcript_losses"):
        monkeypatch.setattr(backbone, name, waited(name))
    monkeypatch.setattr(backbone, "encode", encode)
    timer = SimpleNamespace(perf_counter=lambda: clock)
    monkeypatch.setattr("mmft_audio.recognition.time", timer)
    targets = {"tokens": backbone.codec.collate(list(tokens)), "text": recordings.texts}
    task = Recognition(backbone, RecognitionOptions()).eval()
    outputs = task(Batch({"audio": inputs}, targets, [""] * len(recordings)))
    assert float(outputs.targets["elapsed"].sum()) == pytest.approx(5.0)


@pytest.mark.usefixtures("narrow_networks")
def test_characters_that_the_model_does_not_write_are_told(recordings: Recordings) -> None:
    codec = make_backbone("ctc", recordings).codec
    assert codec.inspect("zap") == "character 'z', which the model does not write"


@pytest.mark.usefixtures("narrow_networks")
def test_weights_of_another_architecture_are_refused(
    recordings: Recordings, tmp_path: Path
) -> None:
    backbone = make_backbone("wav2vec2-base", recordings)
    backbone.network.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    for name in ("whisper", "ast-base"):
        with pytest.raises(WeightsError, match="of type wav2vec2"):
            make_backbone(name, recordings, weights=str(tmp_path))


class TestCheckpointsOfCtc:
    """A head is kept, widened, or made."""

    def save(self, folder: Path, recordings: Recordings, letters: str) -> torch.Tensor:
        import json

        backbone = make_backbone("ctc", recordings)
        labels = ["<pad>", "<s>", "</s>", "<unk>", "|", *letters]
        config = backbone.config
        config.vocab_size = len(labels)
        from transformers import AutoModelForCTC

        network = AutoModelForCTC.from_config(config)
        network.save_pretrained(folder)
        (folder / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(labels)}))
        return network.lm_head.weight.detach()

    def test_upper_case_labels_write_lower_case_texts(
        self, recordings: Recordings, tmp_path: Path
    ) -> None:
        weight = self.save(tmp_path, recordings, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        backbone = make_backbone("ctc", recordings, weights=str(tmp_path))
        torch.testing.assert_close(backbone.network.lm_head.weight.detach(), weight)
        labels = backbone.codec.encode("set a timer").tolist()
        assert "".join(backbone.alphabet.letter(i) for i in labels) == "set a timer"

    def test_missing_characters_are_added(self, recordings: Recordings, tmp_path: Path) -> None:
        weight = self.save(tmp_path, recordings, "abcdefghijklm")
        backbone = make_backbone("ctc", recordings, weights=str(tmp_path))
        head = backbone.network.lm_head.weight.detach()
        torch.testing.assert_close(head[: len(weight)], weight)
        assert len(head) > len(weight)
        assert "Its head gains 8 characters: noprstuv" in backbone.loaded.detail
        assert all(backbone.codec.inspect(text) is None for text in recordings.texts)

    def test_a_network_without_head_gets_one(self, recordings: Recordings, tmp_path: Path) -> None:
        body = make_backbone("ctc", recordings, needs=("pooled",)).network
        body.save_pretrained(tmp_path)
        backbone = make_backbone("ctc", recordings, weights=str(tmp_path))
        assert backbone.loaded.detail == "Its head is new."
        own, given = backbone.body.state_dict(), body.state_dict()
        assert all(torch.equal(own[name], given[name]) for name in given)
