"""One source of every default: frozen dataclasses shared by library, command line and training."""

from __future__ import annotations

from dataclasses import dataclass, field

# Derived constants of the analysis clock. The grids divide exactly.
FPS = 25  # analysis frames a second
SAMPLE_RATE = 16_000  # Hz, mono
HOP = 160  # samples: one mel frame, and one step of the shift grid
HOP_S = HOP / SAMPLE_RATE  # 0.01 s
HOPS_PER_FRAME = SAMPLE_RATE // (FPS * HOP)  # 4 mel frames per picture frame
WINDOW_FRAMES = 5  # picture frames in one window
WINDOW_HOPS = WINDOW_FRAMES * HOPS_PER_FRAME  # 20 mel frames in one window, 0.2 s
MEL_BANDS = 80

assert SAMPLE_RATE == FPS * HOP * HOPS_PER_FRAME


@dataclass(frozen=True)
class MediaConfig:
    """How a file is read."""

    max_side: int = 1280  # px; larger pictures are scaled down in the decoder
    audio_track: int = 1  # the sound track that is listened to, counted from 1; all are moved


@dataclass(frozen=True)
class FaceConfig:
    """How faces are found and followed."""

    detector: str = "auto"
    detect_every: int = 5  # frames; positions between are interpolated
    detector_side: int = 320  # px, longer side of the detector's input; smaller pictures stay as they are
    threads: int = 0  # processor threads of the detector; 0 = as many as there are cores
    threshold: float = 0.5  # detector score under which a find is ignored
    link_iou: float = 0.3  # overlap that joins two finds to one track
    max_gap_s: float = 0.6  # a track may miss its face this long
    min_track_s: float = 0.6  # shorter tracks are dropped
    max_faces: int = 4  # tracks kept at one time, largest first
    cut_threshold: float = 0.35  # mean change of the picture against its contrast that marks a shot cut


@dataclass(frozen=True)
class CropConfig:
    """Geometry of the aligned mouth crop; saved with the weights."""

    side_units: float = 1.7  # side of the square in face units, see crops.py
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
    """How scores become one curve."""

    range_s: float = 1.0  # shifts from -range_s to +range_s are tried
    smooth_frames: int = 25  # running mean of P over time, for probability and offscreen ratio
    face_frames: int = 25  # running mean by which the face that fits best is chosen
    smooth_hops: float = 2.0  # Gaussian sigma over shifts, in hops


@dataclass(frozen=True)
class DecideConfig:
    """When an answer is given; see decide.py for what each number guards."""

    in_sync_s: float = 0.02  # |delay| up to this is called in sync and left alone
    min_certainty: float = 0.4  # that the peak is the true delay
    min_lead: float = 0.13  # over the next best delay, in log-odds times the square root of the seconds of speech
    rule: tuple[float, float, float] = (-2.944, 2.099, 1.955)  # of `certainty`: constant, height, lead
    min_speech_s: float = 0.6
    edge_s: float = 0.03  # a peak this near the end of the range may lie outside it
    max_spread_s: float = 0.08  # between stretches of one film
    min_drift_segments: int = 5
    uncertainty_floor_s: float = 0.016  # of any answer: the network's zero is not quite the same for every person and codec


@dataclass(frozen=True)
class PlanConfig:
    """How much of a film is looked at."""

    stretch_s: float = 8.0  # pictures held in memory at once; also one row of `segments`
    whole_s: float = 40.0  # films up to this length are looked at whole
    part_s: float = 6.0  # of longer films, parts of this length are looked at
    candidates: int = 120  # parts that are considered, spread over the film
    most_parts: int = 50  # looked at
    least_parts: int = 5
    sure_s: float = 0.019  # uncertainty (10 ms besides the floor) at which a long film needs no further look
    max_key_s: float = 12.0  # a part begins at a key frame up to so much earlier: what lies between would be decoded anyway
    listen_s: float = 3.0  # in the middle of a part, for speech
    min_voiced: float = 0.25  # share of that time that carries sound, under which the part is passed over
    max_quieter_db: float = 25.0  # than the loudest part so far
    min_change_db: float = 6.0  # between its quiet and loud moments: speech pauses, a noise does not


@dataclass(frozen=True)
class PreviewConfig:
    """What `resync preview` shows."""

    seconds: float = 6.0  # of film in each half


@dataclass(frozen=True)
class Config:
    """Everything `resync.analyze` can be told."""

    media: MediaConfig = field(default_factory=MediaConfig)
    faces: FaceConfig = field(default_factory=FaceConfig)
    curve: CurveConfig = field(default_factory=CurveConfig)
    decide: DecideConfig = field(default_factory=DecideConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    device: str = "auto"
    weights: str | None = None
