"""What other plugins build networks for texts of. Options are in `mmft_text.options`."""

from mmft_text.backbone import TransformersText, builder
from mmft_text.encoders import Encoder
from mmft_text.families import Family
from mmft_text.processing import TextProcessor, TokenCodec, Vocabulary
from mmft_text.text_backbone import TextBackbone, tokenizer_of

__all__ = [
    "Encoder",
    "Family",
    "TextBackbone",
    "TextProcessor",
    "TokenCodec",
    "TransformersText",
    "Vocabulary",
    "builder",
    "tokenizer_of",
]
