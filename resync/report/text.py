"""Reports as text for people."""

from __future__ import annotations

from ..config import DecideConfig
from .result import Outcome, Report

#: Words for a certainty of at least so much. On people not in training, two answers in a thousand from 0.5 on were wrong,
#: and from 0.8 on 99 % of swapped voices were refused (weights/MODEL_CARD.md); below the last one there is no answer.
CONFIDENCE_WORDS = ((0.8, "very high"), (0.5, "high"), (DecideConfig.min_certainty, "fair"))


def report_text(report: Report) -> str:
    """The full report of a file that was only checked. Several lines: verdict, confidence, what was analysed."""
    return outcome_text(Outcome(report.file, report))


def outcome_text(outcome: Outcome) -> str:
    """The full report of an outcome. Several lines; one for an error."""
    report = outcome.report
    if report is None:
        return outcome.error or ""
    file = f"{report.file} with {report.audio}" if report.audio else report.file
    action = "" if outcome.target is None else f"; {action_text(outcome)}"
    rows = [("why" if i == 0 else "", reason) for i, reason in enumerate(report.reasons)]
    lines = {
        "best guess": _best_guess(report),
        "confidence": _confidence(report),
        "off-screen": _offscreen(report),
        "drift": _drift(report),
    }
    rows += [(label, text) for label, text in lines.items() if text]
    rows += [("analysed", _analysed(report))]
    if outcome.written:
        rows += [("output", f"{outcome.written['file']}{' (audio re-encoded)' if outcome.written['reencoded'] else ''}")]
        rows += [("", note) for note in outcome.written["notes"]]
    return "\n".join([f"{file}: {headline(report)}{action}", *(f"  {label:<10}  {text}" for label, text in rows)])


def headline(report: Report) -> str:
    """The verdict in words."""
    if report.verdict == "drift":
        return f"audio drifts by {report.drift_ms_per_min:+.0f} ms per minute; a single shift cannot correct this, `fix --fix-drift` can"
    if not report.decided or report.audio_delay_ms is None:
        return "undecided"
    delay_ms = report.audio_delay_ms
    if report.verdict == "in_sync":
        return f"in sync, within {max(1, abs(delay_ms)):.0f} ms"
    return f"audio is {delay_text(delay_ms)} ({abs(report.audio_delay_frames or 0):.1f} frames at {report.fps:g} fps)"


def action_text(outcome: Outcome) -> str:
    """What `fix` did, in words."""
    report = outcome.report
    if report is None or outcome.written is None:
        return "nothing was written"
    if report.verdict == "drift":
        rate, start = -(report.drift_ms_per_min or 0), -(report.drift_start_ms or 0)
        return f"audio resampled by {rate:+.1f} ms per minute and shifted {start:+.0f} ms at the start"
    shift = report.shift_ms or 0
    action = f"shifted {abs(shift):.0f} ms {'later' if shift > 0 else 'earlier'}" if shift else "not shifted"
    return f"forced: {action}" if report.forced else action


def delay_text(delay_ms: float) -> str:
    """An audio delay in words."""
    return f"{abs(delay_ms):.0f} ms {'late' if delay_ms > 0 else 'early'}"


def confidence_text(certainty: float | None) -> str:
    """A certainty in words, with its number."""
    if certainty is None:
        return "unknown"
    return f"{next((word for least, word in CONFIDENCE_WORDS if certainty >= least), 'too low')} (certainty {certainty:.2f})"


def _best_guess(report: Report) -> str:
    if report.decided or report.best_delay_ms is None:
        return ""
    guess = f"{delay_text(report.best_delay_ms)}, confidence {confidence_text(report.certainty)}"
    return f"{guess}; applied because of --force" if report.forced else f"{guess}; `resync fix --force` would apply it"


def _confidence(report: Report) -> str:
    if not report.decided:
        return ""
    interval = f", +-{report.uncertainty_ms:.0f} ms" if report.uncertainty_ms is not None else ""
    probability = f", probability in sync {report.probability_at_offset:.2f}" if report.probability_at_offset is not None else ""
    return f"{confidence_text(report.certainty)}{interval}{probability}"


def _offscreen(report: Report) -> str:
    if report.offscreen_ratio is None:
        return ""
    return f"{100 * report.offscreen_ratio:.0f} % of the speech is off screen (ratio {report.offscreen_ratio:.2f})"


def _drift(report: Report) -> str:
    if not report.decided:
        return ""
    if report.drift_ms_per_min is not None:
        return f"{round(report.drift_ms_per_min):+d} ms per minute, small enough for a single shift"
    count, needed = sum(s.delay_s is not None for s in report.segments), DecideConfig.min_drift_segments
    if count >= needed:
        return "no steady drift"
    return f"not measurable: needs {needed} segments with a result, has {count}"


def _analysed(report: Report) -> str:
    faces = f"{report.faces} face track{'s' * (report.faces != 1)}"
    analysed = f"{report.analysed_s:.1f} of {report.duration_s:.1f} s, {faces}"
    return f"{analysed}, {report.detector} on {report.device}, {report.weights}, in {report.elapsed_s:.1f} s"
