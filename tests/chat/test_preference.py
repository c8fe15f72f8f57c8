"""Preferences: how they are read, what is judged of them, and what they are compared with."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mmft_chat.backbone import ChatBackbone
from mmft_chat.chat_table import build as build_table
from mmft_chat.chat_table import describe
from mmft_chat.conversations import Conversation, Kind, Message, Part
from mmft_chat.media_processing import OWN
from mmft_chat.options import ChatTableOptions
from mmft_chat.preference import Preference, build
from mmft_chat.preference_metrics import LogProbabilities, Rewards
from mmft_chat.preference_options import PreferenceOptions
from mmft_chat.preference_processing import KEYS, PreferenceProcessor
from mmft_chat.reference import Reference
from mmft_core.config.engine_config import LoraConfig
from mmft_core.contracts import Batch, DatasetContext, DatasetInfo, TaskContext
from mmft_core.data.splits import Joined
from mmft_core.engine import lora
from mmft_core.errors import ConfigError, DataError, SampleError
from tests.chat.networks import built, narrow, picture, sound
from tests.chat.test_chat import backbone, tokenizer
from tests.chat.tools import TOOLS, WEATHER, turn

__all__ = ["narrow", "tokenizer"]
CONTEXT = DatasetContext(target="preference")

# --- data -----------------------------------------------------------------------------------------

ASKED = {"role": "user", "content": "Hi"}
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("Hello", "What?"))

PAIRED: dict[str, dict[str, Any]] = {
    "texts": {"prompt": "Hi", "chosen": "Hello", "rejected": "What?"},
    "messages": {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
    "whole chats": {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
    "whole chats beside the prompt": {
        "prompt": "Hi", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD],
    },
    "spoken": {
        "chosen": "\n\nHuman: Hi\n\nAssistant: Hello",
        "rejected": "\n\nHuman: Hi\n\nAssistant: What?",
    },
}  # fmt: skip
SINGLE: dict[str, dict[str, Any]] = {
    "texts": {"prompt": "Hi", "completion": "Hello", "label": True},
    "messages": {"messages": [ASKED, GOOD], "label": 1},
}


def table(folder: Path, rows: list[dict[str, Any]], name: str = "pairs.jsonl") -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(path: Path, **options: Any) -> Any:
    found = build_table(ChatTableOptions(path=str(path), val=0, test=0, **options), CONTEXT)
    return Joined(found.splits.values())


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet"])
@pytest.mark.parametrize("form", PAIRED)
def test_pairs_are_read_in_every_form(tmp_path: Path, form: str, name: str) -> None:
    split = rows_of(table(tmp_path, [PAIRED[form]], name))
    split.check(0)
    chat = split[0].inputs["chat"]
    said = [[(m.role, m.answer) for m in side] for side in (chat.messages, chat.rejected)]
    assert said == [[("user", "Hi"), ("assistant", answer)] for answer in ("Hello", "What?")]
    assert split[0].target == {"chosen": "Hello", "rejected": "What?"}


@pytest.mark.parametrize("form", SINGLE)
def test_single_answers_come_with_their_labels(tmp_path: Path, form: str) -> None:
    path = table(tmp_path, [SINGLE[form], {**SINGLE[form], "label": False}])
    split = rows_of(path)
    assert [split[k].target["label"] for k in range(2)] == [True, False]
    assert split[0].inputs["chat"].answer == "Hello"
    told = describe(ChatTableOptions(path=str(path)), CONTEXT)
    assert any("desirable where 'label' is true" in line for line in told)


def test_columns_of_any_name_can_be_given(tmp_path: Path) -> None:
    row = {"q": "Hi", "better": "Hello", "worse": "What?"}
    own = {"question_column": "q", "chosen_column": "better", "rejected_column": "worse"}
    split = rows_of(table(tmp_path, [row]), **own)
    assert split[0].target == {"chosen": "Hello", "rejected": "What?"}


def test_a_table_without_preferences_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="chosen and rejected answers"):
        rows_of(table(tmp_path, [{"prompt": "Hi", "completion": "Hello"}]))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "equal": ({"prompt": "Hi", "chosen": "a", "rejected": "a"}, "its two sides are equal"),
    "empty": ({"prompt": "Hi", "chosen": "a", "rejected": " "}, "its rejected side is empty"),
    "empty answer": (
        {"chosen": [ASKED, {**GOOD, "content": ""}], "rejected": [ASKED, BAD]},
        "its chosen side is empty",
    ),
    "missing": ({"prompt": "Hi", "chosen": None, "rejected": "a"}, "its chosen side is missing"),
    "prompt": (
        {"prompt": "Bye", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
        "its prompt does not begin its chosen side",
    ),
    "no prompt": (
        {"chosen": [ASKED, GOOD], "rejected": [{**ASKED, "content": "Bye"}, BAD]},
        "its two sides do not begin with the same prompt",
    ),
    "no answer": (
        {"chosen": [ASKED], "rejected": [ASKED, BAD]},
        "it has no assistant turn, so there is nothing to learn",
    ),
    "only longer": (
        {"chosen": [ASKED, GOOD], "rejected": [ASKED, GOOD, ASKED, BAD]},
        "one of its sides is only the beginning of the other",
    ),
    "other questions": (
        {
            "chosen": [ASKED, GOOD, ASKED, GOOD],
            "rejected": [ASKED, GOOD, {**ASKED, "content": "Bye"}, BAD],
        },
        "its two sides differ from turn 3 on, which has the role user and is not an answer",
    ),
    "text": ({"chosen": "a", "rejected": "b"}, "its chosen side is a text without a prompt"),
    "label": (
        {"prompt": "Hi", "completion": "a", "label": "maybe"},
        "its label 'maybe' is neither true nor false",
    ),
    "no label": ({"prompt": "Hi", "completion": "a", "label": None}, "its label is missing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_bad_row_is_told_in_one_sentence_with_its_place(tmp_path: Path, name: str) -> None:
    row, reason = WRONG[name]
    split = rows_of(table(tmp_path, [row]))
    with pytest.raises(SampleError) as told:
        split.check(0)
    message = str(told.value)
    assert message.startswith("pairs.jsonl, row 1: ") and reason in message and "\n" not in message


# --- what is judged -------------------------------------------------------------------------------


def pair(one: str, other: str, *before: Any) -> Conversation:
    asked = (*before, turn("user", "Hello there"))
    return Conversation((*asked, turn("assistant", one)), (), (*asked, turn("assistant", other)))


PAIRS = [
    pair("Hi, good day", "Nothing more"),
    pair("It is sunny.", "Be kind", turn("user", "Hello"), turn("assistant", "Welcome")),
    pair("Thanks", "Weather in Rome"),
]


def preference(tokenizer: Any, trained: bool = False, **options: Any) -> Preference:
    own = PreferenceOptions(**options)
    return Preference(backbone(tokenizer), own, Reference(trained=trained))


def batch_of(task: Preference, chats: list[Conversation], targets: Any = None) -> Batch:
    targets = [{}] * len(chats) if targets is None else targets
    made = zip(chats, targets, strict=True)
    items = [task.codec.prepare({"chat": c}, t, train=True) for c, t in made]  # type: ignore[attr-defined]
    liked = task.codec.collate([target for _, target in items])
    inputs = task.preferences.collate([inputs["chat"] for inputs, _ in items])
    return Batch({"chat": inputs}, liked, [str(k) for k in range(len(chats))])


def test_only_what_differs_is_judged(tokenizer: Any) -> None:
    """Turns of the assistant's in the prompt are not, nor what nobody says."""
    task = preference(tokenizer, packing=False)
    item = task.preferences.prepare_sides(PAIRS[1])
    judged = [tokenizer.decode(item[f"{k}.tokens"][item[f"{k}.learned"]]) for k in (0, 1)]
    assert judged == ["It is sunny.<|im_end|>", "Be kind<|im_end|>"]


