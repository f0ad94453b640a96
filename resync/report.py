"""What was found in one file, as data, as JSON and in words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

from .config import DecideConfig
from .decide import Segment

SCHEMA = 1
#: Words for a certainty from so much on. On people not in training two answers in a thousand from 0.5 on were wrong,
#: and from 0.8 on 99 % of swapped voices were refused (weights/MODEL_CARD.md); under the last nothing is answered.
SURE = ((0.8, "very sure"), (0.5, "sure"), (DecideConfig.min_certainty, "fairly sure"))


@dataclass(frozen=True)
class Report:
    """The answer for one file. Milliseconds; None where it is not known.

    audio: the recording that was listened to, None for the film's own sound.

    audio_delay_ms > 0: the sound comes after the lips. shift_ms: what `fix` does to the sound
    (+ = plays later): -audio_delay_ms, and 0 for a file that is in sync and left alone.
    certainty: that best_delay_ms is the true delay, 0..1; both are also told where that is not enough for an answer.
    forced: `fix` took best_delay_ms for want of an answer; the verdict stays undecided, shift_ms is what it did.
    drift_start_ms: the delay at time zero, where it changes by drift_ms_per_min.
    """

    file: str
    audio: str | None
    verdict: str
    audio_delay_ms: float | None
    audio_delay_frames: float | None
    shift_ms: float | None
    forced: bool
    probability_at_offset: float | None
    offscreen_ratio: float | None
    uncertainty_ms: float | None
    certainty: float | None
    best_delay_ms: float | None
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

    @staticmethod
    def from_dict(row: dict) -> Report:
        """Back from what `to_dict` gave; other keys are passed over. Raises KeyError where one is missing."""
        known = {f.name: row[f.name] for f in fields(Report) if f.name != "curve"}
        parts = ((s["start_s"], s["end_s"], s["audio_delay_ms"], s["probability"]) for s in row["segments"])
        segments = tuple(Segment(start, end, None if late is None else late / 1000, p) for start, end, late, p in parts)
        return Report(**known | {"reasons": tuple(row["reasons"]), "segments": segments, "curve": row.get("curve", {})})

    def to_json(self, with_curve: bool = False, **more) -> str:
        """One line of JSON, with `more` fields behind the report's own."""
        return json.dumps(self.to_dict(with_curve) | more, ensure_ascii=False, allow_nan=False)

    def to_text(self) -> str:
        """For people: the verdict in words first, then how sure and what was looked at."""
        return Outcome(self.file, self).to_text()


@dataclass(frozen=True)
class Outcome:
    """What became of one file: its report, or the one line of an error.

    target: where `fix` was to write, None for a mere look. written: what it wrote, as `Remuxed.to_dict`, None for nothing.
    """

    file: str
    report: Report | None = None
    target: str | None = None
    written: dict | None = None
    error: str | None = None

    @property
    def settled(self) -> bool:
        """Is there an answer, and is it carried out where it was to be?"""
        return self.written is not None or (self.report is not None and self.report.decided)

    def to_json(self, with_curve: bool = False) -> str:
        """One line of JSON."""
        if self.report is None:
            return error_json(self.file, self.error or "")
        return self.report.to_json(with_curve, **({} if self.target is None else {"written": self.written}))

    def to_text(self) -> str:
        """The full report for people. Several lines; one for an error."""
        r = self.report
        if r is None:
            return self.error or ""
        head = f"{r.file}{f' with {r.audio}' if r.audio else ''}: {headline(r)}{'' if self.target is None else f'; {deed(self)}'}"
        rows = [("why" if i == 0 else "", reason) for i, reason in enumerate(r.reasons)]
        said = {"best guess": _best_guess(r), "how sure": _how_sure(r), "offscreen": _offscreen(r), "drift": _drift(r)}
        rows += [(label, text) for label, text in said.items() if text]
        rows += [("looked at", _looked_at(r))]
        if self.written:
            rows += [("wrote", f"{self.written['file']}{' (sound encoded anew)' if self.written['reencoded'] else ''}")]
            rows += [("", note) for note in self.written["notes"]]
        return "\n".join([head, *(f"  {label:<10}  {text}" for label, text in rows)])


