"""Training runs: files, seeds, resuming, learning."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_helpers import DISABLED, SINGLE, TINY, log_rows, same_weights, short_recipe, training_loss

from resync.errors import DataError
from resync.syncnet.checkpoint import load_model, save_model
from resync.syncnet.model import ICSyncNet
from resync.training.dataset import draw_batch
from resync.training.train import Trainer

pytestmark = pytest.mark.usefixtures("clock")


def train(cache, out, recipe, dimensions=TINY, **kw):
    trainer = Trainer(cache, out, recipe, dimensions=dimensions, rank=SINGLE, **kw)
    return trainer, trainer.run(lambda line: None)


def test_files_of_a_run(cache, tmp_path):
    trainer, best = train(cache, tmp_path, short_recipe(4))
    assert trainer.state.step == 4
    first, *_, last = log_rows(tmp_path)
    assert first["recipe"]["batch"] == 2 and first["tracks"] == 2 and last["best"] == pytest.approx(best, abs=1e-4)
    assert load_model(tmp_path / "best.safetensors").dimensions == TINY and not list(tmp_path.glob("*.tmp"))


def test_fields_of_the_log_and_the_checkpoint(cache, tmp_path, monkeypatch):
    """They do not change, so that older runs can be read and resumed."""
    monkeypatch.setattr("resync.training.train.LOG_STEPS", 3)
    lines = []
    trainer = Trainer(cache, tmp_path, short_recipe(4), dimensions=TINY, rank=SINGLE)
    trainer.run(lines.append)
    start, step, check = log_rows(tmp_path)
    assert set(start) == {"step", "minutes", "recipe", "tracks", "device", "devices", "bfloat16"}
    assert set(step) == {"step", "minutes", "loss", "rate", "scale", "bias"} and step["step"] == 3
    assert set(check) == {"step", "minutes", "validation", "figure", "best"}
    assert len(lines) == 2, "one line for the steps, one for the validation"
    checkpoint = torch.load(tmp_path / "last.pt", weights_only=True)
    assert set(checkpoint) == {"net", "mean", "optimizer", "state"} and set(checkpoint["state"]) == {"step", "elapsed_s", "best"}


def test_the_same_seed_gives_the_same_network(cache, tmp_path):
    a, b, other = (train(cache, tmp_path / name, short_recipe(5, seed=seed))[0].net for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert same_weights(a, b) and not same_weights(a, other)


def test_a_resumed_run_equals_an_uninterrupted_one(cache, tmp_path, monkeypatch):
    recipe = short_recipe(10, check_minutes=5 / 60)
    uninterrupted, _ = train(cache, tmp_path / "uninterrupted", recipe)

    class Interrupted(Exception):
        pass

    def interrupt_after_saving(*args):
        if args[-1][1] == 5:  # the step
            raise Interrupted
        return draw_batch(*args)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr("resync.training.train.draw_batch", interrupt_after_saving)
        train(cache, tmp_path / "interrupted", recipe)
    torch.manual_seed(99)  # another process starts with other random numbers
    resumed = Trainer(cache, tmp_path / "interrupted", recipe, dimensions=TINY, rank=SINGLE)
    assert (resumed.state.step, resumed.state.elapsed_s) == (5, 5.0)
    resumed.run(lambda line: None)
    assert resumed.state.step == uninterrupted.state.step == 10
    assert same_weights(uninterrupted.net, resumed.net) and same_weights(uninterrupted.average_net, resumed.average_net)


def test_a_finished_run_is_not_trained_further(cache, tmp_path):
    first, best = train(cache, tmp_path, short_recipe(3))
    again, best_again = train(cache, tmp_path, short_recipe(3))
    assert again.state.step == 3 and best_again == best and same_weights(first.net, again.net)


def test_unusable_checkpoints(cache, tmp_path):
    for content in (b"nonsense", b""):
        (tmp_path / "last.pt").write_bytes(content)
        with pytest.raises(DataError, match="last.pt") as error:
            train(cache, tmp_path, short_recipe(1))
        assert "\n" not in str(error.value)
    train(cache, tmp_path / "other", short_recipe(1))
    with pytest.raises(DataError, match="last.pt") as error:
        train(cache, tmp_path / "other", short_recipe(1), dimensions=replace(TINY, embedding=24))
    assert "\n" not in str(error.value)


def test_dropblock_is_off_at_the_end_of_a_run(cache, tmp_path, monkeypatch):
    probabilities = []

    class Recorder(ICSyncNet):
        def set_dropblock(self, probability):
            probabilities.append(probability)
            super().set_dropblock(probability)

    monkeypatch.setattr("resync.training.train.ICSyncNet", Recorder)
    train(cache, tmp_path, short_recipe(10, dropblock=0.1, tune=0.3))
    assert probabilities == [0.1] * 7 + [0.0] * 3


def test_start_from_given_weights(cache, tmp_path, net):
    save_model(net, tmp_path / "start.safetensors")
    trainer = Trainer(cache, tmp_path / "run", short_recipe(1), rank=SINGLE, start=tmp_path / "start.safetensors")
    assert same_weights(trainer.net, net) and trainer.net.dimensions == TINY


def test_loss_falls(cache, tmp_path):
    augment = replace(DISABLED, repeat=0.01)
    recipe = short_recipe(120, batch=4, sequence=12, rate=4e-3, warmup=5, dropblock=0.0, average=0.9, augment=augment)
    trainer = Trainer(cache, tmp_path, recipe, dimensions=TINY, rank=SINGLE)
    before = training_loss(trainer.average_net, cache)
    trainer.run(lambda line: None)
    after = training_loss(load_model(tmp_path / "best.safetensors"), cache)
    assert after < before and after < 0.85 * 2 * np.log(2), "better than a network that knows nothing"
