"""Soak, chaos and fuzzing at a small scale; `benchmarks/RESULTS.md` has the large ones."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
pytestmark = [
    pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="not a checkout"),
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="looks at processes in /proc"),
]


@pytest.mark.parametrize("words", [("soak.py",), ("chaos.py", "all"), ("fuzz.py",)], ids=lambda words: words[0])
def test_no_fault(words, tmp_path):
    command = [sys.executable, BENCHMARKS / words[0], *words[1:], "--quick", "--work", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
