"""A 4 s clip whose every frame and sample is known: frames show their number, the audio is noise.

The number is the brightness of the two halves of the frame; the position of the noise is measured
by cross-correlation.
"""

from __future__ import annotations

import numpy as np

SECONDS = 4
SIZE = (64, 48)
RATE = 16_000  # Hz, of `read_audio`
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-g", "30", "-bf", "2", "-pix_fmt", "yuv420p")
FORMATS = {
    "mp4": (*H264, "-c:a", "aac"),
    "mov": (*H264, "-c:a", "pcm_s16le"),
    "mkv": (*H264, "-c:a", "libopus"),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M", "-c:a", "libvorbis"),
    "ts": (*H264, "-c:a", "aac"),
}


def noise(seconds: float = SECONDS, seed: int = 0) -> np.ndarray:
    """Noise below 4 kHz: float32 at 48 kHz."""
    white = np.random.default_rng(seed).normal(size=int(seconds * 12_000)) * 0.2
    return np.interp(np.arange(int(seconds * 48_000)) / 4, np.arange(len(white)), white).astype(np.float32)


def numbered_frames(fps: int = 25, size: tuple[int, int] = SIZE) -> bytes:
    """Raw greyscale frames: the left half of each encodes the tens of its number, the right half the ones."""
    numbers = np.arange(SECONDS * fps)
    left = np.arange(size[0]) < size[0] // 2
    rows = 10 * np.where(left, numbers[:, None] // 10, numbers[:, None] % 10)
    return np.repeat(rows.astype(np.uint8) + 20, size[1], axis=0).tobytes()


def frame_number(frame) -> int:
    """The number that a frame shows."""
    pixels = frame.image.bgr()
    middle = pixels.shape[1] // 2
    tens, ones = ((float(half.mean()) - 20) / 10 for half in (pixels[:, :middle], pixels[:, middle:]))
    return 10 * round(tens) + round(ones)
