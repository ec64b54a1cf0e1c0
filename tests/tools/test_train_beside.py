"""Training on a Caffe without our layers: the tools and python_layers under BVLC's pycaffe."""

import os
import shutil
import subprocess

import cache_teacher
import pytest
import rewrite_net
import train

from tests.tools import original_fakes
from tests.tools.tiny_stages import losses, write_stages

TOOLS = {"train.py": train, "cache_teacher.py": cache_teacher}
SHORT = ("--iterations", "3", "--display", "1")
SMALLER = ("--student-size", "48")
# {what is compared: (commands, the trained stages)}
CASES = {
    "stages": (
        [("train.py", "wsddn", "student", "stage1", "stage2", *SHORT)],
        ("wsddn", "student", "stage1", "stage2"),
    ),
    "cached": (
        [
            ("cache_teacher.py", *SMALLER),
            ("train.py", "stage1", "stage2", *SHORT, *SMALLER, "--cache"),
        ],
        ("stage1", "stage2"),
    ),
    "options": (
        [("train.py", "stage1", *SHORT, *SMALLER, "--taps", "conv4_3", "conv3_3",
          "--objectness", "sum", "--score", "one")],
        ("stage1",),
    ),
    "fitnets": (
        [("train.py", "stage1", "stage2", *SHORT, "--method", "fitnets")],
        ("fitnets/stage1", "fitnets/stage2"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(folder, words, options of BVLC's Caffe): a teacher in runs/, nets for BVLC in bvlc/."""
    folder = tmp_path_factory.mktemp("beside")
    words = write_stages(folder)
    for path in (folder / "models").rglob("*.prototxt"):
        target = folder / "bvlc" / path.relative_to(folder / "models")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "solver.prototxt":
            shutil.copy(path, target)
        else:
            assert rewrite_net.main([str(path), str(target)]) == 0
    return folder, words, original_fakes.bvlc(folder)


def results(tiny, name):
    """A new folder of results, with the trained teacher unless the teacher is to be trained."""
    folder = tiny[0] / name
    if not name.startswith("stages"):
        shutil.copytree(tiny[0] / "runs/seed1/wsddn", folder / "seed1/wsddn")
    return folder


def run_beside(tiny, tool, *words):
    """Run a tool on the other Caffe."""
    _, python, _, path = tiny[2]
    script = original_fakes.REPOSITORY / "tools" / tool
    ended = subprocess.run(
        [python, script, *words],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", CASES)
def test_the_same_losses(tiny, name):
    commands, stages = CASES[name]
    here, there = results(tiny, f"{name}_here"), results(tiny, f"{name}_there")
    for tool, *words in commands:
        words = [*words, *tiny[1]]
        assert TOOLS[tool].main([*words, "--runs", str(here)]) == 0
        run_beside(tiny, tool, *words, "--runs", there, "--models", tiny[0] / "bvlc")
    for stage in stages:
        got, wanted = losses(there, stage), losses(here, stage)
        assert len(got) == len(wanted) == 3
        for mine, other in zip(got, wanted, strict=True):
            for loss in (key for key in other if key.startswith("loss")):
                assert mine[loss] == pytest.approx(other[loss], rel=1e-4), (stage, loss)


def test_the_other_caffe_has_nothing_of_ours(tiny):
    text = "import caffe; print(len(caffe.layer_type_list()), hasattr(caffe, 'CaffeError'))"
    _, python, _, path = tiny[2]
    environment = os.environ | {"PYTHONPATH": path}
    script = tiny[0] / "list.py"
    script.write_text(text)
    listed = subprocess.check_output([python, script], env=environment, text=True)
    assert listed == f"{len(original_fakes.BVLC)} False\n"
