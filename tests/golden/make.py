"""Makes what tests/test_golden.py compares with: two clips, once, and curves.json by the resync that is imported.

    PYTHONPATH=CHECKOUT_OF_THE_OLD_CODE python tests/golden/make.py

curves.json holds the results of commit ff9d4c2, before pictures stayed as decoded and before ONNX Runtime. To be made again,
by that code, only for other weights.
"""

import json
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

import resync
from resync.config import Config
from resync.demo.clip import talking_clip, write_clip
from resync.remux.ffmpeg import ffmpeg_exe

HERE = Path(__file__).parent
CURVES = HERE / "curves.json"
# small.mp4 is looked at as decoded, large.mp4 (more than MediaConfig.max_side) is scaled down first
CLIPS = {
    "small.mp4": {"seconds": 4, "seed": 1, "size": (640, 360), "delay_ms": 120},
    "large.mp4": {"seconds": 3, "seed": 4, "size": (1600, 900), "delay_ms": -80},
}


def sources():
    """name -> what `resync.analyze` takes: the clips, and the pictures and the sound of the small one in memory."""
    small = HERE / "small.mp4"
    with av.open(str(small)) as container:
        pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    with av.open(str(small)) as container:
        rate = container.streams.audio[0].rate
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    return {**{name: HERE / name for name in CLIPS}, "memory": resync.film_of(pictures, 25, np.roll(sound, -rate // 4), rate)}


def config(device="cpu"):
    """The same detector everywhere, whatever is installed."""
    default = Config()
    return replace(default, device=device, faces=replace(default.faces, detector="centerface"))


def result(source):
    """What must not change of a report."""
    report = resync.analyze(source, config())
    return {
        "weights": report.weights,
        "verdict": report.verdict,
        "audio_delay_ms": report.audio_delay_ms,
        "certainty": report.certainty,
        "curve": report.curve,
    }


def make_clip(path, seconds, seed, size, delay_ms):
    """A talking clip, small enough for a repository."""
    with tempfile.TemporaryDirectory() as folder:
        fine = Path(folder) / "fine.mp4"
        write_clip(talking_clip(seconds, seed, size=size), fine, delay_ms)
        picture = ("-c:v", "libx264", "-preset", "slow", "-crf", "32", "-pix_fmt", "yuv420p")
        sound = ("-c:a", "aac", "-ac", "1", "-b:a", "48k")
        clean = ("-fflags", "+bitexact", "-flags", "+bitexact", "-map_metadata", "-1")
        subprocess.run([ffmpeg_exe(), "-v", "error", "-i", fine, *picture, *sound, *clean, path], check=True)


if __name__ == "__main__":
    for name, what in CLIPS.items():
        if not (HERE / name).exists():
            make_clip(HERE / name, **what)
    lines = (f"{json.dumps(name)}: {json.dumps(result(source))}" for name, source in sources().items())
    CURVES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
