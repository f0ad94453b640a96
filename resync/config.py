"""One source of every default: frozen dataclasses shared by library, command line and training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

ANALYSIS = 3  # version of the analysis: raised when a file may get another result, so that cached ones are not reused
# Derived constants of the analysis clock. The grids divide exactly.
FPS = 25  # analysis frames per second
SAMPLE_RATE = 16_000  # Hz, mono
HOP = 160  # samples: one mel frame, and one step of the delay grid
HOP_S = HOP / SAMPLE_RATE  # 0.01 s
HOPS_PER_FRAME = SAMPLE_RATE // (FPS * HOP)  # 4 mel frames per video frame
WINDOW_FRAMES = 5  # video frames in one window
WINDOW_HOPS = WINDOW_FRAMES * HOPS_PER_FRAME  # 20 mel frames in one window, 0.2 s
MEL_BANDS = 80

assert SAMPLE_RATE == FPS * HOP * HOPS_PER_FRAME


@dataclass(frozen=True)
class MediaConfig:
    """How a file is read."""

    max_side: int = 1280  # px; larger frames are scaled down by the decoder
    audio_track: int = 1  # the track that is analysed, counted from 1; `fix` shifts all of them


@dataclass(frozen=True)
class FaceConfig:
    """How faces are detected and tracked."""

    detector: str = "auto"
    detect_every: int = 5  # frames; positions in between are interpolated
    detector_side: int = 320  # px, longer side of the detector's input; smaller frames keep their size
    search_every: int = 15  # frames between two searches of the whole image; in between, known faces are looked for where they were
    follow_scale: float = 2.0  # side of the square around a known face, relative to the longer side of its box
    follow_side: int = 128  # px, side of the detector's input for such a square; smaller squares keep their size
    threads: int = 0  # CPU threads of the detector; 0 = one per core
    threshold: float = 0.5  # detections with a lower score are ignored
    link_iou: float = 0.3  # overlap that joins two detections to one track
    max_gap_s: float = 0.6  # a track may miss its face this long
    min_track_s: float = 0.6  # shorter tracks are dropped
    max_faces: int = 4  # tracks kept at one time, largest first
    cut_threshold: float = 0.35  # mean change of the frame relative to its contrast that marks a shot cut


@dataclass(frozen=True)
class CropConfig:
    """Geometry of the aligned mouth crop; saved with the weights."""

    side_units: float = 1.7  # side of the square in face units, see faces/crops.py
    size: int = 64  # px, side of the network's input
    unit_window_s: float = 1.0  # smoothing of the unit


@dataclass(frozen=True)
class MelConfig:
    """Log-mel front end; saved with the weights."""

    bands: int = MEL_BANDS
    window: int = 400  # samples, 25 ms
    hop: int = HOP
    fft: int = 512
    low_hz: float = 55.0
    high_hz: float = 7600.0
    floor: float = 1e-7  # power added before the logarithm


@dataclass(frozen=True)
class CurveConfig:
    """How scores become one probability curve."""

    range_s: float | None = None  # delays from -range_s to +range_s are tested; None: each of `ranges_s` until the answer is clear
    ranges_s: tuple[float, ...] = (1.0, 3.0, 10.0)
    smooth_frames: int = 25  # running mean of P over time, for probability and off-screen ratio
    face_frames: int = 25  # running mean over which the best-matching face is chosen
    smooth_hops: float = 2.0  # Gaussian sigma over delays, in hops
    prior_windows: float = 10.0  # each mean of log-odds is taken together with so many windows at prior_log_odds
    prior_log_odds: float = -4.0  # of a delay of which nothing is known; few windows of speech must not win by chance
    min_tested_share: float = 0.3  # delays with less speech than this share of the most are not compared
    vote_s: float = 2.0  # each block of so many seconds votes together
    vote_log_odds: float = -1.0  # a block whose best delay has these log-odds votes by half, with fewer it abstains
    vote_slope: float = 2.0  # of the vote per unit of log-odds

    @property
    def first_range_s(self) -> float:
        """The range that is tested first, s."""
        return self.ranges_s[0] if self.range_s is None else self.range_s


@dataclass(frozen=True)
class DecisionRule:
    """When a peak is an answer: a logistic rule fitted on people the network was not trained on, stored in its weights file.

    certainty = logistic(constant + height * (peak in log-odds) + lead * (peak over runner-up in log-odds) - reach * log(range in s)),
    less for a tie (sync/certainty.py).
    """

    constant: float = 1.8
    height: float = 2.941
    lead: float = 2.537
    reach: float = 0.209
    min_certainty: float = 0.7  # below it there is no answer
    min_widened: float = 0.8  # the same where the range was widened: every range tested is one more chance to be wrong

    @classmethod
    def from_dict(cls, data: dict) -> DecisionRule:
        """Inverse of `dataclasses.asdict`. Raises TypeError or ValueError for anything but its finite numbers."""
        rule = cls(**{name: float(value) for name, value in {**data}.items()})
        if not all(map(math.isfinite, vars(rule).values())) or not all(0 < x < 1 for x in (rule.min_certainty, rule.min_widened)):
            raise ValueError(f"decision rule {data}: finite numbers and a threshold between 0 and 1 are needed")
        return rule


@dataclass(frozen=True)
class DecideConfig:
    """When an answer is given; sync/decide.py says what each number guards against."""

    in_sync_s: float = 0.02  # a delay up to this size is called in sync and left alone
    rule: DecisionRule | None = None  # None: the one in the weights file
    min_speech_s: float = 0.6
    edge_s: float = 0.03  # a peak this near the end of the range may lie outside it
    max_spread_s: float = 0.08  # between the segments of one video
    uncertainty_floor_s: float = 0.016  # of any answer: the network's zero differs a little between people and codecs


@dataclass(frozen=True)
class SamplingConfig:
    """How much of a video is analysed."""

    segment_s: float = 8.0  # longest segment analysed at once; also one row of `segments`
    full_scan_s: float = 40.0  # videos up to this length are analysed in full
    sample_s: float = 6.0  # length of the segments that are sampled from longer videos
    candidates: int = 120  # places considered for a sample, spread over the video
    max_samples: int = 50
    min_samples: int = 5
    wide_samples: int = 16  # on which wider ranges of delays are tried in a video of more segments
    target_uncertainty_s: float = 0.019  # 10 ms besides the floor: sampling a long video stops here
    max_keyframe_gap_s: float = 12.0  # a sample begins at a keyframe up to this much earlier: the frames between would be decoded anyway
    probe_audio_s: float = 3.0  # in the middle of a candidate, checked for speech
    min_active_share: float = 0.25  # candidates with less active audio are skipped
    max_level_drop_db: float = 25.0  # below the loudest candidate so far
    min_level_range_db: float = 6.0  # between its quiet and loud frames: speech pauses, noise does not


@dataclass(frozen=True)
class PreviewConfig:
    """What `resync preview` shows."""

    seconds: float = 6.0  # of video in each half


@dataclass(frozen=True)
class LiveConfig:
    """How a stream is watched."""

    step_s: float = 2.0  # of video that is embedded at once; after each, there is an estimate
    window_s: float = 10.0  # of video that an estimate rests on
    every_s: float = 10.0  # between two estimates that are printed
    ranges_s: tuple[float, ...] = (1.0, 3.0)  # of delays, where CurveConfig.range_s is None; all audio up to there is waited for
    max_frames_ahead: int = 50  # decoded frames that wait for the face detector
    timeout_s: float = 10.0  # without data, after which a stream counts as lost
    pulled_timeout_s: float = 30.0  # the same over HTTP, where segments come at intervals, and for a file, which is complete then
    max_behind_s: float = 30.0  # for which the analysis of such an input may lag before frames are dropped; for others not at all
    first_retry_s: float = 1.0  # before a stream is opened again, doubled each time
    max_retry_s: float = 30.0
    min_certainty: float = 0.8  # of an estimate that an alarm may rest on
    confirm_s: float = 6.0  # from the first estimate beyond the limits to the alarm, with all estimates in between agreeing
    agree_s: float = 0.06  # between an estimate and the next one
    margin_s: float = 0.01  # within the limits by which an alarm is cleared


@dataclass(frozen=True)
class Config:
    """All settings of an `Analyzer`. weights: path of a weights file, None for the packaged one."""

    media: MediaConfig = field(default_factory=MediaConfig)
    faces: FaceConfig = field(default_factory=FaceConfig)
    curve: CurveConfig = field(default_factory=CurveConfig)
    decide: DecideConfig = field(default_factory=DecideConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    device: str = "auto"
    weights: str | None = None


# Suffixes of video files: what a batch takes from a folder, and what counts as media even when damaged.
MEDIA_SUFFIXES = frozenset(".3g2 .3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .nut .ogv .ts .vob .webm .wmv".split())
