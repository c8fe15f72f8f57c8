"""Chats with recordings: read in every form of table, learned from, answered, and refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mmft_chat.chat_table import build
from mmft_chat.conversations import Conversation
from mmft_chat.inspection import ChatInspector
from mmft_chat.media import recording
from mmft_chat.options import ChatTableOptions
from mmft_chat.scratch import chatml_with
from mmft_core.contracts import DatasetContext
from mmft_core.errors import ConfigError, SampleError, WeightsError
from tests.chat.networks import HEARD, SAID, SEEN, about, built, collated, narrow, saved, sound

__all__ = ["narrow"]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return built("audio-chat")


def rows(folder: Path, records: Sequence[dict[str, Any]]) -> Any:
    """The chats of a table of JSON lines."""
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    context = DatasetContext(target="text", seed=0)
    return build(ChatTableOptions(path=str(path), val=0, test=0), context).splits["train"]


def messages(*parts: Any) -> dict[str, Any]:
    asked = {"role": "user", "content": [*parts, {"type": "text", "text": "What is this?"}]}
    return {"messages": [asked, {"role": "assistant", "content": "a seven"}]}


def test_recordings_are_found_wherever_tables_have_them(model: Any, tmp_path: Path) -> None:
    """A path, a data: URL, OpenAI's base64, a column of paths, and bytes in Parquet are one."""
    content = sound(0.5, 3)
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "one.wav").write_bytes(content)
    code = base64.b64encode(content).decode()
    split = rows(
        tmp_path,
        [
            messages({"type": "audio", "path": "sounds/one.wav"}),
            messages({"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{code}"}}),
            messages({"type": "input_audio", "input_audio": {"data": code, "format": "wav"}}),
        ],
    )
    chats = [split[k].inputs["chat"] for k in range(3)]
    named = {"question": ["What is this?"], "answer": ["a seven"], "audio": ["sounds/one.wav"]}
    pq.write_table(pa.table(named), tmp_path / "paths.parquet")
    held = pa.array([{"bytes": content, "path": None}])
    pq.write_table(pa.table(named | {"audio": held}), tmp_path / "held.parquet")
    for name in ("paths", "held"):
        options = ChatTableOptions(path=str(tmp_path / f"{name}.parquet"), val=0, test=0)
        own = build(options, DatasetContext(target="text", seed=0)).splits["train"]
        own.check(0)
        chats.append(own[0].inputs["chat"])
    batch = collated(model, chats)
    for k in range(1, len(chats)):
        assert torch.equal(batch["input_features"][k], batch["input_features"][0])
        assert torch.equal(batch["tokens"][k], batch["tokens"][0])


def test_a_recording_of_another_rate_is_the_same_sound(model: Any) -> None:
    """It is resampled to what the model hears."""
    tone = sound(0.5, 1, 8_000)
    assert len(recording(tone, 16_000)) == 8_000
    assert model.processor.inspect(about("audio", "What?", "x", tone)) is None


def test_answers_are_learned_as_transformers_would(model: Any) -> None:
    inputs = collated(model, HEARD)
    nats, samples = model.learned_nats(inputs, 3)
    labels = inputs["tokens"].masked_fill(~inputs["learned"], -100)
    plain = model.network(**model._arguments(inputs), labels=labels).loss
    torch.testing.assert_close(nats.mean(), plain, atol=1e-5, rtol=1e-5)
    assert samples.unique().tolist() == [0, 1]


def test_what_a_model_hears_changes_what_it_says(model: Any) -> None:
    silent = about("audio", "What is this?", "a red seven", sound(1.0, 5))
    inputs = collated(model, [HEARD[0], silent])
    nats, samples = model.learned_nats(inputs, 64)
    assert not torch.allclose(nats[samples == 0], nats[samples == 1])


