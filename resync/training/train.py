"""Train IC-SyncNet on a prepared cache: seeded, resumable, on one device or several, keeping the best checkpoint."""

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

from ..errors import DataError
from ..syncnet.checkpoint import load_model, save_model
from ..syncnet.dimensions import Dimensions
from ..syncnet.model import ICSyncNet
from .accuracy import accuracy_table, tally_tracks
from .augment import Augment, augment_audio, view_crops
from .cache import relative_crop_side
from .dataset import TrackDataset, draw_batch, stack_windows
from .embed import embed_track, inference_backend, read_tracks
from .losses import batch_weights, bbce, ranking_loss
from .ranks import Rank
from .repair import read_delays

VALIDATION_S = 8.0  # of each validation clip are used during training
LOG_STEPS = 100  # steps between two lines of the log


@dataclass(frozen=True)
class Recipe:
    """All settings of a run. The field names are keys of --recipe files and of the first line of the log."""

    minutes: float = 60.0
    steps: int = 0  # if set, the length of the run in steps instead of minutes: the same on any machine
    batch: int = 12  # sequences per step
    sequence: int = 20  # windows per sequence, all negatives of one another
    gap: float = 2.0  # frames from which a pair counts as negative
    near: float = 1.0  # weight of negative pairs up to four frames apart
    cross: float = 0.0  # share of the negative loss given to pairs of different clips
    rank: float = 0.0  # weight of the loss that ranks the offsets of a sequence, besides the balanced BCE
    rate: float = 1e-3
    decay: float = 0.02
    warmup: int = 200  # steps
    dropblock: float = 0.1
    tune: float = 0.2  # last share of the run, without DropBlock ("drop and tune")
    average: float = 0.999  # decay of the exponential moving average of the weights
    power: float = 0.6  # speakers are drawn in proportion to (their frames) ** power
    skip: tuple[str, ...] = ()  # sources left out
    people: float = 1.0  # share of the speakers that is used, for learning curves
    check_minutes: float = 10.0  # between two validations
    seed: int = 0
    compile: bool = False
    bfloat16: bool | None = None  # mixed precision; None: where the device computes faster in it
    augment: Augment = field(default_factory=Augment)


@dataclass
class State:
    """What a run needs to resume; the fields are keys of `last.pt`."""

    step: int = 0
    elapsed_s: float = 0.0
    best: float = -1.0


