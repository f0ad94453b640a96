"""What the tests of resync.sync share: synthetic scores, and a video whose mouths and audio a fake network can match."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from resync.config import FPS, HOP_S, HOPS_PER_FRAME, SAMPLE_RATE, Config, CropConfig, DecideConfig, DecisionRule, FaceConfig
from resync.faces.boxes import Faces
from resync.media.image import ArrayImage
from resync.media.probe import AudioInfo, MediaInfo, VideoInfo
from resync.media.source import AudioSource, VideoSource
from resync.media.video import Frame
from resync.sync.activity import loudness_db
from resync.sync.curve import Scores
from resync.sync.decide import Decision, decide
from resync.sync.scoring import Engine
from resync.sync.speakers import FaceBoxes
from resync.syncnet.dimensions import Dimensions

# A rule of its own: what these tests say must not depend on the latest fit.
RULE = DecisionRule(constant=-0.5, height=2.0, lead=5.0, reach=0.1, min_certainty=0.5, min_widened=0.7)


# --- scores ----------------------------------------------------------------------------------------


def make_scores(odds, delays, start_s=0.0, activity=1.0, audible=1.0) -> Scores:
    """Scores with these log-odds [windows, delays]; activity, audible: of every hop, or a function of the time on the audio's clock."""
    odds, delays = np.asarray(odds, float), np.asarray(delays)
    times = start_s + HOP_S * (int(delays[0]) + np.arange(HOPS_PER_FRAME * (len(odds) - 1) + len(delays)))
    shares = (np.array([float(x(t)) if callable(x) else x for t in times]) for x in (activity, audible))
    p = (1 / (1 + np.exp(-odds))).astype(np.float32)
    return Scores(p, delays, start_s + np.arange(len(odds)) / FPS, *shares)


def changed(scores: Scores, **fields) -> Scores:
    """The scores with other values in some fields; a number stands for an array of it."""
    arrays = {name: np.full_like(getattr(scores, name), x) if np.isscalar(x) else x for name, x in fields.items()}
    return replace(scores, **arrays)


def speech(delay_s, seconds=8.0, high=3.0, low=-5.0, noise=0.7, start_s=0.0, seed=0, reach=60, centre=0, **audio) -> Scores:
    """Scores of a speaker whose audio is `delay_s` late, or by a function of time; None where nobody visible speaks."""
    rng = np.random.default_rng(seed)
    windows, delays = round(seconds * FPS), centre + np.arange(-reach, reach + 1)
    late = [delay_s(t) if callable(delay_s) else delay_s for t in start_s + np.arange(windows) / FPS]
    at = np.array([np.nan if x is None else x for x in late]) / HOP_S
    bump = np.nan_to_num(np.exp(-((delays - at[:, None]) ** 2) / (2 * 5.0**2)))
    return make_scores(low + (high - low) * bump + rng.normal(0, noise, bump.shape), delays, start_s, **audio)


def sampled(delay_s, count=10, every_s=60.0, **options) -> list[Scores]:
    """Segments of a long video."""
    return [speech(delay_s, start_s=every_s * i, seed=i, **options) for i in range(count)]


def judge(*segments: Scores, config=DecideConfig(rule=RULE), **options) -> Decision:
    """The decision on these segments, by the rule of the tests."""
    return decide(Scores.join(segments), segments, config, **options)


def still(box, start_s=0.0, end_s=8.0) -> FaceBoxes:
    """The boxes of a face that does not move: (left, top, right, bottom) as shares of the frame."""
    return FaceBoxes(np.array([start_s, end_s]), np.array([box, box], np.float32))


# --- a video in memory -----------------------------------------------------------------------------

SIDE = 64  # px
DIMENSIONS = Dimensions(embedding=5, crop=CropConfig(size=8))
LANDMARKS = np.array([[26, 24], [38, 24], [32, 31], [27, 38], [37, 38]], np.float32)


class FakeDetector:
    """Detects one face in the middle of every frame, and none in a part of one."""

    name = "fake"

    def __call__(self, image, side=None) -> Faces:
        count = 1 if side is None else 0
        return Faces(np.array([[16, 12, 48, 52]], np.float32)[:count], LANDMARKS[None][:count], np.ones(count, np.float32))


