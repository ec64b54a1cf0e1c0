"""The `caffe` command: train, test, time, device_query, weights, export."""

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

import caffe
from caffe.commands import device_query, export, test, time, train, weights
from caffe.commands.common import Parser, run

# Each has add_flags(parser) and run(args), and its help in its docstring.
_COMMANDS: dict[str, ModuleType] = {
    "train": train,
    "test": test,
    "time": time,
    "device_query": device_query,
    "weights": weights,
    "export": export,
}
_EPILOG = (
    "`caffe COMMAND --help` lists a command's flags. Paths inside a solver or net are relative to "
    "the working directory. While training, Ctrl-C writes a snapshot and stops (exit code 0); "
    "`kill -HUP` writes one and goes on. Resume with --snapshot."
)
# The original has one set of flags and takes all of them with each of its commands.
_ORIGINAL = ("train", "test", "time", "device_query")
_FLAGS = (
    *("solver", "model", "weights", "snapshot", "gpu", "iterations", "level", "stage", "phase"),
    *("sigint_effect", "sighup_effect"),
)


class _Unused(argparse.Action):
    """A flag of another command: the original passes over it without a word."""

    def __call__(self, parser, namespace, values, option_string=None):
        print(f"{parser.prog}: {option_string} has no effect here", file=sys.stderr)


def _parser() -> Parser:
    about = "Train, score and time Caffe nets."
    parser = Parser("caffe", description=about, epilog=_EPILOG, log_flags=False)
    version = f"caffe version {caffe.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in _COMMANDS.items():
        command = commands.add_parser(name, help=module.__doc__, description=module.__doc__)
        module.add_flags(command)
        command.set_defaults(run=module.run)
        for flag in _FLAGS if name in _ORIGINAL else ():
            if not command.has_flag(flag):
                command.add_argument(f"--{flag}", action=_Unused, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code. A user's mistake is one line on stderr and code 1."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if not words:
        parser.print_help()
        return 0
    named = next((i for i, word in enumerate(words) if word in _COMMANDS), 0)
    words.insert(0, words.pop(named))  # the original takes flags before it, too
    return run(parser, lambda args: args.run(args), words)
