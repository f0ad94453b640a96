"""The answer for one file, as data and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config import DecideConfig
from ..media.probe import require_video
from ..media.timecode import start_timecode
from ..remux.correction import Correction, PieceShift
from ..sync.decide import Decision, SegmentResult, is_in_sync
from ..sync.evidence import Evidence
from ..sync.pieces import Jump, Piece
from ..sync.scoring import Engine
from ..sync.speakers import FaceBoxes, FaceResult
from .limits import LimitResult

SCHEMA = 2


class PieceResult(NamedTuple):
    """A piece of the timeline with one delay (where there is a drift, the delay at its start), on the video's clock. Times in s."""

    start_s: float
    end_s: float
    audio_delay_ms: float
    uncertainty_ms: float
    certainty: float


class JumpResult(NamedTuple):
    """A change of the delay between two pieces, placed at at_s, within earliest_s and latest_s. size_ms > 0: the audio gets later."""

    at_s: float
    earliest_s: float
    latest_s: float
    size_ms: float


class TrackResult(NamedTuple):
    """The answer for one audio track, counted from 1; see Report for the others."""

    audio_track: int
    verdict: str
    audio_delay_ms: float | None
    shift_ms: float | None
    uncertainty_ms: float | None
    certainty: float | None
    best_delay_ms: float | None


