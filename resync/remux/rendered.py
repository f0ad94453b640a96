"""Frames and audio in memory as a video file."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .paths import marker_options
from .temporary import temporary_folder

if TYPE_CHECKING:
    from moviepy import VideoClip


def write_rendered(video: VideoClip, fps: float, audio: np.ndarray, rate: int, out: Path, options: Sequence[str]) -> None:
    """Encode a moviepy clip, and audio float [n] mono at `rate` Hz, as H.264 and AAC to the file `out`, marked as resync's own.

    options: for the encoders of ffmpeg. Raises OSError.
    """
    import soundfile

    with temporary_folder() as folder:
        wav = folder / "audio.wav"
        try:
            soundfile.write(wav, audio, rate, subtype="PCM_16")
        except soundfile.SoundFileError as error:
            raise OSError(errno.EIO, f"its audio cannot be stored in {folder.parent}") from error
        # Audio as a file: it is then encoded only once, and the container records the encoder delay.
        try:
            video.write_videofile(
                str(out.resolve()),
                fps=fps,
                codec="libx264",
                audio=str(wav),
                audio_codec="aac",
                preset="veryfast",
                ffmpeg_params=[*options, *marker_options(out.suffix)],
                logger=None,
            )
        except OSError as error:  # moviepy's has all that ffmpeg printed
            raise OSError(errno.EIO, error.strerror or "ffmpeg failed: the disk may be full, or the file type unsuitable") from error
    if not out.stat().st_size:  # moviepy does not report every failure
        raise OSError(errno.EIO, "ffmpeg wrote nothing")
