"""What was found by trying a network, kept with a run: so a saved one need not be tried again, and
its weights need no values before they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from mmft_core.errors import WeightsError, first_line

_FILE = "trials.json"


@dataclass
class Trials:
    """What is None was not tried yet.

    Attributes:
        mixes: why chats cannot share a row; "" where they can.
        ignores_padding: whether prompts of different lengths may be written after at once.
        by_head: whether logits are what the output layer makes of the last states.
    """

    mixes: str | None = None
    ignores_padding: bool | None = None
    by_head: bool | None = None

    @classmethod
    def read(cls, folder: Path) -> Trials | None:
        """What `save` wrote; None for nothing, as in runs of earlier versions.

        Raises:
            WeightsError: the file is damaged.
        """
        file = folder / _FILE
        try:
            return msgspec.json.decode(file.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise WeightsError(f"{file} cannot be read: {first_line(error)}.") from None

    def save(self, folder: Path) -> None:
        (folder / _FILE).write_bytes(msgspec.json.format(msgspec.json.encode(self)))
