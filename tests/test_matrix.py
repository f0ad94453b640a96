"""A matrix of media with a known delay, each through check, fix and check again.

The rows of CORE run always, the rest with `pytest -m matrix -s`, which prints the table.
"""

import hashlib
from dataclasses import dataclass

import av
import numpy as np
import pytest

from resync.media import probe, read_sound
from resync.pipeline import analyze, fix

DELAY_MS = 120.0
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
AAC = ("-c:a", "aac")
RATE = 48_000  # Hz, for measuring the move


@dataclass(frozen=True)
class Row:
    """One film: how ffmpeg makes it out of the talking clip, and what may come of it."""

    name: str
    suffix: str = ".mp4"
    picture: tuple[str, ...] = X264
    sound: tuple[str, ...] = AAC
    output: tuple[str, ...] = ()
    delay_ms: float = DELAY_MS
    may_refuse: bool = False  # too small or too short for a sure answer: then nothing may be written


def scaled(width, height=-2):
    return ("-vf", f"scale={width}:{height}")


CORE = [
    Row("mp4 h264 aac"),
    Row("mov prores pcm", ".mov", ("-c:v", "prores_ks", "-profile:v", "0"), ("-c:a", "pcm_s24le")),
    Row("mkv hevc10 flac", ".mkv", (*X265, "-pix_fmt", "yuv420p10le"), ("-c:a", "flac")),
    Row("webm vp9 opus", ".webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"), ("-c:a", "libopus")),
    Row("avi mpeg4 mp3", ".avi", ("-c:v", "mpeg4", "-q:v", "4"), ("-c:a", "libmp3lame")),
    Row("ts h264 ac3", ".ts", X264, ("-c:a", "ac3")),
    Row("mp4 29.97 fps, 44.1 kHz stereo", output=("-vf", "fps=30000/1001", "-ar", "44100", "-ac", "2")),
    Row("mp4 variable frame rate", output=("-vf", "select='not(eq(mod(n,5),2))'", "-fps_mode", "vfr")),
]  # fmt: skip
MORE = [
    Row("mpg mpeg2 mp2", ".mpg", ("-c:v", "mpeg2video", "-q:v", "3"), ("-c:a", "mp2", "-ar", "48000")),
    Row("mpg mpeg2 ac3", ".mpg", ("-c:v", "mpeg2video", "-q:v", "3"), ("-c:a", "ac3", "-ar", "48000")),
    Row("flv h264 aac", ".flv"),
    Row("flv flv1 mp3", ".flv", ("-c:v", "flv", "-q:v", "3"), ("-c:a", "libmp3lame", "-ar", "44100")),
    Row("m4v mpeg4 aac", ".m4v", ("-c:v", "mpeg4", "-q:v", "4")),
    Row("ogv theora vorbis", ".ogv", ("-c:v", "libtheora", "-q:v", "8"), ("-c:a", "libvorbis")),
    Row("mkv av1 opus", ".mkv", ("-c:v", "libsvtav1", "-preset", "12"), ("-c:a", "libopus")),
    Row("mp4 av1 aac", ".mp4", ("-c:v", "libsvtav1", "-preset", "12")),
    Row("mkv mjpeg pcm", ".mkv", ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p"), ("-c:a", "pcm_s16le")),
    Row("mov h264 alac", ".mov", X264, ("-c:a", "alac")),
    Row("mp4 h264 eac3", ".mp4", X264, ("-c:a", "eac3")),
    Row("mkv h264 eac3", ".mkv", X264, ("-c:a", "eac3")),
    Row("mp4 hevc aac", ".mp4", (*X265, "-tag:v", "hvc1")),
    Row("mkv h264 vorbis", ".mkv", X264, ("-c:a", "libvorbis")),
    *(Row(f"mp4 {fps} fps", output=("-vf", f"fps={fps}")) for fps in ("24000/1001", "24", "30", "50", "60000/1001", "60")),
    *(Row(f"mkv {rate} Hz", ".mkv", sound=("-c:a", "pcm_s16le", "-ar", rate)) for rate in ("8000", "11025", "22050", "96000")),
    Row("mp4 5.1", sound=(*AAC, "-ac", "6")),
    Row("mp4 mono 16 kHz", sound=(*AAC, "-ac", "1", "-ar", "16000")),
    Row("ts with a clock that starts at 10 s", ".ts", output=("-output_ts_offset", "10")),
    Row("mkv with a clock that starts at 5 s", ".mkv", output=("-output_ts_offset", "5", "-avoid_negative_ts", "disabled")),
    Row("mp4 sound ends 1 s before the picture", output=("-af", "atrim=end=4")),
    Row("mp4 picture ends 1 s before the sound", output=("-vf", "trim=end=4")),
    Row("mkv sound begins 0.5 s late", ".mkv", output=("-af", "atrim=start=0.5")),
    Row("mp4 without B-frames, long groups", picture=("-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "500")),
    Row("mp4 anamorphic", output=("-vf", "scale=180:256,setsar=64/45")),
    Row("mp4 interlaced", output=("-vf", "interlace=lowpass=0", "-flags", "+ilme+ildct", "-bf", "0")),
    Row("mkv odd size", ".mkv", ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p"), output=scaled(255, 253)),
    Row("mp4 4K", output=("-vf", "scale=2160:2160,pad=3840:2160:840:0")),
    Row("mp4 face of 40 px in a wide shot", output=("-vf", "scale=96:96,pad=640:360:300:150"), may_refuse=True),
    Row("mp4 of 1 s", output=("-ss", "1", "-t", "1"), may_refuse=True),
    Row("mp4 in sync", delay_ms=0.0),
    Row("mp4 early sound", delay_ms=-160.0),
    Row("mkv early sound", ".mkv", delay_ms=-160.0),
]  # fmt: skip


def picture_md5(path):
    """Of the picture packets' bytes."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic)
        return hashlib.md5(b"".join(bytes(p) for p in container.demux(stream) if p.size)).hexdigest()


def moved_ms(before, after):
    """How much later the sound plays against the picture's first frame, by cross-correlation."""
    a, b = (read_sound(path, rate=RATE) for path in (before, after))
    n = 1 << (len(a) + len(b)).bit_length()
    k = int(np.argmax(np.fft.irfft(np.fft.rfft(b, n) * np.conj(np.fft.rfft(a, n)), n)))
    later = (k if k < n / 2 else k - n) / RATE
    return 1000 * (later - (probe(after).video.start_s - probe(before).video.start_s))


def through(row, make, talking_clip, folder):
    """Make the film, check it, fix it and check the outcome: a row of the table."""
    source, target = folder / f"in{row.suffix}", folder / f"out{row.suffix}"
    make("-i", talking_clip(row.delay_ms, ".mkv"), *row.picture, *row.sound, *row.output, source)
    before = source.read_bytes()
    report, written = fix(source, target)
    assert source.read_bytes() == before
    if written is None:
        assert row.may_refuse and report.verdict == "undecided" and report.reasons and not target.exists(), report
        return f"| {row.name} | refused | | | nothing written | |"
    error = report.audio_delay_ms - row.delay_ms
    assert abs(error) <= 40, report
    moved = moved_ms(source, target)
    # A frame of sound that was encoded anew may begin with priming; copied ones move by their timestamps.
    assert moved == pytest.approx(report.shift_ms, abs=5)
    again = analyze(target)
    assert again.audio_delay_ms is not None and abs(again.audio_delay_ms) <= 40, again
    kinds = [[(s.type, s.codec_context.name) for s in av.open(str(path)).streams] for path in (source, target)]
    assert [k for k, _ in kinds[0]] == [k for k, _ in kinds[1]]
    assert picture_md5(source) == picture_md5(target)
    kept = "sound encoded anew" if written.reencoded else "all packets"
    found = f"{report.audio_delay_ms:+.0f} | {error:+.0f} | {moved:+.1f} for {report.shift_ms:+.1f}"
    return f"| {row.name} | {found} | {kept} | {again.audio_delay_ms:+.0f} |"


@pytest.mark.parametrize("row", CORE, ids=lambda row: row.name)
def test_core(row, ffmpeg, delayed_clip, tmp_path):
    print(through(row, ffmpeg, delayed_clip, tmp_path))


@pytest.mark.matrix
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_telephone_held_upright(ffmpeg, delayed_clip, tmp_path, suffix):
    lying, source, target = (tmp_path / f"{name}{suffix}" for name in ("lying", "in", "out"))
    ffmpeg("-i", delayed_clip(DELAY_MS, ".mkv"), "-vf", "transpose=cclock", *X264, *AAC, lying)
    ffmpeg("-display_rotation", "-90", "-i", lying, "-c", "copy", source)
    report, written = fix(source, target)
    assert report.audio_delay_ms == pytest.approx(DELAY_MS, abs=40) and written
    assert probe(source).video.rotation == probe(target).video.rotation != 0
    assert abs(analyze(target).audio_delay_ms) <= 40
    print(f"| telephone, rotated {suffix} | {report.audio_delay_ms:+.0f} | {report.audio_delay_ms - DELAY_MS:+.0f} | | rotation kept | |")


@pytest.mark.matrix
@pytest.mark.parametrize("row", MORE, ids=lambda row: row.name)
def test_matrix(row, ffmpeg, delayed_clip, tmp_path):
    print(through(row, ffmpeg, delayed_clip, tmp_path))
