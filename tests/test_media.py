"""Clocks, grids and errors of resync.media, on files whose every picture and sample is known.

The pictures of the test film carry a number, as two grey halves; the sound is noise, so its place
is found by correlation.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from resync import media
from resync.errors import MediaError

RATE = 16_000
SECONDS = 4
SIZE = (64, 48)
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-g", "30", "-bf", "2", "-pix_fmt", "yuv420p")
FORMATS = {
    "mp4": (*H264, "-c:a", "aac"),
    "mov": (*H264, "-c:a", "pcm_s16le"),
    "mkv": (*H264, "-c:a", "libopus"),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M", "-c:a", "libvorbis"),
    "ts": (*H264, "-c:a", "aac"),
}


def ffmpeg(*args, stdin: bytes | None = None) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y", *map(str, args)]
    done = subprocess.run(command, input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def noise(seconds: float = SECONDS, seed: int = 0) -> np.ndarray:
    """Noise under 4 kHz, float32 at 48 kHz."""
    white = np.random.default_rng(seed).normal(size=int(seconds * 12_000)) * 0.2
    return np.interp(np.arange(int(seconds * 48_000)) / 4, np.arange(len(white)), white).astype(np.float32)


def film(fps: int = 25, size: tuple[int, int] = SIZE) -> bytes:
    """4 seconds of pictures, raw grey: the left half tells the number's tens, the right half its ones."""
    numbers = np.arange(SECONDS * fps)
    left = np.arange(size[0]) < size[0] // 2
    rows = 10 * np.where(left, numbers[:, None] // 10, numbers[:, None] % 10)
    return np.repeat(rows.astype(np.uint8) + 20, size[1], axis=0).tobytes()


def number(image: np.ndarray) -> int:
    """The number that a picture carries."""
    half = image.shape[1] // 2
    tens, ones = ((float(part.mean()) - 20) / 10 for part in (image[:, :half], image[:, half:]))
    return 10 * round(tens) + round(ones)


def lag_s(sound: np.ndarray, reference: np.ndarray) -> float:
    """How much later `sound` is than `reference`, both at 16 kHz, to a 16th of a sample."""
    n = 1 << (len(sound) + len(reference)).bit_length()
    cross = np.fft.rfft(sound, n) * np.conj(np.fft.rfft(reference, n))
    lags = np.fft.irfft(cross, n * 16)
    best = int(np.argmax(lags))
    return (best - len(lags) if best > len(lags) // 2 else best) / 16 / RATE


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def wav(folder) -> Path:
    path = folder / "noise.wav"
    ffmpeg("-f", "f32le", "-ar", 48_000, "-ac", 1, "-i", "-", path, stdin=noise().tobytes())
    return path


@pytest.fixture(scope="module")
def make(folder, wav):
    """make(name, *options, fps=25, size=...) encodes the test film; each name is made once."""

    def make(name, *options, fps=25, size=SIZE, sound=True) -> Path:
        path = folder / name
        if not path.exists():
            raw = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{size[0]}x{size[1]}", "-r", fps, "-i", "-")
            extra = ("-i", wav, "-map", "0:v", "-map", "1:a") if sound else ()
            ffmpeg(*raw, *extra, *options, path, stdin=film(fps, size))
        return path

    return make


@pytest.fixture(scope="module")
def reference(wav) -> np.ndarray:
    return np.frombuffer(ffmpeg("-i", wav, "-ar", RATE, "-f", "f32le", "-"), np.float32)


@pytest.fixture(scope="module", params=FORMATS)
def any_format(request, make) -> Path:
    return make(f"plain.{request.param}", *FORMATS[request.param])


@pytest.fixture(scope="module")
def mp4(make) -> Path:
    return make("plain.mp4", *FORMATS["mp4"])


# --- probe ---------------------------------------------------------------------------------------


def test_probe_tells_what_is_inside(mp4):
    info = media.probe(mp4)
    assert info.path == mp4 and "mp4" in info.format
    assert info.duration_s == pytest.approx(SECONDS, abs=0.05) and info.start_s == 0
    assert (info.video.codec, info.video.width, info.video.height) == ("h264", *SIZE)
    assert info.video.fps == pytest.approx(25) and info.video.rotation == 0
    assert info.video.start_s == 0 and info.video.duration_s == pytest.approx(SECONDS)
    (sound,) = info.audio
    assert (sound.codec, sound.sample_rate, sound.channels, sound.layout) == ("aac", 48_000, 1, "mono")
    assert sound.language is None or sound.language == "und"
    assert sound.index == 1 and sound.bit_rate > 0
    media.require_video_and_sound(info)


def test_missing_streams_are_named(folder, wav, make):
    only_sound = media.probe(wav)
    assert only_sound.video is None
    with pytest.raises(MediaError, match="no picture"):
        media.require_video_and_sound(only_sound)
    with pytest.raises(MediaError, match="no picture"):
        next(media.read_frames(wav))
    silent = make("silent.mp4", *H264, sound=False)
    with pytest.raises(MediaError, match="no sound"):
        media.require_video_and_sound(media.probe(silent))
    with pytest.raises(MediaError, match="no sound"):
        media.read_sound(silent)


@pytest.mark.parametrize("ext, codec", [("m4a", "aac"), ("mp3", "libmp3lame"), ("flac", "flac")])
def test_cover_art_is_not_a_picture(folder, wav, ext, codec):
    cover, song = folder / "cover.png", folder / f"song.{ext}"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=600x600", "-frames:v", 1, cover)
    ffmpeg("-i", wav, "-i", cover, "-map", 0, "-map", 1, "-c:a", codec, "-c:v", "copy",
           "-disposition:v", "attached_pic", song)  # fmt: skip
    assert media.probe(song).video is None
    assert len(media.probe(song).audio) == 1


def test_film_is_chosen_over_its_larger_cover(folder, mp4):
    cover, path = folder / "poster.png", folder / "with_cover.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=600x600", "-frames:v", 1, cover)
    ffmpeg("-i", cover, "-i", mp4, "-map", 0, "-map", 1, "-c", "copy", "-disposition:v:0", "attached_pic", path)
    info = media.probe(path)
    assert (info.video.width, info.video.height) == SIZE
    assert len(list(media.read_frames(path))) == 100


# --- the picture's grid --------------------------------------------------------------------------


def test_every_picture_on_its_tick(any_format):
    start_s = media.probe(any_format).video.start_s
    frames = list(media.read_frames(any_format))
    assert len(frames) == 100
    first = int(np.ceil(start_s * 25 - 1e-3))
    assert [f.index for f in frames] == list(range(first, first + 100))
    assert [number(f.picture.bgr()) for f in frames] == list(range(100))
    assert all(f.time_s == f.index / 25 for f in frames)
    shown = [start_s + k / 25 for k in range(100)]
    assert [f.shown_s for f in frames] == pytest.approx(shown, abs=0.0011)
    assert frames[0].picture.bgr().dtype == np.uint8 and frames[0].picture.bgr().shape == (48, 64, 3)


@pytest.mark.parametrize("fps", [12, 24, 30, 50])
def test_other_frame_rates_come_out_on_the_grid(make, fps):
    path = make(f"rate{fps}.mp4", *FORMATS["mp4"], fps=fps)
    frames = list(media.read_frames(path))
    assert [f.index for f in frames] == list(range(100))
    showing = [k * fps // 25 for k in range(100)]  # the picture whose time has come
    assert [number(f.picture.bgr()) for f in frames] == showing
    assert [f.shown_s for f in frames] == pytest.approx([j / fps for j in showing], abs=1e-4)


@pytest.mark.parametrize("fps", [24, 25, 30, 50])
@pytest.mark.parametrize("late_s", [0, 0.007, 0.03])
def test_nearest_pictures_are_not_late_on_average(make, folder, fps, late_s):
    plain = make(f"rate{fps}.mp4", *FORMATS["mp4"], fps=fps)
    path = folder / f"late{fps}_{late_s}.mkv"
    ffmpeg("-itsoffset", late_s, "-i", plain, "-i", plain, "-map", "0:v", "-map", "1:a", "-c:v", "copy",
           "-c:a", "pcm_s16le", path)  # fmt: skip
    frames = list(media.read_frames(path, nearest=True))
    assert [f.index for f in frames] == list(range(frames[0].index, frames[0].index + len(frames)))
    ages = np.array([f.time_s - f.shown_s for f in frames])
    assert np.abs(ages).max() < 0.5 / fps + 0.0015
    if fps in (24, 30):  # the others keep one place against the grid
        assert abs(ages.mean()) < 0.004
    part = list(media.read_frames(path, nearest=True, start_s=2.04))
    assert [(f.index, f.shown_s) for f in part] == [(f.index, f.shown_s) for f in frames if f.index >= 51]


def test_a_held_picture_is_shown_at_every_tick(make):
    drop = ("-vf", "select='not(between(n,30,59))'", "-fps_mode", "vfr")
    path = make("variable.mp4", *drop, *FORMATS["mp4"])
    frames = list(media.read_frames(path))
    numbers = dict(zip((f.index for f in frames), (number(f.picture.bgr()) for f in frames)))
    assert [numbers[k] for k in (28, 29, 30, 45, 59, 60, 61)] == [28, 29, 29, 29, 29, 60, 61]
    assert frames[40].picture is frames[39].picture


def test_only_pictures_that_a_tick_uses_are_converted(make, monkeypatch):
    path = make("rate50.mp4", *FORMATS["mp4"], fps=50)
    converted = []
    convert = media.Converter.__call__
    monkeypatch.setattr(media.Converter, "__call__", lambda *a: converted.append(a) or convert(*a))
    assert len(list(media.read_frames(path))) == len(converted) == 100


@pytest.mark.parametrize("start_s, end_s", [(2, None), (1.19, 2.5), (3.9, 9), (0, 0.5), (2.0, 2.04), (50, 60)])
def test_a_stretch_is_a_slice_of_the_whole(any_format, start_s, end_s):
    part = list(media.read_frames(any_format, start_s=start_s, end_s=end_s))
    whole = [f for f in media.read_frames(any_format) if f.time_s >= start_s - 1e-9 and (end_s is None or f.time_s < end_s - 1e-9)]
    assert [(f.index, f.time_s) for f in part] == [(f.index, f.time_s) for f in whole]
    assert all(np.array_equal(a.picture.bgr(), b.picture.bgr()) for a, b in zip(part, whole))


def test_large_pictures_are_scaled_down_and_small_ones_kept(make):
    path = make("wide.mp4", *H264, size=(320, 180), sound=False)
    assert next(media.read_frames(path, max_side=160)).picture.bgr().shape == (90, 160, 3)
    assert next(media.read_frames(path, max_side=1280)).picture.bgr().shape == (180, 320, 3)


def test_anamorphic_pixels_are_left_alone(make):
    path = make("anamorphic.mp4", "-vf", "setsar=2", *H264, sound=False)
    assert next(media.read_frames(path)).picture.bgr().shape == (48, 64, 3)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_the_one_ffmpeg_applies(folder, degrees):
    plain, turned = folder / "pattern.mp4", folder / f"turned{degrees}.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=96x64:r=25:d=0.4", *H264, plain)
    ffmpeg("-display_rotation", degrees, "-i", plain, "-c", "copy", turned)
    video = media.probe(turned).video
    width, height = (96, 64) if degrees == 180 else (64, 96)
    assert (video.width, video.height, video.rotation) == (width, height, degrees)
    raw = ffmpeg("-i", turned, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "bgr24", "-")
    shown = np.frombuffer(raw, np.uint8).reshape(height, width, 3).astype(int)
    image = next(media.read_frames(turned)).picture.bgr()
    assert image.flags["C_CONTIGUOUS"] and image.shape == shown.shape
    assert np.abs(image - shown).mean() < 6


@pytest.mark.parametrize(
    "name, options, size",
    [
        ("odd.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv444p"), (65, 49)),
        ("odd420.mkv", ("-c:v", "mpeg4", "-q:v", "2"), (63, 47)),
        ("interlaced.ts", ("-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-q:v", "2"), (64, 48)),
        ("ten_bit.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv422p10"), (64, 48)),
        ("rgb.avi", ("-c:v", "rawvideo", "-pix_fmt", "bgr24"), (64, 48)),
    ],
)
def test_unusual_pictures_are_read(make, name, options, size):
    path = make(name, *options, size=size, sound=False)
    frames = list(media.read_frames(path))
    assert len(frames) == 100
    assert frames[0].picture.bgr().shape == (size[1], size[0], 3)
    assert number(frames[70].picture.bgr()) == 70


