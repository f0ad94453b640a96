"""The video of a synthetic clip: a portrait photograph whose mouth is warped to follow the articulation.

Coordinates x, y are pixels of portrait.png. Every frame is an inverse warp: for each pixel of the frame
it computes where in the portrait to sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter1d, map_coordinates

from .articulation import ARTICULATION_RATE, Contours

PORTRAIT = Path(__file__).with_name("portrait.png")  # 512 x 512 RGB; credit and licence in portrait.txt
UPSCALE = 2  # of the portrait, before frames are sampled from it

# Landmarks of the portrait in its pixels. Eyes and mouth corners as detected by CenterFace, the others measured by hand.
EYES = ((203.5, 101.3), (247.0, 104.0))
MOUTH_X, MOUTH_Y = 223.5, 140.3  # midpoint between the corners of the mouth
MOUTH_HALF_WIDTH = 21.0
MOUTH_TILT = 0.8  # a corner's vertical distance from the midpoint
UPPER_INNER, LOWER_INNER = 143.6, 150.4  # inner edges of the lips at the centre; parabolas to the corners
CHEEK_Y, NOSE_BASE_Y, CHIN_Y, NECK_Y = 114.0, 132.0, 178.0, 204.0
FACE_X, FACE_Y, FACE_HALF_WIDTH = 224.5, 125.0, 46.0

TONGUE_COLOUR = np.array([150, 72, 70])  # RGB
GRAIN_MARGIN = 64  # px; each frame uses the noise field at another offset, at most this far

Pose = dict[str, float]  # the articulation at one time


@dataclass
class Appearance:
    """Properties of one speaker and camera; lengths in pixels of the portrait."""

    crop_side: float  # of the square that fills the shorter side of the frame
    mirror: bool
    mouth_opening: float  # distance of the lips at full aperture
    smile: float  # height of the corners above the centre of the closed mouth
    teeth: float  # visible length below the upper lip
    mouth_colour: np.ndarray  # inside the mouth, RGB
    gain: np.ndarray  # RGB
    gamma: float
    desaturation: float  # 0 colour .. 1 grey
    noise: float  # standard deviation, grey levels

    @staticmethod
    def random(rng: np.random.Generator) -> Appearance:
        return Appearance(
            crop_side=rng.uniform(135, 200),
            mirror=bool(rng.random() < 0.5),
            mouth_opening=rng.uniform(12, 17),
            smile=rng.uniform(2.5, 5.0),
            teeth=rng.uniform(2.0, 5.0),
            mouth_colour=np.array([52, 16, 16]) * rng.uniform(0.5, 1.3),
            gain=rng.uniform(0.85, 1.1) * rng.uniform(0.93, 1.07, 3),
            gamma=rng.uniform(0.8, 1.35),
            desaturation=float(rng.choice([0, 0, 0.3, 0.6])),
            noise=rng.uniform(0.5, 4.0),
        )


def render(articulation: Contours, count: int, fps: int, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return `count` frames, uint8 [count, height, width, 3] RGB; `size` is (width, height)."""
    appearance, planes = Appearance.random(rng), _load_planes()
    columns, rows = (np.arange(length, dtype=np.float32) - (length - 1) / 2 for length in size)
    scale = appearance.crop_side / min(size)
    if appearance.mirror:
        columns = -columns
    x0, y0 = np.meshgrid(columns * scale, rows * scale)
    motion = _random_motion(count, fps, rng)
    blink = _random_blinks(count, fps, rng)
    grain_shape = (size[1] + GRAIN_MARGIN, size[0] + GRAIN_MARGIN, 3)
    grain = rng.standard_normal(grain_shape).astype(np.float32) * appearance.noise
    frames = np.empty((count, size[1], size[0], 3), np.uint8)
    for k in range(count):
        pose = {name: float(contour[round(k * ARTICULATION_RATE / fps)]) for name, contour in articulation.items()}
        state = {name: float(values[k]) for name, values in motion.items()}
        x, y = _place_head(x0, y0, state)
        image = _draw_face(planes, x, y, pose, float(blink[k]), appearance)
        dx, dy = rng.integers(0, GRAIN_MARGIN, 2)
        frames[k] = _expose(image, state, appearance, grain[dy : dy + size[1], dx : dx + size[0]])
    return frames


