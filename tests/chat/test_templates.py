"""What is learned of a chat, for the real templates of model families."""

from __future__ import annotations

import pytest

from mmft_chat.conversations import Message, Part, ToolCall
from mmft_chat.learned import prompt_of, rendered
from mmft_chat.processing import in_spans
from mmft_chat.templates import Template
from tests.chat import tools
from tests.chat.tools import (
    LONGER,
    PLAIN,
    SYSTEM,
    THOUGHT,
    THOUGHT_TWICE,
    TOOLS,
    WEATHER,
    real_template,
    turn,
)

CHATS = {"plain": PLAIN, "longer": LONGER, "system": SYSTEM, "tools": TOOLS}

WITH_TWIN = (
    "cohere", "cohere2", "deepseek_r1_distill", "deepseekv3", "diffusion_gemma", "gemma", "gemma3",
    "glm4moe", "gptoss", "idefics3", "lfm2", "lfm2_v2", "llama3", "llava_next", "muse_glimmer",
    "nemotron_3_5_lightning", "nemotron_3_nano", "nemotron_3_super", "nemotron_3_ultra", "phi3",
    "phi3_5", "qwen2_5", "qwen2_5_vl", "qwen3", "qwen3_5_nothink", "qwen3_5_think", "qwen3_6",
    "qwen3_8", "qwen3_instruct_2507", "qwen3_vl", "smolvlm",
)  # fmt: skip
EMPTY_THOUGHT = "<think>\n\n</think>\n\n"
"""What the twins of Qwen write before every answer, and the templates before the last one only."""

_GEMMA_CALL = '<|tool_call>call:get_weather{city:<|"|>Rome<|"|>}<tool_call|>'
_LLAMA_CALL = '{"name": "get_weather", "parameters": {"city": "Rome"}}<|eot_id|>'
_LFM_CALL = "<|tool_call_start|>[get_weather(city='Rome')]<|tool_call_end|><|im_end|>"
_QWEN_CALL = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n"
    "</tool_call><|im_end|>"
)


def gemma(called: str) -> dict[str, list[str]]:
    return {
        "longer": ["Hi, good day<turn|>", "Nothing more<turn|>"],
        "tools": [called, "It is sunny.<turn|>", "Welcome<turn|>"],
    }


def llama() -> dict[str, list[str]]:
    return {
        "longer": ["Hi, good day<|eot_id|>", "Nothing more<|eot_id|>"],
        "tools": [_LLAMA_CALL, "It is sunny.<|eot_id|>", "Welcome<|eot_id|>"],
    }


def lfm() -> dict[str, list[str]]:
    return {
        "longer": ["Hi, good day<|im_end|>", "Nothing more<|im_end|>"],
        "tools": [_LFM_CALL, "It is sunny.<|im_end|>", "Welcome<|im_end|>"],
    }


COUNTED = {
    "gemma4": gemma(f"{_GEMMA_CALL}<|tool_response>"),
    "gemma4_v2": gemma(f"{_GEMMA_CALL}<turn|>"),
    "gemma4_v3": gemma(f"{_GEMMA_CALL}<|tool_response>"),
    "gemma4_v4": gemma(f"{_GEMMA_CALL}<|tool_response>"),
    "gemma4_v5": gemma(f"{_GEMMA_CALL}<|tool_response>"),
    "llama3_1": llama(),
    "llama3_2": llama(),
    "lfm2_2_5": lfm(),
    "lfm2_2_5_v2": lfm(),
    "lfm2_2_5_vl": lfm(),
    # Its generation prompt after a tool lacks the header, which the model then has to write.
    "diffusion_gemma": {
        "tools": [
            f"{_GEMMA_CALL}<|tool_response>",
            "<|turn>model\nIt is sunny.<turn|>",
            "Welcome<turn|>",
        ]
    },
    # Thoughts of turns before the last question are left out, empty ones too; the generation prompt
    # of Qwen 3.5 and 3.6 begins one.
    "qwen3": {"longer": ["Hi, good day<|im_end|>", f"{EMPTY_THOUGHT}Nothing more<|im_end|>"]},
    "qwen3_5_think": {
        "longer": ["Hi, good day<|im_end|>", "\n</think>\n\nNothing more<|im_end|>"],
        "tools": [_QWEN_CALL, "It is sunny.<|im_end|>", "\n</think>\n\nWelcome<|im_end|>"],
    },
    "qwen3_5_nothink": {
        "longer": ["Hi, good day<|im_end|>", "Nothing more<|im_end|>"],
        "tools": [_QWEN_CALL, "It is sunny.<|im_end|>", "Welcome<|im_end|>"],
    },
    "phi3": {"longer": ["Hi, good day<|end|>", "Nothing more<|end|>\n<|endoftext|>"]},
    "glm4moe": {"plain": ["\n<think></think>\nHi, good day<|user|>"]},
}


