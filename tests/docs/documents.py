"""Markdown documents and the blocks in them.

Fenced blocks marked bash or python are run, in the document's order, in a copy of the repository.
A block marked text right below one is what it prints, line by line; `...` is anything. Comments,
which a reader of the page does not see, change that:

    <!-- in miniature: NAMES -->  above a block: it is run in a copy of its own, shared by such
                                  blocks, where miniature.py has put small things of these names
                                  in the place of large ones
    <!-- printed by: COMMAND -->  above a text block: what this command prints, which may fail
    <!-- file: PATH -->           above a python block: it is this file, and only written
    <!-- after: DOCUMENT -->      anywhere: the blocks are run behind those of that document

Blocks of any other mark are nobody's commands.
"""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
RUN = ("bash", "python")
_BLOCK = re.compile(
    r"(?:^<!-- (?P<key>in miniature|printed by|file): (?P<value>(?:(?!-->).)+?) -->\n)?"
    r"^```(?P<mark>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_AFTER = re.compile(r"^<!-- after: (\S+) -->$", re.MULTILINE)


@dataclasses.dataclass
class Block:
    """Something to run: where it is, its language, what is in miniature, what it prints."""

    where: str  # docs/x.md:line
    mark: str
    text: str
    miniature: str = ""
    output: str = ""
    may_fail: bool = False


def documents():
    """README.md, CONTRIBUTING.md and docs/*.md."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def after(path):
    """The document whose blocks this one's follow, or None."""
    found = _AFTER.search(path.read_text(encoding="utf-8"))
    return path.parent / found[1] if found else None


def blocks(path):
    """The Blocks of a document."""
    content, found, end = path.read_text(encoding="utf-8"), [], 0
    for match in _BLOCK.finditer(content):
        line = content.count("\n", 0, match.start("mark")) + 1
        where = f"{path.relative_to(ROOT)}:{line}"
        key, value, mark, text = match.group("key", "value", "mark", "text")
        if key == "file":
            text = f"cat > {value} <<'END_OF_FILE'\n{text}END_OF_FILE\n"
            found.append(Block(where, "bash", text))
        elif mark in RUN:
            found.append(Block(where, mark, text, value or ""))
        elif key == "printed by":
            found.append(Block(where, "bash", value, output=text, may_fail=True))
        elif mark == "text" and found and not content[end : match.start()].strip():
            found[-1].output = text
        end = match.end()
    return found


def prose(path):
    """A document without its fenced blocks."""
    return _BLOCK.sub("", path.read_text(encoding="utf-8"))
