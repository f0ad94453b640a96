"""Peaks of probability curves, right and wrong ones, to fit the decision rule on: of clips, of their pieces, and of joined videos.

A peak is correct within CORRECT_S of the reference delay of the clip's own audio; against another speaker's audio none is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..config import FPS, HOP_S, HOPS_PER_FRAME, WINDOW_FRAMES
from ..errors import DataError
from ..sync.certainty import certainty, features
from ..sync.curve import AnyScores, Scores, delay_grid, find_peak, probability_curve
from ..syncnet.model import ICSyncNet
from .embed import Embedded, reference_delay, score_track, score_windows
from .joined import Voice, joined_videos
from .people import person_numbers

CORRECT_S = 0.06
RANGE_S = 1.0  # of joined videos, and the first one that is tested
NO_CLIPS = "no clip with speech to calibrate on; give more clips, or another --split"


class Selection(NamedTuple):
    """Which peaks of each clip are taken at a range of +-range_s.

    lengths: of the pieces in s, at most `pieces` of each, beside the whole clip; others: other speakers whose audio each is compared with.
    """

    range_s: float
    lengths: tuple[float, ...]
    pieces: int
    others: int


SELECTIONS = (
    Selection(RANGE_S, (1.5, 2.0, 3.0, 5.0, 8.0), pieces=6, others=2),
    Selection(3.0, (2.0,), pieces=2, others=1),
    Selection(10.0, (2.0,), pieces=2, others=1),
)


@dataclass(frozen=True)
class PeakSamples:
    """Peaks of probability curves. Arrays [n].

    features: float [n, 2] of `sync.certainty.features`; range_s: half of the range of delays; seconds: length of the video;
    correct: bool; own: bool, False where the video has no audio of its own speakers; joined: bool, several segments joined;
    person: int, number of the person in the video.
    """

    features: np.ndarray
    range_s: np.ndarray
    seconds: np.ndarray
    correct: np.ndarray
    own: np.ndarray
    joined: np.ndarray
    person: np.ndarray


class _Peak(NamedTuple):
    """A row of PeakSamples."""

    features: tuple[float, float]
    range_s: float
    seconds: float
    correct: bool
    own: bool
    joined: bool
    person: int


def collect_peaks(net: ICSyncNet, embedded: list[Embedded], seed: int = 0) -> PeakSamples:
    """Peaks of all clips, their pieces and videos joined of them, with their own and with other voices.

    Raises DataError without any, and for clips of a single speaker.
    """
    rng = np.random.default_rng(seed)
    numbers = person_numbers(e.entry for e in embedded)
    if len(set(numbers.values())) == 1:
        raise DataError("all clips are of one speaker; a rule needs other voices, too: give clips of more people")
    voices = [find_voice(net, track, numbers[track.entry.name]) for track in embedded]
    peaks: list[_Peak | None] = [peak for voice in voices for peak in _clip_peaks(net, voice, voices, rng)]
    for video in joined_videos(net, voices, delay_grid(RANGE_S), rng):
        peaks.append(_peak(video.scores, video.delay_s, video.person, own=video.delay_s is not None, joined=True))
    rows = [peak for peak in peaks if peak]
    if not rows:
        raise DataError(NO_CLIPS)
    return PeakSamples(*(np.array(column) for column in zip(*rows)))


def find_voice(net: ICSyncNet, track: Embedded, person: int) -> Voice:
    """A track with its reference delay: the index's, else the network's own where it is certain of it.

    aligned_s: the network's own delay, which is more exact than the index's, where it is certain and does not contradict the index.
    """
    scores = score_track(net, track, range_s=RANGE_S)
    values = probability_curve(scores)
    if np.isnan(values).all():
        return Voice(track, person, None, None)
    peak = find_peak(values, scores.delays)
    certain = certainty(values, peak, scores.delays, net.rule) >= net.rule.min_certainty
    truth_s = reference_delay(track.entry, peak if certain else None)
    fits = certain and truth_s is not None and abs(peak.delay_s - truth_s) <= CORRECT_S
    return Voice(track, person, truth_s, peak.delay_s if fits else None)


def _clip_peaks(net: ICSyncNet, voice: Voice, voices: list[Voice], rng: np.random.Generator) -> Iterator[_Peak | None]:
    """Peaks of one clip and of its pieces, with its own voice and with others."""
    others = [other.track for other in voices if other.person != voice.person]
    for selection in SELECTIONS:
        delays = delay_grid(selection.range_s)
        for number, frames in enumerate(_pieces(voice.track, selection)):
            # Half of the pieces are files of their own, with no audio beyond their ends; the others are segments of a longer video.
            cut = selection.range_s == RANGE_S and number % 2 == 1
            if voice.delay_s is not None:
                yield _peak(_own_scores(net, voice.track, frames, delays, cut), voice.delay_s, voice.person, own=True)
            for i in rng.permutation(len(others))[: selection.others]:
                yield _peak(_other_scores(net, voice.track, frames, others[i], delays, cut, rng), None, voice.person, own=False)


def _pieces(track: Embedded, selection: Selection) -> Iterator[range]:
    """Frames of the whole track and of its pieces."""
    total = len(track.mouth) + WINDOW_FRAMES - 1
    yield range(total)
    for seconds in selection.lengths:
        count = round(seconds * FPS)
        for start in range(0, total - count + 1, count)[: selection.pieces]:
            yield range(start, start + count)


def _own_scores(net: ICSyncNet, track: Embedded, frames: range, delays: np.ndarray, cut: bool) -> Scores:
    windows = slice(frames.start, frames.stop - WINDOW_FRAMES + 1)
    first = int(track.first_hop[windows][0])
    audio = track.cut_audio(first, first + HOPS_PER_FRAME * len(frames)) if cut else track
    return score_windows(net, track.mouth[windows], audio.first_hop[windows], audio, delays)


def _other_scores(
    net: ICSyncNet, track: Embedded, frames: range, other: Embedded, delays: np.ndarray, cut: bool, rng: np.random.Generator
) -> Scores:
    """Scores of a piece against audio of another track, from a random place of it on."""
    mouth = track.mouth[frames.start : frames.stop - WINDOW_FRAMES + 1]
    hops = HOPS_PER_FRAME * len(frames)
    start = int(rng.integers(max(1, len(other.active) - hops + 1)))
    audio, start = (other.cut_audio(start, start + hops), 0) if cut else (other, start)
    return score_windows(net, mouth, start + HOPS_PER_FRAME * np.arange(len(mouth)), audio, delays)


def _peak(scores: AnyScores, truth_s: float | None, person: int, *, own: bool, joined: bool = False) -> _Peak | None:
    """The peak of one video, None without speech."""
    values = probability_curve(scores)
    if np.isnan(values).all():
        return None
    peak = find_peak(values, scores.delays)
    range_s = HOP_S * (len(scores.delays) - 1) / 2
    seconds = sum(len(segment.time_s) + WINDOW_FRAMES - 1 for segment in scores.segments) / FPS
    correct = truth_s is not None and abs(peak.delay_s - truth_s) <= CORRECT_S
    return _Peak(features(values, peak), range_s, seconds, correct, own, joined, person)
