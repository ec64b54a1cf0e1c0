"""The other methods of --method, and the variants of ours' stage 1, in small: live and cached."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cache_teacher
import numpy as np
import pytest
import teacher
import train

import caffe
from python_layers.only_run import only_run
from tests.tools.tiny_stages import losses, write_stages

ROOT = Path(__file__).parents[2]
STAGES = [stage for stage in teacher.ASKED if "/" in stage]
METHODS = ("hinton", "fitnets", "attention", "released")
VARIANTS = ("--taps", "conv4_3", "conv3_3", "--objectness", "sum")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(folder, words) with a teacher in runs/."""
    folder = tmp_path_factory.mktemp("tiny")
    return folder, write_stages(folder)


def learn(words, runs, *more):
    """Train four iterations, stopped after two; the second exit code."""
    words = ["stage1", "stage2", *words, "--display", "1", "--runs", str(runs), *more]
    assert train.main([*words, "--iterations", "2"]) == 0
    return train.main([*words, "--iterations", "4"])


def runs_of(tiny, name):
    """A folder of results with the teacher in it."""
    folder = tiny[0] / name
    shutil.copytree(tiny[0] / "runs/seed1/wsddn", folder / "seed1/wsddn")
    return folder


@pytest.fixture(scope="module", params=[*METHODS, "ours"])
def trained(request, tiny):
    """(method's words, its stages, the runs of live training)."""
    words = ["--method", request.param] if request.param != "ours" else [*VARIANTS]
    stages = [stage for stage in STAGES if stage.startswith(request.param)] or ["stage1"]
    runs = runs_of(tiny, request.param)
    assert learn([*words, *tiny[1]], runs) == 0
    return words, stages, runs


def test_the_cache_gives_the_losses_of_the_live_teacher(tiny, trained):
    words, stages, live = trained
    runs = runs_of(tiny, f"{live.name}_cached")
    words = [*words, *tiny[1]]
    assert cache_teacher.main([*words, "--batch-size", "2", "--runs", str(runs)]) == 0
    assert learn(words, runs, "--cache") == 0
    for stage in stages:
        got, wanted = losses(runs, stage), losses(live, stage)
        assert len(got) == len(wanted) == 4
        assert len({line["loss"] for line in wanted}) == 4
        for mine, other in zip(got, wanted, strict=True):
            for name in (name for name in other if name.startswith("loss")):
                assert mine[name] == pytest.approx(other[name], rel=2e-5), stage
        net = caffe.Net(str(runs / "seed1" / stage / "train.prototxt"), caffe.TRAIN)
        assert not [name for name in net.params if name.startswith("teacher_")]


def test_a_second_run_in_one_folder_is_refused(tiny, capsys):
    runs = runs_of(tiny, "twice")
    words = ["stage1", *tiny[1], "--runs", str(runs), "--iterations", "1"]
    with only_run(runs / "seed1/stage1"):
        assert train.main(words) == 1
        assert not [*(runs / "seed1/stage1").iterdir()]
    assert "seed1/stage1: another run is writing here; wait for it" in capsys.readouterr().err
    assert train.main(words) == 0


def test_only_the_same_variant_goes_on(tiny, trained, capsys):
    words, stages, live = trained
    if stages != ["stage1"]:
        pytest.skip("ours' variants")
    shared = ["stage1", *tiny[1], "--runs", str(live), "--iterations", "6"]
    assert train.main([*shared, *words[:3], "--objectness", "max"]) == 1
    assert "started with other options (objectness sum -> max)" in capsys.readouterr().err
    assert train.main([*shared, "--taps", "conv3_3", "--objectness", "sum"]) == 1
    assert "taps ['conv4_3', 'conv3_3'] -> ['conv3_3']" in capsys.readouterr().err


def test_stage_2_gets_the_layers_that_stage_1_had_no_use_for(tiny, trained):
    _, stages, live = trained
    if len(stages) < 2:
        pytest.skip("has no stage 1 of its own")
    (own,) = (live / "seed1" / stages[1]).glob("*_iter_4.caffemodel")
    net = caffe.Net(str(live / "seed1" / stages[1] / "train.prototxt"), str(own), caffe.TRAIN)
    deploy = str(tiny[0] / "models/demo/wsddn/deploy.prototxt")
    (weights,) = (live / "seed1/wsddn").glob("*.caffemodel")
    wsddn = caffe.Net(deploy, str(weights), caffe.TEST)
    for name, blobs in wsddn.params.items():
        for mine, blob in zip(net.params[f"teacher_{name}"], blobs, strict=True):
            np.testing.assert_array_equal(mine.data, blob.data)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("stage1 --method fitnets --taps conv3_3", "--taps changes stage1 of --method ours"),
        ("stage2 --objectness sum", "--objectness changes stage1 of --method ours, which is not"),
        ("stage2 --method hinton --stage1 x", "--stage1: hinton has no stage 1"),
        ("stage1 --stage1 x", "--stage1 is what stage2 starts from, which is not asked for"),
        ("stage2 --method hinton --backbone resnet18", "student of --method hinton has vgg16"),
    ],
)
def test_what_does_not_go_together_is_told(tiny, capsys, words, told):
    assert train.main([*words.split(), *tiny[1]]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_a_stage_that_the_method_lacks(tiny, capsys):
    assert train.main(["stage1", "--method", "attention", *tiny[1]]) == 0
    told = "attention/stage1: no such stage, attention goes on without\n"
    assert capsys.readouterr().out == told
    assert cache_teacher.main(["stage1", "--method", "hinton", *tiny[1]]) == 1
    assert "--method hinton has no stage1: nothing to cache" in capsys.readouterr().err


def test_distill_passes_the_method_on(tiny):
    runs = runs_of(tiny, "by_distill")
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    command = [str(ROOT / "tools/distill.sh"), "--method", "hinton", "stage1", "stage2"]
    command += [*tiny[1], "--runs", str(runs), "--iterations", "1", "--display", "1", "--cache"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "hinton/stage2: 7 images x 4 variants" in done.stdout
    assert "hinton/stage1: no such stage, hinton goes on without" in done.stdout
    assert len(losses(runs, "hinton/stage2")) == 1
    command[2:5] = ["magic", "stage2"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--method: invalid choice: 'magic'" in done.stderr