def test_what_is_judged_is_shown_token_by_token(tokenizer: Any) -> None:
    parts = preference(tokenizer).preferences.show_learned(PAIRS[1])
    shown = [(p.label, "".join(t.text for t in p.tokens if t.learned)) for p in parts]
    assert [own for own in shown if own[1]] == [
        ("chosen, assistant", "It is sunny.<|im_end|>"),
        ("rejected, assistant", "Be kind<|im_end|>"),
    ]


@pytest.mark.parametrize("loss", ["dpo", "orpo", "kto"])
def test_chats_that_share_a_row_are_judged_as_alone(tokenizer: Any, loss: str) -> None:
    apart, packed = (preference(tokenizer, packing=own, loss=loss).eval() for own in (False, True))
    found = []
    for task in (apart, packed):
        batch = batch_of(task, PAIRS)
        with torch.no_grad():
            found.append(task(batch))
        rows = len(batch.inputs["chat"]["tokens"])
        assert rows == 6 if task is apart else rows < 6
    assert float(found[0].loss) == pytest.approx(float(found[1].loss), abs=1e-5)
    one, other = (outputs.predictions for outputs in found)
    assert torch.equal(one["keys"], other["keys"])
    torch.testing.assert_close(one["logps"], other["logps"], atol=1e-5, rtol=1e-5)


