"""IC-SyncNet: two light convolutional encoders and the probability of being in sync.

Follows "Interpretable Convolutional SyncNet" (Park, Yun, Lee, Park, arXiv 2409.00971): a
five-frame mouth stack and a mel spectrogram, plain convolutions, anti-aliased strides,
DropBlock in residual blocks, spatial information kept up to the embedding, and a sigmoid
over a scaled and shifted cosine, so that the output is a probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import MEL_BANDS, WINDOW_FRAMES, WINDOW_HOPS
from .dimensions import CONTRAST_FLOOR, SOUND_STRIDES, VISUAL_STRIDES, Dimensions


class BlurPool(nn.Module):
    """Low-pass, then subsample (Zhang 2019, arXiv 1904.11486): binomial 3-tap blur along strided axes."""

    kernel: Tensor

    def __init__(self, channels: int, stride: tuple[int, int] = (2, 2)):
        super().__init__()
        taps = [torch.tensor([1.0, 2.0, 1.0]) / 4 if s > 1 else torch.ones(1) for s in stride]
        self.stride, self.pad = stride, tuple(len(t) // 2 for t in taps)
        kernel = torch.outer(*taps).expand(channels, 1, -1, -1).contiguous()
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H / stride, W / stride]."""
        return F.conv2d(x, self.kernel.to(x.dtype), stride=self.stride, padding=self.pad, groups=len(self.kernel))


class DropBlock(nn.Module):
    """Drop square patches of the feature map (Ghiasi et al. 2018, arXiv 1810.12890).

    `probability` is the share of units dropped; 0 or eval mode makes it the identity.
    """

    def __init__(self, probability: float = 0.0, block: int = 3):
        super().__init__()
        self.probability, self.block = probability, block

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> same shape, rescaled so that the mean activation is kept."""
        if not self.training or self.probability <= 0:
            return x
        block = min(self.block, *x.shape[-2:])
        # One patch mask for all channels: what is hidden is a place, as an occluder would hide it.
        seeds = torch.rand(len(x), 1, *x.shape[-2:], device=x.device) < self.probability / block**2
        drop = F.max_pool2d(seeds.to(x.dtype), block, 1, block // 2)[..., : x.shape[-2], : x.shape[-1]]
        keep = 1 - drop
        return x * keep / keep.mean().clamp(min=1e-3)


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
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.drop(self.bn2(self.conv2(y))) + self.short(x))


class Encoder(nn.Module):
    """Convolutional encoder: stem, then blur-subsample and residual block per stage, then a head.

    There is no global pooling: the last map goes through a 1 x 1 convolution and a linear
    layer, so where in the mouth (or in the spectrum) something happens is kept.
    """

    def __init__(
        self, inputs: int, size: tuple[int, int], widths: tuple[int, ...], strides: Sequence[tuple[int, int]], head: int, embedding: int
    ):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(inputs, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        stages: list[nn.Module] = []
        before = widths[0]
        for width, stride in zip(widths, strides, strict=True):
            stages += [BlurPool(before, stride), Residual(before, width)]
            before = width
            size = (-(-size[0] // stride[0]), -(-size[1] // stride[1]))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.Conv2d(before, head, 1, bias=False), nn.BatchNorm2d(head), nn.ReLU(), nn.Flatten())
        self.out = nn.Linear(head * size[0] * size[1], embedding)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, *size] -> unit embeddings [N, embedding], float32."""
        return F.normalize(self.out(self.head(self.stages(self.stem(x)))).float(), dim=-1)


class ICSyncNet(nn.Module):
    """Encoders for mouth and sound, and P(in sync) = sigmoid(scale * cosine + bias)."""

    def __init__(self, dimensions: Dimensions = Dimensions()):
        super().__init__()
        d = self.dimensions = dimensions
        side = d.crop.size
        self.visual = Encoder(WINDOW_FRAMES, (side, side), d.visual_widths, VISUAL_STRIDES, d.head, d.embedding)
        self.sound = Encoder(1, (MEL_BANDS, WINDOW_HOPS), d.sound_widths, SOUND_STRIDES, d.head, d.embedding)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-5.0))

    def forward(self, stacks: Tensor, mels: Tensor) -> Tensor:
        """Stacks [N, 5, S, S] and mels [M, 20, 80] -> log-odds of every pair being in sync, float32 [N, M]."""
        mouth, sound = self.embed_mouth(stacks), self.embed_sound(mels)
        with torch.autocast(stacks.device.type, enabled=False):  # bfloat16 would round the cosines
            return self.logits(mouth @ sound.T)

    def embed_mouth(self, stacks: Tensor) -> Tensor:
        """Five-frame stacks, uint8 [N, 5, S, S] -> [N, E] unit vectors.

        Brightness and contrast of each stack are normalised: light is not speech.
        """
        x = stacks.float()
        mean = x.mean((1, 2, 3), keepdim=True)
        x = (x - mean) / (x.std((1, 2, 3), keepdim=True) + CONTRAST_FLOOR)
        return self.visual(x.contiguous(memory_format=torch.channels_last))

    def embed_sound(self, mels: Tensor) -> Tensor:
        """Log-mel windows, float [N, 20, 80] log10 power -> [N, E] unit vectors.

        The window's mean level is taken out, so that gain does not matter.
        """
        x = mels.float()
        x = (x - x.mean((1, 2), keepdim=True)).transpose(1, 2)[:, None]
        return self.sound(x.contiguous(memory_format=torch.channels_last))

    def logits(self, cosine: Tensor) -> Tensor:
        """Cosine similarity -> log-odds of being in sync."""
        return cosine * self.log_scale.exp() + self.bias

    @torch.no_grad()
    def rescale(self, slope: float, shift: float) -> None:
        """Make the log-odds `slope` times what they were, plus `shift`: Platt scaling, to calibrate P."""
        self.log_scale.add_(math.log(slope))
        self.bias.mul_(slope).add_(shift)

    def set_dropblock(self, probability: float) -> None:
        """Set DropBlock everywhere; 0 switches it off ("drop and tune" ends that way)."""
        for module in self.modules():
            if isinstance(module, DropBlock):
                module.probability = probability
