"""What a task needs so that its model is chatted with: at `/v1/chat/completions` and on the page.

A class that has the methods has the capability; it need not know this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mmft_core.contracts import Extent

Show: TypeAlias = Callable[[str, str], bool]
"""Told a piece of what is thought, and one of what is said. One of them is empty, or both, to learn
whether the rest of the answer is still wanted, which is what it says."""


class Call(Protocol):
    """A call of a tool."""

    @property
    def name(self) -> str: ...

    @property
    def arguments(self) -> Mapping[str, Any]: ...


class ChatAnswer(Protocol):
    """An answer.

    Attributes:
        reasoning: what was thought before; "" for nothing.
        prompt_tokens, completion_tokens: of the chat and of what was written.
        ending: "stop" where the answer came to its end, "length" where it was cut off.
    """

    @property
    def text(self) -> str: ...

    @property
    def reasoning(self) -> str: ...

    @property
    def calls(self) -> Sequence[Call]: ...

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def completion_tokens(self) -> int: ...

    @property
    def ending(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Question:
    """A prepared chat, and how it is to be answered. What is None is up to the task.

    Attributes:
        prepared: what `prepare_chat` made of it.
        show: is told the answer piece by piece.
        end: is told the answer once it is written, while others may not be.
        temperature: of sampling; 0 for the most probable answer.
        stop: texts before which the answer ends.
    """

    prepared: Any
    show: Show
    end: Callable[[Any], None]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()


@runtime_checkable
class Chatting(Protocol):
    """A task whose model answers chats.

    Attributes:
        chat_media: what it sees or hears beside text: "image", "audio".
    """

    @property
    def chat_media(self) -> Sequence[str]: ...

    def prepare_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        check: Callable[[Extent], None],
    ) -> Any:
        """Prepare a chat in OpenAI's form; called in several threads. It opens no file that the
        messages name.

        Args:
            check: to be told how much the chat holds before it is decoded; raises where that is
                too much.

        Raises:
            ValueError: the model cannot answer it; the message, a part of a sentence, says why.
        """

    def answer_chats(self, questions: Sequence[Any]) -> None:
        """Answer chats, each as if it were alone; called in one thread.

        Args:
            questions: each a `Question`.
        """
