"""An answer followed token by token while it is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

Show = Callable[[str, str], bool]
"""Told a piece of what is thought, and of what is said. One of them is empty, or both where a token
adds nothing that is told. Says whether the rest of the answer is still wanted."""

THINKS, _THOUGHT = "<think>", "</think>"
_BROKEN = "\N{REPLACEMENT CHARACTER}"


class Watch:
    """Follows an answer token by token.

    What may still become a part of something else is not told yet: of a text that ends the answer,
    of a character of several tokens, of white space at the end.

    Attributes:
        tokens: that were written.
        done: whether the answer has come to an end, whatever is written after.
        stopped: whether the model ended it, or a text was found before which it ends.
    """

    def __init__(
        self,
        tokenizer: Any,
        show: Show,
        *,
        most: int,
        ends: Collection[int],
        stop: Sequence[str] = (),
        hides: str = "",
        opens: bool = False,
    ) -> None:
        """Args:
        most: tokens of the answer.
        ends: tokens by which the model ends it.
        stop: texts before which it ends.
        hides: what is not told any more, such as a call of a tool; "" for nothing.
        opens: whether the answer begins within a thought.
        """
        self.tokenizer, self.show, self.most, self.ends = tokenizer, show, most, ends
        self.stop, self.hides, self.opens = tuple(stop), hides, opens
        self.done = self.stopped = False
        self.tokens: list[int] = []
        self._wanted = True
        self._told = ["", ""]
        self._whole = ""

    def put(self, token: int) -> None:
        """Take the next token; of an answer that is done it is none."""
        if self.done:
            return
        self.tokens.append(token)
        # All of them, for some tokenizers drop the space that a text begins with.
        self._whole = self.tokenizer.decode(self.tokens, skip_special_tokens=True)
        places = [at for text in self.stop if (at := self._whole.find(text)) >= 0]
        if places:
            self._whole = self._whole[: min(places)]
        else:
            told = self._whole[: len(self._whole) - _open_end(self._whole, self.stop)]
            if not self._tell(*_divided(told, opens=self.opens)):
                self._wanted = self.show("", "")
        self.stopped = bool(places) or token in self.ends
        self.done = self.stopped or len(self.tokens) >= self.most or not self._wanted

    def finished(self) -> tuple[str, str]:
        """What was thought and said, all of which has been told then but what `hides` begins; see
        `tell_rest`."""
        thought, said = _divided(self._whole, opens=self.opens)
        if not thought and not said:  # It has not become a thought.
            said = self._whole
        self._tell(thought, said)
        return thought.strip(), said.strip()

    def tell_rest(self, said: str) -> None:
        """Tell what is left of what was said, once it is known what had to be hidden.

        Args:
            said: all of what is said, as `finished` gives it but for what stays hidden.
        """
        self.hides = ""
        self._tell(self._told[0], said)

    def _tell(self, thought: str, said: str) -> bool:
        """Tell what is new, and say whether there is anything."""
        if self.hides:
            said = said.partition(self.hides)[0]
            said = said[: len(said) - _open_end(said, (self.hides,))]
        told = False
        for place, now in enumerate((thought.strip(), said.strip())):
            piece = now[len(self._told[place]) :]
            if piece:
                self._told[place], told = now, True
                self._wanted = self.show(*((piece, "") if place == 0 else ("", piece)))
        return told


def _divided(text: str, *, opens: bool) -> tuple[str, str]:
    """What is thought and what is said in what was written so far."""
    begun = text.lstrip()
    if not opens:
        if THINKS.startswith(begun):
            return "", ""  # It may become a thought.
        if not begun.startswith(THINKS):
            return "", text
        begun = begun[len(THINKS) :]
    thought, ended, said = begun.partition(_THOUGHT)
    if not ended:
        thought = thought[: len(thought) - _open_end(thought, (_THOUGHT,))]
    return thought, said


def _open_end(text: str, marks: Sequence[str]) -> int:
    """How many characters at the end of a text may be the beginning of a mark, or of a character
    that has not been written to its end."""
    broken = len(text) - len(text.rstrip(_BROKEN))
    longest = max(map(len, marks), default=0)
    for count in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-count:]) for mark in marks):
            return max(count, broken)
    return broken