# --- the sound's place ---------------------------------------------------------------------------


def played_by_ffmpeg(path: Path) -> np.ndarray:
    """The sound as ffmpeg lays it on the clock that it shares with the picture."""
    fill = "aresample=async=1:first_pts=0:min_hard_comp=0.005"
    both = ("-map", "0:v", "-f", "null", "-", "-map", "0:a:0", "-af", fill)
    return np.frombuffer(ffmpeg("-i", path, *both, "-ac", 1, "-ar", RATE, "-f", "f32le", "-"), np.float32)


@pytest.mark.parametrize("ext", ["mp4", "mov", "ts"])
def test_sound_is_where_ffmpeg_plays_it(make, ext):
    path = make(f"plain.{ext}", *FORMATS[ext])
    sound = media.read_sound(path)
    assert sound.dtype == np.float32 and sound.ndim == 1
    assert len(sound) == pytest.approx(SECONDS * RATE, abs=0.06 * RATE)
    assert abs(lag_s(sound, played_by_ffmpeg(path))) < 0.001


def sound_after_picture_s(path: Path, reference: np.ndarray) -> float:
    """How much later the sound comes than the picture it was made with, both as read."""
    frame = next(media.read_frames(path, start_s=2))
    return lag_s(media.read_sound(path), reference) - (frame.shown_s - number(frame.picture.bgr()) / 25)


