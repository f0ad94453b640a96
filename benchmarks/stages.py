"""Time of each stage of the analysis by itself: one after another, without the threads that normally overlap them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from resync.api import Analyzer
from resync.config import Config
from resync.report.result import Report
from resync.sync import measure, scoring


class Stopwatch:
    """Wall and processor seconds by name. Time measured inside another measurement counts for the inner one only."""

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
        self._running: list[str] = []
        self._since = self._now()

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Add the time of the body to `name`."""
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def calls(self, name: str, function: Callable) -> Callable:
        """The same function, measured."""

        @wraps(function)
        def timed(*args, **kwargs):
            with self.measured(name):
                return function(*args, **kwargs)

        return timed

    def items(self, name: str, function: Callable[..., Iterator]) -> Callable[..., Iterator]:
        """The same generator function, measured while it computes an item."""

        @wraps(function)
        def timed(*args):
            items = function(*args)
            while (item := self.calls(name, next)(items, None)) is not None:
                yield item

        return timed

    def _switch(self) -> None:
        now = self._now()
        if self._running:
            name = self._running[-1]
            wall, processor = self.seconds[name]
            self.seconds[name] = wall + now[0] - self._since[0], processor + now[1] - self._since[1]
        self._since = now

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


def time_stages(path: Path, config: Config = Config()) -> tuple[dict[str, tuple[float, float]], Report]:
    """Wall and processor seconds of every stage of an analysis, and its report."""
    watch = Stopwatch()
    analyzer = Analyzer(config)
    with watch.measured("load models"):
        engine = analyzer.engine
    with watch.measured("probe"):
        source = analyzer.open(path)
    audio, backend = source.audio, engine.backend
    timed_audio: Any = SimpleNamespace(
        path=audio.path,
        track=audio.track,
        start_s=audio.start_s,
        read=watch.calls("read audio", audio.read),
    )
    timed_backend: Any = SimpleNamespace(
        dimensions=backend.dimensions,
        rule=backend.rule,
        device=backend.device,
        probability=backend.probability,
        embed_mouths=watch.calls("visual network", backend.embed_mouths),
        embed_audio=watch.calls("audio network", backend.embed_audio),
    )
    in_measure: dict[str, Any] = {
        "sampled_segments": watch.items("sample segments", measure.sampled_segments),
        "score_segment": watch.calls("curve", measure.score_segment),
        "decide": watch.calls("curve", measure.decide),
    }
    in_scoring: dict[str, Any] = {
        "prefetch": lambda items, most: (item for item in items),  # no threads: nothing runs in parallel
        "detect_faces": watch.calls("detect", scoring.detect_faces),
        "link_tracks": watch.calls("detect", scoring.link_tracks),
        "mouth_crops": watch.calls("crop", scoring.mouth_crops),
        "log_mel": watch.calls("mel", scoring.log_mel),
    }
    timed_engine = replace(engine, backend=timed_backend)
    timed_source = replace(source, frames=watch.items("decode", source.frames), audio=timed_audio)
    with patch.multiple(measure, **in_measure), patch.multiple(scoring, **in_scoring):
        evidence = measure.measure(timed_engine, timed_source, config)
    return dict(watch.seconds), Report.from_evidence(evidence, engine, 0.0)
