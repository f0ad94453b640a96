"""The synthetic clip: reproducible, varied, in sync by construction, and written with the delay that was asked for."""

import shutil

import av
import numpy as np
import pytest

from resync.demo.clip import TalkingClip, delay_samples, talking_clip, write_clip
from resync.errors import OutputError


@pytest.fixture(scope="module")
def clip():
    return talking_clip(4.0, seed=3, size=(256, 256))


def test_shape_type_and_level(clip):
    assert clip.frames.shape == (100, 256, 256, 3) and clip.frames.dtype == np.uint8
    assert clip.audio.shape == (4 * clip.rate,) and clip.audio.dtype == np.float32
    assert 0.4 < np.abs(clip.audio).max() < 0.6


def test_other_length_frame_rate_and_size():
    clip = talking_clip(0.2, seed=1, fps=30, size=(160, 120))
    assert clip.frames.shape == (6, 120, 160, 3) and len(clip.audio) == 3200 and np.isfinite(clip.audio).all()


@pytest.mark.parametrize("invalid", [{"seconds": 0}, {"fps": 0}, {"size": (0, 64)}, {"size": (64, 15)}])
def test_invalid_arguments_are_rejected(invalid):
    with pytest.raises(ValueError):
        talking_clip(**invalid)


def test_seed_determines_the_clip():
    first, same, other = (talking_clip(0.6, seed, size=(64, 64)) for seed in (7, 7, 8))
    assert np.array_equal(first.frames, same.frames) and np.array_equal(first.audio, same.audio)
    assert not np.array_equal(first.frames, other.frames) and not np.array_equal(first.audio, other.audio)


def test_frames_vary_over_time(clip):
    first, second = clip.frames[:50].astype(int), clip.frames[50:].astype(int)
    assert np.abs(first - second).mean() > 1


@pytest.mark.parametrize("samples", [0, 3, -3, 8, -8, 20, -20])
def test_delay_samples_shifts_in_silence(samples):
    audio = np.arange(1, 9, dtype=np.float32)
    original = audio.copy()
    assert np.array_equal(delay_samples(audio, samples), np.pad(original, 20)[20 - samples : 28 - samples])
    assert np.array_equal(audio, original)


@pytest.fixture
def flash_and_click():
    """A clip with one white frame at 1 s and a click at the same time."""
    frames = np.zeros((50, 64, 64, 3), np.uint8)
    frames[25] = 255
    audio = np.zeros(32_000, np.float32)
    audio[16_000] = 0.9
    return TalkingClip(frames, 25, audio, 16_000)


def decode(path):
    """Decode by PTS: times and brightness of the frames [n, 2], times of the samples, the samples."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        blocks = [(b.time + np.arange(b.samples) / b.sample_rate, b.to_ndarray().mean(axis=0)) for b in container.decode(audio=0)]
    return np.array(frames), np.concatenate([times for times, _ in blocks]), np.concatenate([samples for _, samples in blocks])


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
@pytest.mark.parametrize("delay_ms", [0, 120, -83.5])
def test_written_file_has_the_requested_delay(tmp_path, flash_and_click, extension, delay_ms):
    original = flash_and_click.audio.copy()
    path = tmp_path / f"clip.{extension}"
    write_clip(flash_and_click, path, delay_ms)
    frames, times, samples = decode(path)
    flash_s, click_s = frames[frames[:, 1].argmax(), 0], times[np.abs(samples).argmax()]
    assert abs((click_s - flash_s) * 1000 - delay_ms) < 2
    assert len(frames) == 50 and abs(times[-1] - 2) < 0.07  # at most one AAC frame of padding
    assert np.array_equal(flash_and_click.audio, original)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("count, fps", [(60, 24), (89, 30), (1, 25)])
def test_every_frame_is_written_once_in_order(tmp_path, count, fps):
    levels = np.linspace(20, 230, count).round().astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (count, 64, 64, 3))
    write_clip(TalkingClip(frames, fps, np.zeros(16_000 * count // fps, np.float32), 16_000), tmp_path / "clip.mp4")
    decoded, _, _ = decode(tmp_path / "clip.mp4")
    assert np.allclose(decoded[:, 0], np.arange(count) / fps, atol=0.001)
    assert np.abs(decoded[:, 1] - levels).max() < 2.5


def test_own_file_is_replaced_and_other_media_is_kept(tmp_path, flash_and_click, delayed_clip, ffmpeg):
    own, other = tmp_path / "own.mp4", tmp_path / "other.mp4"
    shutil.copy(delayed_clip(), own)
    write_clip(flash_and_click, own)
    assert len(decode(own)[0]) == 50
    ffmpeg("-i", delayed_clip(), "-c", "copy", other)  # drops the marker
    content = other.read_bytes()
    with pytest.raises(OutputError, match="other.mp4: .*resync did not write; choose another"):
        write_clip(flash_and_click, other)
    assert other.read_bytes() == content


def test_unwritable_path_is_a_one_line_error(tmp_path, flash_and_click):
    for path in (tmp_path / "missing" / "clip.mp4", tmp_path / "clip.nonsense"):
        with pytest.raises(OutputError) as error:
            write_clip(flash_and_click, path)
        assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_writing_prints_nothing(tmp_path, flash_and_click, capfd):
    write_clip(flash_and_click, tmp_path / "clip.mp4")
    assert capfd.readouterr() == ("", "")
