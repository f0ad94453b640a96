"""The import rules of pyproject.toml hold: the folder list is the data flow."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_imports_go_down_the_data_flow(monkeypatch, capsys):
    cli = pytest.importorskip("importlinter.cli")
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    monkeypatch.chdir(ROOT)
    assert cli.lint_imports(no_cache=True) == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_no_module_is_named_like_a_folder_beside_it():
    package = ROOT / "resync"
    folders = {path for path in package.rglob("*") if path.is_dir()} | {package / "weights"}
    assert not [path for path in package.rglob("*.py") if path.with_suffix("") in folders]
