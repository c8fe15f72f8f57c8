"""The task chat on chat-lm: losses, packing, writing."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers import AutoConfig, AutoModelForCausalLM

from mmft_chat.backbone import ChatBackbone, answer_in
from mmft_chat.building import build_chat_lm
from mmft_chat.conversations import Conversation, ToolCall, asked
from mmft_chat.loss import chunked_nats, mean_nats
from mmft_chat.metrics import exact_match, token_f1
from mmft_chat.options import ChatBackboneOptions, ChatOptions
from mmft_chat.packing import shared_rows
from mmft_chat.processing import ChatProcessor
from mmft_chat.scratch import CHATML
from mmft_chat.task import Chat
from mmft_core.contracts import BackboneContext, Batch, DatasetInfo
from mmft_core.errors import IncompatibleError, WeightsError
from mmft_core.weights import WeightsRequest
from mmft_transformers.tokenizers import train
from tests.chat.tools import LONGER, PLAIN, SYSTEM, turn

CHATS = [Conversation(messages) for messages in (PLAIN, LONGER, SYSTEM, (*SYSTEM, *LONGER))]

_SMALL = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3": {},
    "gemma2": {"final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8},
    "cohere": {"logit_scale": 0.25},
    "granite": {"logits_scaling": 4.0},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 16},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "mistral": {},
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    texts = [message.answer for chat in CHATS for message in chat.messages]
    found = train(texts, 380, "causal")
    found.add_special_tokens(
        {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}
    )
    found.chat_template = CHATML
    return found


def backbone(tokenizer: Any, family: str = "llama", **options: Any) -> ChatBackbone:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **(_SMALL | FAMILIES.get(family, {})))
    network = AutoModelForCausalLM.from_config(config).eval()
    return ChatBackbone(network, copy.deepcopy(tokenizer), ChatBackboneOptions(**options))


def collated(
    processor: ChatProcessor, chats: Sequence[Conversation] = CHATS, *, training: bool = True
) -> dict[str, Tensor]:
    return processor.collate([processor.prepare(chat, train=training) for chat in chats])


# --- what is learned ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("learn", "expected"),
    [
        ("assistant", ["Hi, good day<|im_end|>", "Nothing more<|im_end|>"]),
        ("last", ["Nothing more<|im_end|>"]),
    ],
)
def test_learned_tokens_are_those_of_the_assistant(
    tokenizer: Any, learn: Any, expected: list[str]
) -> None:
    model = backbone(tokenizer)
    items = model.packed(join=False, learn=learn).prepare(CHATS[1], train=True)
    tokens = items["tokens"][items["learned"]]
    assert tokenizer.decode(tokens) == "".join(expected)


def test_learned_tokens_are_shown_turn_by_turn(tokenizer: Any) -> None:
    processor = backbone(tokenizer).packed(join=False, learn="last")
    chat = Conversation((*LONGER[:3], turn("assistant", "zwölf 🙂")))
    parts = processor.show_learned(chat)
    assert [part.label for part in parts] == ["user", "assistant", "user", "assistant"]
    shown = ["".join(token.text for token in part.tokens) for part in parts]
    assert "".join(shown) == processor.template.render(chat.messages)
    learned = [token for part in parts for token in part.tokens if token.learned]
    assert "".join(token.text for token in learned) == "zwölf 🙂<|im_end|>"
    items = processor.prepare(chat, train=True)
    assert sum(token.count for token in learned) == int(items["learned"].sum())
    question = processor.show_learned(Conversation(LONGER[:3]))
    assert not any(token.learned for part in question for token in part.tokens)


def test_all_tokens_are_learned_where_that_is_asked_for(tokenizer: Any) -> None:
    items = backbone(tokenizer).packed(join=False, learn="all").prepare(CHATS[0], train=True)
    assert items["learned"].all()


def test_a_prompt_ends_where_the_answer_begins(tokenizer: Any) -> None:
    processor = pickle.loads(pickle.dumps(backbone(tokenizer).processor))
    items = processor.prepare(CHATS[0], train=False)
    question = processor.prepare(asked("Hello there"), train=False)
    assert torch.equal(items["prompt"], question["prompt"])
    assert tokenizer.decode(items["prompt"]).endswith("<|im_start|>assistant\n")


def test_a_long_chat_is_refused_or_loses_whole_turns(tokenizer: Any) -> None:
    """The first ones: the answer that it is judged by stays."""
    last = Conversation(LONGER[2:])
    length = backbone(tokenizer).processor.measure(last)
    short = backbone(tokenizer, max_length=length + 2).processor
    with pytest.raises(ValueError, match=r"tokens long, and the model reads"):
        short.inspect(CHATS[1], train=True)
    cut = replace(short, overlong="truncate")
    assert "its first turns left out" in (cut.inspect(CHATS[1], train=True) or "")
    assert torch.equal(
        cut.prepare(CHATS[1], train=True)["tokens"], cut.prepare(last, train=True)["tokens"]
    )
    open_end = Conversation(LONGER[:3])
    with pytest.raises(ValueError, match=r"tokens long, and the model reads"):
        short.inspect(open_end)
    assert "its first turns left out" in (cut.inspect(open_end) or "")
    question = Conversation(LONGER[2:3])
    assert torch.equal(
        cut.prepare(open_end, train=False)["prompt"], cut.prepare(question, train=False)["prompt"]
    )
    with pytest.raises(ValueError, match="even without its earlier turns"):
        cut.inspect(Conversation((turn("user", "long " * 99), turn("assistant", "x"))), train=True)


@pytest.mark.parametrize("answers", [(), ("Hi",)], ids=["open", "answered"])
def test_half_of_a_character_is_refused(tokenizer: Any, answers: Sequence[str]) -> None:
    chat = (turn("user", "\ud83d"), *(turn("assistant", text) for text in answers))
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        backbone(tokenizer).processor.inspect(Conversation(chat))


# --- losses ---------------------------------------------------------------------------------------


def test_the_loss_in_chunks_is_the_plain_one() -> None:
    """Values and gradients, to 1e-5."""
    torch.manual_seed(0)
    states, head = torch.randn(37, 16, requires_grad=True), torch.nn.Linear(16, 50)
    targets = torch.randint(50, (37,))
    plain = F.cross_entropy(head(states), targets)
    expected = torch.autograd.grad(plain, [states, *head.parameters()])
    weights = list(head.parameters())
    both = (chunked_nats, lambda *given: mean_nats(*given, weights))
    for nats, chunk in itertools.product(both, (1, 8, 100)):
        own = nats(states, targets, head, chunk).mean()
        found = torch.autograd.grad(own, [states, *head.parameters()])
        torch.testing.assert_close(own, plain, atol=1e-6, rtol=1e-5)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_the_mean_loss_is_scaled_as_any_other_and_computed_in_bf16() -> None:
    torch.manual_seed(0)
    states, head = torch.randn(37, 16, requires_grad=True), torch.nn.Linear(16, 50, bias=False)
    targets, known = torch.randint(50, (37,)), [states, head.weight]
    with torch.autocast("cpu", torch.bfloat16):
        expected = torch.autograd.grad(3 * F.cross_entropy(head(states).float(), targets), known)
        found = torch.autograd.grad(3 * mean_nats(states, targets, head, 8, [head.weight]), known)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=2e-2)


@pytest.mark.parametrize(
    ("lengths", "rows"),
    [
        ([10, 10, 10, 10], 4),  # Without padding; the shorter, the less is attended to.
        ([10, 6, 4, 3, 7], 3),
        ([90, 30, 30, 30], 2),
        ([60, 60, 60], 3),
        ([120, 5], 2),  # Longer than a row may be.
    ],
)
def test_rows_are_short_and_hold_little_padding(lengths: list[int], rows: int) -> None:
    found = shared_rows(lengths, 100, in_order=False)
    assert sorted(k for row in found for k in row) == list(range(len(lengths)))
    assert len(found) == rows
    assert max(sum(lengths[k] for k in row) for row in found) <= max(100, *lengths)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_that_of_transformers(tokenizer: Any, family: str) -> None:
    """Also of families that scale or cap their logits, or whose states are not the last ones."""
    model = backbone(tokenizer, family)
    processor = model.packed(join=False, learn="assistant")
    inputs = collated(processor)
    nats, _ = model.learned_nats(inputs, 5)
    mask = inputs["samples"] >= 0
    labels = inputs["tokens"].masked_fill(~inputs["learned"], -100)
    plain = model.network(inputs["tokens"], attention_mask=mask.long(), labels=labels).loss
    torch.testing.assert_close(nats.mean(), plain, atol=1e-5, rtol=1e-5)
    weights = [p for p in model.parameters() if p.requires_grad]
    mean = model.learned_mean(inputs, 5)
    torch.testing.assert_close(mean, plain, atol=1e-5, rtol=1e-5)
    given = [torch.autograd.grad(loss, weights, allow_unused=True) for loss in (mean, plain)]
    torch.testing.assert_close(*given, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2"])
def test_packed_chats_have_the_loss_and_gradients_of_lone_ones(tokenizer: Any, family: str) -> None:
    found = []
    for join in (False, True):
        model = backbone(tokenizer, family)
        inputs = collated(model.packed(join=join, learn="assistant"))
        assert (len(inputs["tokens"]) < len(CHATS)) is join
        nats, samples = model.learned_nats(inputs, 64)
        nats.mean().backward()
        each = torch.zeros(len(CHATS)).index_add(0, samples, nats.detach())
        found.append((each, [p.grad for p in model.parameters()]))
    (one, own), (other, theirs) = found
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    for left, right in zip(own, theirs, strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-4)


def test_a_network_that_mixes_packed_chats_is_refused(tokenizer: Any) -> None:
    config = AutoConfig.for_model(
        "mamba", vocab_size=400, hidden_size=32, num_hidden_layers=2, state_size=4
    )
    network = AutoModelForCausalLM.from_config(config)
    model = ChatBackbone(network, copy.deepcopy(tokenizer), ChatBackboneOptions())
    with pytest.raises(IncompatibleError, match="type mamba cannot keep packed chats apart"):
        Chat(model, ChatOptions(packing=True))
    assert not Chat(model, ChatOptions()).processor.join
    assert Chat(backbone(tokenizer), ChatOptions()).processor.join


# --- writing --------------------------------------------------------------------------------------


def batch_of(task: Chat, chats: Sequence[Conversation]) -> Batch:
    inputs = collated(task.processor, chats, training=False)
    answers = {"text": [chat.answer for chat in chats]}
    return Batch(inputs={"chat": inputs}, targets=answers, ids=[str(k) for k in range(len(chats))])


def test_chats_are_learned_by_heart_and_written(tokenizer: Any) -> None:
    """A few steps suffice for two answers; each is written alike alone and in a batch."""
    chats = [
        Conversation((turn("user", "One?"), turn("assistant", "Hi, good day"))),
        Conversation((turn("system", "Be kind"), turn("user", "Two?"), turn("assistant", "No"))),
    ]
    task = Chat(backbone(tokenizer), ChatOptions(max_new_tokens=12))
    optimizer = torch.optim.AdamW(task.parameters(), lr=1e-2)
    batch = batch_of(task, chats)
    task.train()
    for _ in range(60):
        optimizer.zero_grad()
        loss = task(batch).loss
        loss.backward()
        optimizer.step()
    task.eval()
    outputs = task(batch)
    assert outputs.predictions == ["Hi, good day", "No"] == outputs.targets
    assert task.decode(outputs.predictions)[1] == {"answer": "No"}
    assert [task(batch_of(task, [chat])).predictions[0] for chat in chats] == outputs.predictions
    assert task.weight(batch) == int(batch.inputs["chat"]["learned"].sum())


@pytest.mark.parametrize("family", ["llama", "rwkv"])
def test_what_is_written_does_not_depend_on_the_batch(tokenizer: Any, family: str) -> None:
    """Though one prompt leaves little room, and some networks read padding."""
    task = Chat(backbone(tokenizer, family), ChatOptions(max_new_tokens=12)).eval()
    chats = [CHATS[0], CHATS[3]]
    batch = batch_of(task, chats)
    task.model.positions = batch.inputs["chat"]["prompt"].shape[1] + 4
    alone = [task(batch_of(task, [chat])).predictions[0] for chat in chats]
    assert task(batch).predictions == alone


def test_an_answer_is_compared_with_what_the_template_renders(tokenizer: Any) -> None:
    """Such as a call of a tool; also where chats share rows."""
    called = turn("assistant", "", "", ToolCall("f", {"a": 1}))
    chats = [*CHATS, Conversation((turn("user", "Call it"), called))]
    task = Chat(backbone(tokenizer), ChatOptions())
    assert task.targets_of(batch_of(task, chats)) == [
        *(chat.answer for chat in CHATS),
        '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>',
    ]


def test_an_answer_is_what_stands_behind_a_thought() -> None:
    assert answer_in("<think>\nwell\n</think>\n\nYes") == "Yes"
    assert answer_in(" Yes ") == "Yes"


# --- weights --------------------------------------------------------------------------------------


def context(choice: str, **more: Any) -> BackboneContext:
    return BackboneContext(
        weights=WeightsRequest(choice, "chat"), info=DatasetInfo(name=""), needs=("chat",), **more
    )


def test_a_folder_of_transformers_is_loaded_and_reloaded(tokenizer: Any, tmp_path: Path) -> None:
    model = backbone(tokenizer)
    folder = tmp_path / "weights"
    model.network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loaded = build_chat_lm(ChatBackboneOptions(), context(str(folder)))
    inputs = collated(model.processor)
    nats, _ = model.learned_nats(inputs, 64)
    torch.testing.assert_close(loaded.learned_nats(collated(loaded.processor), 64)[0], nats)
    (tmp_path / "assets").mkdir()
    loaded.save_assets(tmp_path / "assets")
    again = build_chat_lm(ChatBackboneOptions(), context("run", assets=tmp_path / "assets"))
    again.load_state_dict(loaded.state_dict())
    torch.testing.assert_close(again.learned_nats(collated(again.processor), 64)[0], nats)


def test_weights_without_a_template_are_refused_and_can_be_given_one(
    tokenizer: Any, tmp_path: Path
) -> None:
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    backbone(tokenizer).network.save_pretrained(tmp_path)
    bare.save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="has no chat template") as told:
        build_chat_lm(ChatBackboneOptions(), context(str(tmp_path)))
    assert "backbone.chat_template=FILE" in str(told.value.hint)
    (tmp_path / "chat.jinja").write_text(CHATML)
    options = ChatBackboneOptions(chat_template=str(tmp_path / "chat.jinja"))
    model = build_chat_lm(options, context(str(tmp_path)))
    assert model.processor.template.marks


# --- metrics --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "exact", "f1"),
    [
        ("The cat.", "cat", 1, 1),
        ("-5", "5", 0, 0),
        ("3.14", "314", 0, 0),
        ("a b c", "b c d", 0, 0.8),
        ("the", "the", 1, 1),
        ("", "x", 0, 0),
        ("Größe!", "größe", 1, 1),
    ],
)
def test_answers_are_compared_by_their_words(one: str, other: str, exact: int, f1: float) -> None:
    assert exact_match(one, other) == exact
    assert token_f1(one, other) == pytest.approx(f1, abs=1e-9)
