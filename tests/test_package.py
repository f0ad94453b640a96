"""What is installed is complete, the package is cheap to import, and the Python examples of the documentation run."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers import LATE

from resync import Analyzer
from resync.report.face_table import face_table
from resync.report.html.page import SCRIPTS
from resync.report.result import Outcome
from resync.syncnet.checkpoint import checksum_path, default_weights_path, verify_checksum

ROOT = Path(__file__).resolve().parents[1]
DATA = (
    "weights/ic_syncnet.safetensors",
    "weights/ic_syncnet.sha256",
    "weights/MODEL_CARD.md",
    "resync/py.typed",
    "resync/demo/portrait.png",
    "resync/demo/portrait.txt",
    "resync/report/html/template.html",
    "resync/report/html/style.css",
    *(f"resync/report/html/{name}" for name in SCRIPTS),
)
needs_checkout = pytest.mark.skipif(not (ROOT / "setup.cfg").exists(), reason="not a checkout")


def python_examples():
    """Every Python block of the documentation, with its file and line as test id."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        if path.exists():
            text = path.read_text(encoding="utf-8")
            for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
                line = text[: block.start(1)].count("\n") + 1
                yield pytest.param(block[1], id=f"{path.name}:{line}")


def test_packaged_weights_are_intact_and_small():
    path = default_weights_path()
    verify_checksum(path)
    assert checksum_path(path).is_file()
    assert path.stat().st_size <= 16 * 2**20


@needs_checkout
def test_wheel_and_sdist_are_complete(tmp_path):
    pytest.importorskip("build")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "resync").rglob("*.py")}
    needed = modules | set(DATA)
    assert not needed - in_sdist
    assert not {name if name.startswith("resync/") else f"resync/{name}" for name in needed} - in_wheel
    assert {name.partition("/")[0] for name in in_wheel if ".dist-info/" not in name} == {"resync"}


def test_default_detector_needs_no_opencv(delayed_clip):
    """The usual build of OpenCV needs libGL, which many servers lack: only InsightFace may need it."""
    code = "import sys; sys.modules['cv2'] = None; from resync.cli.main import main; main(['check', sys.argv[1]])"
    done = subprocess.run([sys.executable, "-c", code, str(delayed_clip(200))], capture_output=True, text=True)
    assert done.returncode == 0 and "ms late" in done.stdout, done.stderr


def test_importing_resync_loads_nothing_heavy():
    heavy = ("torch", "numpy", "cv2", "insightface", "matplotlib", "moviepy", "av")
    code = f"import sys, resync; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_check_imports_nothing_that_it_does_not_need(delayed_clip):
    """Each takes a tenth of a second and more, of the second that a clip of three takes."""
    unneeded = ["matplotlib", "moviepy", "insightface", "onnx", "scipy.optimize", "scipy.signal", "scipy.stats", "soundfile", "torch"]
    code = f"import sys, resync; resync.analyze(sys.argv[1]); print([name for name in {unneeded} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, str(delayed_clip(200))], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_onnx_runtime_leaves_no_session_file_of_its_telemetry(tmp_path):
    code = "import resync.faces.centerface, onnxruntime"
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    subprocess.run([sys.executable, "-c", code], env=environment | {"TMPDIR": str(tmp_path)}, check=True)
    assert not list(tmp_path.iterdir())


def test_public_names_exist():
    import resync

    for name in resync.__all__:
        assert getattr(resync, name).__name__ == name
    assert not hasattr(resync, "nonsense")


@needs_checkout
def test_documentation_has_python_examples():
    assert list(python_examples())


@pytest.mark.parametrize("code", list(python_examples()))
def test_python_example_runs(code, delayed_clip, tmp_path, monkeypatch):
    """In a folder that holds in.mp4, whose audio is late, and a table of faces where one is read."""
    (tmp_path / "in.mp4").write_bytes(delayed_clip(200).read_bytes())
    monkeypatch.chdir(tmp_path)
    if "faces.parquet" in code:
        pytest.importorskip("pyarrow")
        with face_table(Path("faces.parquet")) as add:
            add(Outcome(LATE.file, LATE))
    exec(compile(code, "example", "exec"), {"__name__": "__main__"})
    if (tmp_path / "out.mp4").exists():
        assert abs(Analyzer().analyze("out.mp4").audio_delay_ms) < 40
