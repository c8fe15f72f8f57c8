"""The bundled chats: two questions about documentation strings, which a fresh machine has.

The first is whether it is a class or a function that is documented, the second in which package. The
names of the packages are masked, and splits are made of whole modules, as in `docstrings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmft_chat.conversations import Conversation, Message, Part
from mmft_chat.options import ChatFactsOptions
from mmft_core.contracts import Dataset, DatasetContext, Origin, Sample, Split
from mmft_text import docstrings
from mmft_text.options import DocstringOptions

_LENGTH = 160
"""Characters of a documentation string; its beginning says most."""


def build(options: ChatFactsOptions, context: DatasetContext) -> Dataset:
    """Ask about documentation strings.

    Raises:
        DataError: too few of the packages are installed.
    """
    own = DocstringOptions(val=options.val, test=options.test, samples=options.samples)
    found = docstrings.build(own, replace(context, target="class", learned="class"))
    notes = (*found.info.notes, f"of each string the first {_LENGTH} characters")
    return Dataset(
        info=replace(found.info, name="chat-facts", classes=(), notes=notes),
        splits={name: Questions(split) for name, split in found.splits.items()},
    )


class Questions(Split):
    """Documentation strings with a class each, as chats about them."""

    def __init__(self, strings: Split) -> None:
        self.strings = strings

    def __len__(self) -> int:
        return len(self.strings)

    def __getitem__(self, index: int) -> Sample:
        found = self.strings[index]
        name = found.id.rpartition(" ")[2]
        kind = "class" if name[:1].isupper() else "function"
        text = found.inputs["text"][:_LENGTH]
        said: list[tuple[str, str]] = [
            ("user", f"Is this a class or a function?\n\n{text}"),
            ("assistant", f"A {kind}."),
            ("user", "Of which package?"),
            ("assistant", str(found.target)),
        ]
        messages = tuple(Message(role, (Part("text", text),)) for role, text in said)  # type: ignore[arg-type]
        return Sample({"chat": Conversation(messages)}, str(found.target), found.id)

    def sample_id(self, index: int) -> str:
        return self.strings.sample_id(index)

    def origin(self, index: int) -> Origin | None:
        return self.strings.origin(index)

    def sizes(self) -> Sequence[float]:
        sizes = self.strings.sizes()
        assert sizes is not None
        return np.minimum(np.asarray(sizes), _LENGTH).tolist()

    def groups(self) -> Sequence[str] | None:
        return self.strings.groups()
