"""Which language is spoken, as a multilingual Whisper hears it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

from mmft_audio.recordings import load
from mmft_audio.spectra import HOP, RATE, STRIDE, LogMel
from mmft_audio.whisper_text import languages
from mmft_core.contracts import Split
from mmft_core.errors import SampleError

_HEARD = 8
"""So many recordings are listened to."""


@torch.no_grad()
def hear_language(network: Any, tokenizer: Any, split: Split) -> str:
    """The language that most of a few recordings are in; "" if the network knows but one."""
    known = languages(tokenizer)
    if not known:
        return ""
    log_mel = LogMel(network.config.num_mel_bins)
    length = network.config.max_source_positions * STRIDE * HOP
    start = torch.tensor([[network.config.decoder_start_token_id]])
    codes, votes = list(known), Counter[str]()
    for index in torch.linspace(0, len(split) - 1, min(_HEARD, len(split))).long().tolist():
        try:
            recording = split.input(index, "audio")
            wave = load(recording, RATE)[:length] if recording is not None else None
        except SampleError:  # Of which the check of the data tells.
            continue
        if wave is None:
            continue
        features = log_mel(F.pad(wave, (0, length - len(wave)))[None])
        logits = network(input_features=features, decoder_input_ids=start).logits[0, -1]
        votes[codes[int(logits[list(known.values())].argmax())]] += 1
    return votes.most_common(1)[0][0] if votes else ""
