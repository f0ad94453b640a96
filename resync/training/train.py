"""Train IC-SyncNet from a prepared cache: seeded, resumable, on CPU or CUDA, best checkpoint kept."""

from __future__ import annotations

import copy
import json
import math
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .. import weights
from ..embed import pick_device
from ..errors import DataError
from ..model import Dimensions, ICSyncNet
from .cache import MARGIN
from .dataset import Augment, Library, draw_batch, muddy_sound, stack_windows, view_crops
from .evaluate import evaluate, read_tracks
from .losses import bbce, pair_masks

CHECK_S = 8.0  # of each validation clip are looked at while training


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a run goes; written into its log."""

    minutes: float = 60.0
    batch: int = 12  # sequences a step
    sequence: int = 20  # windows a sequence, all each other's false pairs
    gap: float = 2.0  # frames from which a pair counts as false
    rate: float = 1e-3
    decay: float = 0.02
    warmup: int = 200  # steps
    dropblock: float = 0.1
    tune: float = 0.2  # last share of the run, without DropBlock ("drop and tune")
    average: float = 0.999  # of the weights, exponential
    power: float = 0.6  # speakers are drawn by (their frames) ** power
    skip: tuple[str, ...] = ()  # sources left out
    check_minutes: float = 10.0
    seed: int = 0
    compile: bool = False
    augment: Augment = field(default_factory=Augment)


@dataclass
class State:
    """What a run needs to go on after a stop."""

    step: int = 0
    elapsed_s: float = 0.0
    best: float = -1.0


class Trainer:
    """One run in folder `out`: `log.jsonl`, `last.pt` (to resume) and `best.safetensors`."""

    def __init__(
        self,
        cache: Path,
        out: Path,
        recipe: Recipe = Recipe(),
        *,
        dimensions: Dimensions = Dimensions(),
        device: str = "auto",
        start: Path | None = None,
        delays: dict[str, float | None] | None = None,
    ):
        out.mkdir(parents=True, exist_ok=True)
        self.cache, self.out, self.recipe = cache, out, recipe
        self.device = pick_device(device)
        torch.manual_seed(recipe.seed)
        self.data = Library(cache, "train", sequence=recipe.sequence, skip=recipe.skip, power=recipe.power, delays=delays)
        self.net = (weights.load(start) if start else ICSyncNet(dimensions)).to(self.device, memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.net).eval()
        self.optimizer = torch.optim.AdamW(self._groups(), lr=recipe.rate, fused=True)
        self.encode = torch.compile(self._encode) if recipe.compile else self._encode
        same, other = pair_masks(*[torch.arange(recipe.sequence, dtype=torch.float32)] * 2, recipe.gap)
        self.same, self.other = same.to(self.device), other.to(self.device)
        self.state = State()
        if (out / "last.pt").exists():
            self._resume()

    def run(self, say: Callable[[str], None] = print) -> float:
        """Train until the recipe's minutes are over; returns the best validation figure."""
        recipe, losses = self.recipe, []
        self._log({"recipe": asdict(recipe), "tracks": len(self.data.tracks), "device": str(self.device)})
        next_check = self.state.elapsed_s + 60 * recipe.check_minutes
        while (part := self.state.elapsed_s / (60 * recipe.minutes)) < 1:
            began = time.monotonic()
            losses.append(self._step(part))
            self.state.elapsed_s += time.monotonic() - began
            if self.state.step % 100 == 0:
                self._log(
                    {
                        "loss": round(float(np.mean(losses)), 4),
                        "rate": self._rate(part),
                        "scale": round(self.net.log_scale.exp().item(), 3),
                        "bias": round(self.net.bias.item(), 3),
                    },
                    say,
                )
                losses = []
            if self.state.elapsed_s >= next_check:
                self._check(say)
                next_check += 60 * recipe.check_minutes
        self._check(say)
        return self.state.best

    def _step(self, part: float) -> float:
        recipe = self.recipe
        self.net.train()
        self.net.set_dropblock(recipe.dropblock if part < 1 - recipe.tune else 0.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(part) * group["times"]
        # Seeds of each step's own, so that a resumed run sees what the unbroken one would have seen.
        rng = np.random.default_rng((recipe.seed, self.state.step))
        torch.manual_seed(int(rng.integers(2**62)))
        crops, mels = draw_batch(self.data, recipe.batch, recipe.sequence, recipe.augment, rng)
        crops, mels = crops.to(self.device, non_blocking=True), mels.to(self.device, non_blocking=True)
        views = view_crops(crops, self.net.dimensions.crop.size, 1 / MARGIN, recipe.augment)
        mouth, sound = stack_windows(views, muddy_sound(mels, recipe.augment))
        with torch.autocast(self.device.type, torch.bfloat16):
            a, b = self.encode(mouth, sound)
        shape = (recipe.batch, recipe.sequence, -1)
        cosine = a.view(shape) @ b.view(shape).transpose(1, 2)
        loss = bbce(self.net.logits(cosine), self.same, self.other)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self._average()
        self.state.step += 1
        return float(loss.detach())

    def _encode(self, mouth: torch.Tensor, sound: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.net.embed_mouth(mouth), self.net.embed_sound(sound)

    @torch.no_grad()
    def _average(self) -> None:
        """Running mean of weights and of batch-norm statistics; short at first."""
        keep = min(self.recipe.average, (1 + self.state.step) / (10 + self.state.step))
        for mean, now in zip(self.mean.state_dict().values(), self.net.state_dict().values()):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - keep)
            else:
                mean.copy_(now)

    def _groups(self) -> list[dict]:
        """Decay for kernels only; scale and bias of the probability move ten times as fast."""
        free = [self.net.log_scale, self.net.bias]
        rest = [p for p in self.net.parameters() if all(p is not f for f in free)]
        return [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": self.recipe.decay, "times": 1.0},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0, "times": 1.0},
            {"params": free, "weight_decay": 0.0, "times": 10.0},
        ]

    def _rate(self, part: float) -> float:
        warm = min(1.0, (self.state.step + 1) / self.recipe.warmup)
        return self.recipe.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, part))))

    def _check(self, say: Callable[[str], None]) -> None:
        """Validate the averaged network, keep it if it is the best so far, and save the state."""
        table = evaluate(self.mean, read_tracks(self.cache, "val", CHECK_S))
        row = table["all"]
        # Whole clips saturate; three-second pieces tell networks apart that both have them right.
        figure = ((row["whole_clip"] or 0) + (row.get("piece_3s") or 0)) / 2
        if figure > self.state.best:
            self.state.best = figure
            weights.save(self.mean, self.out / "best.safetensors", {"step": str(self.state.step)})
        self._log({"validation": table, "figure": round(figure, 4), "best": round(self.state.best, 4)}, lambda _: say(json.dumps(row)))
        saved = {
            "net": self.net.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": asdict(self.state),
        }
        torch.save(saved, self.out / "last.tmp")
        (self.out / "last.tmp").replace(self.out / "last.pt")

    def _resume(self) -> None:
        try:
            saved = torch.load(self.out / "last.pt", map_location=self.device, weights_only=True)
            self.net.load_state_dict(saved["net"])
            self.mean.load_state_dict(saved["mean"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.state = State(**saved["state"])
        except (OSError, KeyError, TypeError, RuntimeError, ValueError, pickle.UnpicklingError) as e:
            raise DataError(f"{self.out / 'last.pt'}: cannot go on from it ({str(e).splitlines()[0]}); use another output folder") from e

    def _log(self, row: dict, say: Callable[[str], None] | None = None) -> None:
        line = json.dumps({"step": self.state.step, "minutes": round(self.state.elapsed_s / 60, 2), **row})
        with open(self.out / "log.jsonl", "a") as f:
            f.write(line + "\n")
        if say:
            say(line)
