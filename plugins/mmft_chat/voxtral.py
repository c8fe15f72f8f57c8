"""Voxtral's processor, for chats that a template renders.

The one of transformers leaves rendering to Mistral's own library, which knows neither which tokens
are learned nor another template.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast, ProcessorMixin, WhisperFeatureExtractor
from transformers.integrations.mistral import convert_tekken_tokenizer

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{{ eos_token }}"
    "{% elif message['role'] == 'user' %}{{ '[INST]' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}{{ '[BEGIN_AUDIO][AUDIO]' }}{% else %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{{ '[/INST]' }}"
    "{% else %}{{ raise_exception('Voxtral has only the roles user and assistant.') }}{% endif %}"
    "{% endfor %}"
)
"""As Mistral AI (2025, "Voxtral") renders chats; none comes with the weights."""


class VoxtralProcessor(ProcessorMixin):
    """Recordings of any length, in pieces of as much as the encoder takes.

    Attributes:
        max_audio_len: how long a recording may be; None for any length.
    """

    max_audio_len = None

    def __init__(
        self, feature_extractor: Any, tokenizer: Any, chat_template: str | None = None
    ) -> None:
        self.audio_token = "[AUDIO]"
        self.audio_token_id = tokenizer.convert_tokens_to_ids(self.audio_token)
        super().__init__(feature_extractor, tokenizer, chat_template=chat_template or TEMPLATE)

    @classmethod
    def read(cls, folder: Path) -> VoxtralProcessor:
        """Of a folder of transformers, or of one as Mistral AI publishes it, with tekken.json."""
        extractor = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
        if (folder / "tokenizer.json").is_file():
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        else:
            tokenizer = convert_tekken_tokenizer(str(folder / "tekken.json"), TEMPLATE)
        return cls(extractor, tokenizer, tokenizer.chat_template)

    def save_pretrained(self, save_directory: Any, **_: Any) -> None:
        """Write what transformers' own processor is made of."""
        self.tokenizer.chat_template = self.chat_template
        self.tokenizer.save_pretrained(save_directory)
        self.feature_extractor.save_pretrained(save_directory)

    def _process_audio(self, audio: Any, **kwargs: Any) -> tuple[dict[str, Any], list[str]]:
        extractor = self.feature_extractor
        pieces, counts = [], []
        for own in audio:
            padded = np.pad(own, (0, -len(own) % extractor.n_samples))
            made = extractor(
                padded.reshape(-1, extractor.n_samples),
                sampling_rate=extractor.sampling_rate,
                return_tensors="pt",
            )
            pieces.append(made["input_features"])
            counts.append(len(pieces[-1]))
        # A convolution halves the frames, and the connector takes four at a time.
        each = extractor.nb_max_frames // 8
        return {"input_features": torch.cat(pieces)}, [self.audio_token * each * n for n in counts]
