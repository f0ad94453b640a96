"""How a correction is written to a container: by timestamps or in the samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import MediaError, RemuxError
from ..media.container import open_container
from ..media.probe import MediaInfo
from .containers import EDIT_LISTS, HOLDS_OFFSET, LOSES_PACKETS, NEEDS_SAME_FORMAT, suffix_of
from .correction import Correction

#: Start times of the video (s) between which its first frame is extended back to zero.
_MIN_EXTENSION_S, _MAX_EXTENSION_S = 0.0005, 0.1


@dataclass(frozen=True)
class Plan:
    """How the streams of a file are written.

    reencode: the audio is re-encoded with the correction applied to its samples; otherwise it is copied with new
    timestamps. reencode_reason: why the container requires that, None when it does not.
    video_delay_s: all streams are written this much later, so that no audio lies before zero.
    hidden_audio_ms: audio at the head that lies before zero: cut when re-encoded, skipped by players when copied.
    extend_first_frame: the first frame is shown from zero on.
    """

    reencode: bool = False
    reencode_reason: str | None = None
    video_delay_s: float = 0.0
    hidden_audio_ms: float = 0.0
    extend_first_frame: bool = False


def plan_shift(info: MediaInfo, dst: str | Path, correction: Correction, reencode: bool = False) -> Plan:
    """The plan for writing `info.path` to `dst`; `reencode` asks for re-encoded audio.

    Raises MediaError when the source has no audio, RemuxError when the container cannot take the result.
    """
    suffix, shift_s = suffix_of(dst), correction.shift_s
    if not info.audio:
        raise MediaError(f"{info.path}: no audio track to shift; give a video with audio")
    require_frame_times(info, dst)
    requested = reencode or correction.tempo != 1
    reason = None if requested else _reencode_reason(info, suffix, shift_s)
    reencode = requested or reason is not None
    hides = reencode or suffix in EDIT_LISTS
    _require_audio_left(info, shift_s, hides)
    early_s = max(0.0, -(_audio_start_s(info) + shift_s))  # audio before zero
    return Plan(
        reencode=reencode,
        reencode_reason=reason,
        video_delay_s=0.0 if hides else early_s,
        hidden_audio_ms=round(1000 * early_s, 1) if hides and shift_s < 0 else 0.0,
        extend_first_frame=not reencode and suffix in EDIT_LISTS and _must_extend_first_frame(info, shift_s),
    )


def require_frame_times(info: MediaInfo, dst: str | Path) -> None:
    """Raise RemuxError when `dst` is a container that would change the frame times of this input."""
    suffix = suffix_of(dst)
    if info.format != NEEDS_SAME_FORMAT.get(suffix, info.format):
        raise RemuxError(f"{dst}: {suffix} cannot keep the frame times of this input; write an .mkv file instead")


def _reencode_reason(info: MediaInfo, suffix: str, shift_s: float) -> str | None:
    """Why the shift cannot be stored in timestamps; None when it can."""
    lossless = sorted({track.codec.upper() for track in info.audio if track.codec in LOSES_PACKETS})
    if lossless and suffix in EDIT_LISTS and _audio_start_s(info) + shift_s < 0:
        return f"{suffix} cannot hide the start of {'/'.join(lossless)} audio exactly"
    if shift_s and info.format == "avi":  # AVI counts time in whole audio packets (24 ms); a shift would be rounded to those
        return "AVI timestamps are too coarse for the shift"
    if shift_s and suffix not in HOLDS_OFFSET:
        return f"{suffix} cannot store an audio offset"
    return None


def _require_audio_left(info: MediaInfo, shift_s: float, hides: bool) -> None:
    end_s = max(track.start_s + track.duration_s for track in info.audio)
    if hides and shift_s < 0 and 0 < end_s <= -shift_s:
        raise RemuxError(
            f"{info.path}: a shift of {1000 * shift_s:.0f} ms puts all of its audio before the start; use a shift shorter than the audio"
        )


def _must_extend_first_frame(info: MediaInfo, shift_s: float) -> bool:
    """Whether the first frame must be shown a little earlier, from zero on.

    In a file whose audio starts before its video, a later audio leaves no stream that starts at zero. libav then
    counts from the first stream there is: A/V sync is kept, but both streams come early by the start time of the
    video. Done for at most 0.1 s, which nobody sees.
    """
    if info.video is None:
        return False
    start_s = info.video.start_s
    if min(start_s, _audio_start_s(info) + shift_s) < _MIN_EXTENSION_S or start_s > _MAX_EXTENSION_S:
        return False
    with open_container(info.path) as container:
        stream = container.streams[info.video.index]
        first = next((packet for packet in container.demux(stream) if packet.pts is not None), None)
        # A file that was cut inside a GOP may not begin with the frame that is shown first.
        return first is not None and first.pts == stream.start_time


def _audio_start_s(info: MediaInfo) -> float:
    return min(track.start_s for track in info.audio)
