"""Long and edited videos made of clips: segments of several people, brought to one delay, some or all of them with another voice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..config import HOP_S, HOPS_PER_FRAME, WINDOW_FRAMES
from ..sync.curve import JoinedScores, Scores
from ..syncnet.model import ICSyncNet
from .embed import Embedded, score_windows

FOLDS = 5  # groups of people for cross-validation
LAYOUTS = ((3, 1), (3, 2), (6, 2), (6, 4), (12, 3), (12, 8), (50, 1), (50, 10))  # segments and people
OWN_SHARES = (1.0, 0.7, 0.5, 0.3, 0.15)  # of the segments with their own voice; the others are voice-over, listeners, cutaways
OWN_VIDEOS = 12  # of each layout and share
WRONG_VIDEOS = 60  # of each layout, without any voice of their own
SEGMENT_FRAMES = (75, 150)  # 3 to 6 s
MAX_DELAY_HOPS = 60


class Voice(NamedTuple):
    """A track of a person.

    delay_s: its reference delay, None if unknown; aligned_s: the delay that brings it in sync, None where it is not certain.
    """

    track: Embedded
    person: int
    delay_s: float | None
    aligned_s: float | None


class JoinedVideo(NamedTuple):
    """One video. delay_s: of all segments with their own voice, None without any; person: one of its people."""

    scores: JoinedScores
    delay_s: float | None
    person: int


def joined_videos(net: ICSyncNet, voices: Sequence[Voice], delays: np.ndarray, rng: np.random.Generator) -> Iterator[JoinedVideo]:
    """Videos of all layouts, each with people of one fold, so that cross-validation tests it on people left out of the fit."""
    groups = [group for group in people_groups(voices) if len({voice.person for voice in group}) > 1 and any(map(_is_aligned, group))]
    for segments, people in LAYOUTS if groups else ():
        for share in OWN_SHARES + (0.0,):
            for _ in range(OWN_VIDEOS if share else WRONG_VIDEOS):
                group = groups[rng.integers(len(groups))]
                yield _join(net, group, segments, people, max(1, round(share * segments)) if share else 0, delays, rng)


def people_groups(voices: Sequence[Voice]) -> list[list[Voice]]:
    """The voices by fold; in one group where there are too few people for FOLDS."""
    count = FOLDS if len({voice.person for voice in voices}) >= 2 * FOLDS else 1
    return [[voice for voice in voices if voice.person % count == fold] for fold in range(count)]


def _join(
    net: ICSyncNet, group: list[Voice], segments: int, people: int, own: int, delays: np.ndarray, rng: np.random.Generator
) -> JoinedVideo:
    """A video of so many segments of so many people, of which `own` have their own voice."""
    usable = [voice for voice in group if _is_aligned(voice)]
    chosen = rng.permutation(sorted({voice.person for voice in usable}))[:people]
    usable = [voice for voice in usable if voice.person in chosen]
    delay = int(rng.integers(-MAX_DELAY_HOPS, MAX_DELAY_HOPS + 1))
    has_own = rng.permutation(segments) < own
    scores = Scores.join([_segment(net, usable[rng.integers(len(usable))], group, delay if o else None, delays, rng) for o in has_own])
    return JoinedVideo(scores, delay * HOP_S if own else None, int(chosen[0]))


def _segment(net: ICSyncNet, voice: Voice, group: list[Voice], delay: int | None, delays: np.ndarray, rng: np.random.Generator) -> Scores:
    """A random segment of a voice, its audio late by so many hops; without a delay, against a random segment of another person's audio."""
    track = voice.track
    total = len(track.mouth) + WINDOW_FRAMES - 1
    frames = min(total, int(rng.integers(SEGMENT_FRAMES[0], SEGMENT_FRAMES[1] + 1)))
    start = int(rng.integers(total - frames + 1))
    windows = slice(start, start + frames - WINDOW_FRAMES + 1)
    if delay is not None and voice.aligned_s is not None:
        return score_windows(net, track.mouth[windows], track.first_hop[windows] + round(voice.aligned_s / HOP_S) - delay, track, delays)
    others = [other.track for other in group if other.person != voice.person]
    audio = others[rng.integers(len(others))]
    hop = int(rng.integers(max(1, len(audio.active) - HOPS_PER_FRAME * frames + 1)))
    return score_windows(net, track.mouth[windows], hop + HOPS_PER_FRAME * np.arange(frames - WINDOW_FRAMES + 1), audio, delays)


def _is_aligned(voice: Voice) -> bool:
    return voice.aligned_s is not None
