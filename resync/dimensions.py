"""Everything that fixes the network's shape and its input."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields

from .config import CropConfig, MelConfig

VISUAL_STRIDES = ((2, 2),) * 4
# Frequency is halved at once; time, which is what is measured, late.
SOUND_STRIDES = ((2, 1), (2, 1), (2, 2), (2, 2))
CONTRAST_FLOOR = 8.0  # grey levels added to a mouth stack's contrast before it is divided by


@dataclass(frozen=True)
class Dimensions:
    """What differs between networks; saved inside the weights file."""

    visual_widths: tuple[int, ...] = (24, 48, 96, 192)
    sound_widths: tuple[int, ...] = (16, 32, 64, 96)
    embedding: int = 256
    head: int = 64  # channels of the spatial map that feeds the embedding
    crop: CropConfig = field(default_factory=CropConfig)
    mel: MelConfig = field(default_factory=MelConfig)

    def to_dict(self) -> dict:
        """Plain nested dict, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> Dimensions:
        """Inverse of to_dict; raises TypeError or KeyError on foreign content."""
        given = dict(data)
        crop, mel = CropConfig(**given.pop("crop")), MelConfig(**given.pop("mel"))
        names = {f.name for f in fields(cls)}
        plain: dict = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if k in names}
        return cls(crop=crop, mel=mel, **plain)