def test_a_long_pair_is_refused_or_loses_the_same_turns(tokenizer: Any) -> None:
    task = preference(tokenizer)
    length = max(processor.measure(chat) for processor, chat in task.preferences._sides(PAIRS[1]))
    chat = replace(task.processor, max_length=length - 1)
    with pytest.raises(ValueError, match="tokens long, and the model reads"):
        PreferenceProcessor(chat, crosses=False).inspect(PAIRS[1])
    cut = PreferenceProcessor(replace(chat, overlong="truncate"), crosses=False)
    assert "its first turns left out" in (cut.inspect(PAIRS[1]) or "")
    short = pair("It is sunny.", "Be kind")
    assert torch.equal(
        cut.prepare_sides(PAIRS[1])[KEYS], task.preferences.prepare_sides(short)[KEYS]
    )


def test_no_question_is_cut_off_from_the_answers_that_are_judged(tokenizer: Any) -> None:
    """A call of a tool is no answer that could be left out with its question."""
    asked = TOOLS[:3]
    sides = [(*asked, turn("assistant", text), *TOOLS[4:]) for text in ("It is sunny.", "No.")]
    pair = Conversation(sides[0], (WEATHER,), sides[1])
    chat = preference(tokenizer).processor
    chat = replace(chat, max_length=chat.measure(pair) - 1, overlong="truncate")
    with pytest.raises(ValueError, match="tokens long, and the model reads"):
        PreferenceProcessor(chat, crosses=False).inspect(pair)


def test_sides_of_the_same_tokens_are_refused(tokenizer: Any) -> None:
    task = preference(tokenizer)
    same = pair("Hi", "Hi")
    with pytest.raises(ValueError, match="the same tokens"):
        task.preferences.inspect(same)


def test_what_is_to_be_answered_is_answered(tokenizer: Any) -> None:
    task = preference(tokenizer, max_new_tokens=2).eval()
    inputs, target = task.codec.prepare(  # type: ignore[attr-defined]
        {"chat": PAIRS[0]}, None, train=False
    )
    outputs = task(Batch({"chat": task.preferences.collate([inputs["chat"]])}, None, ["1"]))
    assert target is None and outputs.loss is None
    assert list(task.decode(outputs.predictions)[0]) == ["answer"]


def seeing(family: str) -> ChatBackbone:
    torch.manual_seed(0)
    return built(family)


def pairs_about(kind: Kind, *media: bytes) -> list[Conversation]:
    found = []
    for own in media:
        asked = Message("user", (Part(kind, media=own), Part("text", "What is this?")))
        sides = [(asked, turn("assistant", text)) for text in ("a red seven", "a blue three")]
        found.append(Conversation(sides[0], (), sides[1]))
    return found


def seen_pairs() -> list[Conversation]:
    """Two pictures of unlike sizes."""
    return pairs_about("image", picture(20, 20), picture(20, 40, 1))


