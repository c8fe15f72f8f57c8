"""`mmft chat`: talk to a model in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core.cli import echo, echo_data, later_settings, set_option
from mmft_core.errors import DataError, IncompatibleError
from mmft_core.utils import user_path

if TYPE_CHECKING:
    from mmft_chat.conversations import Conversation, Kind, Part
    from mmft_chat.task import Chat

_HELP = """/image PATH   a picture that the next question is about; /audio PATH a recording
/reset        start over
/help         this help
An empty line ends the chat."""


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
@set_option("A setting of the task, such as task.sample=true.")
def chat(
    run_dir: Path, system: str | None, images: tuple[Path, ...], assignments: tuple[str, ...]
) -> None:
    """Chat with the model in RUN_DIR, which sees all turns so far.

    Each line is a turn; answers appear as they are generated. /image PATH adds a picture to the
    next question, /reset starts over, /help lists all of this. An empty line or the end of the
    input ends the chat.

    \b
    mmft chat runs/helper --system 'Answer in one sentence.'
    mmft chat runs/seer --image photo.jpg
    mmft chat runs/helper --set task.sample=true --set task.temperature=0.7
    """
    from mmft_chat.conversations import Conversation, Message, Part
    from mmft_chat.held import kind_of
    from mmft_core.errors import first_line

    task = _task(run_dir, assignments)
    first = [Message("system", (Part("text", system),))] if system else []
    shown = [_part(image, "image", task) for image in images]
    messages, attached = list(first), list(shown)
    for line in _lines():
        command, _, rest = line.strip().partition(" ")
        if command in ("/reset", "/new"):
            messages, attached = list(first), list(shown)
        elif command in ("/image", "/audio"):
            try:
                file = user_path(rest.strip())
                attached.append(
                    _part(file, "audio" if command == "/audio" else kind_of(file), task)
                )
            except DataError as error:
                echo(f"! {error.message}", err=True)
        elif command == "/help":
            for told in _HELP.splitlines():
                echo(told)
        elif command.startswith("/") and command[1:].isalpha():
            echo(f"! There is no command {command}; /help lists the commands.", err=True)
        else:
            messages.append(Message("user", (*attached, Part("text", line))))
            try:
                answer = _answer(task, Conversation(tuple(messages)))
            except ValueError as error:
                raise DataError(f"The model cannot take the chat: {first_line(error)}.") from None
            attached = []
            messages.append(Message("assistant", (Part("text", answer),)))


def _part(file: Path, kind: Kind, task: Chat) -> Part:
    """A picture or recording for a question.

    Raises:
        DataError: it cannot be read, or the model does not take any.
    """
    from mmft_chat.conversations import CALLED, Part
    from mmft_chat.media import check_media

    if kind not in task.processor.reads:
        raise DataError(f"The model does not read {CALLED[kind]}s.")
    try:
        check_media(file, kind)
    except ValueError as error:
        raise DataError(f"The {error}.") from None
    return Part(kind, media=file)


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
            f"The model in {run_dir} is for the task {loaded.component.name} and does not chat.",
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
