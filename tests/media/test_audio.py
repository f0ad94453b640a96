"""Audio samples: their position on the clock that audio and video share."""

from functools import partial
from pathlib import Path

import helpers
import numpy as np
import pytest
from helpers import ffmpeg
from numbered_clip import H264, RATE, SECONDS, frame_number, noise

from resync.errors import MediaError
from resync.media import container
from resync.media.audio import _AudioTimeline, read_audio
from resync.media.probe import probe
from resync.media.video import read_frames

lag_s = partial(helpers.lag_s, rate=RATE, upsample=16)


@pytest.mark.parametrize("ext", ["mp4", "mov", "ts"])
def test_audio_is_where_ffmpeg_plays_it(plain, ext):
    path = plain(ext)
    fill_gaps = "aresample=async=1:first_pts=0:min_hard_comp=0.005"
    video_and_audio = ("-map", "0:v", "-f", "null", "-", "-map", "0:a:0", "-af", fill_gaps)
    played = np.frombuffer(ffmpeg("-i", path, *video_and_audio, "-ac", 1, "-ar", RATE, "-f", "f32le", "-"), np.float32)
    audio = read_audio(path)
    assert audio.dtype == np.float32 and audio.ndim == 1
    assert len(audio) == pytest.approx(SECONDS * RATE, abs=0.06 * RATE)
    assert abs(lag_s(audio, played)) < 0.001


def audio_lag_s(path: Path, reference: np.ndarray) -> float:
    """How much later than in the original clip the audio is relative to the video, in s."""
    frame = next(read_frames(path, start_s=2))
    return lag_s(read_audio(path), reference) - (frame.shown_s - frame_number(frame) / 25)


def test_audio_and_video_stay_in_sync(any_format, reference):
    assert abs(audio_lag_s(any_format, reference)) < 0.0015


@pytest.mark.parametrize("offset_s", [0.2, -0.2])
def test_audio_offset_in_timestamps_is_kept(any_format, folder, offset_s, reference):
    """Whichever of the two streams starts first."""
    shifted = folder / f"shifted{offset_s}_{any_format.name}"
    ffmpeg("-copyts", "-i", any_format, "-itsoffset", offset_s, "-i", any_format,
           "-map", "0:v", "-map", "1:a", "-c", "copy", shifted)  # fmt: skip
    assert audio_lag_s(shifted, reference) == pytest.approx(offset_s, abs=0.0015)


@pytest.mark.parametrize("start_s, end_s", [(2.0, 3.0), (1.234, 1.5), (0.0, 0.1), (3.5, None)])
def test_time_range_is_a_slice_of_all_samples(any_format, start_s, end_s):
    selected = read_audio(any_format, start_s=start_s, end_s=end_s)
    expected = read_audio(any_format)[round(start_s * RATE) :]
    if end_s is None:
        assert abs(len(selected) - len(expected)) <= 8
    else:
        assert len(selected) == round((end_s - start_s) * RATE)
    n = min(len(selected), len(expected))
    assert abs(lag_s(selected[:n], expected[:n])) < 0.0002
    assert np.corrcoef(selected[:n], expected[:n])[0, 1] > 0.9