def test_sound_and_picture_stay_together(any_format, reference):
    assert abs(sound_after_picture_s(any_format, reference)) < 0.0015


@pytest.mark.parametrize("offset_s", [0.2, -0.2])
def test_moved_sound_is_moved_against_the_picture(any_format, folder, offset_s, reference):
    """The sound starts offset_s after the picture, whichever of the two starts the clock."""
    moved = folder / f"moved{offset_s}_{any_format.name}"
    ffmpeg("-copyts", "-i", any_format, "-itsoffset", offset_s, "-i", any_format,
           "-map", "0:v", "-map", "1:a", "-c", "copy", moved)  # fmt: skip
    assert sound_after_picture_s(moved, reference) == pytest.approx(offset_s, abs=0.0015)


def test_a_clock_that_starts_late_is_read_from_its_start(folder, make, reference):
    plain, late = make("plain.ts", *FORMATS["ts"]), folder / "late.ts"
    ffmpeg("-copyts", "-i", plain, "-c", "copy", "-output_ts_offset", 1000, late)
    info = media.probe(late)
    assert info.start_s > 1000 and min(info.video.start_s, info.audio[0].start_s) == pytest.approx(0, abs=1e-6)
    assert np.array_equal(media.read_sound(late), media.read_sound(plain))
    assert [f.index for f in media.read_frames(late)] == [f.index for f in media.read_frames(plain)]


