"""What commands share: gflags' ways to write flags, logs, errors and exit codes."""

import logging
import re

import pytest

from caffe import CaffeError
from caffe.commands.common import Parser, Switch, run

_log = logging.getLogger("caffe")


def _parser() -> Parser:
    parser = Parser("mytool", description="Does things.")
    parser.add_argument("root")
    parser.add_argument("output", nargs="?", default="out")
    parser.add_argument("--resize_width", type=int, default=0)
    parser.add_argument("--check_size", action=Switch, help="Compare sizes.")
    parser.add_argument("--encode", action=Switch, default=True)
    return parser


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("r o", ("r", "o", 0, False, True)),
        ("r", ("r", "out", 0, False, True)),
        ("-resize_width 7 r o", ("r", "o", 7, False, True)),
        ("--resize_width=7 -check_size r o", ("r", "o", 7, True, True)),
        ("r -resize_width=7 o --check_size", ("r", "o", 7, True, True)),
        ("r --check_size=true --encode=False", ("r", "out", 0, True, False)),
        ("-check_size -check_size=0 -noencode r", ("r", "out", 0, False, False)),
        ("-nocheck_size --encode=yes r", ("r", "out", 0, False, True)),
        ("-logtostderr --alsologtostderr=1 r", ("r", "out", 0, False, True)),
    ],
)
def test_flags_are_written_as_for_gflags(line, expected):
    args = _parser().parse_args(line.split())
    got = (args.root, args.output, args.resize_width, args.check_size, args.encode)
    assert got == expected


def test_subcommands_take_the_same_flags():
    parser = Parser("mytool")
    command = parser.add_subparsers(dest="command").add_parser("go")
    command.add_argument("--fast", action=Switch)
    for line in (["-log_dir=L", "go", "-fast=true"], ["go", "-fast", "-log_dir", "L"]):
        args = parser.parse_args(line)
        assert (args.command, args.fast, args.log_dir) == ("go", True, "L")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("r --check_size=maybe", "--check_size: expected true or false, got 'maybe'"),
        ("r --check", "unrecognized arguments: --check"),
        ("-resize_width 7", "required: root"),
        ("r --resize_width x", "--resize_width: invalid int value: 'x'"),
    ],
)
def test_a_wrong_line_names_the_flag(capsys, line, message):
    with pytest.raises(SystemExit) as end:
        run(_parser(), lambda args: 0, line.split())
    assert end.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def _fail(error):
    def work(args):
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "code", "text"),
    [
        (lambda args: None, 0, ""),
        (lambda args: 7, 7, ""),
        (_fail(CaffeError("nix.prototxt: cannot read")), 1, "mytool: nix.prototxt: cannot read\n"),
        (_fail(KeyboardInterrupt()), 130, "mytool: interrupted\n"),
    ],
)
def test_how_a_command_ends(capsys, work, code, text):
    assert run(_parser(), work, ["r"]) == code
    assert capsys.readouterr().err == text
    assert not _log.handlers


def test_logs_in_glogs_form_to_stderr_and_to_a_file(tmp_path, capsys):
    line = ["r", "-log_dir", str(tmp_path), "-minloglevel=1"]

    def work(args):
        _log.info("not shown")
        _log.warning("Ignoring source layer %s", "fc8")

    assert run(_parser(), work, line) == 0
    pattern = r"W\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ test_common\.py:\d+\] Ignoring source layer fc8\n"
    (log,) = tmp_path.iterdir()
    assert re.fullmatch(r"mytool\..+\.log\.INFO\.\d{8}-\d{6}\.\d+", log.name)
    assert re.fullmatch(pattern, log.read_text())
    assert re.fullmatch(pattern, capsys.readouterr().err)
    assert run(_parser(), work, ["r", "-log_dir", str(tmp_path / "none")]) == 1
    assert "none: cannot write there: No such file" in capsys.readouterr().err
