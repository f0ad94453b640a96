"""What is installed: the weights are in wheel and sdist, and are found where they lie."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from resync.syncnet.checkpoint import checksum_path, default_weights_path, verify_checksum

ROOT = Path(__file__).resolve().parents[1]
DATA = ("ic_syncnet.safetensors", "ic_syncnet.sha256", "MODEL_CARD.md")


def test_weights_are_small_whole_and_found():
    path = default_weights_path()
    verify_checksum(path)
    assert checksum_path(path).is_file()
    assert path.stat().st_size <= 16 * 2**20


def test_wheel_and_sdist_hold_the_weights_and_the_wheel_its_types(tmp_path):
    pytest.importorskip("build")
    if not (ROOT / "setup.cfg").exists():
        pytest.skip("not a checkout")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    in_wheel = zipfile.ZipFile(wheel).namelist()
    in_sdist = tarfile.open(sdist).getnames()
    for name in DATA:
        assert f"resync/weights/{name}" in in_wheel
        assert any(n.endswith(f"/weights/{name}") for n in in_sdist)
    assert "resync/py.typed" in in_wheel
    assert not [n for n in in_wheel if n.startswith("tests/")]


def test_the_default_path_works_without_opencv(delayed_clip):
    """OpenCV's usual build needs libGL, which a plain machine lacks: only InsightFace may need it."""
    code = "import sys; sys.modules['cv2'] = None; from resync.cli import main; main(['check', '--detector', 'centerface', sys.argv[1]])"
    done = subprocess.run([sys.executable, "-c", code, str(delayed_clip(200))], capture_output=True, text=True)
    assert done.returncode == 0 and "ms late" in done.stdout, done.stderr


def test_importing_resync_is_cheap():
    heavy = ("torch", "numpy", "cv2", "insightface", "matplotlib", "moviepy", "av")
    code = f"import sys, resync; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
