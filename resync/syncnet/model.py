"""IC-SyncNet: two light convolutional encoders and the probability of being in sync.

Follows "Interpretable Convolutional SyncNet" (Park, Yun, Lee, Park, arXiv 2409.00971): the input
is a window of five mouth crops and a mel spectrogram; plain convolutions, anti-aliased strides,
DropBlock in residual blocks, spatial information kept up to the embedding, and a sigmoid over a
scaled and shifted cosine, so that the output is a probability.

The names of the attributes are the tensor names of the weights file ("sound.stem.0.weight"): do not rename them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import MEL_BANDS, WINDOW_FRAMES, WINDOW_HOPS, DecisionRule
from .dimensions import AUDIO_STRIDES, CONTRAST_FLOOR, VISUAL_STRIDES, Dimensions


class BlurPool(nn.Module):
    """Low-pass filter, then subsample (Zhang 2019, arXiv 1904.11486): binomial 3-tap blur along strided axes.

    A product with a band matrix for each axis: of a convolution by channel, the gradient took half of the training time.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, size: tuple[int, int], stride: tuple[int, int] = (2, 2)):
        super().__init__()
        self.stride = stride
        for name, length, step in zip(("rows", "columns"), size, stride, strict=True):
            self.register_buffer(name, _blur_matrix(length, step), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H / stride, W / stride]."""
        n, c, h, w = x.shape
        x = x.permute(0, 2, 3, 1)  # as it lies in memory, channels last
        if self.stride[0] > 1:
            x = (self.rows.to(x.dtype) @ x.reshape(n, h, w * c)).view(n, -1, w, c)
        if self.stride[1] > 1:
            x = (self.columns.to(x.dtype) @ x.reshape(-1, w, c)).view(n, -1, len(self.columns), c)
        return x.permute(0, 3, 1, 2)


def _blur_matrix(length: int, stride: int) -> Tensor:
    """Matrix [length / stride, length] that blurs and subsamples by 2; the identity for a stride of 1."""
    if stride == 1:
        return torch.eye(length)
    distance = stride * torch.arange(-(-length // stride))[:, None] - torch.arange(length)[None]
    return (2 - distance.abs()).clamp(min=0) / 4


class BlurConv(nn.Conv2d):
    """A 3 x 3 convolution, then `BlurPool` by 2, as one convolution: both are linear, so their kernels convolve to one of 5 x 5.

    The maps at full resolution, which take most of the time of an encoder, are never computed.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, outputs, H / 2, W / 2]."""
        taps = torch.tensor([1.0, 2.0, 1.0], device=x.device) / 4
        kernel = F.conv2d(self.weight.flatten(0, 1)[:, None], torch.outer(taps, taps)[None, None], padding=2)
        return F.conv2d(x, kernel.view(*self.weight.shape[:2], 5, 5), stride=2, padding=2)


class DropBlock(nn.Module):
    """Drop square patches of the feature map (Ghiasi et al. 2018, arXiv 1810.12890).

    probability: share of the units to drop. The identity in eval mode and at probability 0.
    """

    def __init__(self, probability: float = 0.0, block: int = 3):
        super().__init__()
        self.probability, self.block = probability, block

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> same shape, rescaled so that the mean activation is kept."""
        if not self.training or self.probability <= 0:
            return x
        block = min(self.block, *x.shape[-2:])
        # One mask for all channels, as an occluder would hide a region of the image.
        seeds = torch.rand(len(x), 1, *x.shape[-2:], device=x.device) < self.probability / block**2
        drop = F.max_pool2d(seeds.to(x.dtype), block, 1, block // 2)[..., : x.shape[-2], : x.shape[-1]]
        keep = 1 - drop
        return x * (keep / keep.mean().clamp(min=1e-3))


class Residual(nn.Module):
    """Two 3 x 3 convolutions with batch norm, a shortcut and DropBlock."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.short = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        self.drop = DropBlock()

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.drop(self.bn2(self.conv2(y))) + self.short(x), inplace=True)


class Encoder(nn.Module):
    """Convolutional encoder: stem, then blur-subsample and residual block per stage, then a head.

    blur_stem: the stem subsamples in place of the first stage, before its batch norm and ReLU (`BlurConv`).
    There is no global pooling: the last map goes through a 1 x 1 convolution and a linear
    layer, so the position in the mouth (or in the spectrum) is kept.
    """

    def __init__(
        self,
        inputs: int,
        size: tuple[int, int],
        widths: tuple[int, ...],
        strides: Sequence[tuple[int, int]],
        head: int,
        embedding: int,
        blur_stem: bool = False,
    ):
        super().__init__()
        convolution = BlurConv if blur_stem else nn.Conv2d
        self.stem = nn.Sequential(
            convolution(inputs, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        stages: list[nn.Module] = []
        before = widths[0]
        for width, stride in zip(widths, strides, strict=True):
            stages += [nn.Identity() if blur_stem and not stages else BlurPool(size, stride), Residual(before, width)]
            before = width
            size = (-(-size[0] // stride[0]), -(-size[1] // stride[1]))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.Conv2d(before, head, 1, bias=False), nn.BatchNorm2d(head), nn.ReLU(inplace=True), nn.Flatten())
        self.out = nn.Linear(head * size[0] * size[1], embedding)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, *size] -> unit embeddings [N, embedding], float32."""
        return F.normalize(self.out(self.head(self.stages(self.stem(x)))).float(), dim=-1)


class ICSyncNet(nn.Module):
    """Encoders for mouth and audio windows, and P(in sync) = sigmoid(scale * cosine + bias)."""

    def __init__(self, dimensions: Dimensions = Dimensions()):
        super().__init__()
        self.rule = DecisionRule()  # fitted to the trained network, and saved with it
        d = self.dimensions = dimensions
        side = d.crop.size
        self.visual = Encoder(WINDOW_FRAMES, (side, side), d.visual_widths, VISUAL_STRIDES, d.head, d.embedding, d.blur_stem)
        # Named as in the weights file; this is the audio encoder.
        self.sound = Encoder(1, (MEL_BANDS, WINDOW_HOPS), d.sound_widths, AUDIO_STRIDES, d.head, d.embedding)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-5.0))

    def forward(self, mouths: Tensor, mels: Tensor) -> Tensor:
        """Log-odds of being in sync for all pairs of N mouth windows [N, 5, S, S] and M mel windows [M, 20, 80]: float32 [N, M]."""
        mouth_embeddings, audio_embeddings = self.embed_mouths(mouths), self.embed_audio(mels)
        with torch.autocast(mouths.device.type, enabled=False):  # bfloat16 would round the cosines
            return self.logits(mouth_embeddings @ audio_embeddings.T)

    def embed_mouths(self, mouths: Tensor) -> Tensor:
        """Embed mouth windows: uint8 [N, 5, S, S] -> unit vectors [N, E].

        Normalises the brightness and contrast of each window, so that lighting does not matter.
        """
        x = mouths.float()
        x = x - x.mean((1, 2, 3), keepdim=True)
        variance = x.square().sum((1, 2, 3), keepdim=True) / (x[0].numel() - 1)  # Tensor.std takes six times as long on a CPU
        x = x / (variance.sqrt() + CONTRAST_FLOOR)
        return self.visual(x.contiguous(memory_format=torch.channels_last))

    def embed_audio(self, mels: Tensor) -> Tensor:
        """Embed log-mel windows: float [N, 20, 80] log10 power -> unit vectors [N, E].

        Subtracts the mean level of each window, so that gain does not matter.
        """
        x = mels.float()
        x = (x - x.mean((1, 2), keepdim=True)).transpose(1, 2)[:, None]
        return self.sound(x.contiguous(memory_format=torch.channels_last))

    def logits(self, cosine: Tensor) -> Tensor:
        """Cosine similarity -> log-odds of being in sync."""
        return cosine * self.log_scale.exp() + self.bias

    @torch.no_grad()
    def rescale(self, slope: float, shift: float) -> None:
        """Map the log-odds z to slope * z + shift (Platt scaling), to calibrate P."""
        self.log_scale.add_(math.log(slope))
        self.bias.mul_(slope).add_(shift)

    def set_dropblock(self, probability: float) -> None:
        """Set the probability of every DropBlock; 0 disables them, as in the last phase of "drop and tune"."""
        for module in self.modules():
            if isinstance(module, DropBlock):
                module.probability = probability