class FakeBackend:
    """Matches the brightness of five frames with the loudness of the audio. `on_mouths` is called with all crops."""

    dimensions, device = DIMENSIONS, "cpu"

    def __init__(self, rule=RULE, on_mouths: Callable[[np.ndarray], None] = lambda crops: None):
        self.rule, self._on_mouths = rule, on_mouths

    def embed_mouths(self, crops):
        self._on_mouths(crops)
        return self._unit(np.lib.stride_tricks.sliding_window_view(crops.mean((1, 2)), 5))

    def embed_audio(self, mels):
        loud = np.maximum(loudness_db(mels), -60)
        return self._unit(np.lib.stride_tricks.sliding_window_view(loud, 20).reshape(-1, 5, HOPS_PER_FRAME).mean(2))

    def probability(self, cosine):
        return 1 / (1 + np.exp(8 - 12 * cosine))

    @staticmethod
    def _unit(patterns):
        centred = patterns - patterns.mean(1, keepdims=True)
        return (centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-3)).astype(np.float32)


class SceneAudio(AudioSource):
    """The voice of a scene: at each time of the video's clock, `delay(time)` seconds late; None: another voice. Notes what is read."""

    def __init__(self, values, delay, start_s=0.0, track=0):
        super().__init__(Path("scene"), track, start_s)
        other = np.random.default_rng(99).uniform(size=len(values))
        for name, value in {"_values": values, "_other": other, "_delay": delay, "reads": []}.items():
            object.__setattr__(self, name, value)

    def read(self, start_s, end_s):
        self.reads.append((start_s, end_s))
        hops = np.arange(round(start_s / HOP_S), round(end_s / HOP_S))
        late = [self._delay(hop * HOP_S) for hop in hops]
        number = np.floor((hops * HOP_S - np.array([x or 0.0 for x in late])) * FPS + 1e-6).astype(int)
        inside = (number >= 0) & (number < len(self._values))
        number = np.where(inside, number, 0)
        value = np.where([x is None for x in late], self._other[number], self._values[number])
        level = np.where(inside, 0.3 * 10.0 ** (value - 1), 0)  # 20 dB between dark and bright
        noise = np.random.default_rng(0).normal(size=SAMPLE_RATE)
        samples = np.arange(160 * hops[0], 160 * (hops[-1] + 1)) if len(hops) else np.zeros(0, int)
        return (np.repeat(level, 160) * noise[samples % SAMPLE_RATE]).astype(np.float32)


class Scene:
    """A video of so many seconds in which every frame has a brightness of its own, and audio tracks whose loudness follows it.

    decoded: numbers of the frames decoded so far.
    """

    def __init__(self, seconds: float, *delays, start_s: float = 0.0, seed: int = 0):
        values = np.random.default_rng(seed).uniform(size=round(seconds * FPS))
        self._values, self.decoded = values, []
        self.tracks = [SceneAudio(values, d if callable(d) else lambda t, d=d: d, start_s, i) for i, d in enumerate(delays)]
        video = VideoInfo(0, "h264", SIDE, SIDE, float(FPS), 0.0, seconds, 0)
        audio = tuple(AudioInfo(i, "aac", SAMPLE_RATE, 1, "mono", 0.0, seconds, None, None) for i, _ in enumerate(delays))
        info = MediaInfo(Path("scene"), "mp4", seconds, 0.0, video, audio)
        self.source = VideoSource(info, self._frames, self.tracks[0], lambda at_s: self._frame(math.floor(at_s * FPS + 1e-6)))

    def _frame(self, number: int) -> Frame:
        image = np.full((SIDE, SIDE, 3), round(255 * self._values[number]), np.uint8)
        return Frame(number, number / FPS, number / FPS, ArrayImage(image))

    def _frames(self, start_s: float, end_s: float):
        for number in range(math.ceil(start_s * FPS - 1e-6), math.ceil(min(end_s * FPS, len(self._values)) - 1e-6)):
            self.decoded.append(number)
            yield self._frame(number)


def fake_engine(**options) -> Engine:
    """A detector and a network for scenes."""
    return Engine(FakeDetector(), FakeBackend(**options), "fake")


def scene_config(range_s: float | None = None, **sampling) -> Config:
    """Settings for scenes: their brightness changes like at a cut in every frame, and ranges are half of the defaults, to save time.

    sampling: fields of SamplingConfig.
    """
    default = Config()
    return replace(
        default,
        faces=FaceConfig(cut_threshold=math.inf),
        curve=replace(default.curve, range_s=range_s, ranges_s=(0.5, 1.5, 4.0)),
        sampling=replace(default.sampling, **sampling),
    )
