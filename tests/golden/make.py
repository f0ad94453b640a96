"""Generates what tests/test_golden.py compares with: two clips, once, and curves.json.

After a change that is meant to change results, or of the weights, generate it again, with ONNX Runtime on the CPU:

    PYTHONPATH=. python tests/golden/make.py

Until 0.2.0 it held the results of commit ff9d4c2, which converted every frame to BGR and ran the network with PyTorch. How frames,
mouths and audio reach the network has been compared with that; the decision rule and the curve are new since.
"""

import json
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from resync import Analyzer, Config, from_arrays
from resync.demo.clip import talking_clip, write_clip
from resync.remux.ffmpeg import ffmpeg_exe

HERE = Path(__file__).parent
CURVES = HERE / "curves.json"
# small.mp4 is analysed at its own resolution; large.mp4 exceeds MediaConfig.max_side and is scaled down first.
CLIPS = {
    "small.mp4": {"seconds": 4, "seed": 1, "size": (640, 360), "delay_ms": 120},
    "large.mp4": {"seconds": 3, "seed": 4, "size": (1600, 900), "delay_ms": -80},
}


def sources():
    """{name: what `Analyzer.analyze` takes}: the clips, and frames and audio of the small one in memory, the audio 250 ms earlier."""
    small = HERE / "small.mp4"
    with av.open(str(small)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    with av.open(str(small)) as container:
        rate = container.streams.audio[0].rate
        audio = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    return {**{name: HERE / name for name in CLIPS}, "memory": from_arrays(frames, 25, np.roll(audio, -rate // 4), rate)}


def config(device="cpu"):
    """Settings with the same detector on every machine."""
    default = Config()
    return replace(default, device=device, faces=replace(default.faces, detector="centerface"))


def result(source, analyzer):
    """The fields of the report that must not change."""
    report = analyzer.analyze(source)
    return {
        "weights": report.weights,
        "verdict": report.verdict,
        "audio_delay_ms": report.audio_delay_ms,
        "certainty": report.certainty,
        "curve": report.curve,
    }


def make_clip(path, seconds, seed, size, delay_ms):
    """Write a talking clip that is small enough for a repository."""
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.mp4"
        write_clip(talking_clip(seconds, seed, size=size), large, delay_ms)
        video = ("-c:v", "libx264", "-preset", "slow", "-crf", "32", "-pix_fmt", "yuv420p")
        audio = ("-c:a", "aac", "-ac", "1", "-b:a", "48k")
        reproducible = ("-fflags", "+bitexact", "-flags", "+bitexact", "-map_metadata", "-1")
        subprocess.run([ffmpeg_exe(), "-v", "error", "-i", large, *video, *audio, *reproducible, path], check=True)


if __name__ == "__main__":
    for name, settings in CLIPS.items():
        if not (HERE / name).exists():
            make_clip(HERE / name, **settings)
    analyzer = Analyzer(config())
    lines = (f"{json.dumps(name)}: {json.dumps(result(source, analyzer))}" for name, source in sources().items())
    CURVES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
