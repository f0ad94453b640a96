"""What several test files use: ffmpeg, delays by cross-correlation, packet digests, sample reports."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import av
import numpy as np

from resync.media.audio import read_audio
from resync.media.probe import AudioInfo, MediaInfo, VideoInfo
from resync.remux.ffmpeg import ffmpeg_exe
from resync.report.result import JumpResult, PieceResult, Report
from resync.sync.decide import SegmentResult
from resync.sync.speakers import FaceBoxes, FaceResult


def ffmpeg(*args, stdin: bytes | None = None) -> bytes:
    """Run the packaged ffmpeg program with these arguments; returns its standard output."""
    command = [ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y", *map(str, args)]
    if stdin is None:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    else:
        done = subprocess.run(command, input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@contextmanager
def logging_server() -> Iterator[tuple[str, list[str]]]:
    """The address of a local HTTP server, and the paths that were asked of it. It has no file."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()


def lag_s(audio: np.ndarray, reference: np.ndarray, rate: int, upsample: int = 1) -> float:
    """How much later `audio` is than `reference`, by cross-correlation, to 1 / upsample of a sample: seconds."""
    audio, reference = audio - audio.mean(), reference - reference.mean()
    n = 1 << (len(audio) + len(reference)).bit_length()
    curve = np.fft.irfft(np.fft.rfft(audio, n) * np.conj(np.fft.rfft(reference, n)), n * upsample)
    best = int(np.argmax(curve))
    return (best - len(curve) if best > len(curve) // 2 else best) / upsample / rate


def first_frame_s(path) -> float:
    """When the first frame of a file is shown, on the clock of `resync.media.probe`."""
    with av.open(str(path)) as container:
        return next(frame.time for frame in container.decode(video=0)) - (container.start_time or 0) / av.time_base


def shift_between_ms(before, after, rate: int = 48_000, track: int = 0) -> float:
    """How much later the audio of `after` plays against its video than that of `before`, in ms."""
    a, b = (read_audio(path, rate=rate, track=track) for path in (before, after))
    return 1000 * (lag_s(b, a, rate) - (first_frame_s(after) - first_frame_s(before)))


def packets_md5(path, kind: str = "video") -> str:
    """Digest of all packets of the first stream of a kind that is not cover art."""
    with av.open(str(path)) as container:
        streams = getattr(container.streams, kind)
        stream = next(s for s in streams if not s.disposition & av.stream.Disposition.attached_pic)
        digest = hashlib.md5()
        for packet in container.demux(stream):
            digest.update(bytes(packet) if packet.size else b"")
        return digest.hexdigest()


def pattern_input(seconds: float = 1.5) -> list[str]:
    """Input arguments for ffmpeg: a small test pattern at 25 fps."""
    return ["-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d={seconds}"]


def noise_input(seed: int = 1, rate: int = 48_000, seconds: float = 1.5) -> list[str]:
    """Input arguments for ffmpeg: mono pink noise."""
    return ["-f", "lavfi", "-i", f"anoisesrc=c=pink:a=0.3:r={rate}:d={seconds}:seed={seed}"]


def media_info(path="in.mp4", format="mov,mp4,m4a,3gp,3g2,mj2", codec="aac", tracks=1, video_start_s=0.0, **audio) -> MediaInfo:
    """What `probe` would return for a file of 10 s; `audio` changes fields of all its audio tracks."""
    track = dict(index=1, codec=codec, sample_rate=48_000, channels=2, layout="stereo", start_s=0.0,
                 duration_s=10.0, language=None, bit_rate=96_000)  # fmt: skip
    video = VideoInfo(index=0, codec="h264", width=64, height=48, fps=25.0, start_s=video_start_s, duration_s=10.0, rotation=0)
    tracks = tuple(AudioInfo(**(track | audio)) for _ in range(tracks))
    return MediaInfo(path=Path(path), format=format, duration_s=10.0, start_s=0.0, video=video, audio=tracks)


# The documented JSON fields, and two reports and what `fix` wrote, as samples.
REPORT_KEYS = [
    "schema",
    "file",
    "audio",
    "audio_track",
    "verdict",
    "audio_delay_ms",
    "audio_delay_frames",
    "shift_ms",
    "forced",
    "probability_at_offset",
    "offscreen_ratio",
    "uncertainty_ms",
    "certainty",
    "best_delay_ms",
    "drift_ms_per_min",
    "drift_start_ms",
    "drift_interval_ms_per_min",
    "drift_ratio",
    "pieces",
    "jumps",
    "reasons",
    "segments",
    "faces",
    "tracks",
    "range_ms",
    "analysed_s",
    "duration_s",
    "fps",
    "width",
    "height",
    "detector",
    "device",
    "weights",
    "elapsed_s",
    "timecode",
    "video_start_s",
]

BOXES = FaceBoxes(np.array([0.0, 15.96]), np.array([[0.3, 0.2, 0.7, 0.84], [0.32, 0.2, 0.68, 0.84]], np.float32))
LATE = Report(
    file="a b.mp4",
    audio=None,
    audio_track=1,
    verdict="out_of_sync",
    audio_delay_ms=120.0,
    audio_delay_frames=3.0,
    shift_ms=-120.0,
    forced=False,
    probability_at_offset=0.87,
    offscreen_ratio=0.25,
    uncertainty_ms=6.0,
    certainty=0.97,
    best_delay_ms=120.0,
    drift_ms_per_min=None,
    drift_start_ms=None,
    drift_interval_ms_per_min=None,
    drift_ratio=None,
    pieces=(),
    jumps=(),
    reasons=(),
    segments=(SegmentResult(0.0, 8.004, 0.12, 0.87654), SegmentResult(8.0, 16.0, None, None)),
    faces=(FaceResult(0.0, 15.96, (0.31, 0.2, 0.69, 0.84), 0.121, 0.91, 0.75, ((0.0, 5.0), (7.0, 12.0)), 0.98, 0.019, BOXES),),
    tracks=(),
    range_ms=1000.0,
    analysed_s=16.0,
    duration_s=16.2,
    fps=25.0,
    width=640,
    height=480,
    detector="centerface",
    device="cpu",
    weights="net:0123",
    elapsed_s=1.5,
    curve={"shift_ms": [-120.0, 0.0], "probability": [0.9, 0.1]},
)
UNDECIDED = replace(
    LATE,
    verdict="undecided",
    audio_delay_ms=None,
    audio_delay_frames=None,
    shift_ms=None,
    probability_at_offset=None,
    offscreen_ratio=None,
    uncertainty_ms=None,
    certainty=None,
    best_delay_ms=None,
    reasons=("no face where there is audio",),
    segments=(),
    faces=(),
)
DRIFT = replace(
    UNDECIDED,
    verdict="drift",
    certainty=0.99,
    drift_ms_per_min=-30.2,
    drift_start_ms=60.0,
    drift_interval_ms_per_min=(-33.1, -27.3),
    reasons=(),
)
JUMP = replace(
    UNDECIDED,
    verdict="jump",
    certainty=0.98,
    pieces=(PieceResult(0.0, 7.2, 240.0, 20.0, 1.0), PieceResult(7.2, 16.0, -80.4, 22.0, 0.99)),
    jumps=(JumpResult(7.2, 7.1, 7.3, -320.4),),
    reasons=(),
)
WRITTEN = {"file": "out.mp4", "reencoded": False, "cut_ms": 120.0, "edits": [], "notes": ["the first 120 ms of audio were cut"]}
