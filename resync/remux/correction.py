"""What has to be done to a file's audio: one shift, or one for each piece of the timeline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

_SAME_TIME_S = 0.002  # the end of a piece and the start of the next may differ by this much: rounding


@dataclass(frozen=True)
class PieceShift:
    """The correction of one piece of the timeline.

    start_s, end_s: the piece, on the clock of the video. shift_ms and tempo as in `Correction`, both counted from the zero of the
    clock, not from the start of the piece. Raises ValueError for values that are not numbers and for an empty piece.
    """

    start_s: float
    end_s: float
    shift_ms: float
    tempo: float = 1.0

    def __post_init__(self) -> None:
        _require_numbers(self.shift_ms, self.tempo)
        if not self.start_s < self.end_s:
            raise ValueError(f"piece from {self.start_s} to {self.end_s} s: it must end after its start")

    @property
    def shift_s(self) -> float:
        """The shift in seconds."""
        return self.shift_ms / 1000

    def source_s(self, time_s: float) -> float:
        """Where in the source the audio is that belongs to `time_s` of the video."""
        return self.tempo * time_s - self.shift_s

    def heard_s(self, source_s: float) -> float:
        """When the audio at `source_s` of the source is to be heard: the inverse of `source_s`."""
        return (source_s + self.shift_s) / self.tempo


@dataclass(frozen=True)
class Correction:
    """A shift of the audio, and a change of its speed; or one of each for every piece of the timeline.

    shift_ms: the audio plays this much later (earlier if negative). tempo: it is then resampled to play this
    many times as fast, against a drift; 1 leaves its speed alone. pieces: empty where one shift applies throughout;
    made by `from_pieces`, which sets shift_ms and tempo to those of the first piece. Raises ValueError for a shift or
    tempo that is not a number.
    """

    shift_ms: float
    tempo: float = 1.0
    pieces: tuple[PieceShift, ...] = ()

    def __post_init__(self) -> None:
        _require_numbers(self.shift_ms, self.tempo)

    @classmethod
    def from_pieces(cls, pieces: Iterable[PieceShift]) -> Correction:
        """The correction that consists of these pieces, in order and without gaps.

        The first applies from the start of the file and the last to its end, whatever their times are. Neighbours with
        the same shift and tempo become one. Raises ValueError for no pieces and for pieces that are not adjacent.
        """
        merged: list[PieceShift] = []
        for piece in pieces:
            if merged and abs(piece.start_s - merged[-1].end_s) > _SAME_TIME_S:
                raise ValueError(f"a piece starts at {piece.start_s} s, but the one before it ends at {merged[-1].end_s} s")
            if merged and (piece.shift_ms, piece.tempo) == (merged[-1].shift_ms, merged[-1].tempo):
                merged[-1] = replace(merged[-1], end_s=piece.end_s)
            else:
                merged.append(piece)
        if not merged:
            raise ValueError("no pieces: a correction needs at least one")
        first = merged[0]
        return cls(first.shift_ms, first.tempo, tuple(merged) if len(merged) > 1 else ())

    @property
    def shift_s(self) -> float:
        """The shift in seconds."""
        return self.shift_ms / 1000

    @property
    def timeline(self) -> tuple[PieceShift, ...]:
        """The pieces from the start of the file to infinity: one where a single shift applies throughout."""
        starts = [0.0, *(piece.start_s for piece in self.pieces[1:])]
        ends = [*(later for _, later in pairwise(starts)), math.inf]
        pieces = self.pieces or (PieceShift(0.0, math.inf, self.shift_ms, self.tempo),)
        return tuple(replace(piece, start_s=start, end_s=end) for piece, start, end in zip(pieces, starts, ends))

    @property
    def needs_resampling(self) -> bool:
        """Whether timestamps cannot express it, so that the audio has to be decoded."""
        return bool(self.pieces) or self.tempo != 1


#: One correction for all audio tracks, or one for each, in their order.
Corrections: TypeAlias = Correction | Sequence[Correction]


def per_track(corrections: Corrections, tracks: int) -> tuple[Correction, ...]:
    """One correction for each of `tracks` audio tracks. Raises ValueError when their number is another."""
    if isinstance(corrections, Correction):
        return (corrections,) * tracks
    if len(corrections) != tracks:
        raise ValueError(f"{len(corrections)} corrections for {tracks} audio tracks: give one, or one for each track")
    return tuple(corrections)


def _require_numbers(shift_ms: float, tempo: float) -> None:
    if not math.isfinite(shift_ms) or not (math.isfinite(tempo) and tempo > 0):
        raise ValueError(f"shift_ms {shift_ms}, tempo {tempo}: a finite shift and a positive tempo are needed")
