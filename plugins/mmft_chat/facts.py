"""The bundled chats: where functions and classes are documented, of packages that mmft needs.

They are facts to be learned by heart: in which package a name is, and in which module. Val and test
ask for the same facts in words that train does not have. As preferences, the right package is
preferred to another one; each is right as often as wrong, so no answer is better by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from mmft_chat.conversations import Conversation, Message, Part, Role
from mmft_chat.options import ChatFactsOptions
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Origin, Sample, Split
from mmft_core.data import Subset
from mmft_core.errors import DataError
from mmft_text import docstrings
from mmft_text.options import DocstringOptions

_WORDINGS = (
    "Which package has {name}?",
    "Where does {name} come from?",
    "What do I have to install to use {name}?",
    "I found {name} in some code. Whose is it?",
    "Name the package of {name}.",
    "{name}: which package?",
    "To which package does {name} belong?",
    "Tell me who documents {name}.",
    "In which package would I look for {name}?",
    "Please say which package offers {name}.",
    "Which library is {name} part of?",
    "Do you know the package that defines {name}?",
    "What is the home of {name}?",
    "Somebody mentioned {name}. Which package is that?",
    "I want to import {name}. From which package?",
    "Who ships {name}?",
    "Whose documentation describes {name}?",
    "{name} is unknown to me. What package is it in?",
    "Give me the package for {name}.",
    "Find the package in which {name} is defined.",
)
_OPENINGS = (
    "",
    "Hello! ",
    "I am new to Python. ",
    "One more question: ",
    "Could you help me with something? ",
    "We talked about this yesterday, and I forgot it. ",
    "Quick: ",
)
_FOLLOWING = "And in which module?"


class Fact(NamedTuple):
    name: str
    package: str
    module: str


def build(options: ChatFactsOptions, context: DatasetContext) -> Dataset:
    """Ask for facts.

    Raises:
        DataError: too few of the packages are installed.
    """
    own = DocstringOptions(val=0, test=0)
    strings = docstrings.build(own, DatasetContext(target="class", seed=context.seed))
    facts = _chosen(strings.splits["train"], options.facts)
    rows = Questions(facts, target=context.target)
    order = np.random.default_rng(context.seed).permutation(len(_WORDINGS))
    shares = {"test": options.test, "val": options.val}
    wordings: dict[str, np.ndarray] = {}
    for name, share in shares.items():
        count = round(share * len(_WORDINGS))
        wordings[name], order = order[:count], order[count:]
    wordings["train"] = order
    of_row = np.arange(len(rows)) % len(_WORDINGS)
    splits = {
        name: Subset(rows, np.flatnonzero(np.isin(of_row, wordings[name])))
        for name in ("train", "val", "test")
        if len(wordings[name])
    }
    note = "val and test ask for the facts of train in other words"
    info = DatasetInfo(
        name="chat-facts",
        source=strings.info.source,
        licence=strings.info.licence,
        notes=(f"{len(facts)} facts", note),
    )
    return Dataset(info=info, splits=splits)


class Questions(Split):
    """Each fact, asked for in all words."""

    def __init__(self, facts: Sequence[Fact], *, target: str) -> None:
        self.facts, self.wanted = facts, target
        self.packages = sorted({fact.package for fact in facts})

    def __len__(self) -> int:
        return len(self.facts) * len(_WORDINGS)

    def __getitem__(self, index: int) -> Sample:
        fact, wording = self._at(index)
        asked = wording.format(name=fact.name)
        if self.wanted == "preference":
            wrong = self._wrong(fact, index)
            chat = Conversation(_turns(asked, fact.package), rejected=_turns(asked, wrong))
            target: Any = {"chosen": fact.package, "rejected": wrong}
        else:
            chat = Conversation(_turns(asked, fact.package, _FOLLOWING, fact.module))
            target = fact.module if self.wanted == "text" else None
        return Sample({"chat": chat}, target, self.sample_id(index))

    def _wrong(self, fact: Fact, index: int) -> str:
        """Another package; over the wordings of a fact all of them in turn."""
        place, others = self.packages.index(fact.package), len(self.packages) - 1
        return self.packages[(place + 1 + index % others) % len(self.packages)]

    def sample_id(self, index: int) -> str:
        fact, _ = self._at(index)
        return f"{fact.package} {fact.name}, wording {index % len(_WORDINGS) + 1}"

    def origin(self, index: int) -> Origin:
        fact, wording = self._at(index)
        return Origin([*fact, wording])

    def sizes(self) -> Sequence[float]:
        return [float(len(w) + len(f.name)) for f in self.facts for w in _WORDINGS]

    def groups(self) -> Sequence[str]:
        return [f"wording {k + 1}" for _ in self.facts for k in range(len(_WORDINGS))]

    def _at(self, index: int) -> tuple[Fact, str]:
        fact, wording = divmod(index, len(_WORDINGS))
        opening = _OPENINGS[(3 * fact + wording) % len(_OPENINGS)]
        return self.facts[fact], opening + _WORDINGS[wording]


def _turns(*said: str) -> tuple[Message, ...]:
    """A chat of texts, the user's first."""
    roles: tuple[Role, Role] = ("user", "assistant")
    return tuple(Message(roles[k % 2], (Part("text", text),)) for k, text in enumerate(said))


def _chosen(strings: Split, count: int) -> list[Fact]:
    """Names that are in one module only, as many of each package."""
    found: dict[str, set[Fact]] = {}
    for index in range(len(strings)):
        place, _, name = strings.sample_id(index).rpartition(" ")
        path = PurePosixPath(place.rpartition(":")[0])
        module = "" if path.stem == "__init__" else path.stem.strip("_")
        if len(name) > 5 and "_" not in (name[0], *name.partition(".")[2][:1]) and module:
            found.setdefault(name, set()).add(Fact(name, path.parts[0], module))
    alone = [next(iter(facts)) for facts in found.values() if len(facts) == 1]
    by_package: dict[str, list[Fact]] = {}
    for fact in alone:
        by_package.setdefault(fact.package, []).append(fact)
    each = -(-count // max(1, len(by_package)))
    chosen = [
        facts[k * len(facts) // each] for facts in by_package.values() if len(facts) >= each
        for k in range(each)
    ][:count]  # fmt: skip
    if len(chosen) < 2:
        raise DataError("None of the packages that this data set asks about is installed.")
    return chosen
