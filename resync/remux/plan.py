"""How a correction is written to a container: by timestamps or in the samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import MediaError, RemuxError
from ..media.container import open_container
from ..media.probe import MediaInfo
from .containers import EDIT_LISTS, HOLDS_OFFSET, LOSES_PACKETS, NEEDS_SAME_FORMAT, suffix_of
from .correction import Correction, Corrections, per_track

#: Start times of the video (s) between which its first frame is extended back to zero.
_MIN_EXTENSION_S, _MAX_EXTENSION_S = 0.0005, 0.1


@dataclass(frozen=True)
class Plan:
    """How the streams of a file are written.

    reencode: the audio is re-encoded with the correction applied to its samples; otherwise it is copied with new
    timestamps. reencode_reason: why the container requires that, None when it does not. spliced: the audio is put
    together from pieces before it is re-encoded.
    video_delay_s: all streams are written this much later, so that no audio lies before zero.
    hidden_audio_ms: audio at the head that lies before zero: cut when re-encoded, skipped by players when copied;
    the most of all tracks.
    extend_first_frame: the first frame is shown from zero on.
    """

    reencode: bool = False
    reencode_reason: str | None = None
    spliced: bool = False
    video_delay_s: float = 0.0
    hidden_audio_ms: float = 0.0
    extend_first_frame: bool = False


def plan_shift(info: MediaInfo, dst: str | Path, corrections: Corrections, reencode: bool = False) -> Plan:
    """The plan for writing `info.path` to `dst`; `reencode` asks for re-encoded audio.

    What one track requires is done to all: they are all re-encoded, or none. Raises MediaError when the source has no
    audio, RemuxError when the container cannot take the result.
    """
    suffix = suffix_of(dst)
    if not info.audio:
        raise MediaError(f"{info.path}: no audio track to shift; give a video with audio")
    require_frame_times(info, dst)
    each = per_track(corrections, len(info.audio))
    requested = reencode or any(correction.needs_resampling for correction in each)
    reason = None if requested else _reencode_reason(info, suffix, each)
    reencode = requested or reason is not None
    hides = reencode or suffix in EDIT_LISTS
    _require_audio_left(info, each, hides)
    starts_s = _starts_s(info, each)
    early_s = max(0.0, -min(starts_s))  # audio before zero
    hidden_s = max(0.0, *(-start_s if correction.shift_s < 0 else 0.0 for start_s, correction in zip(starts_s, each)))
    return Plan(
        reencode=reencode,
        reencode_reason=reason,
        spliced=any(correction.pieces for correction in each),
        video_delay_s=0.0 if hides else early_s,
        hidden_audio_ms=round(1000 * hidden_s, 1) if hides else 0.0,
        extend_first_frame=not reencode and suffix in EDIT_LISTS and _must_extend_first_frame(info, min(starts_s)),
    )


def require_frame_times(info: MediaInfo, dst: str | Path) -> None:
    """Raise RemuxError when `dst` is a container that would change the frame times of this input."""
    suffix = suffix_of(dst)
    if info.format != NEEDS_SAME_FORMAT.get(suffix, info.format):
        raise RemuxError(f"{dst}: {suffix} cannot keep the frame times of this input; write an .mkv file instead")


def _reencode_reason(info: MediaInfo, suffix: str, each: tuple[Correction, ...]) -> str | None:
    """Why the shifts cannot be stored in timestamps; None when they can."""
    early = (track for track, start_s in zip(info.audio, _starts_s(info, each)) if start_s < 0)
    lossless = sorted({track.codec.upper() for track in early if track.codec in LOSES_PACKETS})
    shifted = any(correction.shift_ms for correction in each)
    if lossless and suffix in EDIT_LISTS:
        return f"{suffix} cannot hide the start of {'/'.join(lossless)} audio exactly"
    if shifted and info.format == "avi":  # AVI counts time in whole audio packets (24 ms); a shift would be rounded to those
        return "AVI timestamps are too coarse for the shift"
    if shifted and suffix not in HOLDS_OFFSET:
        return f"{suffix} cannot store an audio offset"
    return None


def _require_audio_left(info: MediaInfo, each: tuple[Correction, ...], hides: bool) -> None:
    """Raise RemuxError when no track has audio left to play."""
    ends_s = [track.start_s + track.duration_s for track in info.audio]
    if hides and all(end_s > 0 and not _plays(correction, end_s) for end_s, correction in zip(ends_s, each)):
        shift_ms = max(correction.shift_ms for correction in each)
        raise RemuxError(
            f"{info.path}: a shift of {shift_ms:.0f} ms puts all of its audio before the start; use a shift shorter than the audio"
        )


def _plays(correction: Correction, end_s: float) -> bool:
    """Whether any audio of a track that ends at `end_s` plays."""
    return any(piece.source_s(piece.start_s) < end_s and piece.source_s(piece.end_s) > 0 for piece in correction.timeline)


def _must_extend_first_frame(info: MediaInfo, audio_start_s: float) -> bool:
    """Whether the first frame must be shown a little earlier, from zero on.

    In a file whose audio starts before its video, a later audio leaves no stream that starts at zero. libav then
    counts from the first stream there is: A/V sync is kept, but both streams come early by the start time of the
    video. Done for at most 0.1 s, which nobody sees.
    """
    if info.video is None:
        return False
    start_s = info.video.start_s
    if min(start_s, audio_start_s) < _MIN_EXTENSION_S or start_s > _MAX_EXTENSION_S:
        return False
    with open_container(info.path) as container:
        stream = container.streams[info.video.index]
        first = next((packet for packet in container.demux(stream) if packet.pts is not None), None)
        # A file that was cut inside a GOP may not begin with the frame that is shown first.
        return first is not None and first.pts == stream.start_time


def _starts_s(info: MediaInfo, each: tuple[Correction, ...]) -> list[float]:
    """When each audio track starts once it is shifted."""
    return [track.start_s + correction.shift_s for track, correction in zip(info.audio, each)]
