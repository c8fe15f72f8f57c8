"""What other plugins build networks for audio of. Options are in `mmft_audio.options`."""

from mmft_audio.audio_backbone import AudioBackbone
from mmft_audio.augmentation import SpecAugment, WaveAugmentation
from mmft_audio.processing import AudioProcessor
from mmft_audio.recordings import Recording, load, seconds
from mmft_audio.spectra import LogMel

__all__ = [
    "AudioBackbone",
    "AudioProcessor",
    "LogMel",
    "Recording",
    "SpecAugment",
    "WaveAugmentation",
    "load",
    "seconds",
]
