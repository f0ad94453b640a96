"""What an HTML report shows of the evidence for one clip: small images and lists, made where the clip was analysed."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ...sync.evidence import Evidence
from ..activity import activity_spans, joined_spans
from ..heat_map import heat_map_image, shown_shifts
from ..panels import MOUTH_WINDOWS_SHOWN, side_by_side
from ..result import Analysis, ms, rounded
from ..timeline import TimeAxis

MAX_ROWS, MAX_COLUMNS = 110, 300  # of the heat map
LEVELS = 31  # of P(in sync) in the heat map; few, so that the image is small
MAX_SPANS = 300  # of speech, about a bar for each two pixels
JPEG_QUALITY = 50  # of the mouth crops


def evidence_details(analysis: Analysis) -> dict:
    """JSON about the evidence of one clip, some kilobytes, whatever its length.

    time_axis: times in s where its scale changes, and their positions; the rest of the axis is linear. gaps: times that were not
    analysed. heat_map: P(in sync) as an image over the time axis, and the lowest and highest shift that it shows. speech, off_screen:
    times [start, end] in s. mouths: the windows with the strongest evidence below each other in one image, and when each of them is.
    runner_up: the second peak.
    """
    report, evidence = analysis
    time_axis = TimeAxis(evidence.segments, report.duration_s)
    speech, off_screen = (_short(spans, time_axis) for spans in activity_spans(evidence))
    return {
        "time_axis": [[round(x, 3) for x in own] for own in time_axis.scale],
        "gaps": [[round(x, 2) for x in gap] for gap in time_axis.gaps],
        "heat_map": _heat_map(analysis, time_axis) if evidence.segments else None,
        "speech": speech,
        "off_screen": off_screen,
        "mouths": _mouths(evidence),
        "runner_up": _runner_up(evidence),
    }


def _short(spans: Sequence[Sequence[float]], time_axis: TimeAxis) -> list[list[float]]:
    """Times [start, end] in s to hundredths, without gaps too short to be seen."""
    joined = joined_spans(spans, max_gap=time_axis.length / MAX_SPANS)
    return [[round(start, 2), round(end, 2)] for start, end in joined]


def _heat_map(analysis: Analysis, time_axis: TimeAxis) -> dict:
    from matplotlib import colormaps

    pixels, (low_ms, high_ms) = heat_map_image(analysis.evidence, time_axis, shown_shifts(analysis), MAX_ROWS, MAX_COLUMNS)
    levels = np.nan_to_num(1 + np.round(pixels * (LEVELS - 1)), nan=0).astype(np.uint8)  # 0: no face, transparent
    colours = colormaps["viridis"](np.linspace(0, 1, LEVELS), bytes=True)[:, :3]
    image = Image.fromarray(levels[::-1])  # the highest shift on top
    image.putpalette(bytes(3) + colours.tobytes())
    return {"image": _data_uri(image, "PNG", optimize=True, transparency=0), "low_ms": low_ms, "high_ms": high_ms}


def _mouths(evidence: Evidence) -> dict | None:
    peak, windows = evidence.peak, sorted(evidence.windows[:MOUTH_WINDOWS_SHOWN], key=lambda window: window.time_s)
    if not windows or peak is None:
        return None
    image = Image.fromarray(np.vstack([side_by_side(window, gap_px=0) for window in windows]))
    own = [{"time_s": round(window.time_s, 2), "probability": rounded(window.probability[peak.index])} for window in windows]
    return {"image": _data_uri(image, "JPEG", quality=JPEG_QUALITY, optimize=True), "windows": own}


def _runner_up(evidence: Evidence) -> dict | None:
    peak = evidence.peak
    if peak is None or peak.runner_up_s is None:
        return None
    return {"shift_ms": ms(-peak.runner_up_s), "probability": rounded(peak.runner_up)}


def _data_uri(image: Image.Image, format: str, **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, format, **options)
    return f"data:image/{format.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
