"""Fuzzing: a damaged file is read or gives a ResyncError, in bounded time; it is never modified."""

import itertools
import time

import numpy as np
import pytest
import soundfile
from helpers import ffmpeg

import resync
from resync.errors import ResyncError
from resync.media.audio import read_audio
from resync.media.probe import probe
from resync.media.video import read_frames

CODECS = {
    "mp4": ("-c:v", "libx264", "-c:a", "aac"),
    "mkv": ("-c:v", "libx264", "-c:a", "libopus"),
    "avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "ts": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "flv": ("-c:v", "flv", "-c:a", "aac"),
    "wav": ("-vn",),
}
TRIALS, LONG_TRIALS = 300, 100_000
TIME_LIMIT_S = 600.0  # for all trials
TRIAL_LIMIT_S = 20.0


@pytest.fixture(scope="module")
def valid_files(tmp_path_factory):
    """Extension -> bytes of a small valid file."""
    folder, files = tmp_path_factory.mktemp("valid"), {}
    for ext, codecs in CODECS.items():
        path = folder / f"a.{ext}"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=48x32:r=10:d=0.5", "-f", "lavfi", "-i", "sine=d=0.5:r=16000", *codecs, path)
        files[ext] = path.read_bytes()
    return files


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """The data with bytes overwritten, removed or duplicated, mostly in the header; sometimes truncated."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 8)):
        reach = len(out) if rng.random() < 0.3 else min(len(out), 600)
        at, size = int(rng.integers(0, max(1, reach))), int(rng.integers(1, 9))
        mutation = rng.integers(0, 6)
        if mutation == 0:
            out[at : at + 1] = bytes([rng.integers(0, 256)])
        elif mutation == 1:
            out[at : at + size] = rng.bytes(size)
        elif mutation == 2:
            out[at : at + 4] = int(rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])).to_bytes(4, "big")
        elif mutation == 3:
            del out[at : at + size * 8]
        elif mutation == 4:
            out[at:at] = out[at : at + size * 16]
        else:
            del out[int(rng.integers(0, len(out) + 1)) :]
        if not out:
            break
    return bytes(out)


def read_everything(path) -> None:
    """Read a file the way the analysis does."""
    info = probe(path)
    if info.video:
        for _ in itertools.islice(read_frames(path), 10):
            pass
    if info.audio:
        read_audio(path, end_s=2.0)


def fuzz(valid_files, folder, trials) -> int:
    """Read that many mutated files, as far as the time limit allows; returns the number of files read."""
    rng, start = np.random.default_rng(2024), time.monotonic()
    for trial in range(trials):
        ext = list(valid_files)[trial % len(valid_files)]
        data = mutate(valid_files[ext], rng)
        path = folder / f"hostile.{ext}"
        path.write_bytes(data)
        trial_start = time.monotonic()
        try:
            read_everything(path)
        except ResyncError as error:
            assert "\n" not in str(error) and str(path) in str(error)
        assert time.monotonic() - trial_start < TRIAL_LIMIT_S, f"trial {trial}: {ext} took too long"
        assert path.read_bytes() == data and [p.name for p in folder.iterdir()] == [path.name]
        path.unlink()
        if time.monotonic() - start > TIME_LIMIT_S:
            return trial + 1
    return trials


def test_mutated_files(valid_files, tmp_path):
    assert fuzz(valid_files, tmp_path, TRIALS) == TRIALS


@pytest.mark.matrix
def test_mutated_files_for_ten_minutes(valid_files, tmp_path):
    print(f"{fuzz(valid_files, tmp_path, LONG_TRIALS)} mutated files tested")


def test_clipped_audio_with_non_finite_samples(delayed_clip, tmp_path):
    audio = np.clip(20 * read_audio(delayed_clip(120.0), rate=48_000), -1, 1)
    audio[60_000:70_000] = np.nan
    audio[90_000:90_010] = np.inf
    wav, clip = tmp_path / "broken.wav", tmp_path / "clip.mov"
    soundfile.write(wav, audio, 48_000, subtype="FLOAT")
    ffmpeg("-i", delayed_clip(0), "-i", wav, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "copy", clip)
    samples = read_audio(clip)
    assert np.isfinite(samples).all() and not samples[20_200:23_200].any() and np.abs(samples).max() > 0.9
    assert resync.analyze(clip).audio_delay_ms == pytest.approx(120, abs=40)
