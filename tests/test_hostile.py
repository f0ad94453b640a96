"""Damaged and hostile files: an error of ours or an answer, never a traceback and never a touched file."""

import itertools
import time

import numpy as np
import pytest
import soundfile

from resync.errors import ResyncError
from resync.media import probe, read_frames, read_sound
from resync.pipeline import analyze

KINDS = {
    "mp4": ("-c:v", "libx264", "-c:a", "aac"),
    "mkv": ("-c:v", "libx264", "-c:a", "libopus"),
    "avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "ts": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "flv": ("-c:v", "flv", "-c:a", "aac"),
    "wav": ("-vn",),
}
TRIALS, MANY, MOST_S = 300, 100_000, 600.0


@pytest.fixture(scope="module")
def seeds(ffmpeg, tmp_path_factory):
    """A small valid file of each kind, as bytes."""
    folder, out = tmp_path_factory.mktemp("seeds"), {}
    for kind, codecs in KINDS.items():
        path = folder / f"a.{kind}"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=48x32:r=10:d=0.5", "-f", "lavfi", "-i", "sine=d=0.5:r=16000", *codecs, path)
        out[kind] = path.read_bytes()
    return out


def mutated(data, rng):
    """Bytes flipped, runs overwritten, moved, doubled or cut out, mostly in the header; sometimes the file is cut."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 8)):
        reach = len(out) if rng.random() < 0.3 else min(len(out), 600)
        at, size = int(rng.integers(0, max(1, reach))), int(rng.integers(1, 9))
        kind = rng.integers(0, 6)
        if kind == 0:
            out[at : at + 1] = bytes([rng.integers(0, 256)])
        elif kind == 1:
            out[at : at + size] = rng.bytes(size)
        elif kind == 2:
            out[at : at + 4] = int(rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])).to_bytes(4, "big")
        elif kind == 3:
            del out[at : at + size * 8]
        elif kind == 4:
            out[at:at] = out[at : at + size * 16]
        else:
            del out[int(rng.integers(0, len(out) + 1)) :]
        if not out:
            break
    return bytes(out)


def look(path):
    """All that reading does before anything is analysed."""
    info = probe(path)
    if info.video:
        for _ in itertools.islice(read_frames(path), 10):
            pass
    if info.audio:
        read_sound(path, end_s=2.0)


def attack(seeds, folder, trials, most_s):
    """Number of files tried."""
    rng, began = np.random.default_rng(2024), time.monotonic()
    for n in range(trials):
        kind = list(seeds)[n % len(seeds)]
        data = mutated(seeds[kind], rng)
        path = folder / f"hostile.{kind}"
        path.write_bytes(data)
        at = time.monotonic()
        try:
            look(path)
        except ResyncError as error:
            assert "\n" not in str(error) and str(path) in str(error)
        assert time.monotonic() - at < 20, f"trial {n}: {kind} took too long"
        assert path.read_bytes() == data and [p.name for p in folder.iterdir()] == [path.name]
        path.unlink()
        if time.monotonic() - began > most_s:
            return n + 1
    return trials


def test_sound_that_is_no_number_and_clipped_sound(delayed_clip, ffmpeg, tmp_path):
    sound = read_sound(delayed_clip(120.0), rate=48_000)
    broken = np.clip(20 * sound, -1, 1)
    broken[60_000:70_000] = np.nan
    broken[90_000:90_010] = np.inf
    soundfile.write(tmp_path / "broken.wav", broken, 48_000, subtype="FLOAT")
    film = tmp_path / "film.mov"
    ffmpeg("-i", delayed_clip(0), "-i", tmp_path / "broken.wav", "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "copy", film)
    heard = read_sound(film)
    assert np.isfinite(heard).all() and not heard[20_200:23_200].any() and np.abs(heard).max() > 0.9
    assert analyze(film).audio_delay_ms == pytest.approx(120, abs=40)


def test_some_hostile_files(seeds, tmp_path):
    assert attack(seeds, tmp_path, TRIALS, MOST_S) == TRIALS


@pytest.mark.matrix
def test_very_many_hostile_files(seeds, tmp_path):
    print(f"{attack(seeds, tmp_path, MANY, MOST_S)} hostile files read or refused")
