"""What a media file contains: container, video stream and audio tracks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from ..errors import MediaError
from .container import clock_zero, decodable, decode, open_container, require_complete, stream_start_s, video_stream
from .image import frame_quarter_turns
from .timecode import TIMECODE


@dataclass(frozen=True)
class VideoInfo:
    """The video stream that is analysed.

    index: stream index in the file; width, height: px, as displayed, after rotation; fps: average
    frame rate; rotation: degrees counter-clockwise, a multiple of 90.
    """

    index: int
    codec: str
    width: int
    height: int
    fps: float
    start_s: float
    duration_s: float
    rotation: int


@dataclass(frozen=True)
class AudioInfo:
    """An audio track that can be decoded. index: stream index in the file; sample_rate: Hz; bit_rate: bit/s."""

    index: int
    codec: str
    sample_rate: int
    channels: int
    layout: str
    start_s: float
    duration_s: float
    language: str | None
    bit_rate: int | None


@dataclass(frozen=True)
class MediaInfo:
    """Contents of a media file. format: libav's container name; start_s: zero of the clock, in the file's own timestamps.

    timecode: that of the first frame, as the file has it; time_reference: of a broadcast WAV, samples since midnight at its start;
    reel: name of the tape or card. All None where the file does not say.
    """

    path: Path
    format: str
    duration_s: float
    start_s: float
    video: VideoInfo | None
    audio: tuple[AudioInfo, ...]
    timecode: str | None = None
    time_reference: int | None = None
    reel: str | None = None

    def summary(self) -> str:
        """Container, length and streams in one line, for log messages."""
        v = self.video
        video = [f"{v.codec} {v.width}x{v.height} {v.fps:.5g} fps"] if v else []
        audio = [f"{a.codec} {a.sample_rate} Hz {a.layout}" for a in self.audio]
        return ", ".join([self.format, f"{self.duration_s:.2f} s", *video, *audio])


def probe(path: str | Path) -> MediaInfo:
    """The contents of a media file. Raises MediaError if it cannot be read as one."""
    path = Path(path)
    with open_container(path) as container:
        require_complete(container, path)
        zero = clock_zero(container)
        duration_s = (container.duration or 0) / av.time_base
        video = video_stream(container)
        # That of the video stream is the source's own; of an MXF file, its container has that of the material package.
        tags = [s.metadata for s in ([video] if video else []) + list(container.streams)] + [container.metadata]
        reference = _find_tag(tags, "time_reference", r"\d+")
        return MediaInfo(
            path=path,
            format=container.format.name,
            duration_s=duration_s,
            start_s=float(zero),
            audio=tuple(_audio_info(stream, zero, duration_s) for stream in decodable(container.streams.audio)),
            video=_video_info(container, video, zero, duration_s) if video else None,
            timecode=_find_tag(tags, "timecode", TIMECODE),
            time_reference=None if reference is None else int(reference),
            reel=_find_tag(tags, "reel_name", r".*\S.*"),
        )


def _find_tag(tags: Iterable[Mapping[str, str]], name: str, pattern: str) -> str | None:
    """The first value of a metadata tag, in any case, that matches a regular expression; None where there is none."""
    for metadata in tags:
        for key, value in metadata.items():
            if key.lower() == name and re.fullmatch(pattern, value.strip()):
                return value.strip()
    return None


def require_video_and_audio(info: MediaInfo, audio_track: int = 1) -> None:
    """Raise MediaError if the file has no video stream or lacks audio track number audio_track, counted from 1."""
    if info.video is None and not info.audio:
        raise MediaError(f"{info.path}: no video stream and no audio track; give a video file")
    require_video(info)
    if not info.audio:
        raise MediaError(f"{info.path}: no audio track; give a video with audio")
    if not 1 <= audio_track <= len(info.audio):
        raise MediaError(f"{info.path}: no audio track {audio_track}; --audio-track takes 1 to {len(info.audio)}")


def require_video(info: MediaInfo) -> VideoInfo:
    """The video stream. Raises MediaError if the file has none."""
    if info.video is None:
        raise MediaError(f"{info.path}: no video stream; give a video file")
    return info.video


def _start_and_duration_s(stream: av.stream.Stream, zero: Fraction, file_duration_s: float) -> tuple[float, float]:
    """Start on the clock and duration of a stream, in s; up to the end of the file if it stores no duration."""
    start_s = stream_start_s(stream, zero)
    if stream.duration and stream.time_base:
        return start_s, float(stream.duration * stream.time_base)
    return start_s, max(file_duration_s - start_s, 0.0)


def _video_info(container: av.container.InputContainer, stream: av.VideoStream, zero: Fraction, file_duration_s: float) -> VideoInfo:
    start_s, duration_s = _start_and_duration_s(stream, zero, file_duration_s)
    # The rotation is known only once a frame has been decoded.
    rotation = next((90 * frame_quarter_turns(frame) for _, frame in decode(container, stream, av.VideoFrame)), 0)
    width, height = stream.width, stream.height
    if rotation % 180:
        width, height = height, width
    return VideoInfo(
        index=stream.index,
        codec=stream.codec_context.name,
        width=width,
        height=height,
        fps=float(stream.average_rate or stream.guessed_rate or 0),
        start_s=start_s,
        duration_s=duration_s,
        rotation=rotation,
    )


def _audio_info(stream: av.AudioStream, zero: Fraction, file_duration_s: float) -> AudioInfo:
    start_s, duration_s = _start_and_duration_s(stream, zero, file_duration_s)
    return AudioInfo(
        index=stream.index,
        codec=stream.codec_context.name,
        sample_rate=stream.codec_context.sample_rate,
        channels=stream.codec_context.channels,
        layout=stream.codec_context.layout.name,
        start_s=start_s,
        duration_s=duration_s,
        language=stream.language,
        bit_rate=stream.codec_context.bit_rate or None,
    )