@dataclass(frozen=True)
class Report:
    """The answer for one file. Milliseconds; None where unknown.

    audio: the external recording that was analysed, None for the video's own audio. audio_track: the track, counted from 1.
    tracks: the answer for each audio track, if all were measured; shift_ms is then what `fix --each-track` does to it.

    audio_delay_ms > 0: the audio comes after the lips. shift_ms: how `fix` shifts the audio
    (+ = plays later): -audio_delay_ms, and 0 for a file that is in sync and left alone.
    certainty: that best_delay_ms is the true delay, 0..1; both are also reported below the threshold for an answer.
    forced: `fix --force` used best_delay_ms although it is below the threshold; the verdict stays undecided, shift_ms is what it did.
    drift_start_ms: the delay at time zero, where it changes by drift_ms_per_min; drift_interval_ms_per_min: the 90 % interval of that
    change; drift_ratio: the frame-rate ratio that it is, such as "25/24" (audio played so many times as fast is in sync).
    pieces, jumps: where the delay jumps, the pieces of the timeline with one delay each, and the changes between them.
    faces: each visible face, with the offset of its own. range_ms: delays from -range_ms to +range_ms were tested.
    width, height: px of the displayed frame.
    timecode: that of the first frame, as the file has it, None where it has none; video_start_s: when that frame is shown.
    """

    file: str
    audio: str | None
    audio_track: int
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
    drift_interval_ms_per_min: tuple[float, float] | None
    drift_ratio: str | None
    pieces: tuple[PieceResult, ...]
    jumps: tuple[JumpResult, ...]
    reasons: tuple[str, ...]
    segments: tuple[SegmentResult, ...]
    faces: tuple[FaceResult, ...]
    tracks: tuple[TrackResult, ...]
    range_ms: float
    analysed_s: float
    duration_s: float
    fps: float
    width: int
    height: int
    detector: str
    device: str
    weights: str
    elapsed_s: float
    timecode: str | None = None
    video_start_s: float = 0.0
    curve: dict[str, list[float]] = field(default_factory=dict, repr=False)

    @property
    def decided(self) -> bool:
        """Whether there is a delay to act on."""
        return self.verdict in ("in_sync", "out_of_sync")

    def correction(self, fix_drift: bool = False, fix_jumps: bool = False) -> Correction | None:
        """What puts the audio in sync; None without an answer. A drift is only corrected with fix_drift, and jumps with fix_jumps."""
        if self.verdict == "jump" and fix_jumps:
            slope = (self.drift_ms_per_min or 0) / 60_000
            if slope and not fix_drift:
                return None
            shifts = ((p.start_s, p.end_s, 1000 * slope * p.start_s - p.audio_delay_ms) for p in self.pieces)
            return Correction.from_pieces(PieceShift(start, end, shift_ms, 1 + slope) for start, end, shift_ms in shifts)
        if self.verdict == "drift" and fix_drift and self.drift_start_ms is not None and self.drift_ms_per_min is not None:
            # What belongs to the frame at t is heard at t + start + slope t.
            return Correction(-self.drift_start_ms, 1 + self.drift_ms_per_min / 60_000)
        return None if self.shift_ms is None else Correction(self.shift_ms)

    def with_tracks(self, reports: Sequence[Report]) -> Report:
        """This report with the answers of all audio tracks. A track without one is shifted like the track of this report."""
        tracks = (
            TrackResult(
                r.audio_track, r.verdict, r.audio_delay_ms, self.shift_ms if r.shift_ms is None else r.shift_ms,
                r.uncertainty_ms, r.certainty, r.best_delay_ms,
            )
            for r in reports
        )  # fmt: skip
        return replace(self, tracks=tuple(tracks))

    def force(self, config: DecideConfig = DecideConfig()) -> Report:
        """The report with its best delay acted on, where it is undecided but has one; else unchanged."""
        if self.verdict != "undecided" or self.best_delay_ms is None:
            return self
        return replace(self, forced=True, shift_ms=_shift_ms(self.best_delay_ms, is_in_sync(self.best_delay_ms / 1000, config)))

    def timecode_at(self, time_s: float) -> str:
        """The timecode at a time on the clock, to the nearest frame; a file without timecode starts at 00:00:00:00."""
        start = start_timecode(self.timecode, self.fps)
        return str(start.plus(round((time_s - self.video_start_s) * start.rate)))

    def to_dict(self, with_curve: bool = False, with_timecode: bool = False, with_boxes: bool = False) -> dict:
        """The documented JSON object.

        with_timecode: with a timecode beside each time of a piece, jump, segment and face. with_boxes: with the boxes of the faces
        over time, for `from_dict`.
        """
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
        row["pieces"] = [piece._asdict() for piece in self.pieces]
        row["jumps"] = [jump._asdict() for jump in self.jumps]
        row["faces"] = [_face_row(face, with_boxes) for face in self.faces]
        row["tracks"] = [track._asdict() for track in self.tracks]
        if with_timecode:
            for name in ("segments", "pieces", "jumps", "faces"):
                row[name] = [self._with_timecode(entry) for entry in row[name]]
        return row | ({"curve": self.curve} if with_curve else {})

    def _with_timecode(self, row: dict) -> dict:
        times = {name: self.timecode_at(value) for name, value in row.items() if name.endswith("_s")}
        return row | {f"{name.removesuffix('_s')}_timecode": timecode for name, timecode in times.items()}

    @staticmethod
    def from_dict(row: dict) -> Report:
        """Inverse of `to_dict`; other keys are ignored. Raises KeyError where one is missing."""
        known = {f.name: row[f.name] for f in fields(Report) if f.name != "curve"}
        values = ((s["start_s"], s["end_s"], s["audio_delay_ms"], s["probability"]) for s in row["segments"])
        segments = tuple(SegmentResult(start, end, None if late is None else late / 1000, p) for start, end, late, p in values)
        interval = row["drift_interval_ms_per_min"]
        lists = {
            "drift_interval_ms_per_min": None if interval is None else tuple(interval),
            "pieces": tuple(PieceResult(*(piece[name] for name in PieceResult._fields)) for piece in row["pieces"]),
            "jumps": tuple(JumpResult(*(jump[name] for name in JumpResult._fields)) for jump in row["jumps"]),
            "faces": tuple(_face_of_row(face) for face in row["faces"]),
            "tracks": tuple(TrackResult(**track) for track in row["tracks"]),
            "reasons": tuple(row["reasons"]),
        }
        return Report(**known | lists | {"segments": segments, "curve": row.get("curve", {})})

    @staticmethod
    def from_evidence(evidence: Evidence, engine: Engine, elapsed_s: float) -> Report:
        """The report of a measurement by `engine` that took elapsed_s."""
        info, audio, decision = evidence.info, evidence.audio, evidence.decision
        fps, delay_ms = require_video(info).fps, ms(decision.delay_s)
        return Report(
            file=str(info.path),
            audio=None if audio.path == info.path else str(audio.path),
            audio_track=audio.track + 1,
            verdict=decision.verdict,
            audio_delay_ms=delay_ms,
            audio_delay_frames=None if delay_ms is None else rounded(delay_ms / 1000 * fps, 2),
            shift_ms=None if delay_ms is None else _shift_ms(delay_ms, decision.verdict == "in_sync"),
            forced=False,
            probability_at_offset=rounded(decision.probability),
            offscreen_ratio=rounded(decision.offscreen_ratio),
            uncertainty_ms=ms(decision.uncertainty_s),
            certainty=rounded(decision.certainty),
            best_delay_ms=ms(decision.best_s),
            **_drift_fields(decision),
            pieces=tuple(_piece_result(piece) for piece in decision.pieces),
            jumps=tuple(_jump_result(jump) for jump in decision.jumps),
            reasons=decision.reasons,
            segments=decision.segments,
            faces=evidence.faces,
            tracks=(),
            range_ms=1000 * evidence.range_s,
            analysed_s=round(evidence.analysed_s, 2),
            duration_s=round(info.duration_s, 3),
            fps=round(fps, 3),
            width=require_video(info).width,
            height=require_video(info).height,
            detector=engine.detector.name,
            device=engine.backend.device,
            weights=engine.weights,
            elapsed_s=round(elapsed_s, 2),
            timecode=info.timecode,
            video_start_s=round(require_video(info).start_s, 4),
            curve={
                "shift_ms": (-1000 * decision.delays_s[::-1]).round(1).tolist(),
                "probability": np.nan_to_num(decision.curve[::-1]).round(4).tolist(),
            },
        )

    def to_json(self, with_curve: bool = False, with_timecode: bool = False, **more) -> str:
        """One line of JSON, with the fields of `more` after the report's own."""
        return json_line(self.to_dict(with_curve, with_timecode) | more)


