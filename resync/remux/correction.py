"""What has to be done to a file's audio."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Correction:
    """A shift of the audio, and a change of its speed.

    shift_ms: the audio plays this much later (earlier if negative). tempo: it is then resampled to play this
    many times as fast, against a drift; 1 leaves its speed alone. Raises ValueError for a shift or tempo that is not a number.
    """

    shift_ms: float
    tempo: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.shift_ms) or not (math.isfinite(self.tempo) and self.tempo > 0):
            raise ValueError(f"shift_ms {self.shift_ms}, tempo {self.tempo}: a finite shift and a positive tempo are needed")

    @property
    def shift_s(self) -> float:
        """The shift in seconds."""
        return self.shift_ms / 1000
