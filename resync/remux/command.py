"""The ffmpeg commands that write a corrected file. Pure: nothing is run or read here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..media.probe import AudioInfo, MediaInfo
from .containers import EDIT_LISTS, suffix_of
from .correction import Correction, Corrections, per_track
from .encoders import encode_options, widely_playable
from .ffmpeg import input_options
from .paths import marker_options
from .plan import Plan

# The corrected tracks, from standard input.
_PIPE = ["-protocol_whitelist", "pipe", "-f", "nut", "-i", "pipe:0"]
# Reads the original audio and drops it: for some formats (MPEG-TS), ffmpeg moves the zero of the clock to the start of the streams it uses.
_UNHEARD = ["-map", "0:a", "-c", "copy", "-f", "null", "-"]
_MOVIE_TIMESCALE = 90_000  # Hz; ffmpeg's default of 1000 Hz would round a late start to 1 ms


@dataclass(frozen=True)
class Extras:
    """What the command needs to know about streams other than video and audio.

    left_out: indices of streams that are not copied; attached: (file, name, MIME type) of cover images to
    attach; attachments: number of attachments that are copied; own_tags: the file has non-standard metadata keys;
    streams: (index, type, dispositions) of all streams of the file.
    """

    left_out: tuple[int, ...] = ()
    attached: tuple[tuple[Path, str, str], ...] = ()
    attachments: int = 0
    own_tags: bool = False
    streams: tuple[tuple[int, str, str], ...] = ()


def build_command(
    ffmpeg: str, info: MediaInfo, dst: str | Path, corrections: Corrections, plan: Plan, extras: Extras = Extras()
) -> list[str]:
    """Arguments that make ffmpeg write `info.path` to `dst` with its audio tracks corrected.

    In a spliced plan the corrected tracks are read from standard input: `info.audio`, in order, as `render.write_tracks` writes them.
    """
    suffix, command = suffix_of(dst), _start(ffmpeg)
    if info.format == "avi" and suffix != ".avi":
        command += ["-fflags", "+genpts"]  # AVI stores no PTS for B-frames; other containers need them
    if plan.video_delay_s:
        command += ["-itsoffset", f"{plan.video_delay_s:.6f}"]
    command += input_options(info.path)
    command += [*_PIPE, *_UNHEARD, *_spliced_maps(info, extras)] if plan.spliced else ["-map", "0", *_leave_out(extras)]
    # "+0" keeps all dispositions; without it ffmpeg would mark some track as the default.
    command += ["-c", "copy", "-copy_unknown", "-map_metadata", "0", "-disposition", "+0"]
    each = per_track(corrections, len(info.audio))
    if plan.spliced:
        command += _spliced_options(info, suffix, extras)
    elif plan.reencode:
        for number, (track, correction) in enumerate(zip(info.audio, each)):
            command += encode_options(number, track, suffix, correction)
    else:
        command += _timestamp_options(each)
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

    The recording is padded or cut to `length_s`. The file's own audio tracks are copied after it. A recording that is
    corrected by pieces is read from standard input, like the tracks of a spliced plan.
    """
    suffix, track, spliced = suffix_of(dst), widely_playable(recording.audio[0], dst), bool(correction.pieces)
    command = [*_start(ffmpeg), *input_options(info.path), *(_PIPE if spliced else input_options(recording.path))]
    for streams in ("0:v?", "1:0" if spliced else f"1:{track.index}", "0:a?", "0:s?", "0:d?", "0:t?"):
        command += ["-map", streams]
    command += _leave_out(extras)
    command += ["-c", "copy", "-copy_unknown", "-map_metadata", "0", "-map_chapters", "0", "-disposition", "+0"]
    option, audio_filter, *encoder = _encode_spliced(0, track, suffix) if spliced else encode_options(0, track, suffix, correction)
    command += [option, f"{audio_filter},apad,atrim=end={length_s:.6f}", *encoder, "-disposition:a:0", "default"]
    for number in range(1, len(info.audio) + 1):
        command += [f"-disposition:a:{number}", "-default"]
    return [*command, *_output_options(extras, suffix), f"file:{dst}"]


def _timestamp_options(each: Sequence[Correction]) -> list[str]:
    """Options that shift the timestamps of each audio track."""
    shifts = [f"round({correction.shift_s:.6f}/TB)" if correction.shift_ms else "0" for correction in each]
    if len(set(shifts)) == 1:
        return [] if shifts[0] == "0" else ["-bsf:a", f"setts=pts=PTS+{shifts[0]}:dts=DTS+{shifts[0]}"]
    return [word for number, shift in enumerate(shifts) for word in (f"-bsf:a:{number}", f"setts=pts=PTS+{shift}:dts=DTS+{shift}")]


def _spliced_maps(info: MediaInfo, extras: Extras) -> list[str]:
    """Every stream of the file in its place, the audio tracks from standard input."""
    spliced = {track.index: number for number, track in enumerate(info.audio)}
    maps = (f"1:{spliced[index]}" if index in spliced else f"0:{index}" for index in _kept(extras))
    return [word for source in maps for word in ("-map", source)]


def _spliced_options(info: MediaInfo, suffix: str, extras: Extras) -> list[str]:
    """Options that encode the spliced tracks, and give every stream the metadata and dispositions it has in the file."""
    tracks, command, number = {track.index: track for track in info.audio}, list[str](), 0
    for output, (index, kind, dispositions) in enumerate(stream for stream in extras.streams if stream[0] not in extras.left_out):
        command += [f"-map_metadata:s:{output}", f"0:s:{index}"]
        if index in tracks:
            command += [*_encode_spliced(number, tracks[index], suffix), f"-disposition:{output}", dispositions]
        number += kind == "audio"
    return command


def _encode_spliced(number: int, track: AudioInfo, suffix: str) -> list[str]:
    """Like `encode_options`, for a track that is corrected already and has lost its channel layout."""
    option, audio_filter, *encoder = encode_options(number, track, suffix, Correction(0))
    if track.channels > 2:
        channels = "|".join(map(str, range(track.channels)))
        audio_filter = f"channelmap=map={channels}:channel_layout={track.layout},{audio_filter}"
    return [option, audio_filter, *encoder]


def _kept(extras: Extras) -> list[int]:
    return [index for index, _, _ in extras.streams if index not in extras.left_out]


def _start(ffmpeg: str) -> list[str]:
    return [ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error", "-y"]


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
