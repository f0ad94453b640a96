"""Writing a file with its audio corrected: run ffmpeg beside the target, verify the result, then rename it.

The video is always a stream copy. The audio is one too, with shifted timestamps, unless the container cannot store
the offset or re-encoding was requested.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from ..errors import MediaError, RemuxError
from ..media.probe import MediaInfo, probe, require_video
from .command import Extras, build_command, build_recording_command
from .containers import suffix_of
from .correction import Correction, Corrections, per_track
from .encoders import ENCODERS, encoder_for, widely_playable
from .ffmpeg import Feed, ffmpeg_exe, run_ffmpeg
from .paths import Overwrite, check_output, output_errors, restrict_mode, written_output
from .plan import Plan, plan_shift, require_frame_times
from .render import write_tracks
from .splice import AudioEdit, edits_of, plan_splices
from .streams import inspect_extras, stream_counts
from .temporary import temporary_folder

_MIN_NOTED_MS = 0.5  # shorter times are not worth a note
_MAX_MISSING_VIDEO_S = 1.0  # shorter video at the end is not worth a note


@dataclass(frozen=True)
class Remuxed:
    """What was written.

    command: as run, but with `path` in place of the temporary file; notes: for the user, one line each;
    cut_ms: audio at the head that no longer plays because it now lies before the video; edits: what was cut or filled
    where the correction consists of pieces.
    """

    path: Path
    command: tuple[str, ...]
    reencoded: bool
    notes: tuple[str, ...]
    cut_ms: float = 0.0
    edits: tuple[AudioEdit, ...] = ()

    def to_dict(self) -> dict:
        """For JSON: all but the command."""
        edits = [edit.to_dict() for edit in self.edits]
        return {"file": str(self.path), "reencoded": self.reencoded, "cut_ms": self.cut_ms, "edits": edits, "notes": list(self.notes)}


def shift_audio(
    src: str | Path,
    dst: str | Path,
    corrections: Corrections,
    *,
    reencode: bool = False,
    overwrite: Overwrite | bool = Overwrite.NEVER,
    info: MediaInfo | None = None,
) -> Remuxed:
    """Write `src` to `dst` with its audio tracks corrected: all by one correction, or each by its own.

    A tempo other than 1 and pieces always re-encode the audio. `info` saves probing `src`. Raises MediaError for a bad
    source, OutputError for a bad target, RemuxError when ffmpeg fails; then no file is left behind. Raises ValueError
    when the number of corrections is not that of the tracks.
    """
    src, dst = Path(src), Path(dst)
    info = info or probe(src)
    check_output(src, dst, overwrite)
    plan, program = plan_shift(info, dst, corrections, reencode), ffmpeg_exe()
    each = per_track(corrections, len(info.audio))
    splices = plan_splices(src, info.audio, range(len(each)), each) if plan.spliced else []
    edits = edits_of(splices, info.audio)

    def build(out: Path, extras: Extras) -> list[str]:
        return build_command(program, info, out, each, plan, extras)

    def feed(pipe: IO[bytes]) -> None:
        write_tracks(pipe, src, info.audio, splices)

    largest_s = max(abs(piece.shift_s) for correction in each for piece in correction.timeline)
    with written_output(dst, [src], overwrite) as out:
        command, notes = _write(info, out, dst, build, largest_s, feed if plan.spliced else None)
    notes = [*_notes(info, dst, plan), *(edit.note(len(each)) for edit in edits), *notes]
    return Remuxed(dst, command, plan.reencode, tuple(notes), plan.hidden_audio_ms, edits)


def add_recording(
    src: str | Path,
    recording: str | Path,
    dst: str | Path,
    correction: Correction,
    *,
    overwrite: Overwrite | bool = Overwrite.NEVER,
) -> Remuxed:
    """Write `src` to `dst` with the audio file `recording`, corrected, as its first audio track.

    The recording is padded or cut to the length of the video; the audio tracks of `src` are copied after it.
    Raises what `shift_audio` raises.
    """
    src, dst = Path(src), Path(dst)
    info, recording_info = probe(src), probe(recording)
    check_output(src, dst, overwrite)
    check_output(recording, dst, overwrite)
    if not recording_info.audio:
        raise MediaError(f"{recording}: no audio in this file; give an audio recording")
    require_frame_times(info, dst)
    program, encoder = ffmpeg_exe(), encoder_for(widely_playable(recording_info.audio[0], dst), suffix_of(dst))
    length_s = info.video.start_s + info.video.duration_s if info.video else info.duration_s
    track = recording_info.audio[:1]
    splices = plan_splices(recording_info.path, track, [0], [correction]) if correction.pieces else []
    edits = edits_of(splices, track)

    def build(out: Path, extras: Extras) -> list[str]:
        return build_recording_command(program, info, recording_info, out, correction, length_s, extras)

    def feed(pipe: IO[bytes]) -> None:
        write_tracks(pipe, recording_info.path, track, splices)

    with written_output(dst, [src, recording], overwrite) as out:
        command, notes = _write(info, out, dst, build, 0.0, feed if splices else None)
    notes = [*(edit.note(1) for edit in edits), *notes]
    own = f"; {len(info.audio)} audio track(s) of the input follow" if info.audio else ""
    return Remuxed(dst, command, True, (f"the first audio track is {recording} ({encoder}){own}", *notes), edits=edits)


def _write(
    info: MediaInfo, out: Path, dst: Path, build: Callable[[Path, Extras], list[str]], shift_s: float, feed: Feed | None = None
) -> tuple[tuple[str, ...], list[str]]:
    """Write the file `out`, which will become `dst`, with the command of `build(output, extras)`, and verify it.

    shift_s: the video may seem shorter by this much. feed: writes to the standard input of the command.
    Returns (the command, with `dst` for `out`; notes).
    """
    src, notes = info.path, []
    with output_errors(dst), temporary_folder() as folder:
        restrict_mode(out, src)
        extras, droppable = inspect_extras(src, dst, folder)

        def run() -> None:
            run_ffmpeg(build(out, extras), src, dst, *([feed] if feed else []))

        try:
            run()
        except RemuxError:
            if not droppable:
                raise
            extras = replace(extras, left_out=extras.left_out + droppable)
            run()
            notes.append(f"{len(droppable)} data stream(s) left out: {dst.suffix} cannot store them")
        notes += _verify(info, out, dst, shift_s)
        return tuple(build(dst, extras)), notes


def _notes(info: MediaInfo, dst: Path, plan: Plan) -> list[str]:
    """What the user should know about the plan, one line each."""
    notes = []
    if plan.reencode_reason:
        notes.append(f"{plan.reencode_reason}; audio was re-encoded, video copied")
    if plan.reencode:
        for number, track in enumerate(info.audio, start=1):
            encoder = encoder_for(track, suffix_of(dst))
            if encoder not in (track.codec, ENCODERS.get(track.codec)):
                notes.append(f"audio track {number} was converted from {track.codec} to {encoder.removeprefix('lib')}")
    if plan.hidden_audio_ms >= _MIN_NOTED_MS:
        fate = "were cut" if plan.reencode else "stay in the file, but players skip them"
        notes.append(f"the first {plan.hidden_audio_ms:.0f} ms of audio lie before the video and {fate}")
    if 1000 * plan.video_delay_s >= _MIN_NOTED_MS:
        notes.append(f"the video starts {1000 * plan.video_delay_s:.0f} ms into the file, so that no audio is lost")
    if plan.extend_first_frame:
        notes.append(f"the first frame is shown {1000 * require_video(info).start_s:.0f} ms longer, so that the file starts at zero")
    return notes


def _verify(info: MediaInfo, written_path: Path, dst: Path, shift_s: float) -> list[str]:
    """Notes on the written file. Raises RemuxError when it lacks a stream of the source."""
    try:
        written = probe(written_path)
        missing = stream_counts(info.path) - stream_counts(written_path)
    except MediaError as error:
        raise RemuxError(f"{dst}: the output of ffmpeg cannot be read back; write an .mkv file instead") from error
    if missing:
        lost = ", ".join(f"{count} {kind}" for kind, count in missing.items())
        raise RemuxError(f"{dst}: {dst.suffix} did not take every stream (lost: {lost}); write an .mkv file instead")
    # A video without a duration of its own is given that of the file, which changes with the shift.
    allowed_s = _MAX_MISSING_VIDEO_S + abs(shift_s)
    if info.video and written.video and info.video.duration_s - written.video.duration_s > allowed_s:
        declared_s, written_s = info.video.duration_s, written.video.duration_s
        return [f"the video ends after {written_s:.1f} s, but the input declares {declared_s:.1f} s; it may be damaged"]
    return []
