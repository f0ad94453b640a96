"""Scores of a segment: faces tracked, mouths cropped, embeddings compared at every delay."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d

from ..config import FPS, HOP_S, HOPS_PER_FRAME, WINDOW_FRAMES, WINDOW_HOPS, Config
from ..faces.crops import mouth_crops
from ..faces.detect import Detector
from ..faces.tracks import detect_faces, link_tracks
from ..media.image import FrameImage
from ..media.source import AudioSource, VideoSource
from ..media.video import Frame, Tick, mean_frame_lag
from ..parallel import prefetch
from ..syncnet.backend import Backend
from ..syncnet.mel import log_mel
from .activity import activity_mask, activity_share
from .curve import Scores, delay_grid, frame_to_hop, pair_cosines
from .evidence import MouthWindow, strongest_in_segment

FRAMES_AHEAD = 32  # decoded frames that wait for the face detector
SEGMENTS_AHEAD = 1  # segments that wait to be scored


@dataclass(frozen=True)
class Engine:
    """What is loaded once and used for every video. weights: name and digest of the weights file, for reports."""

    detector: Detector
    backend: Backend
    weights: str


class SegmentMouths(NamedTuple):
    """The mouths of one segment.

    ticks: of its frames; mouths: of every face the number of its first frame in the segment and its crops, uint8 [n, size, size].
    """

    ticks: list[Tick]
    mouths: list[tuple[int, np.ndarray]]


class ScoredSegment(NamedTuple):
    """The scores of one segment, its number of face tracks, and its windows with the strongest evidence."""

    scores: Scores
    faces: int
    windows: tuple[MouthWindow, ...]


def mouth_segments(
    engine: Engine, source: VideoSource, spans: Iterable[tuple[float, float]], config: Config
) -> Generator[SegmentMouths, None, None]:
    """Extract the mouths between times (start, end) in s, in segments short enough for the memory; less than one window is left out.

    Frames are decoded, and faces detected, in threads of their own.
    """

    def frames() -> Iterator[tuple[int, Frame]]:
        for number, (start, end) in enumerate(spans):
            for frame in source.frames(start, end):
                yield number, frame

    def segments() -> Iterator[SegmentMouths]:
        length = round(config.sampling.segment_s * FPS)
        with closing(prefetch(frames(), FRAMES_AHEAD)) as numbered:
            for _, group in groupby(numbered, key=itemgetter(0)):
                own = (frame for _, frame in group)
                for first in own:
                    segment = extract_mouths(engine, chain([first], islice(own, length - 1)), config)
                    if len(segment.ticks) >= WINDOW_FRAMES:
                        yield segment

    with closing(prefetch(segments(), SEGMENTS_AHEAD)) as ahead:
        yield from ahead


def extract_mouths(engine: Engine, frames: Iterable[Frame], config: Config) -> SegmentMouths:
    """Track the faces of one segment and crop their mouths."""
    ticks: list[Tick] = []

    def images() -> Iterator[FrameImage]:
        for frame in frames:
            ticks.append(frame.tick)
            yield frame.image

    scan = detect_faces(images(), engine.detector, config.faces)
    tracks = [track for track in link_tracks(scan, config.faces) if track.stop - track.start >= WINDOW_FRAMES]
    crop = engine.backend.dimensions.crop
    return SegmentMouths(ticks, [(track.start, mouth_crops(scan.gray_images, track, crop)) for track in tracks])


def score_segment(engine: Engine, audio: AudioSource, segment: SegmentMouths, config: Config) -> ScoredSegment:
    """Compare the mouths of a segment with the audio at every delay."""
    ticks, mouths = segment.ticks, segment.mouths
    delays = delay_grid(config.curve.range_s)
    count = len(ticks) - WINDOW_FRAMES + 1
    origin = ticks[0].index * HOPS_PER_FRAME - int(delays[-1])  # hop from which the audio is read
    stop = (ticks[-1].index + 1) * HOPS_PER_FRAME + int(delays[-1])
    lag = mean_frame_lag(ticks)
    mels = log_mel(audio.read(origin * HOP_S + lag, stop * HOP_S + lag), engine.backend.dimensions.mel)
    first = frame_to_hop(ticks[0].index + np.arange(count)) - origin
    faces = np.full((len(mouths), count, len(delays)), np.nan, np.float32)
    voice = engine.backend.embed_audio(mels) if mouths else np.empty((0, 0))
    for i, (start, crops) in enumerate(mouths):
        mouth = engine.backend.embed_mouths(crops)
        rows = slice(start, start + len(mouth))
        faces[i, rows] = engine.backend.probability(pair_cosines(mouth, voice, first[rows], delays))
    weight = activity_share(activity_mask(mels), first, WINDOW_HOPS)
    time_s = np.array([tick.time_s for tick in ticks[:count]])
    best, chosen = best_face(faces, config.curve.face_frames)
    scores = Scores(best, delays, time_s, weight)
    return ScoredSegment(scores, len(mouths), strongest_in_segment(scores, mouths, chosen, config.curve))


def best_face(faces: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """P of the face that matches best around each window, at each delay, and its number: two [n, delays], from P [faces, n, delays].

    Chosen by the mean over `frames`, not window by window: the best of several lucky windows is no evidence.
    """
    if len(faces) == 0:
        return np.full(faces.shape[1:], np.nan, np.float32), np.zeros(faces.shape[1:], int)
    if len(faces) == 1:
        return faces[0], np.zeros(faces.shape[1:], int)
    known = np.isfinite(faces)
    total = uniform_filter1d(np.nan_to_num(faces), frames, axis=1, mode="nearest")
    share = uniform_filter1d(known.astype(np.float32), frames, axis=1, mode="nearest")
    mean = np.where(known, total / np.maximum(share, 1e-6), -1)
    chosen = mean.argmax(0)
    return np.take_along_axis(faces, chosen[None], 0)[0], chosen
