"""One picture of a film, converted only into what is asked of it.

Of most pictures no more is wanted than a look for shot cuts and the grey of a mouth, so turning each of them into
colour pixels and these into grey would be wasted: pictures that need no scaling stay as the decoder gave them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image

_PLANAR = ("yuv420p", "yuvj420p")  # formats that are kept as they are: 8 bits, colour at half the size
_THUMB_FROM = 320  # a thumbnail is made of so many pixels of the longer side; all of a large picture would tell no more


class Gray(Protocol):
    """A picture of which grey parts can be had.

    Grey is taken as if blue were red and red blue, so that red counts least: lips stand out darker. The network was
    trained on this grey and knows no other.
    """

    def part(self, x: int, y: int, side: int) -> np.ndarray:
        """The square whose upper left corner is at (x, y) px, black outside the picture: uint8 [side, side]."""

    def thumb(self, side: int) -> np.ndarray:
        """The whole picture, small, in grey or luma, to be compared with its neighbours: float32 [side, side]."""


class Picture(Protocol):
    """A picture in which faces can be looked for."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px, upright."""

    @property
    def gray(self) -> Gray:
        """What is worth keeping of it."""

    def bgr(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """In colour: uint8 [H, W, 3], BGR, scaled to `size` (width and height) if one is given."""


@dataclass(frozen=True)
class ArrayGray:
    """Grey pixels in memory, uint8 [H, W]. See Gray."""

    pixels: np.ndarray

    def part(self, x: int, y: int, side: int) -> np.ndarray:
        """See Gray."""
        return np.asarray(Image.fromarray(self.pixels).crop((x, y, x + side, y + side)))

    def thumb(self, side: int) -> np.ndarray:
        """See Gray."""
        return _thumb(self.pixels, side)


@dataclass(frozen=True)
class ArrayPicture:
    """Colour pixels in memory: uint8 [H, W, 3], BGR, or [H, W, 4] where the fourth says nothing. See Picture."""

    pixels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """See Picture."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def gray(self) -> ArrayGray:
        """See Picture."""
        return ArrayGray(np.asarray(self._image().convert("L")))

    def bgr(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """See Picture."""
        if size is None:
            return np.ascontiguousarray(self.pixels[:, :, :3])
        return np.ascontiguousarray(np.asarray(self._image().resize(size, Image.Resampling.BILINEAR))[:, :, :3])

    def _image(self) -> Image.Image:
        """For Pillow, which takes blue for red. Of four bytes a pixel it needs no copy."""
        if self.pixels.shape[2] == 3:
            return Image.fromarray(self.pixels)
        return Image.frombuffer("RGBX", self.size, self.pixels, "raw", "RGBX", 0, 1)


@dataclass(frozen=True)
class YuvPicture:
    """A decoded frame of a format in _PLANAR; turns: quarters counter-clockwise that make it upright. See Picture and Gray."""

    frame: av.VideoFrame
    turns: int
    reformatter: VideoReformatter

    @property
    def size(self) -> tuple[int, int]:
        """See Picture."""
        across = self.frame.width, self.frame.height
        return across[::-1] if self.turns % 2 else across

    @property
    def gray(self) -> YuvPicture:
        """See Picture."""
        return self

    def bgr(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """See Picture."""
        return _in_colour(self.frame, self.turns, self.reformatter).bgr(size)

    def part(self, x: int, y: int, side: int) -> np.ndarray:
        """See Gray."""
        width, height = self.size
        # From where a colour sample begins to where one ends; swscale also takes another, slower way for odd sizes.
        left, top = max(x, 0) // 2 * 2, max(y, 0) // 2 * 2
        right, bottom = min((x + side + 1) // 2 * 2, width), min((y + side + 1) // 2 * 2, height)
        if right <= left or bottom <= top:
            return np.zeros((side, side), np.uint8)
        cut = _in_colour(self._cut(left, top, right, bottom), 0, self.reformatter)
        return cut.gray.part(x - left, y - top, side)

    def thumb(self, side: int) -> np.ndarray:
        """See Gray."""
        return _thumb(np.rot90(_samples(self.frame.planes[0]), self.turns), side)

    def _cut(self, left: int, top: int, right: int, bottom: int) -> av.VideoFrame:
        """A frame of the same format that has only that part, upright."""
        part = av.VideoFrame(right - left, bottom - top, self.frame.format.name)
        part.colorspace, part.color_range = self.frame.colorspace, self.frame.color_range
        for shrink, own, other in zip((1, 2, 2), self.frame.planes, part.planes):
            target = _samples(other)
            y, x = top // shrink, left // shrink
            target[:] = np.rot90(_samples(own), self.turns)[y : y + target.shape[0], x : x + target.shape[1]]
        return part


class Converter:
    """Decoded frames to pictures of one size, the first frame's, the longer side at most max_side px."""

    def __init__(self, max_side: int):
        self._max_side = max_side
        self._size: tuple[int, int] | None = None
        # Kept, so that the scalers are set up once; two, because pictures are made by one thread and looked at by another.
        self._scaler, self._reformatter = VideoReformatter(), VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> Picture:
        """The picture of a frame, upright."""
        if self._size is None:
            shrink = min(1.0, self._max_side / max(frame.width, frame.height))
            self._size = max(1, round(frame.width * shrink)), max(1, round(frame.height * shrink))
        turns = turns_of(frame)
        if self._fits(frame):
            return YuvPicture(frame, turns, self._reformatter)
        return _in_colour(frame, turns, self._scaler, self._size)

    def _fits(self, frame: av.VideoFrame) -> bool:
        """Whether the frame's own memory will do.

        The last colour samples of an odd picture stand for half as many pixels. Pictures stored upside down have lines of
        negative length. What is scaled goes to colour at once: scaled in yuv first, grey would be half a level off.
        """
        same = (frame.width, frame.height) == self._size and frame.width % 2 == frame.height % 2 == 0
        return same and frame.format.name in _PLANAR and all(plane.line_size > 0 for plane in frame.planes)


def turns_of(frame: av.VideoFrame) -> int:
    """Quarters counter-clockwise that make a decoded frame upright."""
    return round(frame.rotation / 90) % 4


def _in_colour(frame: av.VideoFrame, turns: int, reformatter: VideoReformatter, size: tuple[int, int] | None = None) -> ArrayPicture:
    """A frame in colour, upright; scaled to `size`, before it is turned, if one is given."""
    width, height = size or (frame.width, frame.height)
    # Four bytes a pixel are faster for Pillow, but of other widths swscale leaves the end of a line unwritten.
    if width % 16 or frame.format.name == "bgr0":
        pixels = reformatter.reformat(frame, width, height, "bgr24", threads=1).to_ndarray()
    else:
        plane = reformatter.reformat(frame, width, height, "bgr0", threads=1).planes[0]
        pixels = _lines(plane)[:, : 4 * width].reshape(height, width, 4)
    return ArrayPicture(np.ascontiguousarray(np.rot90(pixels, turns)))


def _samples(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """A plane of one byte a sample: uint8 [h, w], its own memory."""
    return _lines(plane)[: plane.height, : plane.width]


def _lines(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """A plane's own memory, with the padding at the end of its lines: uint8 [lines, bytes]."""
    return np.asarray(memoryview(plane)).view(np.uint8).reshape(-1, plane.line_size)


def _thumb(pixels: np.ndarray, side: int) -> np.ndarray:
    step = max(1, max(pixels.shape) // _THUMB_FROM)
    some = np.ascontiguousarray(pixels[::step, ::step])
    return np.asarray(Image.fromarray(some).resize((side, side), Image.Resampling.BOX), np.float32)