def learned(template: Template, name: str) -> list[str]:
    """What is learned of a chat, turn by turn."""
    found = rendered(template, CHATS[name], (WEATHER,) if name == "tools" else (), "assistant")
    return [found.text[start:end] for start, end in found.spans]


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("name", WITH_TWIN)
def test_what_is_learned_is_what_the_training_twin_marks(name: str, chat: str) -> None:
    """All but what the generation prompt gives, which a model never writes."""
    template, twin = real_template(name), real_template(f"{name}_training")
    if template is None or twin is None:
        pytest.skip("this version of trl does not carry it")
    if chat in COUNTED.get(name, {}):
        return
    try:
        expected = learned(twin, chat)
    except ValueError as refusal:
        with pytest.raises(ValueError) as told:
            learned(template, chat)
        assert str(told.value).partition(":")[0] == str(refusal).partition(":")[0]
        return
    assistants = [k for k, message in enumerate(CHATS[chat]) if message.role == "assistant"]
    for k, own, theirs in zip(assistants, learned(template, chat), expected, strict=True):
        tools = (WEATHER,) if chat == "tools" else ()
        given = template.render(CHATS[chat][:k], tools, prompt=True)
        assert theirs.endswith(own)
        rest = theirs.removesuffix(own)
        assert rest in given or rest == EMPTY_THOUGHT


@pytest.mark.parametrize(("name", "chat"), [(n, c) for n, own in COUNTED.items() for c in own])
def test_what_is_learned_is_what_was_counted_by_hand(name: str, chat: str) -> None:
    template = real_template(name)
    if template is None:
        pytest.skip("this version of trl does not carry it")
    assert learned(template, chat) == COUNTED[name][chat]


@pytest.mark.parametrize(
    ("name", "messages", "reason"),
    [
        ("gemma", SYSTEM, "refuses it: System role not supported"),
        ("llama3", THOUGHT, "drops the reasoning of turn 2"),
        ("deepseek_r1_distill", THOUGHT, "drops the reasoning of turn 2"),
        ("qwen3", THOUGHT_TWICE, "drops the reasoning of turn 2"),
        ("llama3", TOOLS, "drops the tool call of turn 2"),
        ("phi3", TOOLS, r"leaves out turn 3 \(tool\)"),
    ],
)
def test_what_a_template_cannot_render_is_refused(
    name: str, messages: tuple[Message, ...], reason: str
) -> None:
    template = real_template(name)
    assert template is not None
    with pytest.raises(ValueError, match=reason):
        rendered(template, messages, (), "assistant")


def test_thoughts_of_the_last_turn_are_learned_where_the_earlier_ones_are_dropped() -> None:
    template = real_template("qwen3")
    assert template is not None
    found = rendered(template, THOUGHT_TWICE, (), "last")
    ((start, end),) = found.spans
    assert found.text[start:end] == "<think>\nnothing left\n</think>\n\nNothing more<|im_end|>"
    assert found.begins == start


def test_an_inline_thought_that_a_template_drops_is_refused() -> None:
    template = real_template("deepseek_r1_distill")
    assert template is not None
    chat = (turn("user", "Hello"), turn("assistant", "<think>polite</think>Hi"))
    with pytest.raises(ValueError, match="drops a part of the text of turn 2"):
        rendered(template, chat, (), "assistant")


