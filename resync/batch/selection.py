"""Which clips belong in a dataset: kept, re-synced or dropped, by limits on the figures of their reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..config import DecideConfig
from ..report.result import Report
from ..report.text import delay_text

KEEP, RESYNC, DROP, FAILED = ACTIONS = ("keep", "resync", "drop", "failed")


class Figures(NamedTuple):
    """The figures of a clip: fields of its Report, but `faces`, their number, and `why`, its reasons joined."""

    verdict: str
    audio_delay_ms: float | None
    uncertainty_ms: float | None
    certainty: float | None
    best_delay_ms: float | None
    probability_at_offset: float | None
    offscreen_ratio: float | None
    drift_ms_per_min: float | None
    duration_s: float
    analysed_s: float
    fps: float
    width: int
    height: int
    faces: int
    why: str | None

    @staticmethod
    def from_report(report: Report) -> Figures:
        """The figures of a report."""
        own: dict[str, Any] = {"faces": len(report.faces), "why": " | ".join(report.reasons) or None}
        return Figures(**{name: own[name] if name in own else getattr(report, name) for name in Figures._fields})


@dataclass(frozen=True)
class Selection:
    """What is kept, re-synced and dropped. Limits that are None are not applied; one that is applied to an unknown figure drops the clip.

    keep_within_ms: a smaller offset is left as it is, a larger one is re-synced if `resync`, and the clip dropped if not.
    max_offset_ms: a clip with a larger offset is dropped. min_certainty .. min_seconds: limits of certainty, uncertainty_ms,
    probability_at_offset, offscreen_ratio and duration_s. keep_undecided: keep undecided clips that pass them, unchanged.
    """

    keep_within_ms: float = 1000 * DecideConfig.in_sync_s
    max_offset_ms: float | None = None
    resync: bool = True
    min_certainty: float | None = None
    max_uncertainty_ms: float | None = None
    min_probability: float | None = None
    max_offscreen: float | None = None
    min_seconds: float | None = None
    keep_undecided: bool = False


class Choice(NamedTuple):
    """What becomes of a clip: one of ACTIONS, why in words, and the shift of its audio in ms (later = positive), None without output."""

    action: str
    reason: str
    shift_ms: float | None


def choose(figures: Figures, selection: Selection) -> Choice:
    """What becomes of a clip with these figures."""
    if objections := list(_verdict_objections(figures, selection)) or list(_limit_objections(figures, selection)):
        return Choice(DROP, "; ".join(objections), None)
    delay_ms = figures.audio_delay_ms
    if delay_ms is None:
        return Choice(KEEP, "undecided, left as it is", 0.0)
    late = f"audio is {delay_text(delay_ms) if round(delay_ms) else 'in sync'}"
    if abs(delay_ms) <= selection.keep_within_ms:
        return Choice(KEEP, f"{late}, within {selection.keep_within_ms:g} ms", 0.0)
    most_ms = selection.max_offset_ms if selection.resync else selection.keep_within_ms
    if most_ms is not None and abs(delay_ms) > most_ms:
        return Choice(DROP, f"{late}, more than {most_ms:g} ms", None)
    return Choice(RESYNC, late, -delay_ms)


def _verdict_objections(figures: Figures, selection: Selection) -> Iterator[str]:
    if figures.verdict == "undecided" and not selection.keep_undecided:
        yield f"undecided: {figures.why}"
    if figures.verdict == "drift":
        yield f"audio drifts by {figures.drift_ms_per_min or 0:+.0f} ms per minute"
    if figures.verdict == "jump":
        yield "audio delay jumps"


def _limit_objections(figures: Figures, selection: Selection) -> Iterator[str]:
    if selection.min_seconds is not None and figures.duration_s < selection.min_seconds:
        yield f"{figures.duration_s:.2f} s long, shorter than {selection.min_seconds:g} s"
    for name, value, least, most in (
        ("certainty", figures.certainty, selection.min_certainty, None),
        ("uncertainty in ms", figures.uncertainty_ms, None, selection.max_uncertainty_ms),
        ("probability", figures.probability_at_offset, selection.min_probability, None),
        ("off-screen ratio", figures.offscreen_ratio, None, selection.max_offscreen),
    ):
        if value is None:
            if (least, most) != (None, None):
                yield f"{name} is unknown"
        elif least is not None and value < least:
            yield f"{name} {value:g} is below {least:g}"
        elif most is not None and value > most:
            yield f"{name} {value:g} is above {most:g}"
