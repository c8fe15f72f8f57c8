"""PaliGemma's processor, for chats that a template renders.

The one of transformers adds to each text a first token and an end of line by itself, which would
follow the answers that are learned.
"""

from __future__ import annotations

from pathlib import Path

import transformers
from transformers import ProcessorMixin

TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{{ eos_token }}"
    "{% elif loop.first %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>' }}{% endfor %}"
    "{{ bos_token }}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ '\\n' }}"
    "{% else %}{{ raise_exception('PaliGemma takes one question and one answer.') }}{% endif %}"
    "{% endfor %}"
)
"""As Beyer et al. (2024, "PaliGemma") have it; none comes with the weights."""


class PaliGemmaProcessor(transformers.PaliGemmaProcessor):
    """Named as the one that others load from the folders that it writes."""

    prefix = True
    """Whether the prefix (all before the answer) attends to itself in both directions."""

    __call__ = ProcessorMixin.__call__
    prepare_inputs_layout = ProcessorMixin.prepare_inputs_layout
    validate_inputs = ProcessorMixin.validate_inputs

    @classmethod
    def read(cls, folder: Path) -> PaliGemmaProcessor:
        """Of a folder of transformers, with a template if it has none."""
        found = cls.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        found.chat_template = found.chat_template or TEMPLATE
        return found
