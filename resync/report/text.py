"""Reports as text for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..config import CurveConfig
from ..errors import printable
from ..sync.drift import DriftConfig
from .faces import face_groups
from .limits import LimitResult
from .result import Outcome, Report, TrackResult

#: Words for a certainty of at least so much (weights/MODEL_CARD.md says how often answers of each are right).
CONFIDENCE_WORDS = ((0.9, "very high"), (0.7, "high"), (0.5, "fair"))
MAX_PIECES = 12  # printed; JSON has all
Clock: TypeAlias = Callable[[float], str]  # prints a time in s
WIDE_JUMP_S = 1.0  # a jump whose time is less certain than this is printed with its interval


def clock(seconds: float) -> str:
    """A time in the video as [hours:]minutes:seconds."""
    minutes, tenths = divmod(round(10 * seconds), 600)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}:{minutes:02d}' if hours else minutes}:{tenths / 10:04.1f}"


def report_text(report: Report) -> str:
    """The full report of a file that was only checked. Several lines: verdict, confidence, what was analysed."""
    return outcome_text(Outcome(report.file, report))


def outcome_text(outcome: Outcome, with_timecode: bool = False) -> str:
    """The full report of an outcome, with times as timecode if wanted. Several lines; one for an error."""
    report = outcome.report
    if report is None:
        return printable(outcome.error or "")
    at = clock_of(report, with_timecode)
    file = f"{report.file} with {report.audio}" if report.audio else report.file
    verdict = verdict_text(report, at) if outcome.written else headline(report, at)
    action = "" if outcome.target is None else f"; {action_text(outcome)}"
    rows = [row for label, texts in labelled_texts(outcome, with_timecode) for row in _rows(label, texts)]
    return "\n".join(map(printable, [f"{file}: {verdict}{action}", *rows]))


def labelled_texts(outcome: Outcome, with_timecode: bool = False) -> list[tuple[str, list[str]]]:
    """What the text report prints below its first line: labels, each with its lines. Labels without any are left out."""
    report = outcome.report
    if report is None:
        return []
    at = clock_of(report, with_timecode)
    texts: list[tuple[str, str | list[str]]] = [
        ("why", list(report.reasons)),
        ("best guess", _best_guess(report)),
        ("confidence", _confidence(report)),
        ("limits", [limit_text(result) for result in outcome.limits]),
        ("timecode", _timecode(report) if with_timecode else ""),
        ("pieces", _pieces(report, at)),
        ("off-screen", _offscreen(report)),
        ("faces", _faces(report)),
        ("drift", _drift(report)),
        ("tracks", [_track(track, report) for track in report.tracks]),
        ("analysed", _analysed(report)),
        ("output", _output(outcome)),
    ]
    lists = ((label, [given] if isinstance(given, str) else given) for label, given in texts)
    return [(label, lines) for label, given in lists if (lines := list(filter(None, given)))]


def _rows(label: str, texts: list[str]) -> list[str]:
    """One row for each text, the first with the label."""
    return [f"  {label if i == 0 else '':<10}  {text}" for i, text in enumerate(texts)]


def clock_of(report: Report, with_timecode: bool) -> Clock:
    """How times of a report are printed: as timecode, or as minutes and seconds."""
    return report.timecode_at if with_timecode else clock


def headline(report: Report, at: Clock = clock) -> str:
    """The verdict in words, and how to correct a delay that changes. at: prints a time."""
    options = {"drift": "--fix-drift", "jump": "--fix-drift --fix-jumps" if report.drift_ms_per_min else "--fix-jumps"}
    if report.verdict not in options:
        return verdict_text(report, at)
    return f"{verdict_text(report, at)}; a single shift cannot correct this, `fix {options[report.verdict]}` can"


def verdict_text(report: Report, at: Clock = clock) -> str:
    """The verdict in words. at: prints a time."""
    named = f" (frame-rate ratio {report.drift_ratio})" if report.drift_ratio else ""
    drift = f"drifts by {report.drift_ms_per_min or 0:+.0f} ms per minute{named}"
    if report.verdict == "drift":
        return f"audio {drift}"
    if report.verdict == "jump":
        jumps = _jumps(report, at)
        return f"audio {drift}, and its delay {jumps}" if report.drift_ms_per_min else f"audio delay {jumps}"
    if not report.decided or report.audio_delay_ms is None:
        return "undecided"
    delay_ms = report.audio_delay_ms
    if report.verdict == "in_sync":
        return f"in sync, within {max(1, abs(delay_ms)):.0f} ms"
    return f"audio is {delay_text(delay_ms)} ({abs(report.audio_delay_frames or 0):.1f} frames at {report.fps:g} fps)"


def _jumps(report: Report, at: Clock) -> str:
    if len(report.jumps) > 1:
        return f"jumps {len(report.jumps)} times"
    before, after = report.pieces
    return f"jumps from {delay_text(before.audio_delay_ms)} to {delay_text(after.audio_delay_ms)} at {at(after.start_s)}"


def action_text(outcome: Outcome) -> str:
    """What `fix` did, in words."""
    report = outcome.report
    if report is None or outcome.written is None:
        return "nothing was written"
    if report.verdict == "jump":
        return f"audio cut and placed in {len(report.pieces)} pieces"
    if report.verdict == "drift":
        rate, start = -(report.drift_ms_per_min or 0), -(report.drift_start_ms or 0)
        return f"audio resampled by {rate:+.1f} ms per minute and shifted {start:+.0f} ms at the start"
    action = _shift_text(report.shift_ms)
    return f"forced: {action}" if report.forced else action


def _shift_text(shift_ms: float | None) -> str:
    return f"shifted {abs(shift_ms):.0f} ms {'later' if shift_ms > 0 else 'earlier'}" if shift_ms else "not shifted"


def delay_text(delay_ms: float) -> str:
    """An audio delay in words."""
    return f"{abs(delay_ms):.0f} ms{'' if round(delay_ms) == 0 else ' late' if delay_ms > 0 else ' early'}"


def confidence_text(certainty: float | None) -> str:
    """A certainty in words, with its number."""
    if certainty is None:
        return "unknown"
    return f"{next((word for least, word in CONFIDENCE_WORDS if certainty >= least), 'too low')} (certainty {certainty:.2f})"


def _best_guess(report: Report) -> str:
    if report.decided or report.best_delay_ms is None:
        return ""
    # Whatever the threshold that applied (it is higher where the range was widened), it was not reached.
    certainty = "" if report.certainty is None else f" (certainty {report.certainty:.2f})"
    guess = f"{delay_text(report.best_delay_ms)}, confidence too low{certainty}"
    return f"{guess}; applied because of --force" if report.forced else f"{guess}; `resync fix --force` would apply it"


def _confidence(report: Report) -> str:
    if report.verdict == "undecided":
        return ""
    interval = f", +-{report.uncertainty_ms:.0f} ms" if report.uncertainty_ms is not None else ""
    single = report.decided and report.probability_at_offset is not None
    probability = f", probability in sync {report.probability_at_offset:.2f}" if single else ""
    return f"{confidence_text(report.certainty)}{interval}{probability}"


def limit_text(result: LimitResult) -> str:
    """The verdict by one limit in words, such as "r37 (40 ms early to 60 ms late): fail, 120 ms late exceeds it by 60 ms"."""
    limits, worst_ms = result.limits, result.worst_delay_ms
    text = f"{limits.name} ({limits.early_ms:g} ms early to {limits.late_ms:g} ms late): {result.verdict}"
    if worst_ms is None:
        return text
    if result.verdict == "fail":
        text += f", {delay_text(worst_ms)} exceeds it by {max(0.1, round(result.excess_ms, 1)):g} ms"
    return f"{text}, but borderline: the limit is within the 90 % interval" if result.borderline else text


def _timecode(report: Report) -> str:
    first, last = report.timecode_at(report.video_start_s), report.timecode_at(report.duration_s)
    return f"{first} to {last} at {report.fps:g} fps{'' if report.timecode else ', counted from the first frame: the file has no timecode'}"


def _pieces(report: Report, at: Clock) -> list[str]:
    """A line for each piece; where the delay drifts, too, with that at its start."""
    lines = []
    for i, piece in enumerate(report.pieces[:MAX_PIECES]):
        text = f"{at(piece.start_s)} to {at(piece.end_s)}  {delay_text(piece.audio_delay_ms)}, +-{piece.uncertainty_ms:.0f} ms"
        jump = report.jumps[i - 1] if i else None
        if jump and jump.latest_s - jump.earliest_s > WIDE_JUMP_S:
            text += f" (starts between {at(jump.earliest_s)} and {at(jump.latest_s)})"
        lines.append(text)
    more = len(report.pieces) - MAX_PIECES
    return [*lines, f"and {more} more, see pieces in --json"] if more > 0 else lines


def _offscreen(report: Report) -> str:
    if report.offscreen_ratio is None:
        return ""
    return f"{100 * report.offscreen_ratio:.0f} % of the speech is off screen (ratio {report.offscreen_ratio:.2f})"


def _faces(report: Report) -> str:
    """Who speaks for how long, where several faces are visible and there is a result."""
    groups = face_groups(report.faces)
    if len(groups) < 2 or report.verdict == "undecided":
        return ""
    first, *others = (f"{group.name} speaks {group.speaking_s:.1f} of {group.visible_s:.1f} s" for group in groups)
    return ", ".join([first, *(text.replace(" speaks", "") for text in others)])


def _drift(report: Report) -> str:
    if report.verdict in ("drift", "jump") and report.drift_interval_ms_per_min is not None:
        low, high = report.drift_interval_ms_per_min
        return f"{report.drift_ms_per_min:+.1f} ms per minute (90 % interval {low:+.1f} to {high:+.1f})"
    if not report.decided:
        return ""
    if report.drift_ms_per_min is not None:
        return f"{round(report.drift_ms_per_min):+d} ms per minute, small enough for a single shift"
    count, needed = sum(s.delay_s is not None for s in report.segments), DriftConfig.min_points
    if count >= needed:
        return "no steady drift"
    return f"not measurable: needs {needed} segments with a result, has {count}"


def _track(track: TrackResult, report: Report) -> str:
    """The answer for one audio track."""
    number = f"audio track {track.audio_track}:"
    if track.verdict in ("drift", "jump"):
        return f"{number} delay {track.verdict}s"
    if track.audio_delay_ms is None:
        return f"{number} undecided" if report.shift_ms is None else f"{number} undecided, follows audio track {report.audio_track}"
    in_sync = f"in sync, within {max(1, abs(track.audio_delay_ms)):.0f} ms"
    interval = f", +-{track.uncertainty_ms:.0f} ms" if track.uncertainty_ms is not None else ""
    verdict = in_sync if track.verdict == "in_sync" else f"{delay_text(track.audio_delay_ms)}{interval}"
    return f"{number} {verdict}, confidence {confidence_text(track.certainty)}"


def _analysed(report: Report) -> str:
    faces = f"{len(report.faces)} face track{'s' * (len(report.faces) != 1)}"
    analysed = f"{report.analysed_s:.1f} of {report.duration_s:.1f} s, {faces}"
    if report.range_ms != 1000 * CurveConfig().first_range_s:
        analysed += f", offsets up to {report.range_ms / 1000:g} s"
    return f"{analysed}, {report.detector} on {report.device}, {report.weights}, in {report.elapsed_s:.1f} s"


def _output(outcome: Outcome) -> list[str]:
    if not outcome.written:
        return []
    return [f"{outcome.written['file']}{' (audio re-encoded)' if outcome.written['reencoded'] else ''}", *outcome.written["notes"]]