def heard_pairs() -> list[Conversation]:
    """Two recordings of unlike lengths."""
    return pairs_about("audio", sound(1.0), sound(0.4, 1))


def test_recordings_are_preferred_about() -> None:
    """A step, whose loss is what the probabilities of single tokens make of it."""
    model = seeing("audio-chat")
    task = Preference(model, PreferenceOptions(beta=0.3), Reference(trained=True))
    before = task.reference.copy(model).network
    task.train()
    batch, optimizer = batch_of(task, heard_pairs()), torch.optim.SGD(task.parameters(), 0.1)

    def of_answers(network: Any) -> torch.Tensor:
        """(2, B) nats of chosen and rejected answers, by the words that follow the prompt."""
        inputs = batch.inputs["chat"]
        given = {n: t for n, t in inputs.items() if n not in (*OWN, KEYS)}
        nats = network(**given).logits.log_softmax(-1)[:, :-1]
        own = nats.gather(2, inputs["input_ids"][:, 1:, None]).squeeze(2)
        return (own * inputs["learned"][:, 1:]).sum(1).view(2, -1)

    losses = []
    for _ in range(2):
        with torch.no_grad():
            ratios = 0.3 * (of_answers(model.network) - of_answers(before))
        expected = -torch.nn.functional.logsigmoid(ratios[0] - ratios[1]).mean()
        loss = task(batch).loss
        torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
    assert losses[1] < losses[0] == pytest.approx(math.log(2))
    tower = [p.grad for p in model.parts()["audio"][0].parameters() if p.grad is not None]
    assert any(bool(grad.any()) for grad in tower), "the recordings are heard"


@pytest.mark.parametrize("family", ["vision-chat", "qwen2.5-vl"])
def test_pictures_are_part_of_what_is_judged(family: str) -> None:
    """Answers are as likely as alone, by their picture; crossed ones keep their prompt's."""
    model, chats = seeing(family), seen_pairs()
    task = Preference(model, PreferenceOptions(loss="kto"), Reference(trained=False)).eval()
    batch = batch_of(task, chats)
    with torch.no_grad():
        together = task(batch).predictions["logps"]
        alone = torch.cat([task(batch_of(task, [chat])).predictions["logps"] for chat in chats])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)
    inputs = batch.inputs["chat"]
    learned = inputs["crossed.tokens"][0][inputs["crossed.learned"][0]]
    assert model.tokenizer.decode(learned) == "a blue three<|im_end|>"
    crossed = {n.removeprefix("crossed."): t for n, t in inputs.items() if n.startswith("crossed.")}
    pixels = {n for n in crossed if n.startswith("pixel")}
    assert pixels and all(torch.equal(crossed[n], inputs[n]) for n in pixels)


# --- what it is compared with ---------------------------------------------------------------------


def step(task: Preference, batch: Batch) -> float:
    task.train()
    optimizer = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], 0.5)
    loss = task(batch).loss
    assert loss is not None
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@pytest.mark.parametrize("adapters", [True, False])
def test_the_reference_stays_what_training_started_from(tokenizer: Any, adapters: bool) -> None:
    """A frozen copy, or the model with its adapters off; neither is part of what is kept."""
    task = preference(tokenizer)
    if adapters:
        lora.inject(task.model, LoraConfig())
        lora.train_adapters(task.model, True)
    batch = batch_of(task, PAIRS)
    with torch.no_grad():
        before = task.eval()(batch)
    names = set(task.state_dict())
    losses = [step(task, batch) for _ in range(3)]
    assert losses[0] == pytest.approx(0.6931, abs=1e-4) and losses[2] < losses[0]
    with torch.no_grad():
        after = task.eval()(batch)
    torch.testing.assert_close(after.targets["reference"], before.predictions["logps"])
    assert not torch.allclose(after.predictions["logps"], before.predictions["logps"])
    assert set(task.state_dict()) == names
    assert (task.reference.model is None) == adapters


