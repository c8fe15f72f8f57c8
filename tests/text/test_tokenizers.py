"""Tokenizers that are trained, and the way from texts to tokens: cutting, padding, packing."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmft_core.contracts import PADDING
from mmft_core.errors import ConfigError, SampleError
from mmft_text.packing import PackingProcessor
from mmft_text.processing import TextProcessor, TokenCodec, Vocabulary
from mmft_text.tokenizers import train_tokenizer
from tests.text.tools import TEXTS, Texts

KINDS = ["encoder", "causal", "seq2seq"]
STRANGE = "unseen: żółw ☂ 数据 🎉\t\x00 x"


def vocabulary(kind: str = "encoder", size: int = 400) -> Vocabulary:
    return Vocabulary.of(train_tokenizer(Texts(), size, kind))


def processor(kind: str = "encoder", **settings) -> TextProcessor:
    return TextProcessor(**({"vocabulary": vocabulary(kind), "max_length": 16} | settings))


# --- training -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_is_unknown(kind: str) -> None:
    tokenizer = train_tokenizer(Texts(), 400, kind)
    assert len(tokenizer) <= 400
    ids = tokenizer(STRANGE)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == STRANGE


def test_what_a_text_stands_between() -> None:
    frames = {kind: vocabulary(kind) for kind in KINDS}
    start, end = frames["encoder"].start, frames["encoder"].end
    assert [(v.head, v.tail) for v in frames.values()] == [
        ((start,), (end,)),
        ((), ()),
        ((), (end,)),
    ]


def test_another_process_trains_the_same_tokenizer() -> None:
    program = (
        "import hashlib; from mmft_text.tokenizers import train_tokenizer as train\n"
        "from tests.text.tools import Texts\n"
        "text = train(Texts(), 400, 'encoder').backend_tokenizer.to_str()\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    here = train_tokenizer(Texts(), 400, "encoder").backend_tokenizer.to_str()
    assert ran.stdout.strip() == hashlib.sha256(here.encode()).hexdigest()


def test_targets_are_learned_from_where_they_are_texts() -> None:
    split = Texts(["plain text"] * 9, ["zyzzyva zyzzyva"] * 9)
    ids = [
        train_tokenizer(split, 400, "causal", targets=on)("zyzzyva")["input_ids"]
        for on in (True, False)
    ]
    assert len(ids[0]) < len(ids[1]) == len("zyzzyva")


def test_bad_samples_are_left_to_the_check_of_the_data() -> None:
    class Bad(Texts):
        def __getitem__(self, index: int):
            if index == 2:
                raise SampleError("text 2", "its text is empty")
            return super().__getitem__(index)

    assert len(train_tokenizer(Bad([*TEXTS, "half \ud800 a pair"]), 400, "encoder")) > 260


# --- single texts -------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", ["", "   ", "\n\t \u3000", "half \ud800 a pair"])
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_no_text_is_refused(raw: str, packed: bool) -> None:
    plain = processor("causal")
    chosen = PackingProcessor(plain, 16) if packed else plain
    for use in (chosen.inspect, lambda text: chosen.prepare(text, train=False)):
        with pytest.raises(ValueError, match="empty text|half of a surrogate pair"):
            use(raw)


@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_lose_their_end_and_keep_their_frame(kind: str) -> None:
    cut = processor(kind)
    text = "Compute the mean of an array. " * 9
    tokens = cut.prepare(text, train=False)["tokens"].tolist()
    v = cut.vocabulary
    assert len(tokens) == 16
    assert tokens == [*v.head, *v.ids(text)[: 16 - len(v.head) - len(v.tail)], *v.tail]
    assert cut.inspect(text) == "text longer than 16 tokens, truncated"
    assert cut.inspect("A cat.") is None


def test_or_they_are_refused() -> None:
    strict = processor(overlong="refuse")
    for use in (strict.inspect, lambda text: strict.prepare(text, train=False)):
        with pytest.raises(ValueError, match=r"\d+ tokens long, and the model reads 14"):
            use("Compute the mean of an array. " * 9)
    assert strict.inspect("A cat.") is None


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding(side: str) -> None:
    padding = processor(side=side)
    items = [padding.prepare(text, train=False) for text in TEXTS[:3]]
    batch = padding.collate(items)
    assert batch["mask"].dtype == torch.bool and batch["tokens"].shape == batch["mask"].shape
    for item, tokens, mask in zip(items, batch["tokens"], batch["mask"], strict=True):
        assert torch.equal(tokens[mask], item["tokens"])
        assert (tokens[~mask] == padding.vocabulary.pad).all()
        assert mask[-1 if side == "left" else 0]


def test_a_processor_travels() -> None:
    here = processor("causal")
    there = pickle.loads(pickle.dumps(here))
    one, other = (p.prepare(STRANGE, train=True)["tokens"] for p in (here, there))
    assert torch.equal(one, other)


def test_files(tmp_path: Path) -> None:
    reader = processor()
    for name, data in {"a.txt": b"caf\xc3\xa9", "b.md": b"\xef\xbb\xbfcaf\xc3\xa9"}.items():
        (tmp_path / name).write_bytes(data)
        assert reader.read(tmp_path / name) == "café"
        assert Path(name).suffix in reader.suffixes
    (tmp_path / "c.txt").write_bytes(b"good so far \xff")
    with pytest.raises(SampleError, match=r"c\.txt: it is not UTF-8 at byte 12"):
        reader.read(tmp_path / "c.txt")
    with pytest.raises(SampleError, match="no such file"):
        reader.read(tmp_path / "gone.txt")


def test_what_is_typed_and_shown() -> None:
    assert processor().parse("as it is") == "as it is"
    preview = processor().preview("café")
    assert preview.mime == "text/plain" and preview.data.decode() == "café"


# --- prompts ------------------------------------------------------------------------------------


def test_a_prompt_is_never_cut_off() -> None:
    plain = processor("causal", max_length=48)
    prompted = plain.with_prompt("Text: ", "\nIn short:", room=8)
    v = plain.vocabulary
    before, after = v.ids("Text: "), v.ids("\nIn short:")
    short = prompted.prepare("A cat.", train=False)["tokens"].tolist()
    assert short == [*before, *v.ids("A cat."), *after]
    long = prompted.prepare("A cat. " * 50, train=False)["tokens"].tolist()
    assert len(long) == 48 and long[: len(before)] == before and long[-len(after) :] == after
    assert plain.before == () and plain.after == ()


def test_room_is_left_for_what_is_written() -> None:
    shared = processor("causal", max_length=48, positions=50, shared=True)
    assert shared.with_prompt("", "", room=10).max_length == 40
    apart = processor("seq2seq", max_length=48, positions=50)
    assert apart.with_prompt("", "", room=10).max_length == 48
    for chosen in (shared, apart):
        with pytest.raises(ConfigError, match="51 tokens are to be written, and .* only 50 posit"):
            chosen.with_prompt("", "", room=51)


def test_a_prompt_that_leaves_no_room() -> None:
    with pytest.raises(ConfigError, match="leaves no room for a text in 16 tokens"):
        processor().with_prompt("a long prompt, much too long for so short a model", "", room=4)


def test_targets_end_and_are_padded() -> None:
    v = vocabulary("causal")
    codec = TokenCodec(v, framed=False)
    rows = [codec.encode(text) for text in ("one", "two and three")]
    assert all(row[-1] == v.end for row in rows)
    batch = codec.collate(rows)
    assert (batch[0, len(rows[0]) :] == PADDING).all() and torch.equal(batch[1], rows[1])
    with pytest.raises(ValueError, match="empty text"):
        codec.encode(" ")


# --- packing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [8, 24, 200])
@pytest.mark.parametrize("join", [True, False])
def test_packing_loses_nothing(length: int, join: bool) -> None:
    packing = PackingProcessor(processor("causal"), length, join)
    items = [packing.prepare(text, train=False)["tokens"] for text in TEXTS]
    batch = packing.collate([{"tokens": tokens} for tokens in items])
    tokens, samples, positions = batch["tokens"], batch["samples"], batch["positions"]
    assert tokens.shape == samples.shape == positions.shape and tokens.shape[1] <= length
    for sample, wanted in enumerate(items):
        pieces = []
        for row, column in ((samples == sample) & (positions == 0)).nonzero().tolist():
            end = column + 1
            while end < tokens.shape[1] and samples[row, end] == sample and positions[row, end]:
                end += 1
            assert positions[row, column:end].tolist() == list(range(end - column))
            pieces.append(tokens[row, column:end].tolist())
        # Pieces overlap by the token that the next one's first is predicted from.
        predicted = sorted(token for piece in pieces for token in piece[1:])
        assert predicted == sorted(wanted[1:].tolist())
        assert int(wanted[0]) == packing.plain.vocabulary.start
    assert (tokens[samples < 0] == packing.plain.vocabulary.pad).all()


def test_rows_are_filled_the_longest_first() -> None:
    packing = PackingProcessor(processor("causal"), 10)
    lengths = [3, 9, 6, 4, 1, 7]
    batch = packing.collate([{"tokens": torch.arange(n)} for n in lengths])
    rows = [sorted(set(row.tolist()) - {-1}) for row in batch["samples"]]
    assert rows == [[1, 4], [0, 5], [2, 3]]
    apart = PackingProcessor(processor("causal"), 10, join=False)
    batch = apart.collate([{"tokens": torch.arange(n)} for n in lengths])
    assert len(batch["samples"]) == len(lengths)


def test_a_text_of_too_many_rows_is_refused() -> None:
    packing = PackingProcessor(processor("causal"), length=16)
    packing.inspect("word " * 300)
    with pytest.raises(ValueError, match="more than 64 rows"):
        packing.inspect("word " * 5000)
