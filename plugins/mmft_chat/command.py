"""`mmft chat`: talk to a model in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core.cli import echo, echo_data, later_settings, set_option
from mmft_core.errors import DataError, IncompatibleError

if TYPE_CHECKING:
    from mmft_chat.conversations import Conversation, Message
    from mmft_chat.task import Chat

_NEW = "/new"


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--system", help="System message that each chat begins with.")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Picture that the first question is about; can be repeated.",
)
@set_option("A setting of the task, as task.sample=true.")
def chat(
    run_dir: Path, system: str | None, images: tuple[Path, ...], assignments: tuple[str, ...]
) -> None:
    """Chat with the model in RUN_DIR, which sees all turns so far.

    Each line is a turn; answers appear while they are written. A line with /new starts over, an
    empty line or the end of the input ends it.

    \b
    mmft chat runs/helper --system 'Answer in one sentence.'
    mmft chat runs/seer --image photo.jpg
    mmft chat runs/helper --set task.sample=true --set task.temperature=0.7
    """
    from mmft_chat.conversations import Conversation, Message, Part
    from mmft_chat.media import check_media
    from mmft_core.errors import first_line

    task = _task(run_dir, assignments)
    first = [Message("system", (Part("text", system),))] if system else []
    for image in images:
        try:
            check_media(image, "image")
        except ValueError as error:
            raise DataError(f"{image}: {error}.") from None
    messages: list[Message] = list(first)
    for line in _lines():
        if line.strip() == _NEW:
            messages = list(first)
            continue
        begins = len(messages) == len(first)
        pictures = [Part("image", media=image) for image in images] if begins else []
        messages.append(Message("user", (*pictures, Part("text", line))))
        try:
            answer = _answer(task, Conversation(tuple(messages)))
        except ValueError as error:
            raise DataError(f"The model cannot take the chat: {first_line(error)}.") from None
        messages.append(Message("assistant", (Part("text", answer),)))


def _task(run_dir: Path, assignments: tuple[str, ...]) -> Chat:
    """The model of a run.

    Raises:
        IncompatibleError: it does not chat.
    """
    from mmft_chat.task import Chat
    from mmft_core import discover
    from mmft_core.inference import opening

    loaded = opening.load(run_dir, discover(), later_settings(assignments, ("task",)))
    if not isinstance(loaded.task, Chat):
        raise IncompatibleError(
            f"{run_dir} is a model of the task {loaded.component.name}, which does not chat.",
            hint="Train one: mmft run --task chat --backbone chat-lm",
        )
    loaded.task.eval()
    return loaded.task


def _answer(task: Chat, chat: Conversation) -> str:
    """Write an answer, and print it meanwhile."""

    def show(piece: str) -> None:
        echo_data(piece, nl=False)

    task.processor.inspect(chat)
    inputs = task.processor.collate([task.processor.prepare(chat, train=False)])
    (answer,) = task.model.write(inputs, task.generation, show=show)
    echo()
    return answer


def _lines() -> Iterator[str]:
    """What is typed, line by line; of a terminal with a prompt."""
    stream = click.get_text_stream("stdin")
    asks = stream.isatty()
    while True:
        if asks:
            echo_data("> ", nl=False)
        try:
            line = stream.readline().rstrip("\r\n")
        except UnicodeDecodeError:
            raise DataError("Standard input is not UTF-8.", hint="Give text in UTF-8.") from None
        if not line.strip():
            return
        yield line