def test_what_was_remembered_needs_no_model(tokenizer: Any, tmp_path: Path) -> None:
    """Of samples that were not, likelihoods are known and rewards are not."""
    task = preference(tokenizer)
    batch = batch_of(task, PAIRS)
    with torch.no_grad():
        outputs = task.eval()(batch)
    task.remember(outputs.predictions, outputs.targets)
    loss = step(task, batch)
    assert task.reference.model is None and loss == pytest.approx(0.6931, abs=1e-4)
    task.save_assets(tmp_path)
    info = DatasetInfo(name="")
    context = TaskContext(backbones={"chat": task.model}, info=info, assets=tmp_path)
    again = build(PreferenceOptions(), context).eval()
    with torch.no_grad():
        found = again(batch)
        torch.testing.assert_close(found.targets["reference"], outputs.predictions["logps"])
        assert found.loss is not None
        other = again(batch_of(again, [pair("Welcome", "Good")]))
    assert other.loss is None and other.predictions["logps"].isfinite().all()
    metric = Rewards()
    metric.update(other.predictions, other.targets)
    assert metric.remarks() and all(value != value for value in metric.compute().values())


def test_which_splits_are_looked_at_before_training(tokenizer: Any) -> None:
    splits = ("train", "val", "test")
    held_out = ["val", "test"]

    def of(**options: Any) -> tuple[list[str], bool]:
        task = preference(tokenizer, **options)
        return list(task.reference_splits(splits)), task.reference_model() is not None

    assert of() == (list(splits), False)
    assert of(precompute=False) == (held_out, True)
    assert of(loss="kto") == (held_out, True)
    assert of(loss="simpo") == ([], False)
    task = preference(tokenizer)
    lora.inject(task.model, LoraConfig())
    assert list(task.reference_splits(splits)) == held_out and task.reference_model() is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"loss": "ipo", "label_smoothing": 0.1}, "task.label_smoothing is an option of dpo"),
        ({"loss": "kto", "precompute": True}, "other samples of the batch"),
        ({"loss": "orpo", "precompute": True}, "has no reference"),
    ],
)
def test_options_of_other_losses_are_refused(
    tokenizer: Any, options: dict[str, Any], reason: str
) -> None:
    context = TaskContext(backbones={"chat": backbone(tokenizer)}, info=DatasetInfo(name=""))
    with pytest.raises(ConfigError, match=reason):
        build(PreferenceOptions(**options), context)


# --- metrics --------------------------------------------------------------------------------------


def judged(logps: Any, desirable: list[bool]) -> tuple[Any, Any]:
    tensor = torch.tensor(logps)
    reference = torch.zeros_like(tensor)
    beta = torch.full((len(tensor),), 0.5)
    liked = torch.tensor(desirable)
    return {"logps": tensor}, {"reference": reference, "beta": beta, "desirable": liked}


def test_metrics_of_pairs() -> None:
    metric, other = Rewards(), Rewards()
    metric.update(*judged([[-1.0, -3.0], [-2.0, -1.0]], [True, True]))
    other.update(*judged([[-1.0, -2.0]], [True]))
    metric.merge(other.state())
    assert metric.compute() == pytest.approx(
        {"accuracy": 2 / 3, "margin": 1 / 3, "chosen": -2 / 3, "rejected": -1.0}
    )


def test_metrics_of_single_answers() -> None:
    """The accuracy is over all pairs of a desirable and an undesirable answer."""
    metric, logps = Rewards(), LogProbabilities()
    for own in (metric, logps):
        own.update(*judged([[-1.0], [-3.0], [-2.0]], [True, True, False]))
    assert metric.compute()["accuracy"] == 0.5
    assert logps.compute() == {"chosen": -2.0, "rejected": -2.0}


def test_what_an_export_judges_has_a_row_of_its_own(tokenizer: Any) -> None:
    """A graph would mix chats that share one."""
    task = preference(tokenizer)
    assert task.processor.join
    task.adopt({"decoder": lambda tensors: tensors})
    inputs = batch_of(task, PAIRS).inputs["chat"]
    assert len(inputs["tokens"]) == 2 * len(PAIRS)
