"""The corrected audio alone, as an audio file."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from ..errors import OutputError, RemuxError
from ..media.probe import AudioInfo, probe
from .correction import Correction
from .encoders import audio_filter
from .ffmpeg import ffmpeg_exe
from .paths import MARKER, Overwrite, check_output, temporary_output


def check_audio_output(src: str | Path, dst: str | Path, overwrite: Overwrite | bool = Overwrite.NEVER) -> None:
    """Raise OutputError when `dst` is not a file type that soundfile can write, or when `check_output` does."""
    import soundfile

    check_output(src, dst, overwrite)
    if Path(dst).suffix[1:].upper() not in soundfile.available_formats():
        raise OutputError(f"{dst}: not an audio file type that can be written; use .wav or .flac")


@contextmanager
def exported_audio(
    src: str | Path,
    track: int,
    dst: str | Path,
    correction: Correction,
    *,
    length_s: float,
    overwrite: Overwrite | bool = Overwrite.NEVER,
) -> Iterator[None]:
    """Write audio track `track` (from 0) of `src`, corrected, to the audio file `dst`.

    All channels at the track's own sample rate, padded or cut to `length_s`; sample 0 lies at the zero of the
    file's clock. WAV is written with 24 bits. The audio is complete before the body runs and is renamed to `dst`
    after it: when the body raises, no file is left behind. Raises MediaError, OutputError and RemuxError; then no
    file is left behind either.
    """
    check_audio_output(src, dst, overwrite)
    info, dst = probe(src), Path(dst)
    audio = info.audio[track]
    filters = f"{audio_filter(audio, correction)},apad,atrim=end={length_s:.6f}"
    command = [ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-protocol_whitelist", "file,pipe", "-i", f"file:{info.path}"]
    command += ["-map", f"0:{audio.index}", "-af", filters, "-f", "f32le", "pipe:1"]
    with temporary_output(dst) as temporary:
        _write_samples(command, audio, temporary, src, dst)
        yield
        try:
            temporary.replace(dst)
        except OSError as error:
            raise OutputError(f"{dst}: cannot be written ({error.strerror}); choose another place") from error


def _write_samples(command: list[str], audio: AudioInfo, temporary: Path, src: str | Path, dst: Path) -> None:
    """Write the samples that `command` prints to the audio file `temporary`; errors name `dst`."""
    import soundfile

    subtype = "PCM_24" if dst.suffix.lower() == ".wav" else None
    try:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            with soundfile.SoundFile(temporary, "w", audio.sample_rate, audio.channels, subtype) as out:
                with suppress(soundfile.LibsndfileError):  # not every file type has such a field
                    out.software = MARKER
                assert process.stdout is not None  # it is a pipe
                while block := process.stdout.read(4 * audio.channels * audio.sample_rate):
                    out.write(np.frombuffer(block, np.float32).reshape(-1, audio.channels))
    except (OSError, soundfile.SoundFileError) as error:
        raise OutputError(f"{dst}: cannot be written ({error}); choose another place or file type") from error
    if process.returncode:
        raise RemuxError(f"{src}: ffmpeg could not read its audio to the end; check that it plays")
