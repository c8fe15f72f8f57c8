"""Chats with pictures and recordings, made into tensors by the processor of a model's family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mmft_chat import media
from mmft_chat.conversations import CALLED, Conversation, Kind, Message
from mmft_chat.learned import Rendered
from mmft_chat.packing import places_of, shared_rows
from mmft_chat.processing import ChatProcessor, Turns, in_spans
from mmft_chat.showing import Spelled
from mmft_core.contracts import Axes, Tensors
from mmft_transformers.quiet import quietly

ROWS = "rows"
OWN = ("learned", "positions", "samples", "tokens", "prompt_length", ROWS)
"""What `collate` adds to what a processor of transformers gives."""

_KINDS: tuple[Kind, ...] = ("image", "audio")
_GIVEN: Mapping[Kind, str] = {"image": "images", "audio": "audio"}
"""What processors of transformers call them."""
_ROUGHLY = 16
"""How many tokens a count may be off by for each picture or recording: tokenizers may merge the
text before it with the text after it."""
_MOST_SIZES = 10_000
"""How many combinations of sizes are remembered at most."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """Turns as text with placeholders, and the pictures and recordings in them."""

    messages: Sequence[Message]
    rendered: Rendered
    media: dict[Kind, list[Any]]
    length: int


@dataclass(frozen=True)
class MediaProcessor(ChatProcessor):
    """Chats with pictures and recordings, collated by the processor of the model's family.

    Collates to what that gives ("input_ids" (B, L), "pixel_values", "input_features", ...), and to
    "tokens", "samples", "positions" and "learned" as a `ChatProcessor`, each chat in a row of its
    own; and to "prompt_length" (B,), the number of tokens before the last answer. Where chats share
    rows inside the language model, also to "rows" (R, W), as `mmft_chat.packing` has them.

    Attributes:
        family: a processor of transformers.
        holds: how many pictures and recordings a chat has to have, for networks that cannot read
            those with others beside those without.
        max_pixels: of a picture, to which a larger one is scaled down; None for any number.
    """

    family: Any = None
    holds: Literal["any", "some", "one"] = "any"
    max_pixels: int | None = None
    _tokens_of: dict[Any, int] = field(default_factory=dict, repr=False, compare=False)
    """How many tokens pictures and recordings of given sizes take; filled by `_length`."""

    @property
    def reads(self) -> tuple[Kind, ...]:
        """What the model reads beside text."""
        there = {"image": hasattr(self.family, "image_processor"), "audio": bool(self._hearing)}
        return tuple(kind for kind in _KINDS if there[kind])

    @property
    def _hearing(self) -> Any:
        """What makes features of recordings; None in a model that hears nothing."""
        own = getattr(self.family, "audio_processor", None)
        return own or getattr(self.family, "feature_extractor", None)

    @property
    def _longest(self) -> float | None:
        """Seconds of the longest recording; None for any.

        Extractors of Whisper's kind cut off what is longer, unless the family's processor divides
        recordings (which those do that say how long they may be in all).
        """
        if hasattr(self.family, "max_audio_len"):
            return self.family.max_audio_len  # type: ignore[no-any-return]
        samples = getattr(self._hearing, "n_samples", None)
        return samples and samples / self._hearing.sampling_rate

    def prepare(self, raw: Conversation, *, train: bool) -> Tensors:
        """The text and its spans, each picture (H, W, 3) uint8 in RGB, each recording (T,)."""
        own = self._fitted(raw, self._open)
        written = np.frombuffer(own.rendered.text.encode(), dtype=np.uint8).copy()
        parts = {
            f"{kind}.{k}": torch.from_numpy(one)
            for kind, found in own.media.items()
            for k, one in enumerate(found)
        }
        return {
            "text": torch.from_numpy(written),
            "spans": torch.tensor(own.rendered.spans, dtype=torch.int64).view(-1, 2),
            "begins": torch.tensor(own.rendered.begins),
            **parts,
        }

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        texts = [bytes(item["text"].tolist()).decode() for item in items]
        parts = [
            {
                kind: [t.numpy() for name, t in item.items() if name.startswith(f"{kind}.")]
                for kind in self.reads
            }
            for item in items
        ]
        found, offsets, moved = self._processed(texts, parts)
        tokens, there = found["input_ids"], found["attention_mask"].bool()
        learned = torch.zeros_like(there)
        lengths = []
        for k, item in enumerate(items):
            spans = [(moved[k](int(a)), moved[k](int(b))) for a, b in item["spans"].tolist()]
            own = in_spans([(int(a), int(b)) for a, b in offsets[k].tolist()], spans)
            learned[k] = torch.from_numpy(own) & there[k]
            begins = moved[k](int(item["begins"]))
            before = (offsets[k][:, 1] <= begins) & there[k]
            lengths.append(int(before.sum()))
        places = torch.arange(tokens.shape[1]).expand(tokens.shape)
        if getattr(self.family, "prefix", False):
            found["token_type_ids"] = (places >= torch.tensor(lengths)[:, None]).long()
        chats = torch.arange(len(items))[:, None].expand(tokens.shape)
        return {
            **found,
            **self._shared(there.sum(1).tolist()),
            "tokens": tokens,
            "learned": learned,
            "positions": places.masked_fill(~there, 0),
            "samples": chats.masked_fill(~there, -1),
            "prompt_length": torch.tensor(lengths),
        }

    def _shared(self, lengths: Sequence[int]) -> Tensors:
        """The rows that chats of so many tokens share; none where that would not save padding."""
        rows = shared_rows(lengths, self.max_length, in_order=True) if self.join else ()
        return {ROWS: places_of(rows, lengths)} if 0 < len(rows) < len(lengths) else {}

    def axes(self) -> Axes:
        return {}

    def measure(self, raw: Conversation) -> None:
        """None: it would take the pictures and recordings."""

    def inspect(self, raw: Conversation, *, train: bool = False) -> str | None:
        for kind in _KINDS:
            if raw.media(kind) and kind not in self.reads:
                known = " and ".join(["text", *(f"{CALLED[own]}s" for own in self.reads)])
                raise ValueError(f"it holds a {CALLED[kind]}, and the model reads only {known}")
        number = len(raw.media())
        if (self.holds == "some" and not number) or (self.holds == "one" and number != 1):
            which = "exactly one" if self.holds == "one" else "at least one"
            raise ValueError(
                f"it has {number or 'no'} pictures or recordings, but the model needs {which}"
            )
        if self._longest is not None:
            for own in raw.media("audio"):
                length = media.seconds(own)
                if length > self._longest:
                    raise ValueError(
                        f"its recording {media.name_of(own)} is {length:.1f} s long, and the model "
                        f"reads at most {self._longest:g} s"
                    )
        if len(self._fitted(raw, self._open).messages) < len(raw.messages):
            return f"chat longer than {self.max_length} tokens, its first turns left out"
        return None

    def turns(self, messages: Sequence[Message], tools: Sequence[Any]) -> Turns:
        return self._open(messages, tools)

    def _open(self, messages: Sequence[Message], tools: Sequence[Any]) -> _Opened:
        whole, media = self._text(messages, tools), self._media(messages)
        return _Opened(messages, whole, media, self._length(whole.text, media))

    def _length(self, text: str, media: dict[Kind, list[Any]]) -> int:
        """The number of tokens of a chat.

        How many of them come from pictures and recordings depends on their sizes alone. So the
        family's processor, which is slow, runs once for each combination of sizes, and again only
        where a chat is about as long as the model allows.
        """
        sizes = tuple((kind, *one.shape) for kind, found in media.items() for one in found)
        written = len(self._ids(text))
        if sizes in self._tokens_of:
            about = written + self._tokens_of[sizes]
            if about + _ROUGHLY * len(sizes) <= self.max_length:
                self._check_marks([text], [media])
                return about
        found, _, _ = self._processed([text], [media])
        length = int(found["input_ids"].shape[1])
        # Where the family names no placeholder, only its processor checks that they match.
        named = all(self._mark(kind) for kind, own in media.items() if own)
        if named and len(self._tokens_of) < _MOST_SIZES:
            self._tokens_of[sizes] = length - written
        return length

    def _media(self, messages: Sequence[Message]) -> dict[Kind, list[Any]]:
        """What is seen and heard in messages."""
        chat, found = Conversation(tuple(messages)), dict[Kind, list[Any]]()
        for kind in self.reads:
            own = chat.media(kind)
            if kind == "image":
                found[kind] = [media.picture(one, self.max_pixels) for one in own]
            else:
                found[kind] = [media.recording(one, self._hearing.sampling_rate) for one in own]
        return found

    def _spelled(self, messages: Sequence[Message], tools: Sequence[Any]) -> Spelled:
        whole = self._text(messages, tools)
        _, (offsets,), (moved,) = self._processed([whole.text], [self._media(messages)])
        own = [(int(a), int(b)) for a, b in offsets.tolist()]
        learned = in_spans(own, [(moved(a), moved(b)) for a, b in whole.spans])
        return Spelled(whole.text, moved.written_out(whole.text), own, learned.tolist(), moved)

    def _processed(
        self, texts: list[str], parts: list[dict[Kind, list[Any]]]
    ) -> tuple[Tensors, Tensor, list[_Moved]]:
        """What the family's processor makes of texts and what is seen and heard, padded on the
        right; the characters of each token (B, L, 2) in the texts in which each placeholder is
        written out, and where in these a character is.

        Raises:
            ValueError: placeholders do not match pictures or recordings, or the processor does not
                tell.
        """
        self._check_marks(texts, parts)
        given: dict[str, Any] = {}
        for kind in self.reads:
            found = [own[kind] for own in parts]
            if kind == "image" and any(found):
                given[_GIVEN[kind]] = found
            elif any(found):
                given[_GIVEN[kind]] = [one for own in found for one in own]
                given["audio_kwargs"] = {"sampling_rate": self._hearing.sampling_rate}
        with quietly():
            made = self.family(
                text=list(texts),
                text_kwargs={  # Not all as they are, for feature extractors have a padding as well.
                    "padding": True,
                    "padding_side": "right",
                    "add_special_tokens": False,
                    "return_offsets_mapping": True,
                    "return_text_replacement_offsets": True,
                },
                # Processors of pictures make tensors of what is no number, those of recordings
                # nothing but tensors.
                return_tensors="pt" if "audio" in self.reads else None,
                **given,
            )
        offsets = torch.as_tensor(made.pop("offset_mapping"))
        replaced = made.pop("text_replacement_offsets", None) or [[] for _ in texts]
        if given and not any(replaced):
            self._check_unmoved(texts, made)
        tensors = {name: _tensor(value) for name, value in made.items()}
        return tensors, offsets, [_Moved(own) for own in replaced]

    def _check_marks(self, texts: list[str], parts: list[dict[Kind, list[Any]]]) -> None:
        for kind in self.reads:
            mark = self._mark(kind)
            for text, own in zip(texts, parts, strict=True):
                if mark is not None and text.count(mark) != len(own[kind]):
                    raise ValueError(
                        f"the chat template renders {text.count(mark)} placeholders for "
                        f"{len(own[kind])} {CALLED[kind]}s"
                    )

    def _mark(self, kind: Kind) -> str | None:
        """The placeholder for one picture or recording; None if the processor does not name it."""
        return getattr(self.family, f"{kind}_token", None)

    def _check_unmoved(self, texts: Sequence[str], made: Mapping[str, Any]) -> None:
        """Check that a processor that reports no replacement makes none."""
        for text, ids, mask in zip(texts, made["input_ids"], made["attention_mask"], strict=True):
            own = [token for token, there in zip(ids, mask, strict=True) if there]
            if self._ids(text) != own:
                raise ValueError(
                    "the model's processor does not say where its pictures and recordings are"
                )


class _Moved:
    """From a character of a text to where it is once placeholders are written out."""

    def __init__(self, replaced: Sequence[Mapping[str, Any]]) -> None:
        self.replaced = replaced

    def __call__(self, at: int) -> int:
        gained = 0
        for one in self.replaced:
            if one["span"][1] <= at:
                gained = one["new_span"][1] - one["span"][1]
        return at + gained

    def written_out(self, text: str) -> str:
        """The text with what stands in place of each placeholder."""
        parts, last = [], 0
        for one in self.replaced:
            start, end = one["span"]
            parts += [text[last:start], one["replacement"]]
            last = end
        return "".join([*parts, text[last:]])


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, list) and value and isinstance(value[0], Tensor):
        return torch.stack(value) if len({v.shape for v in value}) == 1 else torch.cat(value)
    return torch.as_tensor(np.asarray(value))
