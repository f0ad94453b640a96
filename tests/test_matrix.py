"""A matrix of containers, codecs, rates and sizes with a known delay: each file is measured, fixed and measured again.

By default the rows of CORE run, and three of MORE that change every day; test ids name the rows.
Run the whole matrix, and print it as a table: `pytest -m matrix -s tests/test_matrix.py`.
Run one row: `pytest -m matrix tests/test_matrix.py -k "av1 and opus"`.
"""

from dataclasses import dataclass
from datetime import date

import av
import pytest
from helpers import packets_md5, shift_between_ms

from resync import Analyzer
from resync.media.probe import probe

DELAY_MS = 120.0
TOLERANCE_MS = 40.0
ROWS_PER_DAY = 3
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
AAC = ("-c:a", "aac")


@dataclass(frozen=True)
class Row:
    """One file: ffmpeg options that make it from the talking clip, and what may come out."""

    name: str
    suffix: str = ".mp4"
    video: tuple[str, ...] = X264
    audio: tuple[str, ...] = AAC
    output: tuple[str, ...] = ()
    delay_ms: float = DELAY_MS
    may_be_undecided: bool = False  # too small or too short for a certain result: then nothing may be written


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
    *(Row(f"mkv {rate} Hz", ".mkv", audio=("-c:a", "pcm_s16le", "-ar", rate)) for rate in ("8000", "11025", "22050", "96000")),
    Row("mp4 5.1", audio=(*AAC, "-ac", "6")),
    Row("mp4 mono 16 kHz", audio=(*AAC, "-ac", "1", "-ar", "16000")),
    Row("ts starting at 10 s", ".ts", output=("-output_ts_offset", "10")),
    Row("mkv starting at 5 s", ".mkv", output=("-output_ts_offset", "5", "-avoid_negative_ts", "disabled")),
    Row("mp4 audio ends 1 s before the video", output=("-af", "atrim=end=4")),
    Row("mp4 video ends 1 s before the audio", output=("-vf", "trim=end=4")),
    Row("mkv audio starts 0.5 s late", ".mkv", output=("-af", "atrim=start=0.5")),
    Row("mp4 without B-frames, long GOPs", video=("-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "500")),
    Row("mp4 anamorphic", output=("-vf", "scale=180:256,setsar=64/45")),
    Row("mp4 interlaced", output=("-vf", "interlace=lowpass=0", "-flags", "+ilme+ildct", "-bf", "0")),
    Row("mkv odd resolution", ".mkv", ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p"), output=scaled(255, 253)),
    Row("mp4 4K", output=("-vf", "scale=2160:2160,pad=3840:2160:840:0")),
    Row("mp4 face of 40 px in a wide shot", output=("-vf", "scale=96:96,pad=640:360:300:150"), may_be_undecided=True),
    Row("mp4 of 1 s", output=("-ss", "1", "-t", "1"), may_be_undecided=True),
    Row("mp4 in sync", delay_ms=0.0),
    Row("mp4 early audio", delay_ms=-160.0),
    Row("mkv early audio", ".mkv", delay_ms=-160.0),
]  # fmt: skip


def rows_of_the_day(day):
    """The rows of MORE that run by default on a day; all of them in turn."""
    return [MORE[(ROWS_PER_DAY * day.toordinal() + k) % len(MORE)] for k in range(ROWS_PER_DAY)]


@pytest.fixture(scope="module")
def analyzer():
    return Analyzer()


def stream_kinds(path):
    with av.open(str(path)) as container:
        return [stream.type for stream in container.streams]


def check_row(row, analyzer, ffmpeg, delayed_clip, folder):
    """Make the file, measure it, fix it and measure the result; returns a row of the table."""
    source, target = folder / f"in{row.suffix}", folder / f"out{row.suffix}"
    ffmpeg("-i", delayed_clip(row.delay_ms, ".mkv"), *row.video, *row.audio, *row.output, source)
    before = source.read_bytes()
    report, written = analyzer.fix(source, target)
    assert source.read_bytes() == before
    if written is None:
        assert row.may_be_undecided and report.verdict == "undecided" and report.reasons and not target.exists(), report
        return f"| {row.name} | undecided | | | nothing written | |"
    error = report.audio_delay_ms - row.delay_ms
    assert abs(error) <= TOLERANCE_MS, report
    shift = shift_between_ms(source, target)
    # Re-encoded audio may start with encoder priming; a stream copy is shifted by its timestamps.
    assert shift == pytest.approx(report.shift_ms, abs=5)
    again = analyzer.analyze(target)
    assert again.audio_delay_ms is not None and abs(again.audio_delay_ms) <= TOLERANCE_MS, again
    assert stream_kinds(source) == stream_kinds(target)
    assert packets_md5(source) == packets_md5(target)
    how = "re-encoded" if written.reencoded else "stream copy"
    measured = f"{report.audio_delay_ms:+.0f} | {error:+.0f} | {shift:+.1f} for {report.shift_ms:+.1f}"
    return f"| {row.name} | {measured} | {how} | {again.audio_delay_ms:+.0f} |"


@pytest.mark.parametrize("row", CORE + rows_of_the_day(date.today()), ids=lambda row: row.name)
def test_row(row, analyzer, ffmpeg, delayed_clip, tmp_path):
    print(check_row(row, analyzer, ffmpeg, delayed_clip, tmp_path))


@pytest.mark.matrix
@pytest.mark.parametrize("row", CORE + MORE, ids=lambda row: row.name)
def test_matrix(row, analyzer, ffmpeg, delayed_clip, tmp_path):
    print(check_row(row, analyzer, ffmpeg, delayed_clip, tmp_path))


@pytest.mark.matrix
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_rotated_phone_video(analyzer, ffmpeg, delayed_clip, tmp_path, suffix):
    lying, source, target = (tmp_path / f"{name}{suffix}" for name in ("lying", "in", "out"))
    ffmpeg("-i", delayed_clip(DELAY_MS, ".mkv"), "-vf", "transpose=cclock", *X264, *AAC, lying)
    ffmpeg("-display_rotation", "-90", "-i", lying, "-c", "copy", source)
    report, written = analyzer.fix(source, target)
    assert report.audio_delay_ms == pytest.approx(DELAY_MS, abs=TOLERANCE_MS) and written
    assert probe(source).video.rotation == probe(target).video.rotation != 0
    assert abs(analyzer.analyze(target).audio_delay_ms) <= TOLERANCE_MS


def test_every_row_has_its_day():
    start = date.today().toordinal()
    rows = {row.name for day in range(len(MORE)) for row in rows_of_the_day(date.fromordinal(start + day))}
    assert rows == {row.name for row in MORE} and len(rows) == len(MORE)
