"""The characters that a CTC network writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmft_audio.transcriber import collate_tokens
from mmft_core.contracts import TargetCodec

_FILE = "alphabet.json"
_BLANK, _SPACE, _UNKNOWN = "<pad>", "|", "<unk>"
"""As wav2vec 2.0's vocabularies name them."""
_NOTHING = "<>"
_SPECIAL = re.compile(r"\[\w+\]|<[^>]+>")
"""[PAD], <s> and the like."""


@dataclass(frozen=True)
class Alphabet:
    """Labels of a network.

    Attributes:
        labels: what each label stands for; those in pointed brackets for nothing.
        lower: whether texts are written in lower case, whatever case the labels are in.
    """

    labels: tuple[str, ...]
    lower: bool = False

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> Alphabet:
        """The characters of texts."""
        found = sorted({c for text in texts for c in text} - {" "})
        return cls((_BLANK, _SPACE, _UNKNOWN, *found))

    @classmethod
    def of_tokenizer(cls, tokenizer: Any, outputs: int, *, lower: bool) -> Alphabet:
        """The labels of a network's outputs, as a tokenizer of transformers names them.

        Raises:
            ValueError: it is none of characters, or of other outputs.
        """
        space = getattr(tokenizer, "word_delimiter_token", None)
        if space is None or tokenizer.pad_token is None:
            raise ValueError("it has no sign for a space, or none for a blank")
        index: dict[str, int] = tokenizer.get_vocab()
        if sorted(index.values())[-1] >= outputs:
            raise ValueError(f"it has {len(index)} labels, and the network {outputs} outputs")
        ours = {space: _SPACE, tokenizer.unk_token: _UNKNOWN, tokenizer.pad_token: _BLANK}
        # What has no name, or one of several letters in brackets, stands for nothing.
        labels = [_NOTHING] * outputs
        for text, label in index.items():
            labels[label] = ours.get(text, f"<{text}>" if _SPECIAL.fullmatch(text) else text)
        return cls(tuple(labels), lower)

    @classmethod
    def load(cls, folder: Path) -> Alphabet:
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return cls(tuple(content["labels"]), content["lower"])

    def save(self, folder: Path) -> None:
        text = json.dumps(asdict(self), ensure_ascii=False)
        (folder / _FILE).write_text(text, encoding="utf-8")

    @property
    def blank(self) -> int:
        return self.labels.index(_BLANK)

    def letter(self, label: int) -> str:
        """What a label writes: a character, a space, or nothing."""
        text = self.labels[label]
        if text == _SPACE:
            return " "
        if text.startswith("<") and text.endswith(">") and len(text) > 1:
            return ""
        return text.lower() if self.lower else text

    def fit(self, text: str) -> str:
        """A text in the case that the labels are in, where they have but one."""
        letters = "".join(self.labels[i] for i in range(len(self.labels)) if self.letter(i).strip())
        if letters == letters.upper() != letters.lower():
            return text.upper()
        return text.lower() if letters == letters.lower() != letters.upper() else text

    def lacks(self, text: str) -> str:
        """The characters of a text that have no label."""
        return "".join(sorted(set(self.fit(text)) - set(self.labels) - {" "}))


class CharacterCodec(TargetCodec):
    """Transcripts as labels."""

    def __init__(self, alphabet: Alphabet) -> None:
        self.alphabet = alphabet
        self._index = {text: i for i, text in enumerate(alphabet.labels)}

    def encode(self, target: str) -> Tensor:
        text = " ".join(target.split())
        if not text:
            raise ValueError("its transcript is empty")
        unknown = self._index.get(_UNKNOWN)
        labels = [
            self._index.get(_SPACE if c == " " else c, unknown) for c in self.alphabet.fit(text)
        ]
        known = [label for label in labels if label is not None]
        if not known:
            raise ValueError("its transcript holds no character that the model writes")
        return torch.tensor(known)

    def inspect(self, target: str) -> str | None:
        self.encode(target)
        strange = self.alphabet.lacks(" ".join(target.split()))
        return f"character {strange[0]!r}, which the model does not write" if strange else None

    def collate(self, targets: Sequence[Tensor]) -> Tensor:
        return collate_tokens(targets)
