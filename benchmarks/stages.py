"""How long each stage of the analysis takes by itself, one after the other, with nothing beside it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from unittest.mock import patch

from resync import pipeline
from resync.config import Config
from resync.film import open_film
from resync.report import Report


class Stopwatch:
    """Wall and processor seconds by name. What is measured inside something measured counts for itself only."""

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
        self._running: list[str] = []
        self._since = self._now()

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Count what the body takes for `name`."""
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
        def timed(*given, **named):
            with self.measured(name):
                return function(*given, **named)

        return timed

    def items(self, name: str, function: Callable[..., Iterator]) -> Callable[..., Iterator]:
        """The same generator function, measured while it makes an item."""

        @wraps(function)
        def timed(*given):
            items = function(*given)
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


def stages(path: Path, config: Config = Config()) -> tuple[dict[str, tuple[float, float]], Report]:
    """Wall and processor seconds of every stage of an analysis, and what it found."""
    watch = Stopwatch()
    with watch.measured("load networks"):
        engine = pipeline.load_engine(config)
    with watch.measured("probe"):
        film = open_film(path, config)
    film = replace(film, frames=watch.items("decode", film.frames), sound=_Heard(film.sound, watch.calls("read sound", film.sound.read)))
    stages = {
        "ahead": lambda items, most: (item for item in items),  # nothing beside it
        "chosen_parts": watch.items("choose parts", pipeline.chosen_parts),
        "scan": watch.calls("detect", pipeline.scan),
        "link": watch.calls("detect", pipeline.link),
        "mouth_crops": watch.calls("crop", pipeline.mouth_crops),
        "log_mel": watch.calls("mel", pipeline.log_mel),
        "score_look": watch.calls("curve", pipeline.score_look),
        "decide": watch.calls("curve", pipeline.decide),
        "load_engine": lambda config: replace(engine, net=_Net(engine.net, watch)),
    }
    with patch.multiple(pipeline, **stages):
        report = pipeline.examine(film, config).report
    return dict(watch.seconds), report


class _Net:
    """The network, measured."""

    def __init__(self, net, watch: Stopwatch):
        self.dimensions, self.device, self.probability = net.dimensions, net.device, net.probability
        self.mouth, self.sound = watch.calls("visual network", net.mouth), watch.calls("sound network", net.sound)


class _Heard:
    """A sound, measured while it is read."""

    def __init__(self, sound, read: Callable):
        self.path, self.track, self.starts_s, self.read = sound.path, sound.track, sound.starts_s, read
