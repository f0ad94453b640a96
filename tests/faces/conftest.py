"""What several tests of face detection need."""

from pathlib import Path

import numpy as np
import pytest

SCRFD = Path(__file__).resolve().parents[3] / "shared" / "models" / "scrfd_500m_bnkps.onnx"


@pytest.fixture(scope="session")
def portrait_bgr(portrait):
    """A photograph of one face: uint8 [512, 512, 3] BGR."""
    return np.ascontiguousarray(portrait[:, :, ::-1])


@pytest.fixture(scope="session")
def centerface():
    """The default detector, single-threaded."""
    from resync.config import FaceConfig
    from resync.faces.centerface import CenterFaceDetector

    return CenterFaceDetector(FaceConfig(threads=1))


@pytest.fixture(scope="session")
def scrfd_file():
    """A detection model of InsightFace; the test is skipped where there is none."""
    if not SCRFD.is_file():
        pytest.skip("no InsightFace detection model beside the repository")
    return SCRFD
