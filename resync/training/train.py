"""Train IC-SyncNet from a prepared cache: seeded, resumable, on one device or several, best checkpoint kept."""

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
from ..dimensions import Dimensions
from ..errors import DataError
from ..model import ICSyncNet
from .cache import share_of_cached
from .dataset import Augment, Library, draw_batch, muddy_sound, stack_windows, view_crops
from .evaluate import embed_track, evaluate, read_tracks
from .losses import batch_weights, bbce
from .ranks import Ranks
from .repair import read_delays

CHECK_S = 8.0  # of each validation clip are looked at while training


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a run goes; written into its log."""

    minutes: float = 60.0
    steps: int = 0  # where given, the run's length in steps instead of minutes: the same on any machine
    batch: int = 12  # sequences a step
    sequence: int = 20  # windows a sequence, all each other's false pairs
    gap: float = 2.0  # frames from which a pair counts as false
    near: float = 1.0  # weight of false pairs up to four frames apart
    cross: float = 0.0  # share of the false side's loss given to pairs of different clips
    rate: float = 1e-3
    decay: float = 0.02
    warmup: int = 200  # steps
    dropblock: float = 0.1
    tune: float = 0.2  # last share of the run, without DropBlock ("drop and tune")
    average: float = 0.999  # of the weights, exponential
    power: float = 0.6  # speakers are drawn by (their frames) ** power
    skip: tuple[str, ...] = ()  # sources left out
    people: float = 1.0  # share of the speakers that is used, for a learning curve
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
        ranks: Ranks,
        start: Path | None = None,
    ):
        out.mkdir(parents=True, exist_ok=True)
        self.cache, self.out, self.recipe = cache, out, recipe
        self.ranks, self.device, self.share = ranks, ranks.device, ranks.share(recipe.batch)
        torch.manual_seed(recipe.seed)
        self.data = Library(
            cache, "train", sequence=recipe.sequence, skip=recipe.skip, power=recipe.power, people=recipe.people, delays=read_delays(cache)
        )
        self.net = weights.load(start) if start else ICSyncNet(dimensions)
        self.net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's types
        self.mean = copy.deepcopy(self.net).eval()
        self.optimizer = torch.optim.AdamW(self._groups(), lr=recipe.rate, fused=True)
        model = ranks.wrap(self.net)
        self.score = torch.compile(model) if recipe.compile else model
        pairs = batch_weights(recipe.batch // ranks.world, recipe.sequence, recipe.gap, recipe.near, recipe.cross)
        self.same, self.other = (weight.to(self.device) for weight in pairs)
        self.state = State()
        if (out / "last.pt").exists():
            self._resume()

    def run(self, say: Callable[[str], None] = print) -> float:
        """Train until the recipe's minutes are over; returns the best validation figure."""
        recipe, losses = self.recipe, []
        self._log({"recipe": asdict(recipe), "tracks": len(self.data.tracks), "device": str(self.device), "devices": self.ranks.world})
        next_check = self.state.elapsed_s + 60 * recipe.check_minutes
        while (part := self._part()) < 1:
            began = time.monotonic()
            losses.append(self._step(part))
            self.state.elapsed_s = self.ranks.agree(self.state.elapsed_s + time.monotonic() - began)
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
        torch.manual_seed(int(np.random.default_rng((recipe.seed, self.state.step, self.ranks.rank)).integers(2**62)))
        crops, mels = draw_batch(self.data, self.share, recipe.sequence, recipe.augment, (recipe.seed, self.state.step))
        crops, mels = crops.to(self.device, non_blocking=True), mels.to(self.device, non_blocking=True)
        views = view_crops(crops, self.net.dimensions.crop.size, share_of_cached(self.net.dimensions.crop), recipe.augment)
        mouth, sound = stack_windows(views, muddy_sound(mels, recipe.augment))
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.score(mouth, sound)
        loss = bbce(logits, self.same, self.other)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self._average()
        self.state.step += 1
        return float(self.ranks.mean(loss.detach()))

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

    def _part(self) -> float:
        """Share of the run that is done, by steps where the recipe counts them, else by time."""
        return self.state.step / self.recipe.steps if self.recipe.steps else self.state.elapsed_s / (60 * self.recipe.minutes)

    def _rate(self, part: float) -> float:
        warm = min(1.0, (self.state.step + 1) / self.recipe.warmup)
        return self.recipe.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, part))))

    def _check(self, say: Callable[[str], None]) -> None:
        """Validate the averaged network, keep it if it is the best so far, and save the state."""
        if self.ranks.first:
            self._validate(say)
            self._save()
        self.ranks.wait()

    def _validate(self, say: Callable[[str], None]) -> None:
        table = evaluate(self.mean, [embed_track(self.mean, t) for t in read_tracks(self.cache, "val", CHECK_S)])
        row = table["all"]
        # Whole clips saturate; three-second pieces tell networks apart that both have them right.
        figure = ((row["whole_clip"] or 0) + (row.get("piece_3s") or 0)) / 2
        if figure > self.state.best:
            self.state.best = figure
            weights.save(self.mean, self.out / "best.safetensors", {"step": str(self.state.step)})
        self._log({"validation": table, "figure": round(figure, 4), "best": round(self.state.best, 4)}, lambda _: say(json.dumps(row)))

    def _save(self) -> None:
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
        if not self.ranks.first:
            return
        line = json.dumps({"step": self.state.step, "minutes": round(self.state.elapsed_s / 60, 2), **row})
        with open(self.out / "log.jsonl", "a") as f:
            f.write(line + "\n")
        if say:
            say(line)
