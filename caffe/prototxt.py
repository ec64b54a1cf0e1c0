"""Reading prototxt files: nets and solvers as text, with errors that say where and what instead."""

import difflib
import os
import re
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

_M = TypeVar("_M", bound=Message)
_LARGEST = 8 << 20  # bytes; nets of a thousand layers have a tenth, parsing takes 120 times it
_LONGEST = 60  # characters of the user's text that a message repeats

# What changes how deep a place is in blocks; strings and comments, since they may hold braces.
_TOKEN = re.compile(
    r"""(?P<skip>"(?:[^"\\\n]++|\\.)*+"?|'(?:[^'\\\n]++|\\.)*+'?|\#[^\n]*+)"""
    r"""|(?P<open>(?P<name>\w++)?\s*+:?\s*+[{<])|(?P<close>[}>])|\w++"""
)
# How text_format words what it finds; anything else is passed on as it is.
_NO_FIELD = re.compile(r'Message type "caffe\.([\w.]+)" has no field named "(.*)"\.', re.DOTALL)
_NO_VALUE = re.compile(r'Enum type "caffe\.([\w.]+)" has no value (?:named|with number) (.*)\.')
_NO_STRING = re.compile(r"Expected string but found: '(\w+)'")


def read_text(path: str | os.PathLike, message: _M) -> _M:
    """Parse a prototxt file into `message`.

    Raises CaffeError with the file, line and column, what was found there and what it may have been
    meant to be, if the file is missing, is no text or does not parse.
    """
    return parse(_read(path), message, str(path))


def _read(path: str | os.PathLike) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise CaffeError(f"{path}: cannot read: {error.strerror}") from None
    if len(content) > _LARGEST:
        raise CaffeError(
            f"{path}: expected a prototxt of at most {_LARGEST >> 20} MiB, this is larger; "
            "weights belong into a .caffemodel, numbers into a data file"
        )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CaffeError(f"{path}: the text is UTF-16; save it as UTF-8")
    if b"\0" in content:
        raise CaffeError(f"{path}: expected a prototxt, got a binary file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # old files' comments; each of its bytes is a character
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse(text: str, message: _M, where: str) -> _M:
    """Parse prototxt into `message`; CaffeError as read_text's, `where` in place of the file."""
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        line, column = error.GetLine() or 1, error.GetColumn() or 1
        raise CaffeError(f"{where}:{line}:{column}: {_explain(error, text, message)}") from None
    missing = message.FindInitializationErrors()  # type: ignore[attr-defined]
    if missing:
        raise CaffeError(f"{where}: required field(s) missing: {', '.join(missing)}")
    return message


def _explain(error: text_format.ParseError, text: str, root: Message) -> str:
    """The parser's words for a mistake, with the remedy where it is a known one."""
    lines = text.split("\n")
    line, column = error.GetLine() or 1, error.GetColumn() or 1
    what = str(error).split(" : ", 1)[-1].removeprefix(f"'{lines[line - 1]}': ")
    if match := _NO_FIELD.fullmatch(what):
        ahead = "\n".join([*lines[: line - 1], lines[line - 1][: column - 1]])
        kind, name = match.groups()
        hint = _hint(
            _message(kind), name[:_LONGEST], _open_blocks(ahead), _message(root.DESCRIPTOR.name)
        )
        return f"{kind} has no field {_short(name)!r}; {hint}"
    if match := _NO_VALUE.fullmatch(what):
        return _no_value(*match.groups())
    if match := _NO_STRING.fullmatch(what):
        return f'expected a text in quotes, got {match[1]}; write "{match[1]}"'
    if what.endswith("got }."):
        return 'no block is open that this "}" could close'
    if blocks := _open_blocks(text) if what == 'Expected "}".' else []:
        name, opened = blocks[-1]
        return f'the file ends inside "{name}", opened in line {opened}: a "}}" is missing'
    return _short(what if what.isprintable() else ascii(what)[1:-1], 3 * _LONGEST)


def _short(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 20]}...{text[-17:]}"


def _message(kind: str) -> Descriptor:
    return caffe_pb2.DESCRIPTOR.pool.FindMessageTypeByName(f"caffe.{kind}")


def _open_blocks(text: str) -> list[tuple[str, int]]:
    """(name, line) of each block that is open where `text` ends, from the outermost in."""
    starts: list[re.Match[str]] = []
    for token in _TOKEN.finditer(text):
        if token["open"]:
            starts.append(token)
        elif token["close"] and starts:
            starts.pop()
    return [(token["name"] or "", text.count("\n", 0, token.start()) + 1) for token in starts]


def _hint(message: Descriptor, name: str, blocks: list[tuple[str, int]], root: Descriptor) -> str:
    """What somebody may have meant who wrote `name` where only `message`'s fields can be."""
    near = difflib.get_close_matches(name, message.fields_by_name, n=3)
    if near and name.lower() == near[0].lower():
        return f"did you mean {near[0]}?"
    if blocks and any(name in outer.fields_by_name for outer in _around(blocks, root)):
        block, line = blocks[-1]
        return f'is the "}}" missing of the "{block}" opened in line {line}?'
    within = [
        f"{field.name} {{ }}"
        for field in message.fields
        if field.message_type and name in field.message_type.fields_by_name
    ]
    if within:
        return f"it belongs into {' or '.join(within)}"
    kinds = caffe_pb2.DESCRIPTOR.message_types_by_name
    elsewhere = [kind for kind, other in kinds.items() if name in other.fields_by_name]
    hints = [f"did you mean {' or '.join(near)}?"] if near else []
    hints += [f"it is a field of {' and '.join(elsewhere[:3])}"] if elsewhere else []
    return " ".join(hints) or f"see {message.name} in caffe.proto for its fields"


def _around(blocks: list[tuple[str, int]], root: Descriptor) -> list[Descriptor]:
    """The messages that all blocks but the last are of."""
    kinds = [root]
    for name, _ in blocks[:-1]:
        field = kinds[-1].fields_by_name.get(name)
        if field is None or field.message_type is None:  # written as a list: [{...}, {...}]
            break
        kinds.append(field.message_type)
    return kinds


def _no_value(kind: str, given: str) -> str:
    values = list(caffe_pb2.DESCRIPTOR.pool.FindEnumTypeByName(f"caffe.{kind}").values_by_name)
    bare = given.strip("\"'")
    text = f"{kind} has no value {_short(given)}"
    if bare != given and bare in values:
        return f"{text}; write {bare} without quotes"
    in_capitals = {value.upper(): value for value in values}
    near = difflib.get_close_matches(bare[:_LONGEST].upper(), in_capitals, n=1)
    hint = f"did you mean {in_capitals[near[0]]}? " if near else ""
    return f"{text}; {hint}expected one of {', '.join(values)}"
