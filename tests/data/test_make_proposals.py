"""Proposals of a set: the same for any number of workers, resumed, checked, measured."""

import concurrent.futures.process
import errno
import os

import make_proposals
import numpy as np
import pytest
from prepared import own_folder

from python_layers.array_file import DataError, read_arrays, write_arrays
from python_layers.prepared_set import PreparedSet
from tests.prepared_sets import make_set

SETTINGS = {"boxes": 5, "method": "selective-search-fast", "max_side": None}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(make_proposals, "SHARD", 3)
    out, *_ = make_set(tmp_path, suffix=".jpg")
    (out / "proposals.arr").unlink()
    return out


def test_any_number_of_workers_writes_the_same_bytes(folder):
    assert make_proposals.make_proposals(folder, SETTINGS, workers=1)
    first = (folder / "proposals.arr").read_bytes()
    assert not make_proposals.make_proposals(folder, SETTINGS, workers=1), "nothing to do"
    (folder / "proposals.arr").unlink()
    assert make_proposals.make_proposals(folder, SETTINGS, workers=2)
    assert (folder / "proposals.arr").read_bytes() == first
    assert not (folder / "proposals.parts").exists()
    arrays, meta = read_arrays(folder / "proposals.arr")
    assert arrays["boxes"].shape == (7, 5, 5)
    other = {**meta, "settings": {**meta["settings"], "max_side": 99}}
    assert not make_proposals.is_made(folder / "proposals.arr", other), "other settings count"
    for index in range(7):
        assert len(PreparedSet(folder).proposals(index, 5)) == arrays["counts"][index]


def test_an_interrupted_run_goes_on_with_what_it_has(folder):
    path = folder.parent / "images" / "6.jpg"
    content = path.read_bytes()
    path.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"6\.jpg: expected a whole JPEG"):
        make_proposals.make_proposals(folder, SETTINGS, workers=1)
    parts = folder / "proposals.parts"
    assert sorted(p.name for p in parts.iterdir()) == ["0000000.arr", "0000003.arr"]
    arrays, meta = read_arrays(parts / "0000003.arr")
    marked = {**arrays, "boxes": arrays["boxes"].copy()}
    marked["boxes"][0, 0] = [1, 2, 3, 4, 0.5]
    write_arrays(parts / "0000003.arr", marked, meta)
    (parts / "0000000.arr").write_bytes(b"half a file")
    path.write_bytes(content)
    assert make_proposals.make_proposals(folder, SETTINGS, workers=1)
    prepared = PreparedSet(folder)
    np.testing.assert_array_equal(prepared.proposals(3, 1), [[1, 2, 3, 4, 0.5]])
    assert len(prepared.proposals(0, 5))


def test_boxes_found_on_a_small_copy_are_in_the_image_frame():
    def whole_image(image, limit):
        assert image.shape == (16, 20, 3)
        return np.array([[0, 0, 19, 15, 0.7], [5, 4, 9, 7, 0.2]], np.float32)

    settings = {**SETTINGS, "max_side": 20}
    boxes = make_proposals.propose(whole_image, np.zeros((48, 60, 3), np.uint8), settings)
    np.testing.assert_allclose(boxes, [[0, 0, 59, 47, 0.7], [15, 12, 29, 23, 0.2]], rtol=1e-6)


def test_a_file_that_is_no_forest_is_named(folder, tmp_path):
    (tmp_path / "forest.yml.gz").write_bytes(b"no forest")
    settings = {**SETTINGS, "method": "edgeboxes"}
    with pytest.raises(DataError, match=r"forest\.yml\.gz: expected a structured forest"):
        make_proposals.make_proposals(folder, settings, tmp_path / "forest.yml.gz", workers=1)


def test_options_that_do_not_fit_are_refused(capsys):
    with pytest.raises(SystemExit):
        make_proposals.main(["--set", "x", "--model", "m.yml.gz"])
    assert "--model belongs to --method edgeboxes" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        make_proposals.main(["--set", "x", "--boxes", "0"])
    assert "expected an integer >= 1, got '0'" in capsys.readouterr().err
    for words, message in (
        (["--import", "x.mat", "--max-side", "9"], "belong to computing, not to --import"),
        (["--frame", "8x9"], "--annotations, --frame and --allow-missing belong to --import"),
    ):
        with pytest.raises(SystemExit):
            make_proposals.main(["--set", "x", *words])
        assert message in capsys.readouterr().err


def test_a_missing_model_is_named(tmp_path):
    make_set(tmp_path)
    words = ["--set", str(tmp_path / "set"), "--method", "edgeboxes", "--model", "none.yml.gz"]
    with pytest.raises(DataError, match=r"^none\.yml\.gz: no such file: expected a structured"):
        make_proposals.main(words)


def test_a_second_run_at_once_is_refused(folder):
    with own_folder(folder), pytest.raises(DataError, match="set: another run is writing here"):
        make_proposals.make_proposals(folder, SETTINGS, workers=1)
    assert make_proposals.make_proposals(folder, SETTINGS, workers=1)


def test_a_full_disk_keeps_the_shards_that_are_made(folder, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(make_proposals, "write_proposals", full)
        with pytest.raises(DataError, match="set: no space left on the disk; free some and run"):
            make_proposals.make_proposals(folder, SETTINGS, workers=1)
    assert len(list((folder / "proposals.parts").iterdir())) == 3
    monkeypatch.setattr(make_proposals, "make_shard", None)  # nothing is left to compute
    assert make_proposals.make_proposals(folder, SETTINGS, workers=1)


def test_a_killed_worker_is_named_and_keeps_the_shards(folder, monkeypatch):
    class Broken(concurrent.futures.ThreadPoolExecutor):
        def __init__(self, workers, *args):
            super().__init__(workers)

        def submit(self, work, *args):
            raise concurrent.futures.process.BrokenProcessPool("terminated abruptly")

    monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", Broken)
    with pytest.raises(DataError, match=r"set: a worker was killed, .* with fewer --workers"):
        make_proposals.make_proposals(folder, SETTINGS, workers=1)


def test_boxes_that_count_alike(folder, capsys):
    words = ["--set", str(folder), "--boxes", "5", "--workers", "1", "--method"]
    make_proposals.main([*words, "selective-search-fast"])
    prepared = PreparedSet(folder)
    own = [prepared.proposals(index, 5) for index in range(7)]
    assert prepared.has_scores()
    make_proposals.main([*words, "selective-search-fast", "--score", "one"])
    assert capsys.readouterr().out == f"{folder}: proposals made\n" * 2
    prepared = PreparedSet(folder)
    assert not prepared.has_scores()
    for index, boxes in enumerate(own):
        np.testing.assert_array_equal(prepared.proposals(index, 5)[:, :4], boxes[:, :4])
        assert (prepared.proposals(index, 5)[:, 4] == 1).all()
