"""The detector interface, and the choice of a detector by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ..config import FaceConfig
from ..errors import DetectorError
from ..media.image import FrameImage
from .boxes import Faces


class Detector(Protocol):
    """A face detector. Safe to call from several threads at once.

    All detectors run on the CPU, also when the lip-sync network runs on CUDA: detection on CUDA has never been measured.
    """

    name: str

    def __call__(self, image: FrameImage, side: int | None = None) -> Faces:
        """Detect the faces in one image. side: longer side of the network's input in px, `FaceConfig.detector_side` if None."""


def detector_model(spec: str = "auto") -> tuple[str, Path]:
    """The name of the detector that `make_detector` builds for `spec` (see Detector), and the file of its network.

    Raises DetectorError.
    """
    kind, _, model = spec.partition(":")
    if kind in ("auto", "centerface") and not model:
        from .centerface import CenterFaceDetector, network_path

        return CenterFaceDetector.name, network_path()
    if kind == "insightface":
        from .scrfd import DEFAULT_PACK, detector_name, model_path

        path = model_path(model or DEFAULT_PACK)
        return detector_name(path), path
    raise DetectorError(f"{spec}: unknown face detector; use auto, centerface or insightface[:PACK_OR_FILE]")


def make_detector(spec: str = "auto", config: FaceConfig = FaceConfig()) -> Detector:
    """Build the detector that `spec` names: auto, centerface or insightface[:PACK_OR_FILE].

    auto is CenterFace on every machine, so that results do not depend on what else is installed. Nothing is downloaded.
    Raises DetectorError for an unknown name and for a package, model pack or file that is missing.
    """
    kind, _, model = spec.partition(":")
    if kind in ("auto", "centerface") and not model:
        from .centerface import CenterFaceDetector

        return CenterFaceDetector(config)
    if kind == "insightface":
        from .scrfd import DEFAULT_PACK, InsightFaceDetector

        return InsightFaceDetector(model or DEFAULT_PACK, config)
    raise DetectorError(f"{spec}: unknown face detector; use auto, centerface or insightface[:PACK_OR_FILE]")
