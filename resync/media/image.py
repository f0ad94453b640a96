"""Images of video frames. Only what is needed is converted: a crop, a thumbnail or the full colour image.

Images are rotated for display. Colour images are BGR. Greyscale applies Pillow's RGB weights to BGR
pixels, i.e. 0.114 R + 0.587 G + 0.299 B, so that lips stand out darker. The network was trained on
this greyscale; it must stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image

_PLANAR_FORMATS = ("yuv420p", "yuvj420p")  # kept as decoded: 8 bits, chroma at half the resolution
_THUMBNAIL_SOURCE_PX = 320  # a thumbnail uses about this many pixels of the longer side; more would not change it noticeably


class GrayImage(Protocol):
    """An image from which greyscale crops can be taken."""

    def crop(self, x: int, y: int, side: int) -> Image.Image:
        """The square with its top left corner at (x, y) px, black outside the image: mode L."""

    def thumbnail(self, side: int) -> np.ndarray:
        """The whole image scaled down, in greyscale or luma, for comparison of frames: float32 [side, side]."""


class FrameImage(Protocol):
    """The image of a frame, in colour and greyscale."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px, after rotation."""

    @property
    def gray(self) -> GrayImage:
        """The greyscale image; keep this one if many frames are held in memory."""

    def bgr(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """Colour pixels: uint8 [H, W, 3], BGR, C-contiguous; scaled to `size` (width, height) if given."""

    def part(self, left: int, top: int, right: int, bottom: int) -> FrameImage:
        """A rectangle inside the image, in px; the bounds are even where the size of the image is."""


@dataclass(frozen=True)
class ArrayGrayImage:
    """A GrayImage of pixels in memory: uint8 [H, W]."""

    pixels: np.ndarray

    def crop(self, x: int, y: int, side: int) -> Image.Image:
        """See GrayImage."""
        return Image.fromarray(self.pixels).crop((x, y, x + side, y + side))

    def thumbnail(self, side: int) -> np.ndarray:
        """See GrayImage."""
        return _thumbnail(self.pixels, side)


@dataclass(frozen=True)
class ArrayImage:
    """A FrameImage of pixels in memory: uint8 [H, W, 3], BGR, or [H, W, 4], BGR and an unused channel."""

    pixels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """See FrameImage."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def gray(self) -> ArrayGrayImage:
        """See FrameImage."""
        return ArrayGrayImage(np.asarray(self.pillow_image().convert("L")))

    def bgr(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """See FrameImage."""
        if size is None:
            return np.ascontiguousarray(self.pixels[:, :, :3])
        return np.ascontiguousarray(np.asarray(self.pillow_image().resize(size, Image.Resampling.BILINEAR))[:, :, :3])

    def part(self, left: int, top: int, right: int, bottom: int) -> ArrayImage:
        """See FrameImage."""
        return ArrayImage(np.ascontiguousarray(self.pixels[top:bottom, left:right]))

    def pillow_image(self) -> Image.Image:
        """The BGR pixels as a Pillow image that takes them for RGB; four channels are not copied."""
        if self.pixels.shape[2] == 3:
            return Image.fromarray(self.pixels)
        return Image.frombuffer("RGBX", self.size, self.pixels, "raw", "RGBX", 0, 1)


@dataclass(frozen=True)
class YuvImage:
    """A FrameImage and GrayImage that keeps the decoded frame. Its crops equal those of the converted frame bit for bit.

    frame: in one of _PLANAR_FORMATS; quarter_turns: see frame_quarter_turns.
    """

    frame: av.VideoFrame
    quarter_turns: int
    reformatter: VideoReformatter

    @property
    def size(self) -> tuple[int, int]:
        """See FrameImage."""
        stored = self.frame.width, self.frame.height
        return stored[::-1] if self.quarter_turns % 2 else stored

    @property
    def gray(self) -> YuvImage:
        """See FrameImage."""
        return self

    def bgr(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """See FrameImage."""
        if size is None:
            return _to_bgr(self.frame, self.quarter_turns, self.reformatter).bgr()
        stored = size[::-1] if self.quarter_turns % 2 else size
        pixels = self.reformatter.reformat(self.frame, *stored, "bgr24", threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, self.quarter_turns))

    def part(self, left: int, top: int, right: int, bottom: int) -> YuvImage:
        """See FrameImage."""
        return YuvImage(self._cropped_frame(left, top, right, bottom), 0, self.reformatter)

    def crop(self, x: int, y: int, side: int) -> Image.Image:
        """See GrayImage."""
        width, height = self.size
        # Align to whole chroma samples; for odd sizes swscale would also use a different, slower code path.
        left, top = max(x, 0) // 2 * 2, max(y, 0) // 2 * 2
        right, bottom = min((x + side + 1) // 2 * 2, width), min((y + side + 1) // 2 * 2, height)
        if right <= left or bottom <= top:
            return Image.new("L", (side, side))
        cropped = _to_bgr(self._cropped_frame(left, top, right, bottom), 0, self.reformatter).pillow_image().convert("L")
        return cropped.crop((x - left, y - top, x - left + side, y - top + side))

    def thumbnail(self, side: int) -> np.ndarray:
        """See GrayImage."""
        return _thumbnail(np.rot90(_plane_samples(self.frame.planes[0]), self.quarter_turns), side)

    def _cropped_frame(self, left: int, top: int, right: int, bottom: int) -> av.VideoFrame:
        """A frame of the same format that holds only this rectangle, rotated; the bounds are even."""
        cropped = av.VideoFrame(right - left, bottom - top, self.frame.format.name)
        cropped.colorspace, cropped.color_range = self.frame.colorspace, self.frame.color_range
        for subsampling, source, target in zip((1, 2, 2), self.frame.planes, cropped.planes):
            samples = _plane_samples(target)
            y, x = top // subsampling, left // subsampling
            samples[:] = np.rot90(_plane_samples(source), self.quarter_turns)[y : y + samples.shape[0], x : x + samples.shape[1]]
        return cropped


class ImageConverter:
    """Converts decoded frames to images of one size: that of the first frame, with a longer side of at most max_side px."""

    def __init__(self, max_side: int):
        self._max_side = max_side
        self._size: tuple[int, int] | None = None  # before rotation
        # Kept so that swscale is set up only once. Two, because one thread converts frames while another reads the images.
        self._scaler, self._reformatter = VideoReformatter(), VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> FrameImage:
        """The image of a frame, rotated for display."""
        if self._size is None:
            self._size = self._scaled_size(frame.width, frame.height)
        quarter_turns = frame_quarter_turns(frame)
        if not _is_planar(frame) or any(side % 2 for side in self._size):
            return _to_bgr(frame, quarter_turns, self._scaler, self._size)
        if (frame.width, frame.height) != self._size:
            frame = self._scaler.reformat(frame, *self._size, frame.format.name, threads=1)  # faster than to scale in colour
        return YuvImage(frame, quarter_turns, self._reformatter)

    def _scaled_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height with a longer side of at most max_side px; even where they are scaled, for the samples of chroma."""
        scale = self._max_side / max(width, height)
        return (width, height) if scale >= 1 else (max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2))


