"""Training caches, indices and run folders of others: nothing is unpickled, and no name leads out of its folder."""

import io
import json
import pickle
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hostile_files import audio_track, clusters, image, matroska, video_track
from training_helpers import make_entry

from resync.errors import DataError, MediaError
from resync.training.cache import INDEX_NAME, read_index, read_mels
from resync.training.clips import find_clips, read_clip
from resync.training.prepare import prepare_cache
from resync.training.repair import read_delays
from resync.training.train import Trainer


class Evil:
    def __reduce__(self):
        return pytest.fail, ("was run",)


@pytest.mark.parametrize("name", ["../../secret", "/etc/secret", "a/b"])
def test_names_of_tracks_that_lead_out_of_the_cache(tmp_path, name):
    (tmp_path / INDEX_NAME).write_text(json.dumps(asdict(make_entry(name=name))) + "\n")
    with pytest.raises(DataError, match="not the name of a track"):
        read_index(tmp_path)


def test_deep_json(tmp_path):
    for name, read in ((INDEX_NAME, read_index), ("delays.json", read_delays)):
        (tmp_path / name).write_text("[" * 100_000)
        with pytest.raises(DataError, match=r"^[^\n]*(not a training cache|cannot read)"):
            read(tmp_path)


@pytest.mark.parametrize("file", ["../secret.mp4", "/etc/secret.mp4", "a/../../secret.mp4"])
def test_names_in_an_index_that_lead_out_of_the_folder_of_clips(tmp_path, file):
    (tmp_path / "clips" / "a").mkdir(parents=True)
    (tmp_path / "secret.mp4").touch()
    (index := tmp_path / "index.tsv").write_text(f"file\tsplit\tsource\tspeaker\n{file}\ttrain\ts\tp\n")
    with pytest.raises(DataError, match="leads out of the folder"):
        prepare_cache(tmp_path / "clips", tmp_path / "cache", index=index)
    (listing := tmp_path / "list.txt").write_text(f"{file}\n")
    with pytest.raises(DataError, match="leads out of the folder"):
        find_clips(tmp_path / "clips", listing)


def test_mel_files_are_data(tmp_path):
    (tmp_path / "mels").mkdir()
    entry, path = make_entry(), tmp_path / "mels" / f"{make_entry().name}.npy"
    header = (
        np.lib.format.magic(1, 0)
        + b"\x76\0"
        + b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 80), }".ljust(117)
        + b"\n"
    )
    np.save(objects := tmp_path / "objects.npy", np.array([Evil()]), allow_pickle=True)
    for content in (pickle.dumps(Evil()), objects.read_bytes(), b"", header):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"^[^\n]*cannot be read"):
            read_mels(tmp_path, entry)


def test_a_run_is_not_unpickled(tmp_path):
    trainer = object.__new__(Trainer)
    trainer.out, trainer.device = tmp_path, torch.device("cpu")
    torch.save({"net": Evil()}, zipped := io.BytesIO())
    for content in (pickle.dumps({"net": Evil()}, protocol=2), zipped.getvalue()):
        (tmp_path / "last.pt").write_bytes(content)
        with pytest.raises(DataError, match=r"^[^\n]*cannot resume from it"):
            trainer._resume()


def test_clips_that_claim_to_last_for_hours_are_left_out(tmp_path):
    (path := tmp_path / "a.mkv").write_bytes(matroska(video_track(), audio_track(), clusters(image(64, 48)), duration_ms=7_200_000.0))
    with pytest.raises(MediaError, match="lasts 120 minutes"):
        read_clip(path, lambda image: pytest.fail("was decoded"))
