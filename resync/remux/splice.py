"""Which spans of an audio track are heard when, where its correction consists of pieces; and what fills the gaps.

At a change point the shift jumps, and the audio between is either missing or there twice:

- The shift falls: some audio belongs to neither piece. It is cut, at the change point.
- The shift rises: some audio belongs to both pieces, once at the end of the first and once at the start of the second. It is
  heard once, so a gap as long as the jump remains and is filled. Wherever the gap begins within that span, all audio that is heard
  lies where its piece says; it begins at the quietest moment, so that no word is broken: the first piece keeps the audio up to there,
  the second has what follows.

Audio is never heard twice: a piece all of whose audio is in the piece before is filled as a whole. Pure, but for `plan_splices`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

from ..config import SAMPLE_RATE
from ..media.audio import read_audio
from ..media.probe import AudioInfo
from .correction import Correction, PieceShift
from .roomtone import Excerpt, find_room_tone, quiet_moment

CROSS_FADE_S = 0.008
SEARCH_S = 8.0  # room tone is looked for this far on both sides of the change
_MIN_RUN_S = 0.05  # shorter spans of audio between two gaps are not worth hearing
_MIN_EDIT_S = 2 * CROSS_FADE_S  # shorter gaps vanish in a cross-fade
_MIN_CUT_S = 0.0005


@dataclass(frozen=True)
class Splice:
    """How one audio track is put together.

    runs: spans of the timeline during which the source is heard, in order; both their times and their places in the source rise,
    the first starts at 0 and the last ends at infinity. tones: what fills the gap after each run but the last: a span of the source
    that holds room tone, None for silence or where there is no gap.
    """

    runs: tuple[PieceShift, ...]
    tones: tuple[Excerpt | None, ...] = ()


@dataclass(frozen=True)
class AudioEdit:
    """A cut in the audio or a gap that was filled.

    at_s: when it begins, on the clock of the written video. kind: `cut` is audio of the source that is no longer heard, `fill` is
    time for which the source has no audio. fill: what is heard then, None for a cut. tracks: numbers of the audio tracks, from 1.
    """

    at_s: float
    kind: Literal["cut", "fill"]
    duration_ms: float
    fill: Literal["room tone", "silence"] | None
    tracks: tuple[int, ...]

    def to_dict(self) -> dict:
        """For JSON."""
        return asdict(self) | {"tracks": list(self.tracks)}

    def note(self, tracks: int) -> str:
        """One line for the user; `tracks` is the number of audio tracks there are."""
        where = "" if len(self.tracks) == tracks else f", audio track {', '.join(map(str, self.tracks))}"
        if self.kind == "cut":
            return f"at {self.at_s:.2f} s{where}: {self.duration_ms:.0f} ms of audio without matching video were cut"
        return f"at {self.at_s:.2f} s{where}: a gap of {self.duration_ms:.0f} ms in the audio was filled with {self.fill}"


def plan_splices(path: Path, tracks: Sequence[AudioInfo], numbers: Sequence[int], corrections: Sequence[Correction]) -> list[Splice]:
    """How each of `tracks` is put together; `numbers` are their numbers among the audio tracks of the file, from 0.

    Reads the audio around the change points only. Tracks with the same correction have their gaps at the same times, those that
    suit the first of them. Raises MediaError.
    """
    runs: dict[Correction, tuple[PieceShift, ...]] = {}
    splices = []
    for track, number, correction in zip(tracks, numbers, corrections):
        length_s = track.start_s + track.duration_s
        if correction not in runs:
            runs[correction] = place_runs(correction.timeline, length_s, partial(_quietest, path, number))
        splices.append(Splice(runs[correction], tuple(_tone(path, number, *seam) for seam in pairwise(runs[correction]))))
    return splices


def place_runs(
    pieces: Iterable[PieceShift], length_s: float, quietest: Callable[[float, float], float] = lambda start_s, end_s: end_s
) -> tuple[PieceShift, ...]:
    """The spans of the timeline during which the source, `length_s` long, is heard; see `Splice.runs`.

    quietest: returns the best time for a cut between two times of the source.
    """
    runs: list[PieceShift] = []
    for piece in pieces:
        first_s = piece.source_s(piece.start_s)
        if not runs:
            runs.append(piece)
            continue
        before = runs[-1]
        heard_s = before.source_s(before.end_s)
        if piece.source_s(piece.end_s) <= heard_s:
            continue  # all of it is heard already
        if first_s < heard_s:
            low_s, high_s = max(first_s, before.source_s(before.start_s)), heard_s
            cut_s = quietest(max(low_s, 0.0), min(high_s, length_s)) if max(low_s, 0.0) < min(high_s, length_s) else high_s
            piece = replace(piece, start_s=max(piece.heard_s(cut_s), piece.start_s))
            if (end_s := before.heard_s(cut_s)) - before.start_s >= _MIN_RUN_S:
                runs[-1] = replace(before, end_s=min(end_s, before.end_s))
            elif len(runs) > 1:
                del runs[-1]
            # The first run is kept however short it is: it starts the timeline.
        if piece.end_s - piece.start_s >= _MIN_RUN_S:
            runs.append(piece)
    return (*runs[:-1], replace(runs[-1], end_s=math.inf))


def edits_of(splices: Sequence[Splice], tracks: Sequence[AudioInfo]) -> tuple[AudioEdit, ...]:
    """The cuts and filled gaps of all tracks, in order; equal ones of several tracks once."""
    merged: dict[AudioEdit, list[int]] = {}
    for number, (splice, track) in enumerate(zip(splices, tracks), start=1):
        for edit in _edits(splice, track.start_s + track.duration_s):
            merged.setdefault(edit, []).append(number)
    edits = (replace(edit, tracks=tuple(numbers)) for edit, numbers in merged.items())
    return tuple(sorted(edits, key=lambda edit: (edit.at_s, edit.tracks)))


def _edits(splice: Splice, length_s: float) -> Iterable[AudioEdit]:
    for (before, after), tone in zip(pairwise(splice.runs), splice.tones):
        at_s, gap_s = before.end_s, after.start_s - before.end_s
        lost_s = min(after.source_s(after.start_s), length_s) - max(before.source_s(before.end_s), 0.0)
        if gap_s >= _MIN_EDIT_S:
            yield AudioEdit(round(float(at_s), 3), "fill", round(1000 * gap_s, 1), "room tone" if tone else "silence", ())
        if lost_s >= _MIN_CUT_S:
            yield AudioEdit(round(float(at_s), 3), "cut", round(1000 * lost_s, 1), None, ())


def _quietest(path: Path, number: int, start_s: float, end_s: float) -> float:
    samples = read_audio(path, start_s=start_s, end_s=end_s, track=number)
    return min(start_s + quiet_moment(samples, SAMPLE_RATE), end_s)


def _tone(path: Path, number: int, before: PieceShift, after: PieceShift) -> Excerpt | None:
    """Room tone for the gap between two runs; None where there is no gap or nothing quiet enough."""
    gap_s = after.start_s - before.end_s
    if gap_s < _MIN_EDIT_S:
        return None
    near_s = before.source_s(before.end_s)
    start_s = max(near_s - SEARCH_S, 0.0)
    samples = read_audio(path, start_s=start_s, end_s=max(near_s + SEARCH_S, start_s), track=number)
    found = find_room_tone(samples, SAMPLE_RATE, near_s - start_s, gap_s)
    return found and Excerpt(start_s + found.start_s, start_s + found.end_s)
