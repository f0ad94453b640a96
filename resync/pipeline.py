"""From a file to a Report: the data flow of resync, top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d

from . import curve as curves
from . import weights
from .config import FPS, HOP_S, HOPS_PER_FRAME, WINDOW_FRAMES, WINDOW_HOPS, Config
from .crops import mouth_crops
from .curve import Scores
from .decide import Decision, decide
from .evidence import Evidence, Moment, kept, moments_of, most_telling
from .external import Sound, check_sound_target, exported_sound
from .faces import Detector, make_detector
from .film import Film, open_film
from .media import Frame, MediaInfo, Tick, picture_phase, require_video
from .mels import log_mel, speech_mask
from .net import Net, load_net
from .partfile import Overwrite
from .pictures import Picture
from .plan import chosen_parts, extent, is_long
from .plot import check_plot, drawn
from .remux import Remuxed, add_sound, check_target, shift_sound
from .report import Report, ms, rounded
from .threads import ahead, stage_threads
from .tracks import link, scan

FRAMES_AHEAD = 32  # decoded pictures that wait to be looked at
LOOKS_AHEAD = 1  # runs of pictures that wait to be scored


class Progress(NamedTuple):
    """Told to the progress callback: seconds of film looked at, and seconds that are planned."""

    done_s: float
    planned_s: float


@dataclass(frozen=True)
class Engine:
    """What is loaded once and used for every file."""

    detector: Detector
    net: Net
    weights: str


class Look(NamedTuple):
    """What one run of pictures shows.

    ticks: of its pictures; mouths: of every face the number of its
    first picture in the run and its crops, uint8 [n, size, size].
    """

    ticks: list[Tick]
    mouths: list[tuple[int, np.ndarray]]


class Stretch(NamedTuple):
    """What one run of pictures gave."""

    scores: Scores
    faces: int
    moments: tuple[Moment, ...]


def analyze(
    source: str | Path | Film,
    config: Config = Config(),
    progress: Callable[[Progress], None] | None = None,
    *,
    audio: str | Path | None = None,
    plot: str | Path | None = None,
    overwrite: Overwrite | bool = Overwrite.NEVER,
) -> Report:
    """Find how late or early the sound of a talking-face video is.

    source: a file, or a film in memory (`resync.film_of`). audio: a recording to listen to instead of the film's own
    sound; its delay is what it would be if both files began together. plot: a picture to draw of what was found (.png, .svg or .pdf).
    Raises MediaError, DetectorError, WeightsError or DeviceError, and OutputError for the plot.
    """
    film = source if isinstance(source, Film) else open_film(source, config, audio)
    if plot is not None:
        check_plot(film.info.path, plot, overwrite)  # before the long work, not after it
    evidence = examine(film, config, progress)
    with _plotted(evidence, plot, overwrite):
        return evidence.report


def examine(film: Film, config: Config = Config(), progress: Callable[[Progress], None] | None = None) -> Evidence:
    """Analyse a film and keep what the answer rests on. Raises what `analyze` raises."""
    began = time.monotonic()
    engine = load_engine(config)
    found: list[Stretch] = []
    moments: tuple[Moment, ...] = ()
    done_s, long = 0.0, is_long(film.info, config.plan)
    chosen = chosen_parts(film, engine.detector, config.plan)
    # In rounds, because while the answer is not known to be sure no more should be begun than is needed anyway.
    while not (long and found and _is_sure(found, config)) and (first := next(chosen, None)):
        some = chain([first], islice(chosen, config.plan.least_parts - 1))
        with closing(looks(engine, film, some, config)) as seen:
            for look in seen:
                stretch = score_look(engine, film.sound, look, config)
                found.append(stretch._replace(moments=()))  # those of hours would fill the memory
                moments = kept(moments + stretch.moments)
                done_s += len(look.ticks) / FPS
                if progress:
                    progress(Progress(done_s, _planned_s(film.info, config)))
    parts = _in_order(found)
    decision = decide(Scores.join(parts), parts, config.decide, config.curve) if parts else _nothing(film.info)
    if decision.verdict == "undecided" and long:
        decision = replace(decision, reasons=(*decision.reasons, "only parts of this film were looked at; try --exhaustive"))
    faces = sum(f.faces for f in found)
    report = _report(film.info, film.sound, decision, parts, faces, engine, config, time.monotonic() - began)
    return Evidence(report, config, film.info, film.sound, decision, tuple(parts), most_telling(moments, decision))


def fix(
    source: str | Path,
    target: str | Path,
    config: Config = Config(),
    *,
    reencode: bool = False,
    fix_drift: bool = False,
    audio: str | Path | None = None,
    export: str | Path | None = None,
    plot: str | Path | None = None,
    overwrite: Overwrite | bool = Overwrite.NEVER,
    force: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[Report, Remuxed | None]:
    """Analyse `source` and write it to `target` with the sound moved into place.

    fix_drift: a sound that drifts is resampled to the line through its delays, else it is refused.
    force: where the answer is not sure, take the delay that fits best, if there is one; the report says `forced`.
    audio: a recording that becomes the film's first sound track. export: a sound file for the sound in sync alone.
    plot: a picture of what was found, drawn whatever the verdict.
    Returns the report and what was written, None when the answer is not sure (then nothing is).
    Raises what `analyze` raises, OutputError and RemuxError.
    """
    check_target(source, target, overwrite)  # before the long work, not after it
    if export is not None:
        check_sound_target(source, export, overwrite)
    if plot is not None:
        check_plot(source, plot, overwrite)
    evidence = examine(open_film(source, config, audio), config, progress)
    report = _forced(evidence.report, config) if force else evidence.report
    shift_ms, tempo = _move(report, fix_drift)
    with _plotted(evidence, plot, overwrite):
        if shift_ms is None:
            return report, None
        with _exported(evidence, export, shift_ms, tempo, overwrite):
            if audio is not None:
                written = add_sound(source, audio, target, shift_ms, tempo=tempo, overwrite=overwrite)
            else:
                written = shift_sound(source, target, shift_ms, tempo=tempo, reencode=reencode, overwrite=overwrite)
    return report, written


def _forced(report: Report, config: Config) -> Report:
    """The report with the best delay acted on, where it is undecided but has one."""
    if report.verdict != "undecided" or report.best_delay_ms is None:
        return report
    return replace(report, forced=True, shift_ms=_shift_ms(report.best_delay_ms, config))


def _shift_ms(delay_ms: float, config: Config) -> float:
    """What is done to a sound that is so late: a file in sync is left alone."""
    return 0.0 if abs(delay_ms) <= 1000 * config.decide.in_sync_s else -delay_ms


def _move(report: Report, fix_drift: bool) -> tuple[float | None, float]:
    """What is done to the sound: how much later it plays, in ms, None for no answer; then how many times as fast."""
    if report.verdict == "drift" and fix_drift and report.drift_start_ms is not None and report.drift_ms_per_min is not None:
        # What belongs to the picture at t is heard at t + start + slope t.
        return -report.drift_start_ms, 1 + report.drift_ms_per_min / 60_000
    return report.shift_ms, 1.0


def _exported(
    evidence: Evidence, export: str | Path | None, shift_ms: float, tempo: float, overwrite: Overwrite | bool
) -> AbstractContextManager:
    """The sound alone as a file, if it is asked for, named once the film is written."""
    if export is None:
        return nullcontext()
    sound, length_s = evidence.sound, evidence.report.duration_s
    return exported_sound(sound.path, sound.track, export, shift_ms, tempo=tempo, length_s=length_s, overwrite=overwrite)


def _plotted(evidence: Evidence, plot: str | Path | None, overwrite: Overwrite | bool) -> AbstractContextManager:
    """The picture of the evidence, if it is asked for, named once the body is done."""
    return nullcontext() if plot is None else drawn(evidence, plot, overwrite)


@lru_cache(maxsize=2)
def load_engine(config: Config) -> Engine:
    """Detector and network for these settings, loaded once."""
    threads = stage_threads()
    faces = config.faces if config.faces.threads else replace(config.faces, threads=threads)
    detector = make_detector(faces.detector, faces)
    path = Path(config.weights) if config.weights else weights.default_path()
    return Engine(detector, load_net(path, config.device, threads), f"{path.name}:{weights.digest(path)[:12]}")


def looks(engine: Engine, film: Film, parts: Iterable[tuple[float, float]], config: Config) -> Generator[Look, None, None]:
    """Look at parts of a film for mouths, in runs of pictures short enough for the memory; runs under one window are left out.

    Pictures are decoded, and faces looked for, in threads of their own.
    """

    def pictures() -> Iterator[tuple[int, Frame]]:
        for part, (start, end) in enumerate(parts):
            for frame in film.frames(start, end):
                yield part, frame

    def made() -> Iterator[Look]:
        with closing(ahead(pictures(), FRAMES_AHEAD)) as frames:
            for _, numbered in groupby(frames, key=itemgetter(0)):
                run = (frame for _, frame in numbered)
                for first in run:
                    look = look_at(engine, chain([first], islice(run, round(config.plan.stretch_s * FPS) - 1)), config)
                    if len(look.ticks) >= WINDOW_FRAMES:
                        yield look

    with closing(ahead(made(), LOOKS_AHEAD)) as seen:
        yield from seen


def look_at(engine: Engine, frames: Iterable[Frame], config: Config) -> Look:
    """Find the faces in one run of pictures and cut out their mouths."""
    ticks: list[Tick] = []

    def noted() -> Iterator[Picture]:
        for frame in frames:
            ticks.append(frame.tick)
            yield frame.picture

    seen = scan(noted(), engine.detector, config.faces)
    tracks = [t for t in link(seen, config.faces) if t.stop - t.start >= WINDOW_FRAMES]
    return Look(ticks, [(track.start, mouth_crops(seen.grays, track, engine.net.dimensions.crop)) for track in tracks])


def score_look(engine: Engine, sound: Sound, look: Look, config: Config) -> Stretch:
    """Scores of one run of pictures, how many face tracks it has and what told most."""
    ticks, mouths = look.ticks, look.mouths
    delays = curves.delay_grid(config.curve.range_s)
    count = len(ticks) - WINDOW_FRAMES + 1
    origin = ticks[0].index * HOPS_PER_FRAME - int(delays[-1])  # hop at which the sound is read from
    stop = (ticks[-1].index + 1) * HOPS_PER_FRAME + int(delays[-1])
    phase = picture_phase(ticks)
    mels = log_mel(sound.read(origin * HOP_S + phase, stop * HOP_S + phase), engine.net.dimensions.mel)
    first = curves.frame_hops(ticks[0].index + np.arange(count)) - origin
    faces = np.full((len(mouths), count, len(delays)), np.nan, np.float32)
    voice = engine.net.sound(mels) if mouths else np.empty((0, 0))
    for i, (start, crops) in enumerate(mouths):
        mouth = engine.net.mouth(crops)
        rows = slice(start, start + len(mouth))
        faces[i, rows] = engine.net.probability(curves.pair_cosines(mouth, voice, first[rows], delays))
    weight = curves.speech_weight(speech_mask(mels), first, WINDOW_HOPS)
    time_s = np.array([t.time_s for t in ticks[:count]])
    best, chosen = best_face(faces, config.curve.face_frames)
    scores = Scores(best, delays, time_s, weight)
    return Stretch(scores, len(mouths), moments_of(scores, mouths, chosen, config.curve))


def best_face(faces: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """P of several faces [faces, n, delays] -> of the one that fits best around each frame, at each delay; and its number.

    Chosen by the mean over `frames`, not frame by frame: the best of several lucky frames is no evidence.
    """
    if len(faces) == 0:
        return np.full(faces.shape[1:], np.nan, np.float32), np.zeros(faces.shape[1:], int)
    if len(faces) == 1:
        return faces[0], np.zeros(faces.shape[1:], int)
    known = np.isfinite(faces)
    total = uniform_filter1d(np.nan_to_num(faces), frames, axis=1, mode="nearest")
    share = uniform_filter1d(known.astype(np.float32), frames, axis=1, mode="nearest")
    mean = np.where(known, total / np.maximum(share, 1e-6), -1)
    chosen = mean.argmax(0)
    return np.take_along_axis(faces, chosen[None], 0)[0], chosen


def _in_order(found: list[Stretch]) -> list[Scores]:
    return sorted((f.scores for f in found), key=lambda p: p.time_s[0])


def _planned_s(info: MediaInfo, config: Config) -> float:
    """Seconds of film that will be looked at, of long ones at least."""
    start, end = extent(info)
    return config.plan.least_parts * config.plan.part_s if is_long(info, config.plan) else end - start


def _is_sure(found: list[Stretch], config: Config) -> bool:
    """Whether a film of which these stretches were looked at needs no further look; a drift's slope takes some more of them."""
    ordered = _in_order(found)
    decision = decide(Scores.join(ordered), ordered, config.decide, config.curve)
    if decision.verdict == "drift":
        return len(found) >= 2 * config.plan.least_parts
    return decision.uncertainty_s is not None and decision.uncertainty_s <= config.plan.sure_s


