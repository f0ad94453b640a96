"""SCRFD (Guo et al. 2021, arXiv 2105.04714), through the `insightface` package on the CPU."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from threading import Lock

import numpy as np

from ..config import FaceConfig
from ..errors import DetectorError
from ..media.image import FrameImage
from .boxes import Faces, sort_by_score

PACK_ROOT = Path.home() / ".insightface" / "models"
DEFAULT_PACK = "buffalo_l"
_STDOUT_LOCK = Lock()  # redirect_stdout replaces sys.stdout of the whole process


class InsightFaceDetector:
    """A detection model of InsightFace, on the CPU whatever device the lip-sync network uses.

    model: an .onnx file, or the name of a model pack in ~/.insightface/models.
    Raises DetectorError when the model or the package is missing or unusable.
    """

    def __init__(self, model: str = DEFAULT_PACK, config: FaceConfig = FaceConfig()):
        path = model_path(model)
        try:
            from insightface import model_zoo
        except ImportError as e:
            raise DetectorError(f"insightface: import failed ({_first_line(e)}); {_import_hint(e)}") from e
        self.name = detector_name(path)
        self._lock = Lock()
        try:
            with _STDOUT_LOCK, contextlib.redirect_stdout(io.StringIO()):  # insightface prints its execution providers
                self._model = model_zoo.get_model(str(path), providers=["CPUExecutionProvider"])
                self._model.prepare(ctx_id=-1, input_size=(config.detector_side,) * 2, det_thresh=config.threshold)
        except Exception as e:  # ONNX Runtime raises undocumented classes of its own
            raise DetectorError(f"{path}: not a usable face detection model ({_first_line(e)})") from e

    def __call__(self, image: FrameImage, side: int | None = None) -> Faces:
        """See Detector."""
        pixels = image.bgr()
        with self._lock:  # insightface caches anchor centres and input sizes in the model
            boxes, landmarks = self._model.detect(pixels, input_size=side and (side, side))
        if landmarks is None or not len(boxes):
            return sort_by_score(np.empty((0, 4)), np.empty((0, 5, 2)), np.empty(0))
        return sort_by_score(boxes[:, :4], landmarks, boxes[:, 4])


def model_path(model: str) -> Path:
    """The file of a detection model; see InsightFaceDetector. Raises DetectorError where there is none."""
    path = Path(model) if model.endswith(".onnx") else _pack_model(model)
    if path is None or not path.is_file():
        raise DetectorError(
            f"{model}: no such InsightFace detection model; pass an .onnx file, install the pack in"
            f" {PACK_ROOT} (see insightface.ai, non-commercial use), or use --detector centerface"
        )
    return path


def detector_name(path: Path) -> str:
    """What a report calls the detector of a model file."""
    return f"insightface:{path.stem}"


def _pack_model(pack: str) -> Path | None:
    """The detection model of an installed InsightFace pack, or None."""
    return next(iter(sorted((PACK_ROOT / pack).glob("det_*.onnx"))), None)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _import_hint(error: Exception) -> str:
    if "libGL" in str(error) or "libgthread" in str(error):
        return "run: pip install --force-reinstall --no-deps opencv-python-headless"
    return "run: pip install insightface"
