"""Texts as Whisper writes them: the tokens that ask for one, and those that it consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmft_audio.options import WhisperOptions
from mmft_audio.transcriber import TooLongError, collate_tokens
from mmft_core.contracts import TargetCodec
from mmft_core.errors import ConfigError, did_you_mean

_TASKS = ("transcribe", "translate")


@dataclass(frozen=True)
class Prompt:
    """What the decoder is given before it writes.

    Attributes:
        tokens: the start, and where the tokenizer has them language, task and "no timestamps".
        language: its name as the tokenizer has it; "" where there is none.
    """

    tokens: tuple[int, ...]
    language: str = ""

    @classmethod
    def of(cls, tokenizer: Any, config: Any, options: WhisperOptions) -> Prompt:
        """Make it as the options say.

        Raises:
            ConfigError: the network does not know the language.
        """
        known = languages(tokenizer)
        special = {t: i for i, t in enumerate_special(tokenizer)}
        language = "" if options.language == "auto" else options.language.lower()
        if language and language not in known:
            raise ConfigError(
                f"backbone.language = '{language}' is not one of the network's "
                f"{len(known)} languages.{did_you_mean(language, known)}",
                hint="Give its code, such as en; an English-only network takes none.",
            )
        wanted = [f"<|{language}|>", f"<|{options.speech_task}|>"] if language else []
        wanted.append("<|notimestamps|>")
        tokens = [special[token] for token in wanted if token in special]
        return cls((config.decoder_start_token_id, *tokens), language)


def enumerate_special(tokenizer: Any) -> list[tuple[int, str]]:
    return [(i, t.content) for i, t in tokenizer.added_tokens_decoder.items()]


def languages(tokenizer: Any) -> dict[str, int]:
    """The token of each language that a multilingual tokenizer knows."""
    named = {t[2:-2]: i for i, t in enumerate_special(tokenizer) if t.startswith("<|")}
    if not set(_TASKS) <= named.keys() or "startoftranscript" not in named:
        return {}
    first, last = named["startoftranscript"], min(named[task] for task in _TASKS)
    return {name: i for name, i in named.items() if first < i < last}


class WhisperCodec(TargetCodec):
    """Transcripts as token ids, with a space before the first word as Whisper writes them."""

    def __init__(self, tokenizer: Any, config: Any, prompt: int) -> None:
        """Args:
        prompt: how many tokens stand before a transcript.
        """
        self.backend = tokenizer.backend_tokenizer
        self.backend.no_truncation()
        self.backend.no_padding()
        self.end, self.pad = int(config.eos_token_id), int(config.pad_token_id)
        self.most = int(config.max_target_positions) - prompt
        self.special = frozenset(i for i, _ in enumerate_special(tokenizer))

    def encode(self, target: str) -> Tensor:
        if not target.strip():
            raise ValueError("its transcript is empty")
        try:
            ids = self.backend.encode(" " + target.strip(), add_special_tokens=False).ids
        except TypeError:  # Of tokenizers, which reads UTF-8.
            raise ValueError("its transcript holds half of a surrogate pair") from None
        if len(ids) + 1 > self.most:
            raise TooLongError(
                f"its transcript is {len(ids)} tokens long, and the model writes {self.most - 1}"
            )
        return torch.tensor([*ids, self.end])

    def collate(self, targets: Sequence[Tensor]) -> Tensor:
        return collate_tokens(targets)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special ones left out."""
        plain = [i for i in ids if i not in self.special]
        text: str = self.backend.decode(plain, skip_special_tokens=False)
        return text.strip()
