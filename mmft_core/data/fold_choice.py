"""The settings `folds` and `fold`: the number of folds, and the one to validate on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from mmft_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Folds:
    """A division into folds.

    Attributes:
        count: of folds.
        chosen: which of them, from 1, is the validation split of the run; None for each of them in
            turn, which is cross-validation.
    """

    count: int
    chosen: int | None = None

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Self | None:
        """Read the settings; None where there are none.

        Raises:
            ConfigError: they are not whole numbers, there are fewer than two folds, or there is no
                such fold.
        """
        count, chosen = (_number(tree, key) for key in ("folds", "fold"))
        if count is None:
            if chosen is not None:
                raise ConfigError(
                    f"fold = {chosen} is set, but not the number of folds.", hint="Also set folds."
                )
            return None
        if count < 2:
            raise ConfigError(
                f"folds = {count} is not valid: expected int >= 2.",
                hint="Each fold is validated by a model that learned from the others, of which "
                "there must be at least one; 5 and 10 are usual.",
            )
        if chosen is not None and not 1 <= chosen <= count:
            raise ConfigError(f"There is no fold {chosen} of {count}; the first is fold 1.")
        return cls(count=count, chosen=chosen)

    def each(self) -> tuple[Self, ...]:
        """The folds one by one."""
        return tuple(replace(self, chosen=number) for number in range(1, self.count + 1))

    def tree(self) -> dict[str, int]:
        """The settings that say this."""
        return {"folds": self.count} | ({} if self.chosen is None else {"fold": self.chosen})


def _number(tree: Mapping[str, Any], key: str) -> int | None:
    value = tree.get(key)
    if value is None or value == "none":
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{key} = {value!r} is not valid: expected a whole number.")
    return value
