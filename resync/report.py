"""What was found, as data, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from .decide import Segment

SCHEMA = 1


@dataclass(frozen=True)
class Report:
    """The answer for one file. Milliseconds; None where it is not known.

    audio: the recording that was listened to, None for the film's own sound.

    audio_delay_ms > 0: the sound comes after the lips. shift_ms: what `fix` does to the sound
    (+ = plays later): -audio_delay_ms, and 0 for a file that is in sync and left alone.
    drift_start_ms: the delay at time zero, where it changes by drift_ms_per_min.
    """

    file: str
    audio: str | None
    verdict: str
    audio_delay_ms: float | None
    audio_delay_frames: float | None
    shift_ms: float | None
    probability_at_offset: float | None
    offscreen_ratio: float | None
    uncertainty_ms: float | None
    drift_ms_per_min: float | None
    drift_start_ms: float | None
    reasons: tuple[str, ...]
    segments: tuple[Segment, ...]
    faces: int
    analysed_s: float
    duration_s: float
    fps: float
    detector: str
    device: str
    weights: str
    elapsed_s: float
    curve: dict[str, list[float]] = field(default_factory=dict, repr=False)

    @property
    def decided(self) -> bool:
        """Is there a delay to act on?"""
        return self.verdict in ("in_sync", "out_of_sync")

    def to_dict(self, with_curve: bool = False) -> dict:
        """The documented JSON object."""
        row = {"schema": SCHEMA, **{k: v for k, v in vars(self).items() if k != "curve"}}
        row["reasons"] = list(self.reasons)
        row["segments"] = [
            {
                "start_s": round(s.start_s, 2),
                "end_s": round(s.end_s, 2),
                "audio_delay_ms": ms(s.delay_s),
                "probability": rounded(s.probability),
            }
            for s in self.segments
        ]
        return row | ({"curve": self.curve} if with_curve else {})

    def to_json(self, with_curve: bool = False, **more) -> str:
        """One line of JSON, with `more` fields behind the report's own."""
        return json.dumps(self.to_dict(with_curve) | more, ensure_ascii=False, allow_nan=False)

    def to_text(self) -> str:
        """For people: the verdict in words first, then how sure and what was looked at."""
        lines = [f"{self.file}{f' with {self.audio}' if self.audio else ''}: {headline(self)}"]
        if self.probability_at_offset is not None and self.decided:
            sure = f"+-{self.uncertainty_ms:.0f} ms, " if self.uncertainty_ms is not None else ""
            lines.append(f"  {sure}probability in sync {self.probability_at_offset:.2f} there, offscreen ratio {self.offscreen_ratio:.2f}")
        lines += [f"  {reason}" for reason in self.reasons]
        lines.append(
            f"  looked at {self.analysed_s:.1f} of {self.duration_s:.1f} s, {self.faces} face track{'s' * (self.faces != 1)},"
            f" {self.detector} on {self.device}, {self.elapsed_s:.1f} s"
        )
        return "\n".join(lines)


def headline(report: Report) -> str:
    """The verdict in words."""
    if report.verdict == "drift":
        rate = f"{report.drift_ms_per_min:+.0f} ms a minute"
        return f"sound and picture drift apart by {rate}; no single shift can fix that, `fix --fix-drift` can"
    if not report.decided or report.audio_delay_ms is None:
        return "undecided"
    late = report.audio_delay_ms
    size = f"{abs(late):.0f} ms {'late' if late > 0 else 'early'} ({abs(report.audio_delay_frames or 0):.1f} frames at {report.fps:g} fps)"
    return f"audio is {size}" if report.verdict == "out_of_sync" else f"in sync, within {max(1, abs(late)):.0f} ms"


def ms(seconds: float | None) -> float | None:
    """Seconds to milliseconds, a tenth the last digit."""
    return None if seconds is None else round(1000 * seconds, 1) + 0.0


def rounded(value: float | None, digits: int = 3) -> float | None:
    """round() that lets None through."""
    return None if value is None else round(value, digits)


def error_json(file: str | Path, message: str) -> str:
    """The JSON line of a file that could not be looked at."""
    return json.dumps({"schema": SCHEMA, "file": str(file), "verdict": None, "error": message}, ensure_ascii=False)
