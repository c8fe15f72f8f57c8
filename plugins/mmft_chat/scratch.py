"""Models that start from random weights: their chat template, and a tokenizer of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from transformers import PreTrainedTokenizerFast

from mmft_core.contracts import Split
from mmft_core.errors import SampleError
from mmft_transformers.tokenizers import train

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ (message['content'] or '') }}"
    "{% for call in message['tool_calls'] or [] %}"
    "{{ '<tool_call>' + (call['function'] | tojson) + '</tool_call>' }}"
    "{% endfor %}{{ '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The template of language models, in the manner of ChatML."""

_START, _END = "<|im_start|>", "<|im_end|>"


def chatml_with(image: str = "", audio: str = "") -> str:
    """The template of models that see or hear.

    Args:
        image, audio: what stands for a picture, and for a recording.
    """
    marks = {"image": image, "audio": audio}
    cases = "".join(
        f"{{% if part['type'] == '{kind}' %}}{{{{ '{mark}' }}}}{{% endif %}}"
        for kind, mark in marks.items()
        if mark
    )
    return (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
        "{% for part in message['content'] %}"
        f"{cases}{{% if part['type'] == 'text' %}}{{{{ part['text'] }}}}{{% endif %}}"
        "{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )


def random_tokenizer(
    split: Split | None, vocabulary: int, *special: str, named: Mapping[str, str] | None = None
) -> Any:
    """A tokenizer trained on all that is said in a split, with the tokens of ChatML.

    Args:
        special: other tokens that stand for themselves.
        named: such tokens by the attribute that a family's processor finds them under.
    """
    own = dict(named or {})
    tokens = [_START, _END, *special, *own.values()]
    trained = train(_texts(split), vocabulary - len(tokens), "causal")
    trained.add_special_tokens({"eos_token": _END, "additional_special_tokens": tokens})
    if not own:
        return trained
    return PreTrainedTokenizerFast(
        tokenizer_object=trained.backend_tokenizer,
        pad_token=trained.pad_token,
        bos_token=trained.bos_token,
        eos_token=_END,
        additional_special_tokens=tokens,
        extra_special_tokens=own,
    )


def _texts(split: Split | None) -> Iterator[str]:
    """All that is said in a split, and by whom; of chats that cannot be read the check tells."""
    for index in range(0 if split is None else len(split)):
        try:
            chat = split.input(index, "chat")  # type: ignore[union-attr]
        except SampleError:
            continue
        for message in (*chat.messages, *chat.rejected):
            yield from (message.role, message.answer)
