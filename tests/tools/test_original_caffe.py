"""An original Caffe that is missing, breaks off, hangs or is something else."""

import os
import re

import pytest
from errors import UserError
from original_caffe import Facts, Original, how_it_ended

from tests.tools import original_fakes


@pytest.fixture
def original(tmp_path):
    """original(options) is the process that these command-line options describe."""

    def make(options, timeout=60):
        words = dict(zip(options[::2], options[1::2], strict=True))
        folder = tmp_path / "work"
        folder.mkdir()
        paths = (words.get(f"--{name}", "") for name in ("python", "pythonpath", "library-path"))
        return Original(*paths, timeout, folder)

    return make


def test_facts(tmp_path, original):
    facts = original(original_fakes.stub(tmp_path)).facts()
    assert facts.file == str(tmp_path / "fake/caffe/__init__.py")
    assert facts.types == original_fakes.TYPES
    assert facts.messages["BlobShape"] == ["dim"]


@pytest.mark.parametrize(
    ("version", "fits"), [("2.7.18", False), ("3.5.2", False), ("3.8.0", True), ("3.12.1", True)]
)
def test_who_can_import_our_layers(version, fits):
    assert Facts("", version, [], {}).runs_our_layers == fits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere", "cannot import caffe: No module named 'nowhere'; install what it needs"),
        ("pass", r"caffe at \S+/fake/caffe/__init__.py is no pycaffe: it has no Layer, Net, TEST, "
                 r"get_solver, .*expected a folder that holds pycaffe, usually <caffe>/python"),
        ("raise ImportError('libcaffe.so.1.0.0: cannot open shared object file')",
         r"libcaffe.so.1.0.0: .*add the folder of the library: --library-path \(not given\)"),
    ],
)  # fmt: skip
def test_what_is_no_pycaffe(tmp_path, original, text, message):
    with pytest.raises(UserError, match=message) as caught:
        original(original_fakes.module(tmp_path, text)).facts()
    assert "\n" not in str(caught.value)


def test_no_caffe_at_all(tmp_path, original):
    options = original_fakes.nothing(tmp_path, str(tmp_path))
    with pytest.raises(UserError, match=re.escape(f"--pythonpath ({tmp_path}:")):
        original(options).facts()


@pytest.mark.parametrize("place", ["nowhere/python", "."])
def test_no_python(original, place):
    with pytest.raises(UserError, match=f"--python {place}: cannot start: .*; give the Python"):
        original(["--python", place]).facts()


@pytest.mark.parametrize(
    ("body", "ended", "last", "absent"),
    [
        (f"sys.stderr.write({original_fakes.FATAL!r}); os.abort()", "was ended by SIGABRT",
         r"Check failed: pad_h_ < kernel_h_ \(2 vs\. 2\) $", "stack trace"),
        ("os._exit(7)", "ended with exit code 7", r"net.cpp:84\] Creating Layer conv$", "Check"),
        ("os.kill(os.getpid(), 11)", "was ended by SIGSEGV", "Creating Layer conv$", "Check"),
        ("raise ValueError('no such blob')", "ended with exit code 1",
         "ValueError: no such blob$", "Check"),
    ],
)  # fmt: skip
def test_how_a_caffe_breaks_off(tmp_path, original, body, ended, last, absent):
    with pytest.raises(UserError, match=f"the original Caffe {ended}\n(  \\| .*\n)*.*{last}") as e:
        record(tmp_path, original(original_fakes.stub(tmp_path, body)))
    assert absent not in str(e.value)


def record(tmp_path, process):
    job = tmp_path / "job.json"
    job.write_text('{"gpu": null, "net": "x", "phase": "TEST"}')
    process.record(job, tmp_path / "out")


def test_a_caffe_that_hangs_is_ended(tmp_path, original):
    body = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    process = original(original_fakes.stub(tmp_path, body), timeout=3)
    with pytest.raises(UserError, match="still running after 3 s and was stopped") as caught:
        record(tmp_path, process)
    assert "record_caffe: building the net" in str(caught.value)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_silence_is_said(tmp_path, original):
    with pytest.raises(UserError, match=r"exit code 5\n  \| \(it wrote nothing\)$"):
        original(original_fakes.module(tmp_path, "import os; os._exit(5)")).facts()


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, ""), (-9, "was ended by SIGKILL"), (134, "was ended by SIGABRT"), (3, "exit code 3")],
)
def test_exit_codes_in_words(code, text):
    assert how_it_ended(code).endswith(text)