class Analysis(NamedTuple):
    """A report and the evidence that it rests on, for plots and previews."""

    report: Report
    evidence: Evidence


@dataclass(frozen=True)
class Outcome:
    """The outcome for one file of a batch: its report, or an error of one line.

    target: where `fix` should write, None for `check`. written: what it wrote, as `Remuxed.to_dict`, None for nothing.
    limits: the file judged by the limits that were asked for. details: what the HTML report shows of the evidence, if asked for.
    """

    file: str
    report: Report | None = None
    target: str | None = None
    written: dict | None = None
    error: str | None = None
    limits: tuple[LimitResult, ...] = ()
    details: dict | None = field(default=None, repr=False)

    @property
    def settled(self) -> bool:
        """Whether there is an answer, and, for `fix`, a file was written."""
        return self.written is not None or (self.report is not None and self.report.decided)

    def to_json(self, with_curve: bool = False, with_timecode: bool = False) -> str:
        """One line of JSON."""
        if self.report is None:
            return error_json(self.file, self.error or "")
        limits = {"limits": [result.to_dict() for result in self.limits]} if self.limits else {}
        return self.report.to_json(with_curve, with_timecode, **limits, **({} if self.target is None else {"written": self.written}))


def _drift_fields(decision: Decision) -> dict:
    drift = decision.drift
    if drift is None:
        return dict.fromkeys(("drift_ms_per_min", "drift_start_ms", "drift_interval_ms_per_min", "drift_ratio"))
    low, high = (round(60_000 * slope, 3) for slope in (drift.low, drift.high))
    return {
        "drift_ms_per_min": rounded(60_000 * drift.slope),
        "drift_start_ms": ms(drift.start_s),
        "drift_interval_ms_per_min": (low, high),
        "drift_ratio": drift.ratio.name if drift.ratio else None,
    }


def _piece_result(piece: Piece) -> PieceResult:
    start_s, end_s, certainty = (round(x, 3) for x in (piece.start_s, piece.end_s, piece.certainty))
    return PieceResult(start_s, end_s, _ms(piece.delay_s), _ms(piece.uncertainty_s), certainty)


def _jump_result(jump: Jump) -> JumpResult:
    at_s, earliest_s, latest_s = (round(x, 3) for x in (jump.at_s, jump.earliest_s, jump.latest_s))
    return JumpResult(at_s, earliest_s, latest_s, _ms(jump.size_s))


def _face_row(face: FaceResult, with_boxes: bool) -> dict:
    row = {
        "start_s": round(face.start_s, 2),
        "end_s": round(face.end_s, 2),
        "box": [round(float(edge), 4) for edge in face.box],
        "audio_delay_ms": ms(face.delay_s),
        "probability": rounded(face.probability),
        "speech_share": rounded(face.speech_share),
        "speaking": [[round(start, 2), round(end, 2)] for start, end in face.speaking],
        "certainty": rounded(face.certainty),
        "uncertainty_ms": ms(face.uncertainty_s),
    }
    times_s, edges = face.boxes
    return row | ({"boxes": [times_s.round(3).tolist(), edges.astype(float).round(5).tolist()]} if with_boxes else {})


def _face_of_row(row: dict) -> FaceResult:
    left, top, right, bottom = row["box"]
    late_s, half_width_s = (None if row[name] is None else row[name] / 1000 for name in ("audio_delay_ms", "uncertainty_ms"))
    times_s, edges = row.get("boxes", ((), ()))
    return FaceResult(
        start_s=row["start_s"],
        end_s=row["end_s"],
        box=(left, top, right, bottom),
        delay_s=late_s,
        probability=row["probability"],
        speech_share=row["speech_share"],
        speaking=tuple((start, end) for start, end in row["speaking"]),
        certainty=row["certainty"],
        uncertainty_s=half_width_s,
        boxes=FaceBoxes(np.array(times_s, float), np.array(edges, np.float32).reshape(-1, 4)),
    )


def _shift_ms(delay_ms: float, in_sync: bool) -> float:
    """The shift that corrects a delay; a file in sync is left alone."""
    return 0.0 if in_sync else -delay_ms


def _ms(seconds: float) -> float:
    """Seconds to milliseconds, to a tenth."""
    return round(1000 * float(seconds), 1) + 0.0


def ms(seconds: float | None) -> float | None:
    """Seconds to milliseconds, to a tenth; None stays None."""
    return None if seconds is None else _ms(seconds)


def rounded(value: float | None, digits: int = 3) -> float | None:
    """round() for floats; None stays None."""
    return None if value is None else round(float(value), digits)


def error_json(file: str | Path, message: str) -> str:
    """The JSON line of a file that could not be analysed."""
    return json_line({"schema": SCHEMA, "file": str(file), "verdict": None, "error": message})


def json_line(value: object) -> str:
    """JSON in one line, with characters that are not printable (of file names) as escapes: others could control a terminal."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
