"""resync commands at work in processes of their own, to be watched and killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
POLL_S = 0.002


@dataclass
class Run:
    """A command. out, err: files of what it prints; code: its exit code, negative for a signal, None while it runs."""

    pid: int
    out: Path
    err: Path
    code: int | None = None

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, when it has ended, or after a time."""
        until_s = time.monotonic() + timeout_s
        while self.poll() is None and time.monotonic() < until_s:
            time.sleep(POLL_S)
        return self.code

    def kill(self, number: int, group: bool = False) -> None:
        """Send a signal, also to all processes that it started, and wait for the end."""
        os.killpg(self.pid, number) if group else os.kill(self.pid, number)
        self.wait(60)

    def family(self) -> list[psutil.Process]:
        """The processes that it started, and those that these started."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """The processes that do jobs."""
        return [process for process in self.family() if "spawn_main" in _command(process)]

    def reports(self) -> list[dict]:
        """The complete JSON lines so far."""
        return [json.loads(line) for line in self.out.read_bytes().split(b"\n")[:-1]]

    def complaints(self) -> list[str]:
        """What no run may print: tracebacks, and errors that ask to be reported."""
        text = self.err.read_text(errors="replace") + self.out.read_text(errors="replace")
        return [line[:300] for line in text.splitlines() if "Traceback" in line or "please report this" in line]


def start(arguments: Sequence[object], folder: Path, preloaded: bool = False) -> Run:
    """Run resync with `folder` as the current folder; temporary files go to its subfolder tmp, output to .out and .err beside it.

    preloaded: fork this process, which has loaded the package, instead of starting Python; saves a second. Not for --jobs.
    """
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    run = Run(0, folder.with_suffix(".out"), folder.with_suffix(".err"))
    for path in (run.out, run.err):
        path.write_bytes(b"")
    words = list(map(str, arguments))
    sys.stdout.flush()
    run.pid = os.fork()
    if run.pid:
        return run
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        for path, stream in ((run.out, 1), (run.err, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), stream)
        os.environ |= {"TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT)}
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if not preloaded:
            os.execv(sys.executable, [sys.executable, "-m", "resync", *words])
        from resync.cli.main import main

        main(words, prog_name="resync")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    finally:
        sys.stdout.flush()
        os._exit(code)


def preload() -> None:
    """Load what every command needs, for `start(preloaded=True)`; starts no thread."""
    import tempfile

    import scipy.signal  # noqa: F401

    import resync.batch.run
    import resync.cli.main
    import resync.faces.centerface
    import resync.sync.measure
    import resync.syncnet.onnx_backend  # noqa: F401

    tempfile.tempdir = None  # to be found anew after the fork


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