@pytest.mark.parametrize("start_s, end_s", [(2.0, 3.0), (1.234, 1.5), (0.0, 0.1), (3.5, None)])
def test_a_stretch_of_sound_is_a_slice_of_the_whole(any_format, start_s, end_s):
    part = media.read_sound(any_format, start_s=start_s, end_s=end_s)
    whole = media.read_sound(any_format)[round(start_s * RATE) :]
    if end_s is None:
        assert abs(len(part) - len(whole)) <= 8
    else:
        assert len(part) == round((end_s - start_s) * RATE)
    n = min(len(part), len(whole))
    assert abs(lag_s(part[:n], whole[:n])) < 0.0002
    assert np.corrcoef(part[:n], whole[:n])[0, 1] > 0.9


def test_a_stretch_beyond_the_sound_is_silence(mp4):
    sound = media.read_sound(mp4, start_s=3.0, end_s=6.0)
    assert len(sound) == 3 * RATE
    assert np.abs(sound[: RATE // 2]).max() > 0.01 and not sound[round(1.2 * RATE) :].any()
    assert not media.read_sound(mp4, start_s=50, end_s=51).any()
    assert len(media.read_sound(mp4, start_s=2, end_s=2)) == 0


def test_a_gap_is_silence_and_the_rest_stays_in_place(make, reference):
    path = make("gap.mkv", "-af", "aselect='not(between(t,1,1.5))'", *H264, "-c:a", "pcm_s16le")
    sound = media.read_sound(path)
    assert np.abs(sound[round(1.1 * RATE) : round(1.4 * RATE)]).max() < 1e-3
    for start, end in ((0.1, 0.9), (1.7, 3.9)):
        there = slice(round(start * RATE), round(end * RATE))
        assert abs(lag_s(sound[there], reference[there])) < 0.001
    in_gap = media.read_sound(path, start_s=1.2, end_s=2.5)
    assert abs(lag_s(in_gap, sound[round(1.2 * RATE) : round(2.5 * RATE)])) < 0.0002


def test_pieces_that_overlap_are_cut():
    line = media._SoundLine(0.0, None, 10)
    line.put(2, np.full(4, 1, np.float32))
    line.put(4, np.full(4, 2, np.float32))
    line.put(0, np.full(3, 3, np.float32))
    assert line.samples().tolist() == [0, 0, 1, 1, 1, 1, 2, 2]


def test_rounded_timestamps_do_not_add_up(folder):
    """44.1 kHz sound in Matroska: frames are not whole milliseconds long."""
    path = folder / "long.mka"
    sound = noise(60)
    ffmpeg("-f", "f32le", "-ar", 48_000, "-ac", 1, "-i", "-", "-ar", 44_100, "-c:a", "flac", path,
           stdin=sound.tobytes())  # fmt: skip
    read = media.read_sound(path)
    assert len(read) == pytest.approx(60 * RATE, abs=16)
    end = slice(58 * RATE, 60 * RATE)
    assert abs(lag_s(read[end], sound[1::3][end])) < 0.0002


def test_other_tracks_rates_and_layouts(folder, mp4):
    path = folder / "tracks.mkv"
    ffmpeg("-i", mp4, "-f", "lavfi", "-i", "sine=f=300:r=22050:d=4", "-f", "lavfi", "-i",
           "aevalsrc=0.5*sin(2*PI*500*t)|0|0|0|0:c=5.0:s=48000:d=4", "-map", "0", "-map", "1", "-map", "2",
           "-c:v", "copy", "-c:a", "pcm_s16le", "-metadata:s:a:1", "language=ger", path)  # fmt: skip
    info = media.probe(path)
    assert [a.language for a in info.audio][1] == "ger"
    assert [a.channels for a in info.audio] == [1, 1, 5]
    for track, hertz in ((1, 300), (2, 500)):
        sound = media.read_sound(path, track=track)
        assert np.abs(np.fft.rfft(sound[: 2 * RATE])).argmax() / 2 == hertz
    assert len(media.read_sound(path, track=1, rate=8000)) == pytest.approx(4 * 8000, abs=16)
    for track in (3, -1):
        with pytest.raises(MediaError, match="no sound track"):
            media.read_sound(path, track=track)


def test_channels_without_a_layout_are_mixed(folder):
    path, raw = folder / "seven.wav", np.tile(noise(1)[:, None], (1, 7))
    ffmpeg("-f", "f32le", "-ar", 48_000, "-ac", 7, "-i", "-", "-channel_layout", "7 channels", "-c:a", "pcm_s16le", path,
           stdin=raw.tobytes())  # fmt: skip
    sound = media.read_sound(path)
    assert len(sound) == pytest.approx(RATE, abs=16) and np.abs(sound).max() > 0.05


# --- long files ----------------------------------------------------------------------------------


def test_a_stretch_of_a_long_file_is_all_that_is_read(folder, monkeypatch):
    path = folder / "film.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=32x32:r=25:d=300", "-f", "lavfi", "-i", "sine=r=16000:d=300",
           "-c:v", "mpeg4", "-g", 100, "-c:a", "aac", "-b:a", "32k", path)  # fmt: skip
    read = []
    packets = media._packets

    def counted(*args):
        for packet in packets(*args):
            read.append(packet)
            yield packet

    monkeypatch.setattr(media, "_packets", counted)
    assert len(list(media.read_frames(path, start_s=280, end_s=281))) == 25
    assert len(media.read_sound(path, start_s=280, end_s=281)) == RATE
    assert len(read) < 300


# --- what users do to it -------------------------------------------------------------------------


def one_line_error(path) -> str:
    with pytest.raises(MediaError) as caught:
        media.probe(path)
    for read in (lambda: list(media.read_frames(path)), lambda: media.read_sound(path)):
        with pytest.raises(MediaError):
            read()
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_streams_in_unknown_formats_are_left_out(make, folder):
    data = make("plain.mkv", *FORMATS["mkv"]).read_bytes()
    blind, deaf = folder / "blind.mkv", folder / "deaf.mkv"
    blind.write_bytes(data.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XXX"))
    deaf.write_bytes(data.replace(b"A_OPUS", b"A_XXXX"))
    assert media.probe(blind).video is None and len(media.read_sound(blind)) > 3 * RATE
    assert media.probe(deaf).audio == () and len(list(media.read_frames(deaf))) == 100
    with pytest.raises(MediaError, match="no sound track"):
        media.read_sound(deaf)


def test_what_is_not_media_is_told_in_one_line(folder, mp4, capfd):
    whole = mp4.read_bytes()
    empty, text, cut = folder / "empty.mp4", folder / "text.mp4", folder / "cut.mp4"
    empty.write_bytes(b"")
    text.write_text("This is not a film.\n" * 200)
    cut.write_bytes(whole[: len(whole) // 2])  # the index is at the end
    assert "No such file" in one_line_error(folder / "absent.mp4")
    assert "not a file" in one_line_error(folder)
    for path in (empty, text, cut):
        one_line_error(path)
    assert capfd.readouterr() == ("", "")


def test_nothing_is_fetched_from_the_network(folder, capfd):
    start = time.monotonic()
    with pytest.raises(MediaError, match="No such file"):
        media.probe("http://192.0.2.1/film.mp4")
    playlist = folder / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://192.0.2.1/a.ts\n#EXT-X-ENDLIST\n")
    one_line_error(playlist)
    assert time.monotonic() - start < 5
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ext", ["mkv", "mp4", "ts"])
def test_damage_in_the_middle_is_stepped_over(any_format, folder, ext, make, capfd):
    data = bytearray(make(f"plain.{ext}", *FORMATS[ext]).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1500] = np.random.default_rng(1).bytes(1500)
    path = folder / f"damaged.{ext}"
    path.write_bytes(data)
    frames, sound = list(media.read_frames(path)), media.read_sound(path)
    assert len(frames) > 90 and number(frames[10].picture.bgr()) == 10 and number(frames[-5].picture.bgr()) == 95
    assert len(sound) > 3.8 * RATE
    assert capfd.readouterr() == ("", "")


def test_a_file_cut_short_is_read_to_the_cut(make, folder):
    data = make("plain.mkv", *FORMATS["mkv"]).read_bytes()
    path = folder / "short.mkv"
    path.write_bytes(data[: len(data) * 6 // 10])
    assert 30 < len(list(media.read_frames(path))) < 90
    assert RATE < len(media.read_sound(path)) < 3.6 * RATE


def test_a_file_with_nothing_whole_is_an_error(make, folder):
    data = bytearray(make("plain.mp4", *FORMATS["mp4"]).read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = np.random.default_rng(2).bytes(end - start)
    path = folder / "rubbish.mp4"
    path.write_bytes(data)
    with pytest.raises(MediaError):
        list(media.read_frames(path))
    with pytest.raises(MediaError):
        media.read_sound(path)


@pytest.mark.parametrize("name", ["-film.mp4", "a:b.mp4", "100%d.mp4", "two\nlines.mp4", "pipe:0", "fünf ' &.mp4", "%03d.mkv"])
def test_any_name_is_a_file(mp4, tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(mp4.read_bytes())
    monkeypatch.chdir(tmp_path)
    for path in (name, tmp_path / name):
        assert media.probe(path).video.codec == "h264"
        assert next(media.read_frames(path, start_s=2)).index == 50
        assert len(media.read_sound(path, end_s=1)) == RATE
