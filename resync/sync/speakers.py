"""Who speaks when: the result of each face, on its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ..config import FPS, HOP_S, WINDOW_FRAMES, CurveConfig, DecideConfig, DecisionRule, FaceConfig
from ..faces.boxes import iou
from .certainty import certainty, interval
from .course import Course, columns_at
from .curve import Scores, find_peak, mean_curve, weighted_log_odds
from .decide import Decision

#: Position in the frame, (left, top, right, bottom), as shares of its width and height.
Box = tuple[float, float, float, float]
MAX_GAP_S = 0.5  # between two segments: the same face at the same place is one face for as long as this
SPEAKING_P = 0.5  # mean P(in sync) of a second from which its speech is that of the face
MIN_SPEECH = 0.2  # of a second: with less active audio nobody speaks
MIN_WEIGHT = 5.0  # windows of speech that an offset of a face's own needs


class FaceBoxes(NamedTuple):
    """Where a face was detected; in between it moves evenly.

    time_s: float [m], when each frame with a detection is shown; edges: float32 [m, 4], (left, top, right, bottom) as shares of the frame.
    """

    time_s: np.ndarray
    edges: np.ndarray

    @property
    def mean(self) -> Box:
        """The mean position."""
        left, top, right, bottom = self.edges.mean(axis=0, dtype=float).tolist()
        return left, top, right, bottom


NO_BOXES = FaceBoxes(np.empty(0), np.empty((0, 4), np.float32))


class FaceScores(NamedTuple):
    """The scores of one face of a segment in blocks of one second.

    start_s, end_s: when it is visible; from_start, to_end: whether from the first, and until the last window of the segment;
    boxes: where it is. odds, weight: sums of weighted log-odds and of weights,
    float32 [blocks, delays]; probability: weighted sums of P(in sync), and speech: sums of the share of active audio, alike.
    """

    start_s: float
    end_s: float
    from_start: bool
    to_end: bool
    boxes: FaceBoxes
    odds: np.ndarray
    weight: np.ndarray
    probability: np.ndarray
    speech: np.ndarray


@dataclass(frozen=True)
class FaceResult:
    """One face: when and where it is visible, and how well it fits the audio.

    box: its mean position; boxes: its position over time, as far as the video was analysed.
    delay_s: the offset of its own curve's peak, None with too little speech; probability: P(in sync) of that peak; certainty: that it
    is the true offset, by the rule for whole videos; uncertainty_s: half-width of its 90 % interval, None for about a second or less.
    speech_share: share of the speech during its time that is its own at the chosen offset, None where there is no speech.
    speaking: (start, end) in s of each time during which the speech is its own, in whole seconds from its start.
    """

    start_s: float
    end_s: float
    box: Box
    delay_s: float | None
    probability: float | None
    speech_share: float | None
    speaking: tuple[tuple[float, float], ...] = ()
    certainty: float | None = None
    uncertainty_s: float | None = None
    boxes: FaceBoxes = field(default=NO_BOXES, compare=False, repr=False)


def face_scores(boxes: FaceBoxes, start: int, probability: np.ndarray, scores: Scores) -> FaceScores:
    """Scores of a face from its P(in sync) [windows, delays], whose first row is window `start` of the segment with `scores`."""
    own = replace(scores.rows(start, start + len(probability)), probability=probability)
    odds, weight = weighted_log_odds(own)
    blocks = np.arange(0, len(probability), FPS)
    total, speech = (np.add.reduceat(x, blocks) for x in (np.nan_to_num(probability) * own.weight, own.speech))
    start_s, end_s = float(own.time_s[0]), float(own.time_s[-1]) + WINDOW_FRAMES / FPS
    edges = start == 0, start + len(probability) == len(scores.time_s)
    return FaceScores(start_s, end_s, *edges, boxes, *(x.astype(np.float32) for x in (odds, weight, total, speech)))


def face_results(
    faces: Iterable[FaceScores], decision: Decision, config: DecideConfig = DecideConfig(), smooth: CurveConfig = CurveConfig()
) -> tuple[FaceResult, ...]:
    """The result of each face in order of time; one that stays at its place from one segment to the next is one face.

    decision: on the scores that the faces are part of.
    """
    return tuple(_result(parts, decision, config, smooth) for parts in _joined(sorted(faces, key=lambda face: face.start_s)))


def chosen_columns(decision: Decision, time_s: np.ndarray) -> np.ndarray | None:
    """Index of the delay that is right at each time, by the decision: int [n]; the best one where it is undecided, None without any.

    Where the delay drifts or jumps, it is that of the time.
    """
    if decision.peak is None:
        return None
    if decision.verdict not in ("drift", "jump"):
        return np.full(len(time_s), decision.peak.index)
    return columns_at(Course(decision.drift, decision.pieces, decision.jumps, 0.0), time_s, decision.delays_s)


def _joined(faces: Sequence[FaceScores]) -> list[list[FaceScores]]:
    chains: list[list[FaceScores]] = []
    for face in faces:
        for chain in reversed(chains):
            last = chain[-1]
            same_place = iou(last.boxes.edges[-1:], face.boxes.edges[:1])[0, 0] >= FaceConfig.link_iou
            follows = last.to_end and face.from_start and -1 / FPS <= face.start_s - last.end_s <= MAX_GAP_S
            if follows and same_place:
                chain.append(face)
                break
        else:
            chains.append([face])
    return chains


def _result(parts: list[FaceScores], decision: Decision, config: DecideConfig, smooth: CurveConfig) -> FaceResult:
    odds, weight, total, speech = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("odds", "weight", "probability", "speech")
    )
    seconds = np.array([part.end_s - part.start_s for part in parts])
    left, top, right, bottom = np.average([part.boxes.mean for part in parts], axis=0, weights=seconds).tolist()
    boxes = FaceBoxes(*(np.concatenate(values) for values in zip(*(part.boxes for part in parts))))
    blank = FaceResult(parts[0].start_s, parts[-1].end_s, (left, top, right, bottom), None, None, None, boxes=boxes)
    values = mean_curve(odds.sum(0), weight.sum(0), smooth)
    if np.isnan(values).all() or weight.sum(0).max() < MIN_WEIGHT:
        return blank
    delays = decision.delays_s / HOP_S
    peak = find_peak(values, delays)
    found = replace(
        blank,
        delay_s=peak.delay_s,
        probability=peak.height,
        certainty=certainty(values, peak, delays, config.rule or DecisionRule()),
        uncertainty_s=interval(odds, weight, delays, config, smooth) if len(odds) > 1 else None,
    )
    starts = np.concatenate([part.start_s + np.arange(len(part.odds)) for part in parts])
    ends = np.minimum(starts + 1, np.repeat([part.end_s for part in parts], [len(part.odds) for part in parts]))
    columns = chosen_columns(decision, (starts + ends) / 2)
    if columns is None:
        return found
    weight, total, speech = (np.take_along_axis(x, columns[:, None], 1)[:, 0].astype(float) for x in (weight, total, speech))
    own = (total >= SPEAKING_P * weight) & (speech >= MIN_SPEECH * FPS * (ends - starts))
    share = float(speech[own].sum() / speech.sum()) if speech.sum() > 0 else None
    return replace(found, speech_share=share, speaking=_spans(starts[own], ends[own]))


def _spans(starts: np.ndarray, ends: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Times (start, end) in order of time, without the short gaps between them."""
    spans: list[tuple[float, float]] = []
    for start, end in zip(starts.tolist(), ends.tolist()):
        if spans and start - spans[-1][1] <= MAX_GAP_S:
            start = spans.pop()[0]
        spans.append((start, end))
    return tuple(spans)
