"""What every command shares: flags as gflags takes them, logging, and how it ends."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from caffe import glog
from caffe.errors import CaffeError

_YES, _NO = ("true", "1", "yes", "y", "t"), ("false", "0", "no", "n", "f")


class Switch(argparse.Action):
    """A flag that is on or off: `--x`, `--nox`, `--x=true`, `--x=false`.

    parser.add_argument("--shuffle", action=Switch, help="...")
    """

    def __init__(
        self, option_strings: Sequence[str], dest: str, default: bool = False, help: str = ""
    ) -> None:
        (name,) = option_strings
        names = [name, f"--no{name.removeprefix('--')}"]
        super().__init__(names, dest, nargs=0, default=default, help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, option_string == self.option_strings[0])


class Parser(argparse.ArgumentParser):
    """argparse, with flags written as for Caffe's own commands.

    `-flag x`, `--flag x`, `-flag=x`, `--flag=x`, and for a Switch also `--flag`, `--noflag`,
    `--flag=false`; before, between and behind the other arguments. glog's flags are there, too,
    unless `log_flags` is off. Subparsers (`add_subparsers`) are of the same kind.
    """

    def __init__(self, prog: str | None = None, log_flags: bool = True, **kwargs: Any) -> None:
        super().__init__(prog, allow_abbrev=False, **kwargs)
        if log_flags:
            self._add_log_flags()

    def _add_log_flags(self) -> None:
        group = self.add_argument_group("logging", argument_default=argparse.SUPPRESS)
        # Without defaults, for a subparser's would hide what was given before the subcommand.
        group.add_argument("--log_dir", metavar="FOLDER", help="also log to a file in this folder")
        group.add_argument(
            "--minloglevel",
            type=int,
            choices=range(4),
            metavar="N",
            help="log from this level on: 0 all (default), 1 warnings, 2 errors, 3 nothing",
        )
        for name in ("--logtostderr", "--alsologtostderr"):  # done anyway
            group.add_argument(name, action=Switch, help=argparse.SUPPRESS)

    def has_flag(self, name: str) -> bool:
        return f"--{name}" in self._option_string_actions

    def parse_args(self, args=None, namespace=None):
        if self._subparsers is not None:
            return super().parse_args(args, namespace)
        return self.parse_intermixed_args(args, namespace)

    def parse_known_args(self, args=None, namespace=None):
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([self._plain(word) for word in words], namespace)

    def _plain(self, word: str) -> str:
        """The word as argparse expects it."""
        flag = re.fullmatch(r"--?([A-Za-z]\w[\w-]*)(=.*)?", word, re.DOTALL)
        if not flag:
            return word
        name, value = flag[1], flag[2] or ""
        if not value or not isinstance(self._option_string_actions.get(f"--{name}"), Switch):
            return f"--{name}{value}"
        if value[1:].lower() not in _YES + _NO:
            self.error(f"--{name}: expected true or false, got {value[1:]!r}")
        return f"--{name}" if value[1:].lower() in _YES else f"--no{name}"


def run(
    parser: Parser,
    work: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None,
) -> int:
    """Parse, do the work with a log on stderr, and give the exit code.

    0 (or what `work` returns) at the end, 1 with one line on stderr after a CaffeError, 130 after
    Ctrl-C. A wrong command line ends the program with 2, argparse's way.
    """
    args = parser.parse_args(argv)
    folder, level = getattr(args, "log_dir", None), getattr(args, "minloglevel", None)
    try:
        with glog.logging_to(parser.prog, folder, level):
            return work(args) or 0
    except CaffeError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
