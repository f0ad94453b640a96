"""Details of one clip for the HTML report: small, and true to the evidence."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from resync.report.activity import joined_spans
from resync.report.html.details import LEVELS, evidence_details


def image(uri):
    kind, data = uri.split(",")
    assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture(scope="module")
def details(late):
    return evidence_details(late)


def test_details_are_small_json(details):
    assert len(json.dumps(details, allow_nan=False)) < 20_000


def test_the_heat_map_is_brightest_at_the_chosen_shift(details, late):
    heat_map = details["heat_map"]
    picture = image(heat_map["image"])
    levels = np.array(picture).astype(float)
    assert picture.mode == "P" and levels.max() <= LEVELS and picture.info["transparency"] == 0
    row = np.where(levels > 0, levels, np.nan)
    brightest = np.nanmean(row, axis=1).argmax()
    shift_ms = heat_map["high_ms"] - (brightest + 0.5) / len(levels) * (heat_map["high_ms"] - heat_map["low_ms"])
    assert shift_ms == pytest.approx(late.report.shift_ms, abs=20)


def test_times_lie_in_the_clip(details, late):
    times, positions = details["time_axis"]
    assert times == sorted(times) and times[0] == 0 and len(times) == len(positions)
    spans = details["speech"] + details["off_screen"]
    assert details["speech"] and all(0 <= start < end <= late.report.duration_s + 0.1 for start, end in spans)


def test_mouths_are_one_image_with_a_strip_for_each_window(details, late):
    mouths = details["mouths"]
    size = late.evidence.windows[0].crops.shape[1]
    assert image(mouths["image"]).size == (5 * size, len(mouths["windows"]) * size)
    times = [window["time_s"] for window in mouths["windows"]]
    assert times == sorted(times) and all(0.5 < window["probability"] <= 1 for window in mouths["windows"])


def test_without_evidence_there_is_nothing_to_draw(late):
    details = evidence_details(late._replace(evidence=replace(late.evidence, segments=(), windows=())))
    assert details["heat_map"] is None and details["mouths"] is None and details["speech"] == []


def test_spans_with_short_gaps_are_one():
    assert joined_spans([(0, 1), (1.2, 2), (3, 4)], max_gap=0.5) == [(0, 2), (3, 4)]
    assert joined_spans([]) == []
