"""Cases of `fuzz.py`: how a damaged file is made from its number, and what becomes of it when it is analysed."""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import time
import traceback
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from fuzz_elements import AWARE, UNAWARE
from fuzz_packets import remuxed

from resync.api import Analyzer
from resync.batch.jobs import Job, JobRunner
from resync.config import Config, SamplingConfig
from resync.errors import ResyncError
from resync.faces.boxes import Faces
from resync.remux.apply import shift_audio
from resync.remux.correction import Correction

FACES_EVERY = WRITTEN_EVERY = 50  # files
SAMPLING = SamplingConfig(candidates=12, max_samples=6)  # of files that are declared long: a tenth, as that takes most of the time
KINDS = ("bytes", "elements", "packets")
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3")


class Case(NamedTuple):
    """A mutated file. source: the file that it was made from."""

    number: int
    source: str
    kind: str
    mutations: tuple[str, ...]
    suffix: str
    data: bytes


class Answer(NamedTuple):
    """What became of a file: analysed, refused (with an error of one line), or a problem, with what it was."""

    outcome: str
    problem: str = ""
    seconds: float = 0.0
    rss_mib: float = 0.0


def make_case(files: dict[str, Path], seed: int, number: int) -> Case:
    """The file with this number, the same for the same seed."""
    rng = Random(f"{seed}/{number}")
    name, other, kind = rng.choice(list(files)), rng.choice(list(files)), rng.choice(KINDS)
    if kind == "packets":
        data, suffix, names = remuxed(files[name], files[other], rng)
        if data:
            return Case(number, name, kind, tuple(names), suffix, data)
        kind = "elements"  # of a file whose packets the muxer refuses
    data, suffix = bytearray(files[name].read_bytes()), files[name].suffix
    chosen = rng.choices(UNAWARE if kind == "bytes" else AWARE, k=rng.choice((1, 1, 2, 3)))
    for mutate in chosen:
        mutate(data, suffix, rng)
    return Case(number, name, kind, tuple(mutate.__name__ for mutate in chosen), suffix, bytes(data))


class NoFaces:
    """A detector that finds none, at no cost."""

    name = "none"

    def __call__(self, image, side=None) -> Faces:
        """See `resync.faces.detect.Detector`. The image is converted as for a real one."""
        image.bgr()
        return Faces(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


class BlindAnalyzer(Analyzer):
    """An Analyzer that sees no faces, with the network of another and fewer samples of long files."""

    def __init__(self, sighted: Analyzer):
        super().__init__(replace(sighted.config, sampling=SAMPLING))
        self._sighted = sighted

    @property
    def engine(self):
        """That network, with a detector that finds nothing."""
        return replace(self._sighted.engine, detector=NoFaces())


class Examiner:
    """Analyses files in this process. folder: for the file of the moment, and nothing else."""

    def __init__(self, files: dict[str, Path], folder: Path):
        self.files, self.folder = files, folder
        self.sighted, self.blind = JobRunner(Config()), JobRunner(Config())
        self.blind.analyzer = BlindAnalyzer(self.sighted.analyzer)
        self.tracebacks = _Tracebacks()
        logging.getLogger("resync").addHandler(self.tracebacks)
        logging.getLogger("resync").setLevel(logging.INFO)

    def __call__(self, case: Case) -> Answer:
        """Write a file and analyse it."""
        path, began = self.folder / f"case{case.suffix}", time.monotonic()
        path.write_bytes(case.data)
        self.tracebacks.last = ""
        try:
            outcome, problem = self._examine(path, case)
        except Exception:
            outcome, problem = "problem", traceback.format_exc()
        if not problem and path.read_bytes() != case.data:
            problem = "the file was changed"
        path.unlink()
        if left := os.listdir(self.folder):
            problem = problem or f"left behind: {', '.join(left)}"
            shutil.rmtree(self.folder)
            self.folder.mkdir()
        seconds, pages = time.monotonic() - began, int(Path("/proc/self/statm").read_text().split()[1])
        return Answer("problem" if problem else outcome, problem, seconds, pages * resource.getpagesize() / 2**20)

    def _examine(self, path: Path, case: Case) -> tuple[str, str]:
        """(outcome, problem) of one file."""
        runner, job = self.blind if case.number % FACES_EVERY else self.sighted, Job(path)
        runner.audio = None
        if case.suffix in AUDIO_SUFFIXES:
            runner.audio, job = path, Job(self.files["mp4"])
        done = runner(job)
        if done.report is not None:
            json.dumps(done.report.to_dict(with_curve=True, with_boxes=True), allow_nan=False)
        elif problem := self._complaint(done.error or "no error and no report", path):
            return "problem", problem
        if case.number % WRITTEN_EVERY == 1:
            return "analysed" if done.report else "refused", self._shift(path)
        return "analysed" if done.report else "refused", ""

    def _shift(self, path: Path) -> str:
        """The problem of shifting the audio of a file, if there is one."""
        target = path.with_name(f"shifted{path.suffix}")
        try:
            shift_audio(path, target, Correction(40.0))
        except ResyncError as error:
            return f"half an output: {target.name}" if target.exists() else self._complaint(str(error), path)
        target.unlink()
        return ""

    def _complaint(self, message: str, path: Path) -> str:
        """What is wrong with an error message."""
        if "please report this" in message:
            return self.tracebacks.last or message
        # Errors of the output name the output.
        named = str(path) in message or str(path.with_name(f"shifted{path.suffix}")) in message
        return "" if named and "\n" not in message else f"not one line that names the file: {message!r}"


class _Tracebacks(logging.Handler):
    """Keeps the last traceback that was logged."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.last = "".join(traceback.format_exception(*record.exc_info))
