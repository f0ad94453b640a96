"""The Containerfile, as far as it can be checked without building it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTAINERFILE = ROOT / "Containerfile"


@pytest.mark.skipif(not CONTAINERFILE.exists(), reason="not a checkout")
def test_container_copies_what_the_build_needs_and_runs_without_rights_or_cuda():
    text = CONTAINERFILE.read_text()
    copied = {name for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE) for name in line.split()[:-1]}
    assert copied >= {"pyproject.toml", "setup.cfg", "README.md", "LICENSE", "resync", "weights"}
    assert all((ROOT / name).exists() for name in copied)
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["1000:1000"]
    torch = next(line for line in (ROOT / "setup.cfg").read_text().splitlines() if line.strip().startswith("torch"))
    assert f'--index-url https://download.pytorch.org/whl/cpu "{torch.strip()}"' in text
    assert text.index("download.pytorch.org") < text.index("/wheels/*.whl")  # or the wheel would bring another torch
