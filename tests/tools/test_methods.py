"""The other methods of --method, and the variants of ours' stage 1, in small: live and cached."""

import shutil
from pathlib import Path

import cache_teacher
import pytest
import teacher
import train

import caffe
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
    limits = ["--iterations", "4", "--display", "1", "--snapshot", "2", "--runs", str(runs)]
    return train.main(["stage1", "stage2", *words, *limits, *more])


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