@pytest.mark.parametrize("name", ["qwen2_5", "phi3", "llava_next", "qwen3_5_think", "gemma4"])
def test_a_prompt_is_what_stands_before_the_answer_in_training(name: str) -> None:
    template = real_template(name)
    assert template is not None
    whole = rendered(template, LONGER, (), "assistant")
    assert prompt_of(template, LONGER[:-1], ()) == whole.text[: whole.begins]


# --- templates of our own -------------------------------------------------------------------------


def own(source: str, *special: str) -> Template:
    return Template(source, {}, frozenset(special))


def test_an_end_that_the_template_does_not_mark_is_learned_all_the_same() -> None:
    marked = (
        "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<e>"
        "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    found = rendered(own(marked, "<e>", "<user>", "<assistant>"), LONGER, (), "assistant")
    assert [found.text[a:b] for a, b in found.spans] == ["Hi, good day<e>", "Nothing more<e>"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
            "{% if add_generation_prompt %}assistant: {% endif %}",
            "does not end answers with a special token",
        ),
        (
            "{% for m in messages %}{% if m.role != 'assistant' %}{{ m.content }}<e>{% endif %}"
            "{% endfor %}",
            "leaves out what the assistant says",
        ),
        (
            "{% for m in messages %}{% if m.role != 'system' %}<{{ m.role }}>{{ m.content }}<e>"
            "{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
            r"leaves out turn 1 \(system\)",
        ),
        (
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}<e>{% endfor %}"
            "{% if add_generation_prompt %}<reply>{% endif %}",
            "the start of turn 3 cannot be proven",
        ),
        (
            "{% for m in messages %}<{{ m.role }}>{{ m.content | upper }}<e>{% endfor %}"
            "{% if add_generation_prompt %}<assistant>{% endif %}",
            "leaves out",
        ),
        ("{% for m in messages %}{{ m.content.nothing.at.all }}{% endfor %}", "refuses it"),
    ],
)
def test_what_cannot_be_proven_is_refused(source: str, reason: str) -> None:
    template = own(source, "<e>", "<user>", "<assistant>", "<system>", "<reply>")
    with pytest.raises(ValueError, match=reason):
        rendered(template, SYSTEM, (), "assistant")


def test_arguments_are_json_where_a_template_wants_them_so() -> None:
    source = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content or '' }}"
        "{% for c in m.tool_calls or [] %}{{ c.function.name + '(' + c.function.arguments + ')' }}"
        "{% endfor %}<e>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    called = turn("assistant", "", "", ToolCall("f", {"a": "b"}))
    template = own(source, "<e>", "<user>", "<assistant>")
    found = rendered(template, (turn("user", "x"), called), (), "assistant")
    ((start, end),) = found.spans
    assert found.text[start:end] == 'f({"a": "b"})<e>'


def test_tokens_are_learned_that_have_a_part_in_a_span() -> None:
    """Also where offsets leave out spaces, and where several tokens are bytes of one character."""
    offsets = [(0, 4), (4, 4), (5, 7), (7, 8), (7, 8), (8, 9)]  # The space at 4 is left out.
    assert in_spans(offsets, [(5, 8)]).tolist() == [False, False, True, True, True, False]
    assert in_spans(offsets, [(8, 9)]).tolist() == [False] * 5 + [True]
    assert in_spans([], [(0, 1)]).tolist() == []


def test_no_template_is_forgotten() -> None:
    """Each that the installed trl carries is tried here."""
    names = {file.stem for file in tools.templates_of_trl().glob("*.jinja")}
    plain = {name for name in names if not name.endswith("_training")}
    assert plain <= {*WITH_TWIN, *COUNTED}


def test_parts_are_joined_where_all_of_them_are_texts() -> None:
    template = real_template("qwen2_5")
    assert template is not None
    message = Message("user", (Part("text", "one "), Part("text", "two")))
    assert template.as_dict(message)["content"] == "one two"
