"""Scores of a segment: faces tracked, mouths cropped and embedded, embeddings compared with those of the audio at every delay."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from ..config import FPS, HOP_S, HOPS_PER_FRAME, WINDOW_FRAMES, WINDOW_HOPS, Config
from ..faces.crops import mouth_crops
from ..faces.detect import Detector
from ..faces.tracks import FaceTrack, detect_faces, link_tracks
from ..media.image import FrameImage
from ..media.source import AudioSource, VideoSource
from ..media.video import Frame, Tick, mean_frame_lag
from ..parallel import prefetch
from ..smoothing import mean_filter
from ..syncnet.backend import Backend
from ..syncnet.mel import log_mel
from .activity import activity_mask, activity_share, audible_mask
from .curve import Scores, frame_to_hop, pair_cosines
from .speakers import FaceBoxes, FaceScores, face_scores

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

    ticks: of its frames; tracks: its faces; crops: of each face, uint8 [n, size, size]; frame_size: width and height in px.
    """

    ticks: list[Tick]
    tracks: list[FaceTrack]
    crops: list[np.ndarray]
    frame_size: tuple[int, int]


class EmbeddedFace(NamedTuple):
    """One face of a segment.

    start: number of its first window in the segment; boxes: where it is; mouth: float16 [windows, E], unit embeddings;
    crops: uint8 [windows + 4, size, size], None where they were dropped.
    """

    start: int
    boxes: FaceBoxes
    mouth: np.ndarray
    crops: np.ndarray | None


class EmbeddedSegment(NamedTuple):
    """What is kept of the video of one segment: enough to compare it with any audio at any delay.

    first_tick: number of its first frame on the analysis clock; time_s: float [windows], start of each; lag_s: how much
    later than the clock its frames are shown on average.
    """

    first_tick: int
    time_s: np.ndarray
    lag_s: float
    faces: tuple[EmbeddedFace, ...]

    def without_crops(self) -> EmbeddedSegment:
        """The same without the crops, which take most of the memory."""
        return self._replace(faces=tuple(face._replace(crops=None) for face in self.faces))


class ScoredSegment(NamedTuple):
    """The scores of one segment. chosen: the face behind each score, uint8 [windows, delays], None for at most one face."""

    scores: Scores
    faces: tuple[FaceScores, ...]
    chosen: np.ndarray | None


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
    size = (1, 1)

    def images() -> Iterator[FrameImage]:
        nonlocal size
        for frame in frames:
            ticks.append(frame.tick)
            size = frame.image.size
            yield frame.image

    scan = detect_faces(images(), engine.detector, config.faces)
    tracks = [track for track in link_tracks(scan, config.faces) if track.stop - track.start >= WINDOW_FRAMES]
    crop = engine.backend.dimensions.crop
    return SegmentMouths(ticks, tracks, [mouth_crops(scan.gray_images, track, crop) for track in tracks], size)


def embed_segment(engine: Engine, segment: SegmentMouths) -> EmbeddedSegment:
    """Embed the mouths of a segment."""
    ticks, count = segment.ticks, len(segment.ticks) - WINDOW_FRAMES + 1
    faces = tuple(
        EmbeddedFace(track.start, _face_boxes(track, segment), engine.backend.embed_mouths(crops).astype(np.float16), crops)
        for track, crops in zip(segment.tracks, segment.crops)
    )
    return EmbeddedSegment(ticks[0].index, np.array([tick.time_s for tick in ticks[:count]]), mean_frame_lag(ticks), faces)


def score_segment(engine: Engine, audio: AudioSource, segment: EmbeddedSegment, delays: np.ndarray, config: Config) -> ScoredSegment:
    """Compare the mouths of a segment with the audio at every delay, int [delays] in hops. Raises MediaError."""
    count = len(segment.time_s)
    origin = segment.first_tick * HOPS_PER_FRAME + int(delays[0])  # hop from which the audio is read
    stop = (segment.first_tick + count + WINDOW_FRAMES - 1) * HOPS_PER_FRAME + int(delays[-1])
    mels = log_mel(audio.read(origin * HOP_S + segment.lag_s, stop * HOP_S + segment.lag_s), engine.backend.dimensions.mel)
    first = frame_to_hop(segment.first_tick + np.arange(count)) - origin
    hops = np.arange(HOPS_PER_FRAME * (count - 1) + len(delays))
    shares = (activity_share(mask, hops, WINDOW_HOPS).astype(np.float32) for mask in (activity_mask(mels), audible_mask(mels)))
    probability = np.full((len(segment.faces), count, len(delays)), np.nan, np.float32)
    voice = engine.backend.embed_audio(mels) if segment.faces else np.empty((0, 0))
    for i, face in enumerate(segment.faces):
        rows = slice(face.start, face.start + len(face.mouth))
        cosine = pair_cosines(face.mouth.astype(np.float32), voice, first[rows], delays)
        probability[i, rows] = engine.backend.probability(cosine)
    best, chosen = best_face(probability, config.curve.face_frames)
    scores = Scores(best, delays, segment.time_s, *shares)
    faces = tuple(
        face_scores(face.boxes, face.start, own[face.start : face.start + len(face.mouth)], scores)
        for face, own in zip(segment.faces, probability)
    )
    return ScoredSegment(scores, faces, chosen.astype(np.uint8) if len(faces) > 1 else None)


def _face_boxes(track: FaceTrack, segment: SegmentMouths) -> FaceBoxes:
    times_s = np.array([segment.ticks[frame].shown_s for frame in track.detected])
    return FaceBoxes(times_s, np.clip(track.boxes / np.tile(segment.frame_size, 2), 0, 1).astype(np.float32))


def best_face(faces: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """P of the face that matches best around each window, at each delay, and its number: two [n, delays], from P [faces, n, delays].

    Chosen by the mean over `frames`, not window by window: the best of several lucky windows is no evidence.
    """
    if len(faces) == 0:
        return np.full(faces.shape[1:], np.nan, np.float32), np.zeros(faces.shape[1:], int)
    if len(faces) == 1:
        return faces[0], np.zeros(faces.shape[1:], int)
    known = np.isfinite(faces)
    total = mean_filter(np.nan_to_num(faces), frames, axis=1)
    share = mean_filter(known, frames, axis=1)
    mean = np.where(known, total / np.maximum(share, 1e-6), -1)
    chosen = mean.argmax(0)
    return np.take_along_axis(faces, chosen[None], 0)[0], chosen
