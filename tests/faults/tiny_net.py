"""Two convolutions with what makes it hard to resume: statistics of batches, and dropout."""

from torch import nn

from mmft_core.contracts import Backbone, Features
from mmft_vision.processing import ImageProcessor


class TinyNet(Backbone):
    def __init__(self, options, context, norm=nn.BatchNorm2d) -> None:
        super().__init__()
        self.processor = ImageProcessor(options.image_size, options)
        self.width = 64
        self.first = nn.Sequential(nn.Conv2d(3, 16, 5, stride=4), norm(16), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(16, 64, 3, stride=2), nn.ReLU(), nn.Dropout(0.1))
        self.loaded = context.weights.load(self, published=None)

    def encode(self, inputs):
        grid = self.second(self.first(inputs["pixels"] / 255))
        return Features(grid.mean((2, 3)), grid.flatten(2).transpose(1, 2))

    def layers(self):
        return [self.first, self.second]


class PlainNet(TinyNet):
    """Without what batch norm makes of rounding, where losses compare samples."""

    def __init__(self, options, context) -> None:
        super().__init__(options, context, norm=nn.Identity)
