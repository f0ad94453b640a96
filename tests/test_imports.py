"""The import rules of pyproject.toml hold: the folder list is the data flow."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_imports_go_down_the_data_flow():
    pytest.importorskip("importlinter.cli")
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    # In a process of its own: it disables all loggers, which other tests read.
    command = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_is_named_like_a_folder_beside_it():
    package = ROOT / "resync"
    folders = {path for path in package.rglob("*") if path.is_dir()} | {package / "weights"}
    assert not [path for path in package.rglob("*.py") if path.with_suffix("") in folders]
