"""Requests and answers in the form of OpenAI's API, typed."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from mmft_serve.chatting import ChatAnswer
from mmft_serve.refused import RefusedError

T = TypeVar("T")

_UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "functions": (),
    "function_call": ("auto", "none"),
}
"""What changes an answer and is not done here, with the values that change nothing."""


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """What is asked at `/v1/chat/completions`. What else a client sends is for others."""

    model: str
    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def offered(self) -> list[dict[str, Any]]:
        """The tools that the model may call."""
        return [] if self.tool_choice == "none" else self.tools or []

    def wishes(self) -> dict[str, Any]:
        """How the answer is to be written; see `mmft_serve.chatting.Question`."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return {
            "max_tokens": self.max_completion_tokens or self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": [text for text in stop if text],
        }


class EmbeddingsRequest(msgspec.Struct):
    """What is asked at `/v1/embeddings`."""

    model: str
    input: str | Annotated[list[str], Meta(min_length=1, max_length=2048)]
    encoding_format: str = "float"
    dimensions: int | None = None


def read_chat_request(content: Mapping[str, Any]) -> ChatRequest:
    """A request for an answer.

    Raises:
        RefusedError: it is not one, or asks for what is not done here.
    """
    for name, harmless in _UNSUPPORTED.items():
        value = content.get(name)
        if value is not None and value not in harmless:
            sentence = f"'{name}' is not supported by this server."
            raise RefusedError(400, sentence, code="unsupported_parameter")
    request = converted(content, ChatRequest)
    if request.tool_choice not in (None, "auto", "none"):
        raise RefusedError(400, "'tool_choice' can be auto or none.")
    return request


def converted(content: Mapping[str, Any], kind: type[T]) -> T:
    """A request as its type has it.

    Raises:
        RefusedError: it is another.
    """
    try:
        return msgspec.convert(dict(content), kind)
    except msgspec.ValidationError as error:
        raise RefusedError(400, f"The request is not valid: {error}.") from None


@dataclass(frozen=True)
class Completion:
    """An answer on its way: all that is sent of it has this in common."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, answer: ChatAnswer) -> dict[str, Any]:
        """The answer at once."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        calls = _calls(answer)
        if calls:
            message |= {"tool_calls": calls, "content": answer.text or None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _end(answer)}
        return {**self._own("chat.completion"), "choices": [choice], "usage": _usage(answer)}

    def begin(self) -> dict[str, Any]:
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, thought: str, said: str) -> dict[str, Any]:
        return self._chunk({"reasoning_content": thought} if thought else {"content": said})

    def ending(self, answer: ChatAnswer) -> list[dict[str, Any]]:
        """What is sent after the last piece: calls of tools, and why it ends."""
        calls = [{"index": k, **call} for k, call in enumerate(_calls(answer))]
        made = [self._chunk({"tool_calls": calls})] if calls else []
        return [*made, self._chunk({}, _end(answer))]

    def usage(self, answer: ChatAnswer) -> dict[str, Any]:
        chunk = self._own("chat.completion.chunk")
        return {**chunk, "choices": [], "usage": _usage(answer)}

    def _chunk(self, delta: Mapping[str, Any], ending: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": ending}
        return {**self._own("chat.completion.chunk"), "choices": [choice]}

    def _own(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def event(content: Mapping[str, Any] | str) -> bytes:
    """A server-sent event."""
    text = content if isinstance(content, str) else json.dumps(content)
    return f"data: {text}\n\n".encode()


def models(names: Sequence[str], created: int) -> dict[str, Any]:
    """What `/v1/models` lists."""
    return {"object": "list", "data": [model(name, created) for name in names]}


def model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "mmft"}


def _end(answer: ChatAnswer) -> str:
    return "tool_calls" if answer.calls else answer.ending


def _calls(answer: ChatAnswer) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{uuid.uuid4().hex[:24]}",
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": json.dumps(dict(call.arguments), ensure_ascii=False),
            },
        }
        for call in answer.calls
    ]


def _usage(answer: ChatAnswer) -> dict[str, int]:
    prompt, written = answer.prompt_tokens, answer.completion_tokens
    total = prompt + written
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": total}