def _is_planar(frame: av.VideoFrame) -> bool:
    """Whether a YuvImage can be made of a frame.

    Not with an odd size, where the last chroma samples cover only half as many pixels; nor stored bottom-up, with a negative
    line size.
    """
    even = frame.width % 2 == frame.height % 2 == 0
    return even and frame.format.name in _PLANAR_FORMATS and all(plane.line_size > 0 for plane in frame.planes)


def frame_quarter_turns(frame: av.VideoFrame) -> int:
    """How many times to rotate a decoded frame by 90 degrees counter-clockwise for display: 0 to 3."""
    return round(frame.rotation / 90) % 4


def _to_bgr(frame: av.VideoFrame, quarter_turns: int, reformatter: VideoReformatter, size: tuple[int, int] | None = None) -> ArrayImage:
    """A frame in colour, rotated for display; scaled to `size`, as before rotation, if given."""
    width, height = size or (frame.width, frame.height)
    # Four bytes per pixel are faster for Pillow, but unless the width is a multiple of 16, swscale leaves the end of each line unwritten.
    if width % 16 or frame.format.name == "bgr0":
        pixels = reformatter.reformat(frame, width, height, "bgr24", threads=1).to_ndarray()
    else:
        plane = reformatter.reformat(frame, width, height, "bgr0", threads=1).planes[0]
        pixels = _plane_lines(plane)[:, : 4 * width].reshape(height, width, 4)
    return ArrayImage(np.ascontiguousarray(np.rot90(pixels, quarter_turns)))


def _plane_samples(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """A view of a plane with one byte per sample: uint8 [height, width]."""
    return _plane_lines(plane)[: plane.height, : plane.width]


def _plane_lines(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """A view of a plane's lines including padding: uint8 [lines, bytes]."""
    return np.asarray(memoryview(plane)).view(np.uint8).reshape(-1, plane.line_size)


def _thumbnail(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pixels uint8 [H, W] scaled to float32 [side, side] by averaging."""
    step = max(1, max(pixels.shape) // _THUMBNAIL_SOURCE_PX)
    subsampled = np.ascontiguousarray(pixels[::step, ::step])
    return np.asarray(Image.fromarray(subsampled).resize((side, side), Image.Resampling.BOX), np.float32)