def is_fast_in_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies matrices faster in bfloat16 than in float32: a GPU, or a processor with AMX.

    Without AMX it took twice as long as float32 (43 against 82 billion multiply-adds a second on one core).
    """
    return device.type == "cuda" or torch.cpu._is_amx_tile_supported()


class Trainer:
    """One run in the folder `out`: `log.jsonl`, `last.pt` (to resume) and `best.safetensors`.

    start: weights to start from, in place of random ones with these dimensions. Raises DataError if the
    cache or `last.pt` is unusable, and WeightsError.
    """

    def __init__(
        self,
        cache: Path,
        out: Path,
        recipe: Recipe = Recipe(),
        *,
        dimensions: Dimensions = Dimensions(),
        rank: Rank,
        start: Path | None = None,
    ):
        out.mkdir(parents=True, exist_ok=True)
        self.cache, self.out, self.recipe = cache, out, recipe
        self.rank, self.device, self.batch_slice = rank, rank.device, rank.batch_slice(recipe.batch)
        torch.manual_seed(recipe.seed)
        self.dataset = TrackDataset(
            cache, "train", sequence=recipe.sequence, skip=recipe.skip, power=recipe.power, people=recipe.people, delays=read_delays(cache)
        )
        self.net = load_model(start) if start else ICSyncNet(dimensions)
        self.net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's type hints
        self.average_net = copy.deepcopy(self.net).eval()
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), lr=recipe.rate, fused=True)
        model = rank.wrap(self.net)
        self.pair_logits = torch.compile(model) if recipe.compile else model
        weights = batch_weights(recipe.batch // rank.world_size, recipe.sequence, recipe.gap, recipe.near, recipe.cross)
        self.bfloat16 = is_fast_in_bfloat16(self.device) if recipe.bfloat16 is None else recipe.bfloat16
        self.positive, self.negative = (weight.to(self.device) for weight in weights)
        self.state = State()
        if (out / "last.pt").exists():
            self._resume()

    def run(self, report: Callable[[str], None] = print) -> float:
        """Train to the end of the recipe; returns the best validation score. report: gets each line of progress."""
        recipe, losses = self.recipe, []
        self._log(
            {
                "recipe": asdict(recipe),
                "tracks": len(self.dataset.tracks),
                "device": str(self.device),
                "devices": self.rank.world_size,
                "bfloat16": self.bfloat16,
            }
        )
        next_check = self.state.elapsed_s + 60 * recipe.check_minutes
        while (progress := self._progress()) < 1:
            began = time.monotonic()
            losses.append(self._step(progress))
            self.state.elapsed_s = self.rank.broadcast(self.state.elapsed_s + time.monotonic() - began)
            if self.state.step % LOG_STEPS == 0:
                self._log_step(progress, losses, report)
                losses = []
            if self.state.elapsed_s >= next_check:
                self._checkpoint(report)
                next_check += 60 * recipe.check_minutes
        self._checkpoint(report)
        return self.state.best

    def _step(self, progress: float) -> float:
        """One optimiser step; returns the loss, averaged over all processes."""
        recipe = self.recipe
        self.net.train()
        self.net.set_dropblock(recipe.dropblock if progress < 1 - recipe.tune else 0.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(progress) * group["times"]
        # Seeds depend on the step, so that a resumed run draws what an uninterrupted one would have drawn.
        torch.manual_seed(int(np.random.default_rng((recipe.seed, self.state.step, self.rank.rank)).integers(2**62)))
        crops, mels = draw_batch(self.dataset, self.batch_slice, recipe.sequence, recipe.augment, (recipe.seed, self.state.step))
        crops, mels = crops.to(self.device, non_blocking=True), mels.to(self.device, non_blocking=True)
        crop = self.net.dimensions.crop
        views = view_crops(crops, crop.size, relative_crop_side(crop), recipe.augment)
        mouth, audio = stack_windows(views, augment_audio(mels, recipe.augment))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = self.pair_logits(mouth, audio)
        loss = bbce(logits, self.positive, self.negative)
        if recipe.rank:
            loss = loss + recipe.rank * ranking_loss(logits, self.positive, self.negative)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self._update_average()
        self.state.step += 1
        return float(self.rank.mean(loss.detach()))

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential moving average of weights and batch-norm statistics, over fewer steps at first."""
        decay = min(self.recipe.average, (1 + self.state.step) / (10 + self.state.step))
        for average, current in zip(self.average_net.state_dict().values(), self.net.state_dict().values()):
            if average.dtype.is_floating_point:
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(current)

    def _parameter_groups(self) -> list[dict]:
        """Weight decay for kernels only; ten times the learning rate for scale and bias of the probability."""
        calibration = [self.net.log_scale, self.net.bias]
        others = [p for p in self.net.parameters() if all(p is not c for c in calibration)]
        return [
            {"params": [p for p in others if p.ndim > 1], "weight_decay": self.recipe.decay, "times": 1.0},
            {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0, "times": 1.0},
            {"params": calibration, "weight_decay": 0.0, "times": 10.0},
        ]

    def _progress(self) -> float:
        """Share of the run that is done, by steps if the recipe limits them, else by time."""
        return self.state.step / self.recipe.steps if self.recipe.steps else self.state.elapsed_s / (60 * self.recipe.minutes)

    def _learning_rate(self, progress: float) -> float:
        """Linear warm-up, then cosine decay to 1 %."""
        warmup = min(1.0, (self.state.step + 1) / self.recipe.warmup)
        return self.recipe.rate * warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))

    def _checkpoint(self, report: Callable[[str], None]) -> None:
        """Validate the averaged network, save it if it is the best so far, and save the state to resume from."""
        if self.rank.is_main:
            self._validate(report)
            self._save()
        self.rank.barrier()

    def _validate(self, report: Callable[[str], None]) -> None:
        tracks = read_tracks(self.cache, "val", VALIDATION_S, "choose")
        backend = inference_backend(self.average_net)
        table = accuracy_table(tally_tracks(self.average_net, [embed_track(backend, track) for track in tracks]))
        row = table["all"]
        # Whole clips saturate; windows and short segments still differ between networks that get all whole clips right.
        score = sum(row[key] or 0 for key in ("frames_5", "frames_15", "piece_2s")) / 3
        if score > self.state.best:
            self.state.best = score
            save_model(self.average_net, self.out / "best.safetensors", {"step": str(self.state.step)})
        self._log({"validation": table, "figure": round(score, 4), "best": round(self.state.best, 4)})
        report(json.dumps(row))

    def _save(self) -> None:
        checkpoint = {
            "net": self.net.state_dict(),
            "mean": self.average_net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": asdict(self.state),
        }
        torch.save(checkpoint, self.out / "last.tmp")
        (self.out / "last.tmp").replace(self.out / "last.pt")

    def _resume(self) -> None:
        path = self.out / "last.pt"
        try:
            checkpoint = torch.load(path, map_location=self.device, weights_only=True)
            self.net.load_state_dict(checkpoint["net"])
            self.average_net.load_state_dict(checkpoint["mean"])
            self.optimizer.load_state_dict(checkpoint["optimizer"])
            self.state = State(**checkpoint["state"])
        except (OSError, KeyError, TypeError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as e:
            reason = next(iter(str(e).splitlines()), type(e).__name__)
            raise DataError(f"{path}: cannot resume from it ({reason}); use another output folder") from e

    def _log_step(self, progress: float, losses: list[float], report: Callable[[str], None]) -> None:
        row = {
            "loss": round(float(np.mean(losses)), 4),
            "rate": self._learning_rate(progress),
            "scale": round(self.net.log_scale.exp().item(), 3),
            "bias": round(self.net.bias.item(), 3),
        }
        line = self._log(row)
        if line:
            report(line)

    def _log(self, row: dict) -> str:
        """Append a line to the log and return it; "" in processes other than the main one, which do not log."""
        if not self.rank.is_main:
            return ""
        line = json.dumps({"step": self.state.step, "minutes": round(self.state.elapsed_s / 60, 2), **row})
        with open(self.out / "log.jsonl", "a") as log:
            log.write(line + "\n")
        return line
