"""Limits of the A/V offset: the named ones of broadcasting standards, and a delay judged by them.

The standards count audio ahead of the video as positive, the opposite of `audio_delay_ms`; here both limits are positive
numbers, for early and for late audio. Sources:

- r37: EBU Recommendation R 37 (Geneva 2007), "The relative timing of the sound and vision components of a television
  signal", table 1, at an output that feeds transmitters: audio at most 40 ms before the video and 60 ms after it.
- bt1359, bt1359-acceptability: Recommendation ITU-R BT.1359-1 (1998), "Relative timing of sound and vision for
  broadcasting", considering g: detectability from about +45 to -125 ms, acceptability from about +90 to -185 ms, where "a
  positive value indicates that sound is advanced with respect to vision".
- atsc: ATSC Implementation Subcommittee Finding IS-191 (26 June 2003), "Relative timing of sound and vision for broadcast
  operations", at the inputs of the encoder: audio leads by at most 15 ms and lags by at most 45 ms.
- film: +-22 ms, about half a frame at 24 fps. A rule of practice that no standard states: editors notice half a frame
  (TV Technology, "Keeping it all in sync"); the figure itself is quoted in encyclopedias without a primary source.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from .result import Report

LimitVerdict = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True)
class Limits:
    """How far audio may be early and late, both in ms and >= 0."""

    name: str
    early_ms: float
    late_ms: float

    def verdict(self, audio_delay_ms: float | None) -> LimitVerdict:
        """Whether a delay (ms, positive = audio late) lies within both limits; "unknown" for None."""
        if audio_delay_ms is None:
            return "unknown"
        return "pass" if self.excess_ms(audio_delay_ms) <= 0 else "fail"

    def excess_ms(self, audio_delay_ms: float) -> float:
        """By how much a delay exceeds the nearer limit; negative within both."""
        return max(-self.early_ms - audio_delay_ms, audio_delay_ms - self.late_ms)


class LimitResult(NamedTuple):
    """A file judged by limits. worst_delay_ms: the delay that was judged, the worst one where it changes; None where unknown.

    borderline: whether a limit lies within the 90 % interval of that delay; None where unknown.
    """

    limits: Limits
    verdict: LimitVerdict
    worst_delay_ms: float | None
    borderline: bool | None

    @property
    def excess_ms(self) -> float:
        """By how much the worst delay exceeds the limit, 0 where it does not or is unknown."""
        return 0.0 if self.worst_delay_ms is None else max(0.0, self.limits.excess_ms(self.worst_delay_ms))

    def to_dict(self) -> dict:
        """The documented JSON object."""
        return vars(self.limits) | {"verdict": self.verdict, "worst_delay_ms": self.worst_delay_ms, "borderline": self.borderline}


STANDARDS = {
    limits.name: limits
    for limits in (
        Limits("r37", 40, 60),
        Limits("bt1359", 45, 125),
        Limits("bt1359-acceptability", 90, 185),
        Limits("atsc", 15, 45),
        Limits("film", 22, 22),
    )
}


def parse_limits(text: str) -> Limits:
    """The limits of a standard by its name, or "EARLY:LATE" in ms, such as "40:60". Raises ValueError."""
    if text.lower() in STANDARDS:
        return STANDARDS[text.lower()]
    try:
        early_ms, late_ms = map(float, text.split(":"))
    except ValueError:
        early_ms = late_ms = math.nan
    if not (0 <= early_ms < math.inf and 0 <= late_ms < math.inf):
        raise ValueError(f"{text!r} is neither EARLY:LATE in ms, such as 40:60, nor one of {', '.join(STANDARDS)}")
    return Limits(f"{early_ms:g}:{late_ms:g}", early_ms, late_ms)


def judge(report: Report | None, limits: Iterable[Limits]) -> tuple[LimitResult, ...]:
    """A file judged by each of `limits`; None for a file that failed."""
    delays = extreme_delays_ms(report) if report else []
    return tuple(_judged(delays, own) for own in limits)


def extreme_delays_ms(report: Report) -> list[tuple[float, float | None]]:
    """The delays between which that of a file stays, each with the half-width of its 90 % interval; empty where undecided.

    Where it jumps: of each piece. Where it drifts, even by little: at both ends of the file, or of each piece.
    """
    slope = (report.drift_ms_per_min or 0) / 60
    if report.verdict == "jump":
        ends = ((p, late) for p in report.pieces for late in (p.audio_delay_ms, p.audio_delay_ms + slope * (p.end_s - p.start_s)))
        return [(round(late, 1), piece.uncertainty_ms) for piece, late in ends]
    if report.drift_start_ms is not None and report.drift_interval_ms_per_min is not None and report.verdict != "undecided":
        low, high = report.drift_interval_ms_per_min
        if report.verdict == "drift" or low > 0 or high < 0:
            half = (high - low) / 2 * report.duration_s / 120  # the line is known best in its middle
            return [(round(report.drift_start_ms + slope * time_s, 1), half) for time_s in (0.0, report.duration_s)]
    return [] if report.audio_delay_ms is None else [(report.audio_delay_ms, report.uncertainty_ms)]


def _judged(delays: list[tuple[float, float | None]], limits: Limits) -> LimitResult:
    if not delays:
        return LimitResult(limits, "unknown", None, None)
    worst, half = max(delays, key=lambda delay: limits.excess_ms(delay[0]))
    return LimitResult(limits, limits.verdict(worst), worst, None if half is None else abs(limits.excess_ms(worst)) <= half)
