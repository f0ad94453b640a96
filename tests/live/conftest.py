"""A clip whose frames are numbered and whose audio is known, as MPEG-TS."""

import pytest
from helpers import ffmpeg
from numbered_clip import FORMATS, SIZE, noise, numbered_frames


@pytest.fixture(scope="session")
def numbered(tmp_path_factory):
    """numbered(*options) is the path of the numbered clip, 4 s of MPEG-TS, with these output options; each is encoded once."""
    folder = tmp_path_factory.mktemp("numbered")
    wav = folder / "noise.wav"
    ffmpeg("-f", "f32le", "-ar", 48_000, "-ac", 1, "-i", "-", wav, stdin=noise().tobytes())

    def encode(*options):
        path = folder / f"clip{'_'.join(map(str, options))}.ts"
        if not path.exists():
            raw = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{SIZE[0]}x{SIZE[1]}", "-r", 25, "-i", "-")
            ffmpeg(*raw, "-i", wav, "-map", "0:v", "-map", "1:a", *FORMATS["ts"], *options, path, stdin=numbered_frames())
        return path

    return encode