def _load_planes() -> np.ndarray:
    """The colour planes of the portrait, float32 [3, H, W], upscaled once with a cubic filter so that bilinear sampling is enough later."""
    with Image.open(PORTRAIT) as image:
        large = image.resize((image.width * UPSCALE, image.height * UPSCALE), Image.Resampling.BICUBIC)
    return np.asarray(large, np.float32).transpose(2, 0, 1).copy()


def _sample(planes: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Colours of the portrait at (x, y), float32 [..., 3]."""
    at = np.stack([y, x]) * UPSCALE + (UPSCALE - 1) / 2
    return np.stack([map_coordinates(plane, at, order=1, mode="reflect") for plane in planes], -1)


def _random_motion(count: int, fps: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random courses [count] of head pose and light: name -> deviation from rest."""
    amplitude_and_hz = {
        "x": (3.0, 0.35),
        "y": (2.2, 0.35),
        "roll": (0.045, 0.3),
        "zoom": (0.03, 0.2),
        "yaw": (2.2, 0.4),
        "light": (0.05, 0.15),
        "warmth": (0.03, 0.1),
    }
    return {name: amplitude * _smooth_noise(count, fps, hz, rng) for name, (amplitude, hz) in amplitude_and_hz.items()}


def _smooth_noise(count: int, fps: int, hz: float, rng: np.random.Generator) -> np.ndarray:
    """Low-pass noise [count] of unit variance that varies about `hz` times a second."""
    sigma = fps / (2 * np.pi * hz)
    pad = int(4 * sigma) + 1
    noise = gaussian_filter1d(rng.standard_normal(count + 2 * pad), sigma)[pad : pad + count]
    return noise * np.sqrt(2 * np.sqrt(np.pi) * sigma)


def _random_blinks(count: int, fps: int, rng: np.random.Generator) -> np.ndarray:
    """Closure of the eyes [count], 0..1: a short blink every few seconds."""
    times, closure, blink_s = np.arange(count) / fps, np.zeros(count), rng.uniform(0.5, 3)
    while blink_s < count / fps:
        closure = np.maximum(closure, np.exp(-0.5 * ((times - blink_s) / 0.045) ** 2))
        blink_s += rng.uniform(1.5, 5)
    return closure


def _place_head(x0: np.ndarray, y0: np.ndarray, state: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Portrait coordinates of every pixel for the head pose `state`; x0, y0 are relative to the centre of the frame."""
    zoom = 1 + state["zoom"]
    cos, sin = zoom * np.cos(state["roll"]), zoom * np.sin(state["roll"])
    x = FACE_X + cos * x0 - sin * y0 + state["x"]
    y = FACE_Y + 5 + sin * x0 + cos * y0 + state["y"]
    # Yaw: what is nearer to the camera shifts more.
    x = x + state["yaw"] * np.exp(-(((x - FACE_X) / 38) ** 2) - ((y - FACE_Y) / 55) ** 2)
    return x.astype(np.float32), y.astype(np.float32)


def _draw_face(planes: np.ndarray, x: np.ndarray, y: np.ndarray, pose: Pose, blink: float, appearance: Appearance) -> np.ndarray:
    """The portrait at (x, y) [H, W] with eyes and mouth posed, float32 [H, W, 3]."""
    if blink > 0.02:
        y = _close_eyes(x, y, blink)
    inside = (np.abs(x - MOUTH_X) < 62) & (y > CHEEK_Y) & (y < NECK_Y + 6)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return _sample(planes, x, y)
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    lips = _pose_lips(x[box], y[box], pose, appearance)
    cover = _mouth_mask(y[box], lips, pose)
    interior = _mouth_interior(planes, y[box], lips, appearance)
    source_y = _warp_rows(x[box], y[box], lips, pose, appearance)
    x, y = x.copy(), y.copy()
    x[box], y[box] = lips.source_x, source_y
    image = _sample(planes, x, y)
    image[box] += cover[..., None] * (interior - image[box])
    return image


def _close_eyes(x: np.ndarray, y: np.ndarray, blink: float) -> np.ndarray:
    """Source rows that pull the skin between brow and lashes over the eyes."""
    for eye_x, eye_y in EYES:
        below_brow, lid = y - (eye_y - 9), eye_y + 3.5
        closure = 0.6 * blink * np.clip(1 - ((x - eye_x) / 12) ** 2, 0, 1)
        y = np.where((below_brow > 0) & (y < lid), y - closure * below_brow, y)
    return y


class _Lips(NamedTuple):
    """The lips of one frame. Arrays [H, W]: a value for the column of each pixel."""

    source_x: np.ndarray  # column of the portrait, after the mouth is made narrower or wider
    across: np.ndarray  # 0 at the centre, -1 and 1 at the corners
    across_squared: np.ndarray  # at most 1
    upper_at_rest: np.ndarray  # row of the upper lip's inner edge in the portrait
    lower_at_rest: np.ndarray
    upper: np.ndarray  # the same in this frame
    lower: np.ndarray
    seam: np.ndarray  # row where closed lips meet


def _pose_lips(x: np.ndarray, y: np.ndarray, pose: Pose, appearance: Appearance) -> _Lips:
    """Where the edges of the lips are in this pose."""
    jaw, spread = np.clip(pose["jaw"], 0, 1), np.clip(pose["spread"], -1, 1.2)
    relative_width = 0.86 + 0.12 * max(spread, 0) - 0.20 * max(-spread, 0) - 0.04 * jaw
    near = np.exp(-(((x - MOUTH_X) / 28) ** 4)) * _smoothstep((y - CHEEK_Y) / 22) * _smoothstep((CHIN_Y - y) / 28)
    source_x = x + (1 / relative_width - 1) * (x - MOUTH_X) * near
    across = (source_x - MOUTH_X) / MOUTH_HALF_WIDTH
    across_squared = np.minimum(across**2, 1)
    tilt = MOUTH_TILT * np.clip(across, -1, 1)

    rounding = min(max(-spread, 0), 1)
    smile = appearance.smile * (1 + 0.25 * max(spread, 0) - 0.7 * rounding)
    opening = pose["lip_aperture"] * appearance.mouth_opening * (1 - across_squared) ** (0.7 - 0.25 * rounding)
    seam = MOUTH_Y + tilt + 6.2 - smile * across_squared
    raised = 0.18 + 0.14 * rounding  # the upper lip's share of the opening
    return _Lips(
        source_x=source_x,
        across=across,
        across_squared=across_squared,
        upper_at_rest=MOUTH_Y + tilt + (UPPER_INNER - MOUTH_Y) * (1 - across_squared),
        lower_at_rest=MOUTH_Y + tilt + (LOWER_INNER - MOUTH_Y) * (1 - across_squared),
        upper=seam - raised * opening,
        lower=seam + (1 - raised) * opening,
        seam=seam,
    )


def _warp_rows(x: np.ndarray, y: np.ndarray, lips: _Lips, pose: Pose, appearance: Appearance) -> np.ndarray:
    """Rows of the portrait from which the skin around the mouth comes."""
    jaw, spread = np.clip(pose["jaw"], 0, 1), np.clip(pose["spread"], -1, 1.2)
    upper, lower = lips.upper, lips.lower
    fade = np.exp(-((np.maximum(np.abs(lips.across) - 1, 0) / 0.45) ** 2))  # beyond the corners
    above = (upper - lips.upper_at_rest) * fade * _smoothstep((y - NOSE_BASE_Y) / np.maximum(upper - NOSE_BASE_Y, 1))
    jaw_drop = 9.5 * jaw / 15 * appearance.mouth_opening * np.clip(1 - ((x - MOUTH_X) / FACE_HALF_WIDTH) ** 2, 0, 1)
    chin = _smoothstep((y - lower) / 20)  # 0 at the lip, 1 at the chin
    below = (lower - lips.lower_at_rest) * fade * (1 - chin) + jaw_drop * chin * _smoothstep((NECK_Y + 6 - y) / 30)
    thickness = 0.35 * max(-spread, 0) - 0.45 * pose["lip_pressure"]  # rounded lips swell, pressed lips thin out
    swell = thickness * fade * (1 - lips.across_squared)
    above = above + swell * (y - upper) * np.exp(-(((y - upper) / 5) ** 2))
    below = below + swell * (y - lower) * np.exp(-(((y - lower) / 6) ** 2))
    return y - np.where(y < 0.5 * (upper + lower), above, below)


def _mouth_mask(y: np.ndarray, lips: _Lips, pose: Pose) -> np.ndarray:
    """Opacity of the mouth's interior, float32 [H, W]: 0 skin .. 1 interior, with a faint line where closed lips meet."""
    edge = 0.8  # width of the soft edge
    cover = np.clip((y - lips.upper) / edge + 0.5, 0, 1) * np.clip((lips.lower - y) / edge + 0.5, 0, 1) * (np.abs(lips.across) < 1)
    closed = max(1 - pose["lip_aperture"] / 0.1, 0)
    line = 0.55 * np.exp(-(((y - lips.seam) / 0.8) ** 2)) * (1 - lips.across_squared) * closed
    return np.maximum(cover, line).astype(np.float32)


def _mouth_interior(planes: np.ndarray, y: np.ndarray, lips: _Lips, appearance: Appearance) -> np.ndarray:
    """Colours inside the mouth, float32 [H, W, 3]: the portrait's own upper teeth, the tongue, darkness."""
    below_upper, above_lower = y - lips.upper, lips.lower - y
    length = np.minimum(appearance.teeth, np.maximum(lips.lower_at_rest - lips.upper_at_rest - 1.2, 0)) * np.sqrt(1 - lips.across_squared)
    row = lips.lower_at_rest - 1.0 - length + np.clip(below_upper, 0, length)
    teeth = _sample(planes, lips.source_x.astype(np.float32), row.astype(np.float32)) * 0.82
    tongue = 0.75 * _smoothstep((below_upper - 5) / 5) * _smoothstep((5.5 - above_lower) / 4) * (1 - lips.across_squared)
    behind = appearance.mouth_colour + tongue[..., None] * (TONGUE_COLOUR - appearance.mouth_colour)
    visible = (np.clip((length - below_upper) / 1.0 + 0.5, 0, 1) * (length > 0.3))[..., None]
    return (behind + visible * (teeth - behind)).astype(np.float32)


def _smoothstep(t: np.ndarray) -> np.ndarray:
    """Smooth step from 0 at t = 0 to 1 at t = 1."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _expose(image: np.ndarray, state: dict[str, float], appearance: Appearance, grain: np.ndarray) -> np.ndarray:
    """The image as the camera records it: light, colour, contrast and noise; uint8."""
    light = appearance.gain * (1 + state["light"]) * (1 + state["warmth"] * np.array([1, 0, -1]))
    image = np.clip(image, 0, 255) * light.astype(np.float32)
    if appearance.desaturation:
        image += appearance.desaturation * (image.mean(axis=2, keepdims=True) - image)
    image = 255 * (np.clip(image, 0, 255) / 255) ** np.float32(appearance.gamma)
    return np.clip(image + grain + 0.5, 0, 255).astype(np.uint8)
