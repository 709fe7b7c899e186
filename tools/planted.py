"""Planted defects: files tests/defects/NAME.defect, and how they are planted. tools/defects runs them; tools/tidy
checks that each can be planted.

    Rule: what the defect breaks
    Caught by: ./ringmill-tests --gtest_filter='Suite.test'

    find:
      lines that are in exactly one place of the code
    replace:
      lines that take that place; none: the lines go
    end

A defect has one such pair or several, which are planted in their order. Lines are compared whole, with their
indentation. `find in core/x.cc:` looks in that file alone; without a name, in all code outside of tests, so that a
pair survives when its file is moved.
"""

import fnmatch
import functools
import re
from dataclasses import dataclass
from pathlib import Path

from tidy_tree import Finding

FOLDER = "tests/defects"
SEARCHED = ("include/", "ipc/", "core/", "workers/", "clients/", "server/", "tools/")
FIND = re.compile(r"find(?: in (\S+))?:")
TEST = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)", re.MULTILINE)


@functools.cache
def tests_of_files(tests):
    """path below `tests` -> (suite, name) of each test in it."""
    return {
        path.relative_to(tests).as_posix(): set(TEST.findall(path.read_text(encoding="utf-8")))
        for path in sorted(tests.rglob("*_test.cc"))
    }


class Trouble(Exception):
    """Why a defect cannot be planted, or was not shown to be caught."""


@dataclass(frozen=True)
class Pair:
    line: int  # of `find`, from 1
    file: str | None
    find: str
    replace: str

    def place_in(self, texts):
        """(path, offset) of the one place; `texts`: path -> text."""
        searched = [self.file] if self.file else [path for path in texts if is_searched(path)]
        places = []
        for path in searched:
            # A line begins behind a newline; the text in front of the first one has an imagined one.
            text = "\n" + texts.get(path, "")
            at = text.find("\n" + self.find)
            while at >= 0:
                places.append((path, at))
                at = text.find("\n" + self.find, at + 1)
        if len(places) != 1:
            files = ", ".join(sorted({path for path, _ in places}))
            where = f"in {len(places)} places: {files}" if places else "nowhere"
            raise Trouble(f"the text of line {self.line} is {where}")
        return places[0]


def is_searched(path):
    return path.startswith(SEARCHED) and path.endswith((".h", ".cc"))


class Defect:
    def __init__(self, name, text):
        self.name = name
        head, pairs = text.split("\nfind", 1) if "\nfind" in text else (text, "")
        self.rule = field(head, "Rule", name)
        self.caught_by = field(head, "Caught by", name)
        self.program = self.caught_by.split()[0].removeprefix("./")
        self.pairs = read_pairs(text)
        if not self.pairs:
            raise Trouble(f"{name} has no pair of find and replace")

    def test_files(self, root):
        """Below tests/: those that hold a suite which the command asks for; none if it runs another program."""
        named = re.search(r"--gtest_filter='?([^'\s]+)", self.caught_by)
        if named is None:
            return []
        # Each as gtest has it: [INSTANCE/]SUITE.NAME[/PARAMETER], either with *.
        wanted = [re.sub(r"/[^.]*$", "", name).split(".", 1) for name in named.group(1).split(":")]
        wanted = [(suite.split("/")[-1], name) for suite, name in wanted]
        found = tests_of_files(Path(root) / "tests")

        def is_named(test, asked):
            return all(fnmatch.fnmatchcase(*pair) for pair in zip(test, asked))

        everything = set().union(*found.values())
        # A filter that selects nothing passes: the defect would count as missed.
        unknown = [".".join(asked) for asked in wanted if not any(is_named(test, asked) for test in everything)]
        if unknown:
            raise Trouble(f"{self.name}: no file below tests/ has a test {', '.join(sorted(unknown))}")
        suites = {suite for suite, _ in wanted}
        return [
            path
            for path, there in found.items()
            if any(fnmatch.fnmatchcase(test[0], suite) for test in there for suite in suites)
        ]

    def planted_in(self, texts):
        """path -> text of the files that it changes."""
        changed = {}
        for pair in self.pairs:
            path, at = pair.place_in({**texts, **changed})
            text = changed.get(path, texts[path])
            changed[path] = text[:at] + pair.replace + text[at + len(pair.find) :]
        return changed


def field(head, name, defect):
    match = re.search(rf"^{name}: (.+)$", head, re.MULTILINE)
    if match is None:
        raise Trouble(f"{defect} has no line `{name}:`")
    return match.group(1)


def read_pairs(text):
    pairs = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        begin = FIND.fullmatch(lines[at])
        if begin:
            try:
                middle = lines.index("replace:", at)
                end = lines.index("end", middle)
            except ValueError:
                raise Trouble(f"the pair of line {at + 1} has no `replace:`, or no `end`") from None
            find = "".join(line + "\n" for line in lines[at + 1 : middle])
            replace = "".join(line + "\n" for line in lines[middle + 1 : end])
            if not find:
                raise Trouble(f"the pair of line {at + 1} finds nothing")
            pairs.append(Pair(at + 1, begin.group(1), find, replace))
            at = end
        at += 1
    return pairs


def read_defects(root):
    return [Defect(path.stem, path.read_text(encoding="utf-8")) for path in sorted(Path(root, FOLDER).glob("*.defect"))]


def rule_defects(tree):
    """For tools/tidy: each defect can be planted."""
    code = {path: tree.texts[path] for path in tree.cpp()}
    for path in tree.texts:
        if not path.startswith(FOLDER + "/"):
            continue
        if not path.endswith(".defect"):
            yield Finding(path, 1, "defects", "a planted defect is a file NAME.defect, see tools/planted.py")
            continue
        try:
            Defect(Path(path).stem, tree.texts[path]).planted_in(code)
        except Trouble as trouble:
            yield Finding(path, 1, "defects", str(trouble))