REFUSED: dict[str, tuple[Callable[[], Conversation], str]] = {
    "picture": (lambda: SEEN[0], "holds a picture, and the model reads only text and recordings"),
    "too long": (
        lambda: about("audio", "?", "x", sound(4.5)),
        r"is 4.5 s long.* reads at most 4 s",
    ),
    "mark without recording": (
        lambda: about("text", "What is <|AUDIO|>?", "x"),
        "renders 1 placeholders for 0 recordings",
    ),
    "missing": (
        lambda: about("audio", "?", "x", Path("/none/x.wav")),
        r"recording x\.wav cannot be read: there is no such file",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_heard_is_refused(model: Any, case: str) -> None:
    make, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        model.processor.inspect(make(), train=True)


def test_a_template_without_recordings_is_refused(tmp_path: Path, model: Any) -> None:
    file = tmp_path / "deaf.jinja"
    file.write_text(chatml_with(), encoding="utf-8")
    folder = saved(model, tmp_path / "weights")
    deaf = built("audio-chat", str(folder), chat_template=str(file))
    with pytest.raises(ValueError, match="renders 0 placeholders for 1 recordings"):
        deaf.processor.inspect(HEARD[0], train=True)


def test_models_that_hear_nothing_say_so(tmp_path: Path) -> None:
    for name in ("chat-lm", "vision-chat"):
        with pytest.raises(ValueError, match="holds a .*recording, and the model reads only text"):
            built(name).processor.inspect(HEARD[0], train=True)
    saved(built("chat-lm"), tmp_path)
    with pytest.raises(WeightsError, match="does not read recordings"):
        built("audio-chat", str(tmp_path))


def test_placeholders_and_recordings_are_counted(tmp_path: Path) -> None:
    """By row, before anything is learned."""
    (tmp_path / "x.wav").write_bytes(sound(0.2))
    asked = {"answer": "x", "question": "<audio> and <audio>: alike?", "audio": "x.wav"}
    split = rows(tmp_path, [asked, asked | {"question": "<audio>?"}, asked | {"audio": None}])
    for index, words in ((0, "2 placeholders.* 1 recording"), (2, "no recording")):
        with pytest.raises(SampleError, match=words):
            split[index]
    split.check(1)
    (tmp_path / "x.wav").write_bytes(b"RIFF, but no recording")
    with pytest.raises(SampleError, match=r"recording x\.wav cannot be read"):
        split.check(1)


def test_the_data_check_looks_at_recordings() -> None:
    ChatInspector().inspect(HEARD[0])
    with pytest.raises(SampleError, match="recording x.wav: there is no such file"):
        ChatInspector().inspect(about("audio", "?", "x", Path("/none/x.wav")))


def test_some_networks_need_a_picture_or_exactly_one_recording() -> None:
    """Those that could not read such a chat beside others in a batch."""
    with pytest.raises(ValueError, match=r"has 2 pictures or recordings, .* needs exactly one"):
        built("audio-flamingo-3").processor.inspect(HEARD[1], train=True)
    with pytest.raises(ValueError, match=r"has no pictures or recordings, .* needs at least one"):
        built("llama-3.2-vision").processor.inspect(SAID[0], train=True)


def test_few_bits_need_weights_and_a_gpu(model: Any, tmp_path: Path) -> None:
    """Of all kinds of chat models, before any weights are read."""
    for name in ("chat-lm", "vision-chat", "audio-chat", "qwen3"):
        with pytest.raises(ConfigError, match="needs pretrained weights"):
            built(name, load_bits=4)
        if not torch.cuda.is_available():
            with pytest.raises(ConfigError, match="needs a CUDA GPU"):
                built(name, str(tmp_path / "nowhere"), load_bits=8)


def test_voxtral_is_read_as_mistral_publishes_it(tmp_path: Path) -> None:
    """With tekken.json in place of tokenizer.json, and without a chat template."""
    model = built("voxtral")
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<pad>", "[AUDIO]", "[BEGIN_AUDIO]"]
    tekken = {
        "config": {
            "pattern": r"\S+|\s+",
            "num_vocab_tokens": 256,
            "default_vocab_size": 256 + len(special),
            "default_num_special_tokens": len(special),
            "version": "v7",
        },
        "vocab": [
            {"rank": k, "token_bytes": base64.b64encode(bytes([k])).decode(), "token_str": None}
            for k in range(256)
        ],
        "special_tokens": [
            {"rank": k, "token_str": token, "is_control": True} for k, token in enumerate(special)
        ],
    }
    model.network.config.audio_token_id = special.index("[AUDIO]")
    model.network.save_pretrained(tmp_path)
    model.family.feature_extractor.save_pretrained(tmp_path)
    (tmp_path / "tekken.json").write_text(json.dumps(tekken), encoding="utf-8")
    read = built("voxtral", str(tmp_path))
    inputs = collated(read, HEARD)
    assert read.processor.inspect(HEARD[1], train=True) is None
    whole = read.tokenizer.decode(inputs["tokens"][0]).replace("[AUDIO]", "")
    assert whole.startswith("<s>[INST][BEGIN_AUDIO]What is this?[/INST]a red seven</s>")
    assert read.tokenizer.decode(inputs["tokens"][0][inputs["learned"][0]]) == "a red seven</s>"
    again = built("voxtral", str(saved(read, tmp_path / "again")))
    own = [read.learned_nats(inputs, 64)[0], again.learned_nats(collated(again, HEARD), 64)[0]]
    torch.testing.assert_close(*own, atol=1e-5, rtol=1e-5)
