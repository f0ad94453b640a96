"""The corrected audio alone, as an audio file."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np

from ..errors import OutputError
from ..media.probe import AudioInfo, probe
from .correction import Correction
from .encoders import audio_filter
from .paths import MARKER, Overwrite, check_output, output_errors, restrict_mode, written_output
from .render import decoded_blocks, spliced_track
from .splice import plan_splices

_UNLIMITED = frozenset({"CAF", "FLAC", "MP3", "OGG", "RAW", "RF64", "W64"})  # formats that hold more than 4 GiB
_LIMIT_BYTES = 2**32 - 2**20  # of samples in the others, which count with 32 bits
_SAMPLE_BYTES = 3  # in WAV


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
    file's clock. WAV is written with 24 bits, from 4 GiB on as RF64, a WAV file with larger counters. The audio is
    complete before the body runs and is renamed to `dst` after it: when the body raises, no file is left behind.
    Raises MediaError, OutputError and RemuxError; then no file is left behind either.
    """
    check_audio_output(src, dst, overwrite)
    info, dst = probe(src), Path(dst)
    audio = info.audio[track]
    file_format = _file_format(dst, round(length_s * audio.sample_rate) * audio.channels)
    if correction.pieces:
        (splice,) = plan_splices(info.path, [audio], [track], [correction])
        blocks = _of_length(spliced_track(info.path, audio, splice), round(length_s * audio.sample_rate))
    else:
        blocks = decoded_blocks(info.path, audio, f"{audio_filter(audio, correction)},apad,atrim=end={length_s:.6f}")
    with written_output(dst, [src], overwrite) as temporary:
        with output_errors(dst):
            restrict_mode(temporary, info.path)
        with closing(blocks):
            _write_samples(blocks, audio, temporary, dst, file_format)
        yield


def _of_length(blocks: Generator[np.ndarray, None, None], length: int) -> Generator[np.ndarray, None, None]:
    """The blocks, padded with silence or cut to `length` samples."""
    with closing(blocks):
        block, missing = np.zeros((0, 1), np.float32), length
        for block in blocks:
            yield block[:missing]
            missing -= len(block)
            if missing <= 0:
                return
    yield np.zeros((missing, block.shape[1]), np.float32)


def _file_format(dst: Path, samples: int) -> str:
    """The format that soundfile is to write so many samples in. Raises OutputError where they are too many for the file type."""
    name = dst.suffix[1:].upper()
    if name in _UNLIMITED or samples * _SAMPLE_BYTES < _LIMIT_BYTES:
        return name
    if name == "WAV":
        return "RF64"
    raise OutputError(f"{dst}: too long for this file type, which holds 4 GiB; use .wav or .flac")


def _write_samples(blocks: Iterable[np.ndarray], audio: AudioInfo, temporary: Path, dst: Path, file_format: str) -> None:
    """Write the samples to the audio file `temporary`; errors name `dst`."""
    import soundfile

    subtype = "PCM_24" if dst.suffix.lower() == ".wav" else None
    try:
        # As bytes: soundfile takes a str only if it is text, which the name of a folder need not be.
        with soundfile.SoundFile(os.fsencode(temporary), "w", audio.sample_rate, audio.channels, subtype, format=file_format) as out:
            with suppress(soundfile.LibsndfileError):  # not every file type has such a field
                out.software = MARKER
            for block in blocks:
                out.write(block)
    except (OSError, soundfile.SoundFileError) as error:
        raise OutputError(f"{dst}: cannot be written ({error}); choose another place or file type") from error
