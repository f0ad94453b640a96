"""How a face is shown, what is shown instead of one, and music, for `edited.py`."""

from __future__ import annotations

import numpy as np
from edits import HEIGHT, LOUD, RATE, SIDE, WIDTH, Clip, FrameAt, Framing, Take
from PIL import Image, ImageDraw, ImageFilter, ImageFont


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def backdrop(square: np.ndarray) -> np.ndarray:
    """A blurred, dark frame of the same colours."""
    return (resize(resize(square, 12, 8), WIDTH, HEIGHT) * 0.6).astype(np.uint8)


def framed(zoom: float = 1.0, x: float = 0.5, mirror: bool = False) -> Framing:
    """Another camera. zoom: 1 shows all of the clip, more only its middle; x: where, from 0 (left) to 1 (right)."""

    def look(square: np.ndarray, k: int) -> np.ndarray:
        width = SIDE / zoom
        top, left = 0.45 * (SIDE - width), 0.5 * (SIDE - width)
        inner = square[round(top) : round(top + width), round(left) : round(left + width)]
        out = backdrop(square)
        at = round(x * (WIDTH - HEIGHT))
        out[:, at : at + HEIGHT] = resize(inner, HEIGHT, HEIGHT)
        return out[:, ::-1] if mirror else out

    return look


def close_up(mirror: bool = False) -> Framing:
    """The face fills the height of the frame."""

    def look(square: np.ndarray, k: int) -> np.ndarray:
        height = SIDE * HEIGHT // WIDTH
        out = resize(square[90 : 90 + height], WIDTH, HEIGHT)
        return out[:, ::-1] if mirror else out

    return look


CAMERAS = (framed(), framed(1.35, 0.2), close_up(), framed(1.0, 0.9, True), framed(1.2, 0.6, True), close_up(True))


def small(seed: int) -> Framing:
    """A face of about 60 px in a larger scene that does not move."""
    rng = np.random.default_rng(seed)
    scene = resize(rng.integers(40, 160, (9, 16, 3)).astype(np.uint8), WIDTH, HEIGHT)
    scene = np.clip(scene + rng.normal(0, 12, scene.shape), 0, 255).astype(np.uint8)
    left, top = int(rng.integers(20, WIDTH - 140)), int(rng.integers(20, HEIGHT - 140))

    def look(square: np.ndarray, k: int) -> np.ndarray:
        out = scene.copy()
        out[top : top + 120, left : left + 120] = resize(square, 120, 120)
        return out

    return look


WORDS = "and then we went down to the river because nobody had seen it before this would be a good time for all of them".split()


def subtitled(seed: int, box: bool) -> Framing:
    """Two lines of text over the chin and the lower lip, another text every two seconds."""
    font = ImageFont.load_default(26)

    def look(square: np.ndarray, k: int) -> np.ndarray:
        rng = np.random.default_rng(seed * 1000 + k // 50)
        image = Image.fromarray(framed()(square, k))
        draw = ImageDraw.Draw(image)
        for line in range(2):
            text = " ".join(rng.choice(WORDS, 6))
            x, y = WIDTH / 2 + rng.integers(-30, 30), 214 + 32 * line
            if box:
                draw.rectangle(draw.textbbox((x, y), text, font=font, anchor="ma"), fill=(0, 0, 0))
            draw.text((x, y), text, font=font, anchor="ma", fill="white", stroke_width=2, stroke_fill="black")
        return np.asarray(image)

    return look


def rotated(degrees: float, width: float = 1.0) -> Framing:
    """A tilted head; width below 1 narrows it as seen from the side."""

    def look(square: np.ndarray, k: int) -> np.ndarray:
        image = Image.fromarray(framed()(square, k)).rotate(degrees, Image.Resampling.BILINEAR)
        if width == 1:
            return np.asarray(image)
        out = backdrop(square)
        narrow = round(WIDTH * width)
        out[:, (WIDTH - narrow) // 2 : (WIDTH - narrow) // 2 + narrow] = np.asarray(image.resize((narrow, HEIGHT)))
        return out

    return look


def looking(take: Take, look: Framing) -> FrameAt:
    return lambda k: look(take.square(k), take.start + k)


# Sounds and images that are not speech.


def music(count: int, seed: int) -> np.ndarray:
    """Chords, a melody and drums: float32 [count], of the loudness of the clips."""
    rng = np.random.default_rng(seed)
    beat = round(60 / rng.uniform(80, 130) * RATE)
    chords, out = rng.choice([0, 2, 4, 5, 7, 9], 4), np.zeros(count + 5 * beat)

    def note(at: int, semitone: float, length: int, decay: float, gain: float) -> None:
        t = np.arange(length) / RATE
        tone = sum(np.sin(2 * np.pi * 130.8 * 2 ** (semitone / 12) * h * t) / h for h in range(1, 6))
        out[at : at + length] += gain * tone * np.exp(-decay * t) * np.minimum(1, 100 * t)

    for i, at in enumerate(range(0, count, beat)):
        root = chords[i // 4 % 4]
        if i % 4 == 0:
            for interval in (0, rng.choice([3, 4]), 7, 12):
                note(at, root + interval, 4 * beat, 0.5, 0.3)
        for half in (0, beat // 2):
            note(at + half, root + 12 + rng.choice([0, 4, 7, 12]), beat // 2, 6, 0.5)
        t = np.arange(beat // 2) / RATE
        kick, snare = np.sin(2 * np.pi * (50 * t + 8 * (1 - np.exp(-30 * t)))), rng.normal(0, 0.5, len(t))
        out[at : at + len(t)] += 1.5 * (snare if i % 2 else kick) * np.exp(-15 * t)
    out = out[:count]
    return (out * LOUD / np.sqrt(np.mean(out**2))).astype(np.float32)


def scenery(seed: int) -> FrameAt:
    """Something without a face: a still image of blobs, moving bars, or a slow zoom over noise."""
    rng = np.random.default_rng(seed)
    still = resize(rng.integers(0, 255, (12, 20, 3)).astype(np.uint8), WIDTH, HEIGHT)
    if seed % 3 == 0:
        return lambda k: still
    if seed % 3 == 1:
        return lambda k: np.roll(np.repeat(still[:1], HEIGHT, 0), 4 * k, axis=1)
    return lambda k: resize(still[k % 60 : HEIGHT - k % 60, k % 60 : WIDTH - k % 60], WIDTH, HEIGHT)


def portrait(clip: Clip) -> FrameAt:
    """A photograph of somebody, slowly zoomed."""
    photo = np.asarray(Image.fromarray(framed()(clip.frames()[clip.count // 2], 0)).filter(ImageFilter.SMOOTH))

    def frame_at(k: int) -> np.ndarray:
        edge = max(0, k) // 4 % 40
        return resize(photo[edge : HEIGHT - edge, edge * 16 // 9 : WIDTH - edge * 16 // 9], WIDTH, HEIGHT)

    return frame_at
