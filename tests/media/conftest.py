"""The numbered clip in several formats."""

from pathlib import Path

import numpy as np
import pytest
from helpers import ffmpeg
from numbered_clip import FORMATS, RATE, SIZE, noise, numbered_frames


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def wav(folder) -> Path:
    """The audio of the numbered clip."""
    path = folder / "noise.wav"
    ffmpeg("-f", "f32le", "-ar", 48_000, "-ac", 1, "-i", "-", path, stdin=noise().tobytes())
    return path


@pytest.fixture(scope="session")
def reference(wav) -> np.ndarray:
    """The audio of the numbered clip: float32 at RATE."""
    return np.frombuffer(ffmpeg("-i", wav, "-ar", RATE, "-f", "f32le", "-"), np.float32)


@pytest.fixture(scope="session")
def encode(folder, wav):
    """encode(name, *options, fps=25, size=SIZE, audio=True) encodes the numbered clip; each name is encoded once."""

    def encode(name, *options, fps=25, size=SIZE, audio=True) -> Path:
        path = folder / name
        if not path.exists():
            raw = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{size[0]}x{size[1]}", "-r", fps, "-i", "-")
            audio_input = ("-i", wav, "-map", "0:v", "-map", "1:a") if audio else ()
            ffmpeg(*raw, *audio_input, *options, path, stdin=numbered_frames(fps, size))
        return path

    return encode


@pytest.fixture(scope="session")
def plain(encode):
    """plain(ext) is the numbered clip in one of FORMATS."""
    return lambda ext: encode(f"plain.{ext}", *FORMATS[ext])


@pytest.fixture(scope="session", params=FORMATS)
def any_format(request, plain) -> Path:
    return plain(request.param)


@pytest.fixture(scope="session")
def mp4(plain) -> Path:
    return plain("mp4")