def test_silence_outside_the_audio(mp4):
    audio = read_audio(mp4, start_s=3.0, end_s=6.0)
    assert len(audio) == 3 * RATE
    assert np.abs(audio[: RATE // 2]).max() > 0.01 and not audio[round(1.2 * RATE) :].any()
    assert not read_audio(mp4, start_s=50, end_s=51).any()
    assert len(read_audio(mp4, start_s=2, end_s=2)) == 0


def test_gap_is_silent_and_the_rest_stays_in_place(encode, reference):
    path = encode("gap.mkv", "-af", "aselect='not(between(t,1,1.5))'", *H264, "-c:a", "pcm_s16le")
    audio = read_audio(path)
    assert np.abs(audio[round(1.1 * RATE) : round(1.4 * RATE)]).max() < 1e-3
    for start_s, end_s in ((0.1, 0.9), (1.7, 3.9)):
        around = slice(round(start_s * RATE), round(end_s * RATE))
        assert abs(lag_s(audio[around], reference[around])) < 0.001
    from_gap = read_audio(path, start_s=1.2, end_s=2.5)
    assert abs(lag_s(from_gap, audio[round(1.2 * RATE) : round(2.5 * RATE)])) < 0.0002


def test_overlapping_samples_are_cut():
    """No muxer writes such timestamps, so this tests the timeline itself."""
    timeline = _AudioTimeline(0.0, None, 10)
    timeline.add(2, np.full(4, 1, np.float32))
    timeline.add(4, np.full(4, 2, np.float32))
    timeline.add(0, np.full(3, 3, np.float32))
    assert timeline.samples().tolist() == [0, 0, 1, 1, 1, 1, 2, 2]


def test_rounded_timestamps_do_not_accumulate(folder):
    """44.1 kHz audio in Matroska: a frame does not last a whole number of ms, the unit of its timestamps."""
    path, audio = folder / "long.mka", noise(60)
    ffmpeg("-f", "f32le", "-ar", 48_000, "-ac", 1, "-i", "-", "-ar", 44_100, "-c:a", "flac", path, stdin=audio.tobytes())
    samples = read_audio(path)
    assert len(samples) == pytest.approx(60 * RATE, abs=16)
    end = slice(58 * RATE, 60 * RATE)
    assert abs(lag_s(samples[end], audio[1::3][end])) < 0.0002


def test_other_tracks_sample_rates_and_channel_layouts(folder, mp4):
    path = folder / "tracks.mkv"
    ffmpeg("-i", mp4, "-f", "lavfi", "-i", "sine=f=300:r=22050:d=4", "-f", "lavfi", "-i",
           "aevalsrc=0.5*sin(2*PI*500*t)|0|0|0|0:c=5.0:s=48000:d=4", "-map", "0", "-map", "1", "-map", "2",
           "-c:v", "copy", "-c:a", "pcm_s16le", "-metadata:s:a:1", "language=ger", path)  # fmt: skip
    info = probe(path)
    assert info.audio[1].language == "ger"
    assert [a.channels for a in info.audio] == [1, 1, 5]
    for track, hertz in ((1, 300), (2, 500)):
        audio = read_audio(path, track=track)
        assert np.abs(np.fft.rfft(audio[: 2 * RATE])).argmax() / 2 == hertz
    assert len(read_audio(path, track=1, rate=8000)) == pytest.approx(4 * 8000, abs=16)
    for track in (3, -1):
        with pytest.raises(MediaError, match=f"no audio track {track}"):
            read_audio(path, track=track)


def test_channels_without_a_layout_are_mixed(folder):
    path, audio = folder / "seven.wav", np.tile(noise(1)[:, None], (1, 7))
    ffmpeg("-f", "f32le", "-ar", 48_000, "-ac", 7, "-i", "-", "-channel_layout", "7 channels", "-c:a", "pcm_s16le", path,
           stdin=audio.tobytes())  # fmt: skip
    samples = read_audio(path)
    assert len(samples) == pytest.approx(RATE, abs=16) and np.abs(samples).max() > 0.05


@pytest.mark.parametrize(("ext", "first_read"), [("mkv", 1), ("mp4", 1), ("avi", 1), ("nut", 4)])
def test_audio_that_ends_before_the_video_is_searched_once(folder, plain, monkeypatch, ext, first_read):
    """Where the file does not state when it ends, that is found out once; later reads past the end open the file and leave it."""
    path, opened = folder / f"short_audio.{ext}", []
    pattern = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=40", "-f", "lavfi", "-i", "anoisesrc=d=4:r=48000")
    ffmpeg(*pattern, "-c:v", "mpeg4", "-c:a", "mp2" if ext == "avi" else "aac", path)
    real = container.open_container
    monkeypatch.setattr(container, "open_container", lambda path: opened.append(path) or real(path))
    opens = []
    for start_s in (2, 30, 22, 34, 2):
        audio = read_audio(path, start_s=start_s, end_s=start_s + 5)
        assert len(audio) == 5 * RATE and audio.any() == (start_s == 2)
        opens.append(len(opened) - sum(opens))
    assert opens[3] == 1 and opens[4] == opens[0]
    assert opens[1] <= first_read and opens[2] <= first_read
