"""Chats that share rows inside the language model of a network that sees or hears.

Everywhere else each chat has a row of its own: pictures and recordings are embedded, positions
counted and masks made as without packing, by the network itself. Only what its language model is
given is moved into shared rows, and what that returns is moved back. So a token attends to what it
attends to without packing, whatever the family: positions in three dimensions begin anew with each
chat, and masks that look ahead within a picture or a prefix stay as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmft_core.errors import IncompatibleError
from mmft_transformers.steps import accepted

MIXES = "packing changes the hidden states of a chat"
"""Why a network cannot keep packed chats apart, as trying it shows."""

_PADDING = 1.03
"""How much longer padded rows may be in all than what they hold, to be as short as that."""


class UnpackableError(IncompatibleError):
    """Chats cannot share a row.

    Attributes:
        reason: why the network does not allow that.
    """

    def __init__(self, reason: str, network: str = "this kind") -> None:
        super().__init__(
            f"Networks of {network} cannot keep packed chats apart: {reason}.",
            hint="Turn packing off: --set task.packing=false",
        )
        self.reason = reason


def shared_rows(lengths: Sequence[int], most: int, *, in_order: bool) -> list[list[int]]:
    """Which chats share a row of at most so many tokens.

    Rows are as short as they can be with little padding, for tokens attend within their row, at a
    cost that grows with its length even where masks leave nothing of it.

    Args:
        in_order: whether rows keep the order of the chats, so that what lies beside the rows, such
            as the features of all pictures one after another, stays as it is.
    """
    longest, whole = max(lengths), sum(lengths)
    widths = {min(max(longest, -(-whole // rows)), most) for rows in range(1, len(lengths) + 1)}
    best: list[list[int]] = []
    least = 0
    for width in sorted({longest, *(width for width in widths if width > longest)}):
        rows = _filled(lengths, width, in_order)
        padded = len(rows) * max(sum(lengths[k] for k in row) for row in rows)
        if not best or padded < least:
            best, least = rows, padded
        if padded <= _PADDING * whole:
            break
    return best


def _filled(lengths: Sequence[int], width: int, in_order: bool) -> list[list[int]]:
    """Rows up to a width: each chat comes into the last row, or if the order is free, the longest
    first, into the first with room."""
    rows: list[list[int]] = []
    room: list[int] = []
    order = range(len(lengths))
    for k in order if in_order else sorted(order, key=lambda k: -lengths[k]):
        tried = range(len(rows) - 1 if in_order and rows else 0, len(rows))
        row = next((r for r in tried if lengths[k] <= room[r]), None)
        if row is None:
            rows.append([])
            room.append(width)
            row = len(rows) - 1
        rows[row].append(k)
        room[row] -= lengths[k]
    return rows


def places_of(rows: Sequence[Sequence[int]], lengths: Sequence[int]) -> Tensor:
    """The token (R, W) that comes into each place of the rows, as its number among the B x L tokens
    of chats that are padded on the right; -1 for padding."""
    width = max(sum(lengths[k] for k in row) for row in rows)
    places, longest = torch.full((len(rows), width), -1), max(lengths)
    for own, row in zip(places, rows, strict=True):
        tokens = [torch.arange(lengths[k]) + k * longest for k in row]
        joined = torch.cat(tokens)
        own[: len(joined)] = joined
    return places


@contextmanager
def packed(decoder: nn.Module, places: Tensor | None, shape: torch.Size) -> Iterator[None]:
    """Let chats share rows while they are in a language model.

    Args:
        places: see `places_of`; None to leave each in a row of its own.
        shape: of the batch of chats, (B, L).

    Raises:
        UnpackableError: the language model is given something that cannot be moved.
    """
    if places is None:
        yield
        return
    rows = _Rows(places, *shape)
    hooks = [
        decoder.register_forward_pre_hook(rows.enter, with_kwargs=True),
        decoder.register_forward_hook(rows.leave),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def arguments_of(module: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """What a module is given, by name."""
    names = inspect.signature(module.forward).parameters
    return {**dict(zip(names, arguments, strict=False)), **named}


class _Rows:
    """Moves tokens into shared rows, and back."""

    def __init__(self, places: Tensor, chats: int, length: int) -> None:
        self.shape = (chats, length)
        self.there, self.taken = places >= 0, places.clamp(min=0)
        self.chat, self.position = self.taken // length, self.taken % length * self.there
        # Padding is put after all others, where nobody looks.
        targets = torch.where(self.there, places, chats * length).flatten()
        numbers = torch.arange(places.numel(), device=places.device)
        self.back = numbers.new_zeros(chats * length + 1).scatter(0, targets, numbers)[:-1]

    # --- hooks ----------------------------------------------------------------------------------

    def enter(
        self, decoder: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[()], dict[str, Any]]:
        given = arguments_of(decoder, arguments, named)
        width = decoder.get_input_embeddings().weight.shape[1]  # type: ignore[operator]
        moved = {name: self._argument(name, value, width) for name, value in given.items()}
        moved["attention_mask"] = self._mask(given.get("attention_mask"))
        moved["position_ids"] = self._positions(given.get("position_ids"))
        # With a cache, transformers would not tell from positions where a chat begins.
        return (), {**moved, **accepted(decoder.forward, use_cache=False)}

    def leave(self, decoder: nn.Module, arguments: Any, output: Any) -> Any:
        output.last_hidden_state = self._moved_back(output.last_hidden_state)
        return output

    # --- moving ---------------------------------------------------------------------------------

    def _moved(self, tensor: Tensor) -> Tensor:
        """(B, L, ...) to (R, W, ...)."""
        flat = tensor.flatten(0, 1).index_select(0, self.taken.flatten())
        return flat.view(*self.taken.shape, *tensor.shape[2:])

    def _moved_back(self, tensor: Tensor) -> Tensor:
        """(R, W, ...) to (B, L, ...)."""
        flat = tensor.flatten(0, 1).index_select(0, self.back)
        return flat.view(*self.shape, *tensor.shape[2:])

    def _argument(self, name: str, value: Any, width: int) -> Any:
        if name in ("attention_mask", "position_ids", "cache_position"):
            return None
        if isinstance(value, list | tuple):
            return type(value)(self._argument(name, one, width) for one in value)
        if not isinstance(value, Tensor | Mapping):
            return value
        if isinstance(value, Tensor):
            if value.shape[:2] == self.shape:
                return self._moved(value)
            if value.ndim == 2 and value.shape[1] == width:
                return value  # States of some tokens in their order, such as those of pictures.
        raise _unmovable(name)

    def _positions(self, given: Tensor | None) -> Tensor:
        if given is None:
            return self.position
        if given.shape[-2] == 1:
            given = given.expand(*given.shape[:-2], *self.shape)
        if given.ndim == 2:
            return self._moved(given) * self.there
        several = torch.stack([self._moved(own) for own in given]) * self.there
        # Of three dimensions transformers cannot tell where a chat begins; it takes a fourth.
        return torch.cat([self.position[None], several]) if len(several) == 3 else several

    def _mask(self, given: Any) -> Any:
        """None where the language model makes its own, of positions that begin anew."""
        if isinstance(given, Mapping):
            return {name: self._mask(mask) for name, mask in given.items()}
        if given is None or (isinstance(given, Tensor) and given.ndim == 2):
            return None
        if not isinstance(given, Tensor) or given.ndim != 4:
            raise _unmovable("attention_mask")
        given = given.expand(self.shape[0], *given.shape[1:]).transpose(0, 1)
        queries, keys = self.position[:, :, None], self.position[:, None]
        own = given[:, self.chat[:, :, None], queries, keys].transpose(0, 1)
        there = self.there[:, :, None] & self.there[:, None]
        same = there & (self.chat[:, :, None] == self.chat[:, None])
        # What is padding attends to itself, for it has to attend to something.
        itself = torch.eye(same.shape[1], dtype=torch.bool, device=same.device) & ~there
        if own.dtype == torch.bool:
            return (own & same[:, None]) | itself[:, None]
        least = torch.finfo(own.dtype).min
        return own.masked_fill(~same[:, None], least).masked_fill(itself[:, None], 0.0)


def _unmovable(name: str) -> UnpackableError:
    return UnpackableError(f"their language model is given more than tokens ({name})")
