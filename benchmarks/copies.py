"""Copies of clips with a known audio shift, and controls without a right answer, for `accuracy.py`."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import av
import click
from imageio_ffmpeg import get_ffmpeg_exe

# No multiples of 40 ms, the frame duration at 25 fps. A clip gets the one of its position; 17 of them, so that an even
# selection of clips gets all of them.
OFFSETS_MS = (50, -110, 175, -233, 290, -347, 410, -470, -65, 137, -190, 255, -310, 370, -431, 470, -50)
SWAPPED_VOICES = 8
RATE = 48_000  # Hz, of all copies
ENCODING = "-c:v libx264 -preset veryfast -crf 18 -pix_fmt yuv420p -fps_mode passthrough -enc_time_base:v 1:90000 -c:a aac -b:a 128k"


class Clip(NamedTuple):
    """A clip, and the shift that its shifted copy gets. name: of its copies, without suffix."""

    path: Path
    name: str
    seconds: float
    shift_ms: int

    @property
    def speaker(self) -> str:
        """See `speaker_of`."""
        return speaker_of(self.path)


def speaker_of(path: Path) -> str:
    """The file name of a clip up to the second underscore: clips of one speaker agree in it."""
    return "_".join(path.stem.split("_")[:2])


def list_clips(folder: Path, min_seconds: float) -> list[Clip]:
    """All clips of a folder with video and audio and of min_seconds or more, sorted by name."""
    found = []
    for path in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        try:
            with av.open(str(path)) as container:
                complete = bool(container.streams.video and container.streams.audio)
                seconds = (container.duration or 0) / av.time_base
        except (av.FFmpegError, OSError):
            complete, seconds = False, 0.0
        if not complete:
            click.echo(f"{path.name}: skipped, not a video with audio", err=True)
        elif seconds >= min_seconds:
            found.append((path, seconds))
    return [Clip(path, f"{i:05d}", seconds, OFFSETS_MS[i % len(OFFSETS_MS)]) for i, (path, seconds) in enumerate(found)]


def spread(items: list, n: int | None) -> list:
    """At most n of the items, evenly spread."""
    return items if n is None or n >= len(items) else [items[i * len(items) // n] for i in range(n)]


class Job(NamedTuple):
    """A file to be encoded by ffmpeg. video, audio: filter graphs from the inputs; seconds: cut to this duration."""

    target: Path
    inputs: list[str | Path]
    video: str
    audio: str
    seconds: float | None = None


def copy_job(clip: Clip, folder: Path, shift_ms: int) -> Job:
    """The clip with its audio shifted, later if positive; the timing of the video stays."""
    samples = abs(shift_ms) * RATE // 1000
    shift = f",adelay={samples}S:all=1" if shift_ms > 0 else f",atrim=start_sample={samples},asetpts=N/SR/TB" if shift_ms else ""
    return Job(folder / f"{clip.name}.mp4", ["-i", clip.path], "[0:v:0]null", f"[0:a:0]aresample={RATE}:async=1:first_pts=0{shift}")


def control_jobs(clips: list[Clip], folder: Path) -> list[Job]:
    """Clips without a right answer: another speaker's voice, a still image, a silent track, a test pattern."""
    if not clips:
        return []
    voice = f"aresample={RATE}:async=1:first_pts=0"
    jobs = []
    for i, clip in spread(list(enumerate(clips)), SWAPPED_VOICES):
        half = i + len(clips) // 2
        other = next((c for c in clips[half:] + clips[:half] + clips if c.speaker != clip.speaker), None)
        if other:
            seconds = min(clip.seconds, other.seconds)
            inputs = ["-i", clip.path, "-i", other.path]
            jobs.append(Job(folder / f"swapped-{clip.name}.mp4", inputs, "[0:v:0]null", f"[1:a:0]{voice}", seconds))
    first, middle, last = clips[0], clips[len(clips) // 2], clips[-1]
    still = "[0:v:0]trim=end_frame=1,loop=-1:size=1,setpts=N/25/TB"
    silence, pattern = f"anullsrc=r={RATE}:cl=mono", "testsrc2=size=640x360:rate=25"
    return [
        *jobs,
        Job(folder / "still.mp4", ["-i", first.path], still, f"[0:a:0]{voice}", first.seconds),
        Job(folder / "silent.mp4", ["-i", middle.path], "[0:v:0]null", silence, middle.seconds),
        Job(folder / "pattern.mp4", ["-i", last.path], pattern, f"[0:a:0]{voice}", last.seconds),
    ]


def encode_all(jobs: list[Job], workers: int) -> None:
    """Write the files, several at a time."""
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(encode, jobs))


def encode(job: Job) -> None:
    """Write the file. Raises ClickException, in one line, if ffmpeg fails."""
    job.target.parent.mkdir(exist_ok=True)
    graph = f"{job.video},crop=floor(iw/2)*2:floor(ih/2)*2[v];{job.audio}[a]"  # H.264 needs even sizes
    length = [] if job.seconds is None else ["-t", f"{job.seconds:.3f}"]
    command = [get_ffmpeg_exe(), "-v", "error", "-nostdin", *job.inputs, "-filter_complex", graph, "-map", "[v]", "-map", "[a]"]
    done = subprocess.run([*command, *ENCODING.split(), *length, job.target], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise click.ClickException(f"{job.inputs[1]}: ffmpeg cannot re-encode it ({first_line(done.stderr)}); take it out of the folder")


def first_line(text: str) -> str:
    return next((line.strip()[:200] for line in text.splitlines() if line.strip()), "no reason given")