def headline(report: Report) -> str:
    """The verdict in words."""
    if report.verdict == "drift":
        rate = f"{report.drift_ms_per_min:+.0f} ms a minute"
        return f"sound and picture drift apart by {rate}; no single shift can fix that, `fix --fix-drift` can"
    if not report.decided or report.audio_delay_ms is None:
        return "undecided"
    late = report.audio_delay_ms
    if report.verdict == "in_sync":
        return f"in sync, within {max(1, abs(late)):.0f} ms"
    return f"audio is {early_or_late(late)} ({abs(report.audio_delay_frames or 0):.1f} frames at {report.fps:g} fps)"


def deed(outcome: Outcome) -> str:
    """What `fix` did, in words."""
    report = outcome.report
    if report is None or outcome.written is None:
        return "nothing written"
    if report.verdict == "drift":
        rate, start = -(report.drift_ms_per_min or 0), -(report.drift_start_ms or 0)
        return f"sound resampled by {rate:+.1f} ms a minute and moved {start:+.0f} ms at the start"
    shift = report.shift_ms or 0
    moved = f"moved {abs(shift):.0f} ms {'later' if shift > 0 else 'earlier'}" if shift else "not moved"
    return f"forced: {moved}" if report.forced else moved


def early_or_late(delay_ms: float) -> str:
    """A delay of the sound in words."""
    return f"{abs(delay_ms):.0f} ms {'late' if delay_ms > 0 else 'early'}"


def how_sure(certainty: float | None) -> str:
    """A certainty in words, with its number."""
    if certainty is None:
        return "certainty unknown"
    return f"{next((word for least, word in SURE if certainty >= least), 'not sure')} (certainty {certainty:.2f})"


def _best_guess(r: Report) -> str:
    if r.decided or r.best_delay_ms is None:
        return ""
    guess = f"{early_or_late(r.best_delay_ms)}, {how_sure(r.certainty)}"
    return f"{guess}; taken because of --force" if r.forced else f"{guess}; `resync fix --force` would take it"


def _how_sure(r: Report) -> str:
    if not r.decided:
        return ""
    spread = f", +-{r.uncertainty_ms:.0f} ms" if r.uncertainty_ms is not None else ""
    there = f", probability in sync {r.probability_at_offset:.2f} there" if r.probability_at_offset is not None else ""
    return f"{how_sure(r.certainty)}{spread}{there}"


def _offscreen(r: Report) -> str:
    if r.offscreen_ratio is None:
        return ""
    return f"ratio {r.offscreen_ratio:.2f}: for {100 * r.offscreen_ratio:.0f} % of the sound no mouth that fits it is seen"


def _drift(r: Report) -> str:
    if not r.decided:
        return ""
    if r.drift_ms_per_min is not None:
        return f"{round(r.drift_ms_per_min):+d} ms a minute, little enough for one shift"
    told, needed = sum(s.delay_s is not None for s in r.segments), DecideConfig.min_drift_segments
    if told >= needed:
        return "none that is steady"
    return f"unknown: it takes {needed} stretches with an answer of their own, this film has {told}"


def _looked_at(r: Report) -> str:
    faces = f"{r.faces} face track{'s' * (r.faces != 1)}"
    return f"{r.analysed_s:.1f} of {r.duration_s:.1f} s, {faces}, {r.detector} on {r.device}, {r.weights}, in {r.elapsed_s:.1f} s"


def ms(seconds: float | None) -> float | None:
    """Seconds to milliseconds, a tenth the last digit."""
    return None if seconds is None else round(1000 * float(seconds), 1) + 0.0


def rounded(value: float | None, digits: int = 3) -> float | None:
    """round() that lets None through."""
    return None if value is None else round(float(value), digits)


def error_json(file: str | Path, message: str) -> str:
    """The JSON line of a file that could not be looked at."""
    return json.dumps({"schema": SCHEMA, "file": str(file), "verdict": None, "error": message}, ensure_ascii=False)
