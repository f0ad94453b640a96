"""Frames on the analysis grid: which frame is displayed at which tick."""

import av
import numpy as np
import pytest
from helpers import ffmpeg
from numbered_clip import FORMATS, H264, frame_number

import resync.media.video
from resync.media.image import ImageConverter
from resync.media.probe import probe
from resync.media.video import Tick, mean_frame_lag, read_frames, read_keyframe


def test_every_frame_is_on_its_tick(any_format):
    start_s = probe(any_format).video.start_s
    frames = list(read_frames(any_format))
    first = int(np.ceil(start_s * 25 - 1e-3))
    assert [f.index for f in frames] == list(range(first, first + 100))
    assert [frame_number(f) for f in frames] == list(range(100))
    assert all(f.time_s == f.index / 25 for f in frames)
    assert [f.shown_s for f in frames] == pytest.approx([start_s + k / 25 for k in range(100)], abs=0.0011)
    assert frames[0].image.bgr().dtype == np.uint8 and frames[0].image.bgr().shape == (48, 64, 3)


@pytest.mark.parametrize("fps", [12, 24, 30, 50])
def test_other_frame_rates_are_resampled_to_the_grid(encode, fps):
    frames = list(read_frames(encode(f"rate{fps}.mp4", *FORMATS["mp4"], fps=fps)))
    assert [f.index for f in frames] == list(range(100))
    displayed = [k * fps // 25 for k in range(100)]  # the last frame due at each tick
    assert [frame_number(f) for f in frames] == displayed
    assert [f.shown_s for f in frames] == pytest.approx([j / fps for j in displayed], abs=1e-4)


@pytest.mark.parametrize("fps", [24, 25, 30, 50])
@pytest.mark.parametrize("late_s", [0, 0.007, 0.03])
def test_nearest_frames_do_not_lag_on_average(encode, folder, fps, late_s):
    original = encode(f"rate{fps}.mp4", *FORMATS["mp4"], fps=fps)
    path = folder / f"late{fps}_{late_s}.mkv"
    ffmpeg("-itsoffset", late_s, "-i", original, "-i", original, "-map", "0:v", "-map", "1:a", "-c:v", "copy",
           "-c:a", "pcm_s16le", path)  # fmt: skip
    frames = list(read_frames(path, nearest=True))
    assert [f.index for f in frames] == list(range(frames[0].index, frames[0].index + len(frames)))
    lags = np.array([f.shown_s - f.time_s for f in frames])
    assert np.abs(lags).max() < 0.5 / fps + 0.0015
    if fps in (24, 30):  # at the other rates the lag is constant
        assert abs(mean_frame_lag(frames)) < 0.004
    later = list(read_frames(path, nearest=True, start_s=2.04))
    assert [(f.index, f.shown_s) for f in later] == [(f.index, f.shown_s) for f in frames if f.index >= 51]


def test_irregular_timestamps(mp4, monkeypatch):
    """Rounding does not make a tick miss its frame; a PTS that runs backwards is skipped, of equal ones the last is kept."""
    decoded = [frame for _, frame in zip(range(6), decoded_frames(mp4))]
    times_s = [0.0, 0.04 + 4e-7, 0.02, 0.08, 0.12, 0.12]
    monkeypatch.setattr(resync.media.video, "decode_from", lambda *args, **options: zip(times_s, decoded))
    frames = list(read_frames(mp4))
    assert [(f.index, frame_number(f)) for f in frames] == [(0, 0), (1, 1), (2, 3), (3, 5)]


def decoded_frames(path):
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


def test_mean_frame_lag():
    assert mean_frame_lag([Tick(0, 0.0, 0.01), Tick(1, 0.04, 0.07)]) == pytest.approx(0.02)


def test_long_frame_is_displayed_at_every_tick(encode):
    drop = ("-vf", "select='not(between(n,30,59))'", "-fps_mode", "vfr")
    frames = list(read_frames(encode("variable.mp4", *drop, *FORMATS["mp4"])))
    numbers = {f.index: frame_number(f) for f in frames}
    assert [numbers[k] for k in (28, 29, 30, 45, 59, 60, 61)] == [28, 29, 29, 29, 29, 60, 61]
    assert frames[40].image is frames[39].image


def test_only_displayed_frames_are_converted(encode, monkeypatch):
    path = encode("rate50.mp4", *FORMATS["mp4"], fps=50)
    converted = []
    convert = ImageConverter.__call__
    monkeypatch.setattr(ImageConverter, "__call__", lambda *args: converted.append(args) or convert(*args))
    assert len(list(read_frames(path))) == len(converted) == 100


@pytest.mark.parametrize("start_s, end_s", [(2, None), (1.19, 2.5), (3.9, 9), (0, 0.5), (2.0, 2.04), (50, 60)])
def test_time_range_is_a_slice_of_all_frames(any_format, start_s, end_s):
    selected = list(read_frames(any_format, start_s=start_s, end_s=end_s))
    expected = [f for f in read_frames(any_format) if f.time_s >= start_s - 1e-9 and (end_s is None or f.time_s < end_s - 1e-9)]
    assert [f.tick for f in selected] == [f.tick for f in expected]
    assert all(np.array_equal(a.image.bgr(), b.image.bgr()) for a, b in zip(selected, expected))


def test_keyframe_before_a_time(mp4, wav):
    for at_s, number in ((0.0, 0), (0.5, 0), (1.2, 30), (2.41, 60), (50.0, 90)):  # a keyframe every 30 frames
        frame = read_keyframe(mp4, at_s)
        assert (frame_number(frame), frame.index) == (number, number)
        assert frame.shown_s == pytest.approx(number / 25, abs=1e-3)


def test_large_images_are_scaled_down_and_small_ones_kept(encode):
    path = encode("wide.mp4", *H264, size=(320, 180), audio=False)
    for frames in (next(read_frames(path, max_side=160)), read_keyframe(path, 0, max_side=160)):
        assert frames.image.bgr().shape == (90, 160, 3)
    assert next(read_frames(path, max_side=1280)).image.bgr().shape == (180, 320, 3)


def test_anamorphic_pixels_are_not_scaled(encode):
    path = encode("anamorphic.mp4", "-vf", "setsar=2", *H264, audio=False)
    assert next(read_frames(path)).image.bgr().shape == (48, 64, 3)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_matches_ffmpeg(folder, degrees):
    original, rotated = folder / "pattern.mp4", folder / f"rotated{degrees}.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=96x64:r=25:d=0.4", *H264, original)
    ffmpeg("-display_rotation", degrees, "-i", original, "-c", "copy", rotated)
    video = probe(rotated).video
    width, height = (96, 64) if degrees == 180 else (64, 96)
    assert (video.width, video.height, video.rotation) == (width, height, degrees)
    raw = ffmpeg("-i", rotated, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "bgr24", "-")
    expected = np.frombuffer(raw, np.uint8).reshape(height, width, 3).astype(int)
    pixels = next(read_frames(rotated)).image.bgr()
    assert pixels.flags["C_CONTIGUOUS"] and pixels.shape == expected.shape
    assert np.abs(pixels - expected).mean() < 6


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
def test_unusual_sizes_and_pixel_formats(encode, name, options, size):
    frames = list(read_frames(encode(name, *options, size=size, audio=False)))
    assert len(frames) == 100
    assert frames[0].image.bgr().shape == (size[1], size[0], 3)
    assert frame_number(frames[70]) == 70
