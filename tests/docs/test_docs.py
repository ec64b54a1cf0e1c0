"""Every command in README.md, CONTRIBUTING.md and docs/ runs, if need be in miniature."""

import argparse
import contextlib
import importlib.util
import re
import runpy
import sys
import time

import pytest
import torch

from tests.docs import miniature
from tests.docs.documents import ROOT, after, blocks, documents, prose
from tests.docs.workspace import Workspace, entry_points

DOCUMENTS = documents()
_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_COMMAND = re.compile(rf"(python|make|tools/\w+\.sh|{'|'.join(map(re.escape, entry_points()))}) ")
_FOLDERS = ("caffe/", "data/", "docs/", "models/", "python_layers/", "tests/", "tools/")


class Parsed(BaseException):
    """Raised once a command line has been parsed; no handler of a tool catches it."""


def stop_after(method):
    """argparse's method, with the end of the program behind it."""

    def parse(*args, **kwargs):
        method(*args, **kwargs)
        raise Parsed

    return parse


def call_program(program, words):
    """Run one of the project's programs in this process, up to where its options are parsed."""
    if program == "python" and words[0] == "-m":
        assert importlib.util.find_spec(words[1])
        raise Parsed
    sys.argv = words if program == "python" else [program, *words]
    if program == "python":
        runpy.run_path(words[0], run_name="__main__")
    module, _, function = entry_points()[program].partition(":")
    getattr(importlib.import_module(module), function)()


def parse(call, monkeypatch):
    """Have a recorded call's options parsed; SystemExit if they cannot be."""
    folder, program, *words = call
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", [])
        for name in ("parse_args", "parse_intermixed_args"):
            method = stop_after(getattr(argparse.ArgumentParser, name))
            patch.setattr(argparse.ArgumentParser, name, method)
        with pytest.raises(Parsed):
            call_program(program, words)


def check_parsed(workspace, text, where, monkeypatch):
    """Each call of the project's programs in the shell commands has options that parse."""
    done, calls = workspace.record(text)
    assert done.returncode == 0, f"{where}: {done.stderr}"
    for call in calls:
        parse(call, monkeypatch)


def shell_text(block, earlier):
    """The block as shell commands; Python goes on with the names of the Python blocks before it."""
    if block.mark == "bash":
        return block.text
    code = "".join(earlier)
    quiet = "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):"
    again = f"{quiet}\n    exec({code!r})\n" if code else ""
    return f"python - <<'END_OF_BLOCK'\n{again}{block.text}END_OF_BLOCK\n"


def check_output(block, output):
    """Each line that the document shows was printed, in this order; `...` is anything."""
    place = 0
    for line in block.output.splitlines():
        pattern = ".*".join(re.escape(part.strip()) for part in line.split("..."))
        match = re.compile(rf"^\s*{pattern}\s*$", re.MULTILINE).search(output, place)
        assert match, f"{block.where}: expected to print\n{line}\ngot\n{output[place:]}"
        place = match.end()


def furnished(block, text, small):
    """The block's commands for the workspace `small`, and what they need there."""
    miniature.furnish(small, block.miniature)
    return text if small.gpu else text.replace(" --gpu 0", "")


def run_document(path, whole, small, monkeypatch):
    """Run all blocks of a document: in the workspace `whole`, those in miniature in `small`."""
    earlier = []
    for block in blocks(path):
        text, workspace, begin = shell_text(block, earlier), whole, time.monotonic()
        if block.miniature:
            try:
                text, workspace = furnished(block, text, small), small
            except miniature.MissingError as error:
                print(f"{block.where}: only parsed: {error}")
                check_parsed(small, text, block.where, monkeypatch)
                continue
        done = workspace.run(text)
        said = done.stdout + done.stderr
        assert block.may_fail or done.returncode == 0, f"{block.where}: {said}"
        check_output(block, said)
        print(f"{block.where}: {time.monotonic() - begin:.1f} s")
        if block.mark == "python":
            earlier.append(block.text)


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if not after(path)], ids=lambda path: path.stem
)
def test_commands(path, tmp_path, monkeypatch):
    together = [path, *(later for later in DOCUMENTS if after(later) == path)]
    with contextlib.ExitStack() as stack:
        whole = stack.enter_context(Workspace(tmp_path / "whole"))
        small = Workspace(tmp_path / "small", gpu=torch.cuda.is_available())
        if any(block.miniature for each in together for block in blocks(each)):
            stack.enter_context(small)
        for each in together:
            run_document(each, whole, small, monkeypatch)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_commands_within_sentences(path, tmp_path, monkeypatch):
    spans = [span for span in _SPAN.findall(prose(path)) if _COMMAND.match(span)]
    mentions = re.compile(r"\.\.\.|[\[<{]|^caffe( \w+)+$")  # parts of calls, a command's name
    whole = [span for span in spans if not mentions.search(span)]
    with Workspace(tmp_path) as workspace:
        for span in whole:
            check_parsed(workspace, span, f"{path.name}: `{span}`", monkeypatch)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_links_and_paths_lead_somewhere(path):
    text = prose(path)
    written = re.findall(r"<!-- file: (\S+) -->", path.read_text(encoding="utf-8"))
    for link in _LINK.findall(text):
        if not link.startswith(("http:", "https:")):
            assert (path.parent / link).exists(), f"{path}: {link}"
    for span in _SPAN.findall(text):
        if span.startswith(_FOLDERS) and re.fullmatch(r"[\w/.]+\.(py|sh|md|proto)", span):
            assert (ROOT / span).is_file() or span in written, f"{path}: {span}"
