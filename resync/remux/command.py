"""The ffmpeg commands that write a corrected file. Pure: nothing is run or read here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..media.probe import MediaInfo
from .containers import EDIT_LISTS, suffix_of
from .correction import Correction
from .encoders import encode_options, widely_playable
from .paths import marker_options
from .plan import Plan

_MOVIE_TIMESCALE = 90_000  # Hz; ffmpeg's default of 1000 Hz would round a late start to 1 ms


@dataclass(frozen=True)
class Extras:
    """What the command needs to know about streams other than video and audio.

    left_out: indices of streams that are not copied; attached: (file, name, MIME type) of cover images to
    attach; attachments: number of attachments that are copied; own_tags: the file has non-standard metadata keys.
    """

    left_out: tuple[int, ...] = ()
    attached: tuple[tuple[Path, str, str], ...] = ()
    attachments: int = 0
    own_tags: bool = False


def build_command(
    ffmpeg: str, info: MediaInfo, dst: str | Path, correction: Correction, plan: Plan, extras: Extras = Extras()
) -> list[str]:
    """Arguments that make ffmpeg write `info.path` to `dst` with the correction applied to every audio track."""
    suffix, shift_s = suffix_of(dst), correction.shift_s
    command = _start(ffmpeg)
    if info.format == "avi" and suffix != ".avi":
        command += ["-fflags", "+genpts"]  # AVI stores no PTS for B-frames; other containers need them
    if plan.video_delay_s:
        command += ["-itsoffset", f"{plan.video_delay_s:.6f}"]
    command += ["-i", f"file:{info.path}", "-map", "0", *_leave_out(extras)]
    # "+0" keeps all dispositions; without it ffmpeg would mark some track as the default.
    command += ["-c", "copy", "-copy_unknown", "-map_metadata", "0", "-disposition", "+0"]
    if plan.reencode:
        for number, track in enumerate(info.audio):
            command += encode_options(number, track, suffix, correction)
    elif shift_s:
        shift = f"round({shift_s:.6f}/TB)"
        command += ["-bsf:a", f"setts=pts=PTS+{shift}:dts=DTS+{shift}"]
    if plan.extend_first_frame:
        command += ["-bsf:v", r"setts=pts=if(eq(N\,0)\,0\,PTS):dts=if(eq(N\,0)\,min(DTS\,0)\,DTS)"]
    return [*command, *_output_options(extras, suffix), f"file:{dst}"]


def build_recording_command(
    ffmpeg: str,
    info: MediaInfo,
    recording: MediaInfo,
    dst: str | Path,
    correction: Correction,
    length_s: float,
    extras: Extras = Extras(),
) -> list[str]:
    """Arguments that make ffmpeg write `info.path` to `dst` with the corrected `recording` as the first audio track.

    The recording is padded or cut to `length_s`. The file's own audio tracks are copied after it.
    """
    suffix, track = suffix_of(dst), widely_playable(recording.audio[0], dst)
    command = [*_start(ffmpeg), "-i", f"file:{info.path}", "-i", f"file:{recording.path}"]
    for streams in ("0:v?", f"1:{track.index}", "0:a?", "0:s?", "0:d?", "0:t?"):
        command += ["-map", streams]
    command += _leave_out(extras)
    command += ["-c", "copy", "-copy_unknown", "-map_metadata", "0", "-map_chapters", "0", "-disposition", "+0"]
    option, audio_filter, *encoder = encode_options(0, track, suffix, correction)
    command += [option, f"{audio_filter},apad,atrim=end={length_s:.6f}", *encoder, "-disposition:a:0", "default"]
    for number in range(1, len(info.audio) + 1):
        command += [f"-disposition:a:{number}", "-default"]
    return [*command, *_output_options(extras, suffix), f"file:{dst}"]


def _start(ffmpeg: str) -> list[str]:
    return [ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-protocol_whitelist", "file"]


def _leave_out(extras: Extras) -> list[str]:
    return [word for index in extras.left_out for word in ("-map", f"-0:{index}")]


def _output_options(extras: Extras, suffix: str) -> list[str]:
    """Options for the output file: cover images to attach, the marker, and what the container needs."""
    command: list[str] = []
    for number, (file, name, mime) in enumerate(extras.attached, start=extras.attachments):
        command += ["-attach", f"file:{file}"]
        command += [f"-metadata:s:t:{number}", f"filename={name}", f"-metadata:s:t:{number}", f"mimetype={mime}"]
    command += marker_options(suffix)
    if suffix in EDIT_LISTS:
        tags = "+use_metadata_tags" if extras.own_tags or suffix == ".mov" else ""
        command += ["-movflags", f"+faststart{tags}", "-movie_timescale", str(_MOVIE_TIMESCALE)]
    if suffix == ".avi":
        command += ["-avoid_negative_ts", "disabled"]  # otherwise encoder priming delays the video by a frame
    if suffix == ".m4v":
        command += ["-f", "mp4"]  # ffmpeg would choose the iPod muxer, which takes fewer codecs
    return command
