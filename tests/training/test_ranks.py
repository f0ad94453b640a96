"""Training by several processes."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from training_helpers import DISABLED, TINY, log_rows, short_recipe, training_loss

from resync.errors import DataError
from resync.syncnet.checkpoint import load_model
from resync.training.ranks import Rank
from resync.training.train import Trainer


def torchrun(processes, cache, out, recipe):
    """`resync train` in so many processes."""
    settings = out.parent / f"{out.name}.json"
    settings.write_text(json.dumps(recipe))
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", "resync"]
    arguments = ["train", cache, out, "--device", "cpu", "--recipe", settings]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *command, *arguments], capture_output=True, text=True, env=environment)


def test_two_processes_learn_what_one_does(cache, tmp_path):
    recipe = {"steps": 60, "batch": 24, "sequence": 8, "warmup": 5, "rate": 2e-3, "dropblock": 0, "average": 0, "check_minutes": 1000}
    recipe |= {"augment": asdict(DISABLED), "dimensions": TINY.to_dict()}
    losses = []
    for processes in (1, 2):
        out = tmp_path / f"run{processes}"
        done = torchrun(processes, cache, out, recipe)
        assert done.returncode == 0, done.stderr
        rows = log_rows(out)
        assert rows[0]["devices"] == processes and len(rows) == 2, "only the main process writes the log"
        losses.append(training_loss(load_model(out / "best.safetensors"), cache))
    # Each process has its own batch statistics, so the networks are similar, not equal.
    assert losses[1] == pytest.approx(losses[0], rel=0.15) and max(losses) < 0.85 * 2 * np.log(2)


def test_a_batch_that_is_not_divisible(cache, tmp_path):
    with pytest.raises(DataError, match="5 sequences is not divisible by 2"):
        Trainer(cache, tmp_path, short_recipe(1, batch=5), dimensions=TINY, rank=Rank(0, 2, torch.device("cpu")))


def test_every_sequence_belongs_to_one_process():
    slices = [Rank(i, 3, torch.device("cpu")).batch_slice(12) for i in range(3)]
    assert [i for s in slices for i in range(s.start, s.stop)] == list(range(12))