def _nothing(info: MediaInfo) -> Decision:
    none, shown = np.empty(0), info.video.duration_s if info.video else 0.0
    reason = f"the picture lasts {shown:.2f} s, {WINDOW_FRAMES / FPS:.2f} s are needed for one look; give a longer clip"
    return Decision("undecided", None, None, None, None, None, (reason,), (), none, none)


def _report(
    info: MediaInfo, sound: Sound, d: Decision, parts: list[Scores], faces: int, engine: Engine, config: Config, elapsed: float
) -> Report:
    fps = require_video(info).fps
    # A recording was moved to where it was looked for; its delay counts from where both files begin together.
    from_start = lambda delay_s: None if delay_s is None else delay_s - sound.starts_s  # noqa: E731
    delay, verdict = ms(from_start(d.delay_s)), d.verdict
    if delay is not None:
        verdict = "in_sync" if abs(delay) <= 1000 * config.decide.in_sync_s else "out_of_sync"
    return Report(
        file=str(info.path),
        audio=None if sound.path == info.path else str(sound.path),
        verdict=verdict,
        audio_delay_ms=delay,
        audio_delay_frames=None if delay is None else rounded(delay / 1000 * fps, 2),
        shift_ms=None if delay is None else _shift_ms(delay, config),
        forced=False,
        probability_at_offset=rounded(d.probability),
        offscreen_ratio=rounded(d.offscreen_ratio),
        uncertainty_ms=ms(d.uncertainty_s),
        certainty=rounded(d.certainty),
        best_delay_ms=ms(from_start(d.best_s)),
        drift_ms_per_min=None if d.drift is None else rounded(60_000 * d.drift.slope),
        drift_start_ms=None if d.drift is None else ms(from_start(d.drift.start_s)),
        reasons=d.reasons,
        segments=tuple(replace(s, delay_s=from_start(s.delay_s)) for s in d.segments),
        faces=faces,
        analysed_s=round(sum(len(p.weight) for p in parts) / FPS, 2),
        duration_s=round(info.duration_s, 3),
        fps=round(fps, 3),
        detector=engine.detector.name,
        device=engine.net.device,
        weights=engine.weights,
        elapsed_s=round(elapsed, 2),
        curve={
            "shift_ms": (1000 * (sound.starts_s - HOP_S * d.delays[::-1])).round(1).tolist(),
            "probability": np.nan_to_num(d.curve[::-1]).round(4).tolist(),
        },
    )
