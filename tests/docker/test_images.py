"""What the Dockerfiles say, and what packages.sh says of a base that cannot carry an image."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
NEEDED = (
    "expected Ubuntu 24.04, Debian 12 or newer: they have apt-get and Python 3.11 or newer among "
    "their packages\n"
)


def instructions(name):
    """The instructions of a Dockerfile, continued lines joined, comments left out."""
    text = (DOCKER / name).read_text().replace("\\\n", " ")
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def names(requirements):
    """The packages of requirements, in lower case."""
    return {re.match(r"[\w-]+", requirement)[0].lower() for requirement in requirements}


def test_both_images_differ_in_their_bases_and_what_a_gpu_needs():
    gpu, cpu = instructions("Dockerfile"), instructions("Dockerfile.cpu")
    assert [line for line in cpu if line not in gpu] == [
        "ARG BASE_IMAGE=ubuntu:24.04",
        "FROM ${BASE_IMAGE}",
        'HEALTHCHECK --interval=5m --timeout=1m --start-period=1m CMD ["caffe", "device_query"]',
    ]
    extra = [line.split()[0] for line in gpu if line not in cpu]
    assert extra == ["ARG", "ARG", "ENV", "RUN", "RUN", "FROM", "ENV", "HEALTHCHECK"]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cpu"])
def test_what_runs_is_no_compiler_and_no_root(name):
    lines = instructions(name)
    runtime = lines[[i for i, line in enumerate(lines) if line.startswith("FROM")][-1] :]
    assert runtime[2] == "RUN sh /tmp/packages.sh ca-certificates libgomp1 make"
    assert [line for line in runtime if line.startswith("USER")] == ["USER 1000:1000"]
    assert runtime[-1] == 'ENTRYPOINT ["/caffe/docker/entrypoint.sh"]'
    assert (DOCKER / "entrypoint.sh").stat().st_mode & 0o111 == 0o111


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cpu"])
def test_versions_come_from_requirements_alone(name):
    installs = [line for line in instructions(name) if "pip install" in line]
    assert len(installs) == 2
    for line in installs:
        assert re.search(r"--(requirement|constraint) requirements.txt", line)
        assert "--mount=type=secret,id=pip.conf,target=/etc/pip.conf" in line
        assert "==" not in line


def test_requirements_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all("==" in pin for pin in pins)
    assert names(project["dependencies"]) <= names(pins)


def test_the_build_context_has_the_programs_and_no_data():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored.index("data/*") < ignored.index("!data/*.py")
    assert {".git", "out", "build", "**/*.so"} <= set(ignored)


def packages(tmp_path, *, code=1, **programs):
    """What packages.sh prints on a base that has only these programs, shell texts."""
    for name, text in programs.items():
        path = tmp_path / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    (tmp_path / "rm").symlink_to("/bin/true")
    done = subprocess.run(
        ["/bin/sh", DOCKER / "packages.sh", "make"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    return done.stderr


def test_a_base_without_apt(tmp_path):
    assert packages(tmp_path) == f"base image: it has no apt-get; {NEEDED}"


def test_a_base_that_cannot_read_its_lists(tmp_path):
    told = packages(tmp_path, apt_get="false")
    assert told == f"base image: its apt-get cannot read the lists of packages; {NEEDED}"


def test_a_base_that_offers_no_python(tmp_path):
    told = packages(tmp_path, apt_get='test "$1" = update')
    assert told == f"base image: its apt-get cannot install python3 make; {NEEDED}"


def test_a_base_whose_python_is_old(tmp_path):
    python = 'case "$2" in *print*) echo 3.10;; *) exit 1;; esac'
    told = packages(tmp_path, apt_get="exit 0", python3=python)
    assert told == f"base image: its Python is 3.10; {NEEDED}"


def test_a_base_that_serves(tmp_path):
    assert packages(tmp_path, apt_get="exit 0", python3="echo 3.12", code=0) == ""
