"""Sound that comes from another file than the picture: where it lies on the film's clock, and writing sound files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .config import HOP_S, SAMPLE_RATE
from .errors import MediaError, OutputError, RemuxError
from .media import AudioInfo, MediaInfo, probe, read_sound
from .mels import log_mel
from .partfile import MARKER, Overwrite, part_file
from .remux import check_target, ffmpeg_exe, sound_filter

BANDS = 8  # of the onsets by which two recordings are compared
CHUNK_S = 600.0  # of sound held in memory at once
APART_S = 0.5  # matches nearer than this are one
CLEAR = 1.4  # how far the best match must stand out; true ones of a few seconds had 1.56 or more, false ones 1.22 or less
CHANCE = 4.5  # standard deviations that the best of some thousand chance matches may reach


@dataclass(frozen=True)
class Sound:
    """A sound track on a film's clock. track: counted from 0; starts_s: where the file's own zero lies on the film's clock."""

    path: Path
    track: int = 0
    starts_s: float = 0.0

    def read(self, start_s: float, end_s: float) -> np.ndarray:
        """Mono float32 at SAMPLE_RATE of a stretch of the film, silence where there is none. Raises MediaError."""
        return read_sound(self.path, start_s=start_s - self.starts_s, end_s=end_s - self.starts_s, track=self.track)


def place(audio: str | Path, film: MediaInfo, track: int = 0) -> Sound:
    """Put the sound file `audio` roughly where it belongs, by what the film's own track `track` heard of the same.

    Without a sound track in the film, both are taken to begin together. Raises MediaError when `audio` has
    no sound, or when the two have nothing in common.
    """
    info = probe(audio)
    if not info.audio:
        raise MediaError(f"{audio}: no sound in this file; give a recording")
    if not film.audio:
        return Sound(info.path)
    starts_s, clear = match(onsets(film, track), onsets(info, 0))
    if clear < CLEAR:
        raise MediaError(
            f"{audio}: its sound is not found in {film.path} (the best match stands out by {clear:.2f}, {CLEAR:.2f} is needed);"
            " give the recording of the same scene, or a film without sound of its own"
        )
    return Sound(info.path, 0, starts_s)


def onsets(info: MediaInfo, track: int) -> np.ndarray:
    """How much louder each band gets from hop to hop: float32 [n, BANDS], 100 a second; levels and microphones cancel out."""
    parts = [np.zeros((0, BANDS), np.float32)]
    for sound in _chunks(info, track):
        mels = log_mel(sound)
        usable = mels.shape[1] // BANDS * BANDS
        bands = mels[:, :usable].reshape(len(mels), BANDS, -1).mean(2)
        parts.append(np.diff(bands, axis=0, prepend=bands[:1]).clip(0))
    return np.concatenate(parts)


def match(film: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Where `other` [m, B] lies in `film` [n, B]: start in s (negative: before the film), and how far that place stands out.

    The latter is the height of its correlation over that of the next best place, or over CHANCE, whichever is less.
    """
    if not len(film) or not len(other):
        return 0.0, 0.0
    from scipy.signal import correlate

    total = sum(correlate(a - a.mean(), b - b.mean(), method="fft") for a, b in zip(film.T, other.T))
    best = int(np.argmax(total))
    far = np.abs(np.arange(len(total)) - best) * HOP_S > APART_S
    second = float(total[far].max()) if far.any() else 0.0
    return (best - len(other) + 1) * HOP_S, float(total[best] / max(second, CHANCE * total.std(), 1e-9))


def _chunks(info: MediaInfo, track: int) -> Iterator[np.ndarray]:
    end = info.audio[track].start_s + info.audio[track].duration_s
    count = max(1, int(np.ceil(end / CHUNK_S)))
    for i in range(count):
        yield read_sound(info.path, start_s=i * CHUNK_S, end_s=min((i + 1) * CHUNK_S, end), rate=SAMPLE_RATE, track=track)


def check_sound_target(src: str | Path, dst: str | Path, overwrite: Overwrite | bool = Overwrite.NEVER) -> None:
    """Raise OutputError when `dst` is no kind of sound file that soundfile writes, or where `remux.check_target` does."""
    import soundfile

    check_target(src, dst, overwrite)
    if Path(dst).suffix[1:].upper() not in soundfile.available_formats():
        raise OutputError(f"{dst}: no kind of sound file that can be written; use .wav or .flac")


@contextmanager
def exported_sound(
    src: str | Path,
    track: int,
    dst: str | Path,
    shift_ms: float,
    *,
    tempo: float = 1.0,
    length_s: float,
    overwrite: Overwrite | bool = Overwrite.NEVER,
) -> Iterator[None]:
    """Write track `track` (from 0) of `src` to the sound file `dst`: `shift_ms` later, `tempo` as fast, `length_s` long.

    All channels, at the track's own rate; sample 0 belongs to the film's zero. WAV is written with 24 bits. The
    sound is whole when the body runs and gets its name when the body is done: who fails there leaves no sound behind.
    Raises MediaError, OutputError and RemuxError; then nothing is left behind either.
    """
    check_sound_target(src, dst, overwrite)
    info, dst = probe(src), Path(dst)
    sound = info.audio[track]
    filter_ = f"{sound_filter(sound, shift_ms / 1000, tempo)},apad,atrim=end={length_s:.6f}"
    command = [ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-protocol_whitelist", "file,pipe", "-i", f"file:{info.path}"]
    command += ["-map", f"0:{sound.index}", "-af", filter_, "-f", "f32le", "pipe:1"]
    with part_file(dst) as part:
        _write_sound(command, sound, part, src, dst)
        yield
        try:
            part.replace(dst)
        except OSError as error:
            raise OutputError(f"{dst}: cannot be written ({error.strerror}); choose another place") from error


def _write_sound(command: list[str], sound: AudioInfo, part: Path, src: str | Path, dst: Path) -> None:
    """The samples that `command` gives into the sound file `part`, which is to become `dst`."""
    import soundfile

    subtype = "PCM_24" if dst.suffix.lower() == ".wav" else None
    try:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
            with soundfile.SoundFile(part, "w", sound.sample_rate, sound.channels, subtype) as out:
                with suppress(soundfile.LibsndfileError):  # not every kind of file holds it
                    out.software = MARKER
                assert run.stdout is not None  # a pipe, as asked for
                while block := run.stdout.read(4 * sound.channels * sound.sample_rate):
                    out.write(np.frombuffer(block, np.float32).reshape(-1, sound.channels))
    except (OSError, soundfile.SoundFileError) as error:
        raise OutputError(f"{dst}: cannot be written ({error}); choose another place or kind of file") from error
    if run.returncode:
        raise RemuxError(f"{src}: ffmpeg could not read its sound to the end; check that it plays")
