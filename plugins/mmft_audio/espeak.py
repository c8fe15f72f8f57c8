"""Speech by espeak-ng, through its C library, which the package espeakng-loader brings along."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmft_audio.recordings import Samples
from mmft_core.errors import DataError

# Of speak_lib.h.
_SYNCHRONOUS, _NO_EXIT = 2, 0x8000
_RATE, _PITCH = 1, 3
_UTF8 = 1

_LANGUAGES = ("en-us", "en-gb-scotland", "en-gb-x-rp", "en-029", "en")
_VARIANTS = ("m1", "m3", "m4", "m7", "f1", "f2", "f4", "f5", "Andy", "Annie", "steph", "john")
ENGLISH = tuple(f"{language}+{variant}" for language in _LANGUAGES for variant in _VARIANTS)
"""The names of voices, of espeak-ng, that speak English."""

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class Voice:
    """How something is spoken.

    Attributes:
        name: a language and a variant of espeak-ng, as "en-us+f2".
        rate: words a minute.
        pitch: 0 to 100.
    """

    name: str
    rate: int = 160
    pitch: int = 50


class Synthesizer:
    """The library, of which a process can have but one."""

    def __init__(self, library: str, data: str) -> None:
        self._library: Any = ctypes.CDLL(library)
        self.rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _NO_EXIT)
        if self.rate <= 0:
            raise DataError("espeak-ng, which speaks the built-in commands, does not start.")
        self._heard: list[Samples] = []
        self._callback = _Callback(self._hear)  # Kept, for the library does not.
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: Voice) -> Samples:
        """Speak a text.

        Returns:
            (n,) in -1 to 1, at `rate` a second.

        Raises:
            DataError: there is no such voice.
        """
        if self._library.espeak_SetVoiceByName(voice.name.encode()):
            raise DataError(f"espeak-ng has no voice '{voice.name}'.")
        self._library.espeak_SetParameter(_RATE, voice.rate, 0)
        self._library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        self._heard.clear()
        content = text.encode() + b"\0"
        self._library.espeak_Synth(content, len(content), 0, 0, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(self._heard)

    def _hear(self, samples: Any, count: int, _: Any) -> int:
        if samples and count > 0:
            heard: Sequence[int] = np.ctypeslib.as_array(samples, (count,))
            self._heard.append(np.array(heard, dtype=np.float32) / 2**15)
        return 0


@functools.cache
def synthesizer() -> Synthesizer:
    """This process's synthesizer."""
    import espeakng_loader

    return Synthesizer(espeakng_loader.get_library_path(), espeakng_loader.get_data_path())
