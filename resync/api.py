"""The library: measure the A/V offset of videos, and write corrected files.

An `Analyzer` loads the face detector and the network once and is called many times; `analyze` and `fix` are
thin helpers for a single file.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TypeAlias

from .config import Config, PreviewConfig
from .errors import MediaError, WeightsError
from .faces.detect import make_detector
from .media.source import AudioSource, VideoSource, open_source
from .parallel import threads_per_stage
from .remux.apply import Remuxed, add_recording, shift_audio
from .remux.correction import Correction, Corrections
from .remux.distinct import require_distinct
from .remux.export import check_audio_output, exported_audio
from .remux.paths import Overwrite, check_output
from .report.plot import check_plot, written_plot
from .report.preview import Preview, check_preview, render_preview, require_start, strongest_start
from .report.result import Analysis, Report
from .sync.evidence import Evidence
from .sync.measure import Progress, measure_tracks
from .sync.recording import locate_recording
from .sync.scoring import Engine
from .syncnet.backend import load_backend
from .syncnet.checkpoint import default_weights_path, sha256_of

StrPath: TypeAlias = str | Path
ProgressCallback: TypeAlias = Callable[[Progress], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FixOptions:
    """How `Analyzer.fix` acts on a report, and what it writes besides the corrected file.

    force: apply the best delay even below the certainty threshold. fix_drift: resample audio that drifts steadily, instead of
    refusing it. fix_jumps: cut the audio where its delay jumps, and place each piece by its own delay. reencode: re-encode the
    audio with the shift applied, for players that ignore start times. each_track: measure every audio track and shift it by its own
    delay; one without an answer is shifted like the analysed one. overwrite: which existing outputs may be replaced. export: also
    write the corrected audio alone (.wav, .flac, ...). plot: also write a plot (.png, .svg or .pdf).
    """

    force: bool = False
    fix_drift: bool = False
    fix_jumps: bool = False
    reencode: bool = False
    each_track: bool = False
    overwrite: Overwrite | bool = Overwrite.NEVER
    export: StrPath | None = None
    plot: StrPath | None = None


class Analyzer:
    """Measures the A/V offset of talking-face videos, and corrects them.

    The detector and the network are loaded at the first use and kept. Threads may share an Analyzer; sent to another process it
    takes its settings along and loads there. A weights file that is replaced on disk is used by Analyzers made afterwards.

    Every method raises DetectorError, WeightsError or DeviceError when it cannot load, and MediaError for a file that it cannot read.
    """

    def __init__(self, config: Config = Config()):
        self.config = config
        self._engine: Engine | None = None
        self._loading = Lock()

    def __reduce__(self):
        return type(self), (self.config,)

    @property
    def engine(self) -> Engine:
        """Detector and network, loaded now if they are not yet."""
        with self._loading:
            if self._engine is None:
                self._engine = _load_engine(self.config)
            return self._engine

    def open(self, source: StrPath | VideoSource, audio: StrPath | None = None) -> VideoSource:
        """A file as a source, with its own audio track or with the external recording `audio`, roughly placed on its clock."""
        if isinstance(source, VideoSource):
            if audio is not None:
                raise MediaError(f"{source.info.path}: an open source has its audio already; give a file to use the recording {audio} with")
            return source
        video = open_source(source, self.config, needs_audio=audio is None)
        logger.info("%s: %s", source, video.info.summary())
        if audio is None:
            return video
        located = locate_recording(audio, video.info, self.config.media.audio_track - 1)
        logger.info("%s: %s starts at %+.2f s", source, audio, located.start_s)
        return replace(video, audio=located)

    def examine(
        self,
        source: StrPath | VideoSource,
        *,
        audio: StrPath | None = None,
        all_tracks: bool = False,
        plot: StrPath | None = None,
        overwrite: Overwrite | bool = Overwrite.NEVER,
        progress: ProgressCallback | None = None,
    ) -> Analysis:
        """Measure a video and keep the evidence for plots and previews. Arguments as in `analyze`."""
        _require_own_tracks(audio, all_tracks)
        video = self.open(source, audio)
        if plot is not None:
            for used in {video.info.path, video.audio.path}:  # before the long work, not after it
                check_plot(used, plot, overwrite)
        analysis, _ = self._main_and_tracks(video, all_tracks, progress)
        with _plot(analysis, plot, overwrite):
            return analysis

    def examine_tracks(self, source: StrPath | VideoSource, *, progress: ProgressCallback | None = None) -> list[Analysis]:
        """Measure a video against each of its audio tracks, and keep the evidence. The video is decoded once."""
        video = self.open(source)
        return self._examine(video, video.audio_tracks(), progress)

    def _examine(self, video: VideoSource, tracks: Sequence[AudioSource], progress: ProgressCallback | None) -> list[Analysis]:
        began = time.monotonic()
        measured = measure_tracks(self.engine, video, tracks, self.config, progress)
        elapsed_s = time.monotonic() - began
        return [Analysis(Report.from_evidence(evidence, self.engine, elapsed_s), evidence) for evidence in measured]

    def analyze(
        self,
        source: StrPath | VideoSource,
        *,
        audio: StrPath | None = None,
        all_tracks: bool = False,
        plot: StrPath | None = None,
        overwrite: Overwrite | bool = Overwrite.NEVER,
        progress: ProgressCallback | None = None,
    ) -> Report:
        """Measure how late or early the audio of a talking-face video is.

        source: a file, or frames and audio in memory (`resync.from_arrays`). audio: an external recording to analyse instead of the
        video's own audio; its delay is the one it would have if both files started together. all_tracks: measure every audio track
        (`Report.tracks`). plot: also write a plot (.png, .svg or .pdf). Raises OutputError for the plot.
        """
        return self.examine(source, audio=audio, all_tracks=all_tracks, plot=plot, overwrite=overwrite, progress=progress).report

    def _main_and_tracks(self, video: VideoSource, all_tracks: bool, progress: ProgressCallback | None) -> tuple[Analysis, list[Report]]:
        """The analysis of the chosen audio track, and the reports of all tracks: none unless all_tracks."""
        if not all_tracks:
            return self._examine(video, [video.audio], progress)[0], []
        analyses = self.examine_tracks(video, progress=progress)
        reports = [analysis.report for analysis in analyses]
        report, evidence = analyses[self.config.media.audio_track - 1]
        return Analysis(report.with_tracks(reports), evidence), reports

    def fix(
        self,
        source: StrPath,
        target: StrPath,
        options: FixOptions = FixOptions(),
        *,
        audio: StrPath | None = None,
        overwrite: Overwrite | bool | None = None,
        progress: ProgressCallback | None = None,
    ) -> tuple[Report, Remuxed | None]:
        """Measure `source` and write it to `target` with its audio in sync; the input is never changed.

        audio: an external recording to use: it becomes the first audio track of `target`. overwrite: what `options` say about it, for
        `target` alone. Returns the report and what was written, None where there is no answer to act on (then nothing is written).
        Raises OutputError and RemuxError; then no output is left behind.
        """
        overwrite = options.overwrite if overwrite is None else overwrite
        require_distinct(path for path in (target, options.export, options.plot) if path is not None)
        _require_own_tracks(audio, options.each_track)
        for used in [source] if audio is None else [source, audio]:  # before the long work, not after it
            check_output(used, target, overwrite)
            if options.export is not None:
                check_audio_output(used, options.export, options.overwrite)
            if options.plot is not None:
                check_plot(used, options.plot, options.overwrite)
        (report, evidence), tracks = self._main_and_tracks(self.open(source, audio), options.each_track, progress)
        report = report.force(self.config.decide).with_tracks(tracks) if options.force else report
        correction = report.correction(options.fix_drift, options.fix_jumps)
        with _plot(Analysis(report, evidence), options.plot, options.overwrite):
            if correction is None:
                return report, None
            own = [track.correction(options.fix_drift, options.fix_jumps) or correction for track in tracks]
            with _export(evidence, correction, options):
                return report, _apply(source, target, own or correction, replace(options, overwrite=overwrite), audio)

    def preview(
        self,
        source: StrPath,
        target: StrPath,
        *,
        start_s: float | None = None,
        seconds: float = PreviewConfig.seconds,
        audio: StrPath | None = None,
        overwrite: Overwrite | bool = Overwrite.NEVER,
        progress: ProgressCallback | None = None,
    ) -> tuple[Report, Preview | None]:
        """Measure `source` and write `seconds` of it twice to `target`: as they are, and with the audio in sync.

        start_s: where to start; by default where the evidence is strongest. Returns the report and what was written, None when
        undecided (then nothing is written). Raises MediaError for a start outside the video, and OutputError.
        """
        for used in [source] if audio is None else [source, audio]:
            check_preview(used, target, overwrite)
        video = self.open(source, audio)
        if start_s is not None:
            require_start(video.info, start_s)
        analysis = self.examine(video, progress=progress)
        if not analysis.report.decided:
            return analysis.report, None
        start_s = strongest_start(analysis, seconds) if start_s is None else start_s
        return analysis.report, render_preview(analysis, target, start_s, seconds, overwrite)


def analyze(source: StrPath | VideoSource, config: Config = Config(), **options) -> Report:
    """Measure one video: `Analyzer(config).analyze(source, ...)`."""
    return Analyzer(config).analyze(source, **options)


def fix(
    source: StrPath, target: StrPath, config: Config = Config(), options: FixOptions = FixOptions(), **more
) -> tuple[Report, Remuxed | None]:
    """Correct one video: `Analyzer(config).fix(source, target, options, ...)`."""
    return Analyzer(config).fix(source, target, options, **more)


def _load_engine(config: Config) -> Engine:
    began, threads = time.monotonic(), threads_per_stage()
    faces = config.faces if config.faces.threads else replace(config.faces, threads=threads)
    path = Path(config.weights) if config.weights else default_weights_path()
    digest = sha256_of(path) if path.is_file() else ""
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(make_detector, faces.detector, faces)
        backend = load_backend(path, config.device, threads)
        detector = loading.result()
    if sha256_of(path) != digest:  # the reports are to name what was loaded
        raise WeightsError(f"{path}: was replaced while it was read; run the command again")
    engine = Engine(detector, backend, f"{path.name}:{digest[:12]}")
    loaded = (detector.name, engine.weights, backend.device, time.monotonic() - began)
    logger.info("detector %s and network %s loaded on %s in %.2f s", *loaded)
    return engine


def _require_own_tracks(audio: StrPath | None, all_tracks: bool) -> None:
    if audio is not None and all_tracks:
        raise MediaError(f"{audio}: an external recording has no other tracks; measure it alone, or all tracks of the video without it")


def _apply(source: StrPath, target: StrPath, corrections: Corrections, options: FixOptions, audio: StrPath | None) -> Remuxed:
    if audio is not None:
        assert isinstance(corrections, Correction)  # an external recording is one track
        return add_recording(source, audio, target, corrections, overwrite=options.overwrite)
    return shift_audio(source, target, corrections, reencode=options.reencode, overwrite=options.overwrite)


def _export(evidence: Evidence, correction: Correction, options: FixOptions) -> AbstractContextManager:
    """The corrected audio as a file of its own, if asked for; it gets its name once the body is done."""
    if options.export is None:
        return nullcontext()
    audio, length_s = evidence.audio, round(evidence.info.duration_s, 3)
    return exported_audio(audio.path, audio.track, options.export, correction, length_s=length_s, overwrite=options.overwrite)


def _plot(analysis: Analysis, plot: StrPath | None, overwrite: Overwrite | bool) -> AbstractContextManager:
    """The plot, if asked for; it gets its name once the body is done."""
    return nullcontext() if plot is None else written_plot(analysis, plot, overwrite)
