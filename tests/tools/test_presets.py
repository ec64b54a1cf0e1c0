"""--memory: the preset's sizes, the options that win against it, what is wrong in one line."""

import json

import presets
import pytest
import train
from errors import UserError

from tests.tools import tiny_stages

ROWS = {
    "8": {"batch_size": 1, "iter_size": 3, "recompute": True, "bytes": 9},
    "16": {"batch_size": 3, "iter_size": 1, "recompute": False, "bytes": 11},
    "24": {"bytes": 5 * 2**29},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "presets.json").write_text(json.dumps({"student": ROWS, "wsddn": {}}))
    return tmp_path / "student"


def options(*words):
    return train.parser().parse_args(["student", *words])


def test_sizes_of_the_memory(folder):
    asked = options("--memory", "8")
    found = presets.with_sizes(asked, folder)
    assert (found.batch_size, found.iter_size, found.recompute) == (1, 3, True)
    assert (asked.batch_size, asked.iter_size, asked.recompute) == (None, None, False)
    found = presets.with_sizes(options("--memory", "16", "--recompute"), folder)
    assert (found.batch_size, found.iter_size, found.recompute) == (3, 1, True)


@pytest.mark.parametrize("words", ["", "--batch-size 2", "--memory 8 --iter-size 7"])
def test_explicit_sizes_win(folder, words):
    asked = options(*words.split())
    assert presets.with_sizes(asked, folder) is asked


def test_a_preset_that_does_not_exist(folder, tmp_path):
    with pytest.raises(UserError) as caught:
        presets.with_sizes(options("--memory", "12"), folder)
    assert str(caught.value) == (
        f"--memory 12: expected a preset of {folder}, {tmp_path / 'presets.json'} has those of "
        "8, 16, 24 GB; give one of them, or --batch-size and --iter-size"
    )
    with pytest.raises(UserError, match="has none; give one of them"):
        presets.of_stage(tmp_path / "wsddn", "8")
    (tmp_path / "presets.json").unlink()
    with pytest.raises(UserError, match="got no such file; give --batch-size and --iter-size"):
        presets.of_stage(folder, "8")


def test_a_stage_that_fits_nowhere(folder):
    with pytest.raises(UserError) as caught:
        presets.of_stage(folder, "24")
    assert str(caught.value) == (
        f"--memory 24: {folder} takes 2.5 GiB for one image even with --recompute (computed); give "
        "smaller --scales or --precision bf16 together with --batch-size 1, --iter-size and "
        "--recompute, or take a GPU with more memory"
    )


def test_training_with_a_preset_has_the_whole_batch_in_each_step(tmp_path, capsys):
    words = tiny_stages.write_stages(tmp_path)
    (tmp_path / "models/demo/presets.json").write_text(json.dumps({"student": ROWS}))
    words += ["--iterations", "2", "--display", "1"]
    runs = {}
    for memory in ("8", "16"):
        words[words.index("--runs") + 1] = str(tmp_path / f"runs{memory}")
        assert train.main(["student", *words, "--memory", memory]) == 0
        about = (tmp_path / f"runs{memory}/seed1/student/log.jsonl").read_text().splitlines()[0]
        assert json.loads(about)["batch_size"] == tiny_stages.BATCH
        solver = (tmp_path / f"runs{memory}/seed1/student/solver.prototxt").read_text()
        runs[memory] = "iter_size: 3" in solver
    assert runs == {"8": True, "16": False}
    capsys.readouterr()
    assert train.main(["student", *words, "--memory", "9"]) == 1
    assert capsys.readouterr().err.startswith("train.py: --memory 9: expected a preset of ")
