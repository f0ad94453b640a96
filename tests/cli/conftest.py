"""The command line, run in a process of its own or in this one."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from resync.cli.main import main


@pytest.fixture
def resync(tmp_path):
    """Run the command in a process of its own, in an empty folder."""

    def run(*args, code):
        command = [sys.executable, "-m", "resync", *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, stdin=subprocess.DEVNULL)
        assert done.returncode == code and "Traceback" not in done.stderr, (done.returncode, done.stdout, done.stderr)
        return done

    return run


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Run the command in this process, which is faster, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*args, code):
        done = CliRunner().invoke(main, [str(arg) for arg in args])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, (done.exit_code, done.output)
        return done

    return run
