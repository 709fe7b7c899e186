"""The rules of tools/tidy that read prose: comments and *.md."""

import os
import re

from cpp_reader import without_comments_and_strings
from tidy_tree import Finding

HAZARDS = "docs/hazards.md"
CITATION = re.compile(r"\b([Hh]azard|[Pp]romise)s? (\d+(?:(?:, | and )\d+)*)")


def rule_hazards(tree):
    """A citation is `hazard 5`, `hazards 5 and 7`, `promise 3`; its number is an anchor of the page."""
    if not tree.exists(HAZARDS):
        return
    known = set(re.findall(r'<a id="((?:hazard|promise)-\d+)">', tree.texts[HAZARDS]))
    for path, text in tree.texts.items():
        if path == HAZARDS or not (tree.is_code(path) or path.endswith(".md")):
            continue
        cites = False
        for number, line in enumerate(text.splitlines(), 1):
            for word, cited in CITATION.findall(line):
                cites = True
                for entry in re.findall(r"\d+", cited):
                    if f"{word.lower()}-{entry}" not in known:
                        yield Finding(path, number, "hazards", f"{HAZARDS} has no {word.lower()} {entry}")
        if cites and "hazards.md" not in text:
            yield Finding(path, 1, "hazards", f"cites a hazard or a promise, and does not name {HAZARDS}")


MOST_COLUMNS = 120
TOKEN = re.compile(r"(?:!?\[[^\]]*\]\([^)]*\)|`[^`]*`|\S)+")
LIST_ITEM = re.compile(r"\s*(?:[-*+]|\d+\.)\s+")
FENCE = re.compile(r"\s*(?:```|~~~)")
NOT_PROSE = ("|", "#", "<", "![", ">")


def paragraphs(text):
    """(first line from 0, lines) of each paragraph and list item; not tables, headings, code and comments."""
    lines = text.split("\n")
    fenced = False
    at = 0
    while at < len(lines):
        begin, at = at, at + 1
        if FENCE.match(lines[begin]):
            fenced = not fenced
        is_indented_code = lines[begin].startswith("    ") and not LIST_ITEM.match(lines[begin])
        if fenced or not is_prose(lines[begin]) or (is_indented_code and not is_prose(lines[begin - 1])):
            continue
        while at < len(lines) and is_prose(lines[at]) and not LIST_ITEM.match(lines[at]):
            at += 1
        yield begin, lines[begin:at]


def is_prose(line):
    return line.strip() != "" and not line.lstrip().startswith(NOT_PROSE) and not FENCE.match(line)


def wrapped(lines):
    """The paragraph in lines of at most MOST_COLUMNS; a link or inline code is not broken."""
    item = LIST_ITEM.match(lines[0])
    begin = item.group(0) if item else re.match(r"\s*", lines[0]).group(0)
    indent = " " * len(begin)
    text = " ".join([lines[0][len(begin) :]] + [line.strip() for line in lines[1:]])
    result, current = [], begin
    for token in TOKEN.findall(text):
        is_first = current in (begin, indent)
        if not is_first and len(current) + 1 + len(token) > MOST_COLUMNS and not LIST_ITEM.match(token + " "):
            result.append(current)
            current, is_first = indent, True
        current += token if is_first else " " + token
    return [*result, current]


def rule_columns(tree):
    for path in tree.paths(".md"):
        for begin, lines in paragraphs(tree.texts[path]):
            if max(map(len, lines)) > MOST_COLUMNS and wrapped(lines) != lines:
                number = begin + 1 + max(range(len(lines)), key=lambda at: len(lines[at]))
                yield Finding(path, number, "columns", f"prose of more than {MOST_COLUMNS} columns: `tools/tidy --fix`")


def fix_columns(tree):
    for path in tree.paths(".md"):
        lines = tree.texts[path].split("\n")
        found = [(begin, block) for begin, block in paragraphs(tree.texts[path])]
        for begin, block in reversed(found):
            if max(map(len, block)) > MOST_COLUMNS:
                lines[begin : begin + len(block)] = wrapped(block)
        if "\n".join(lines) != tree.texts[path]:
            tree.write(path, "\n".join(lines))


PERSONS = "tools/tidy-persons"
# The rule itself, its test, and the page that quotes what the rule forbids.
OWN_WORDS = (PERSONS, "LICENSE", "tools/tidy_prose.py", "tests/tidy_test.py", "docs/decisions/0037-plain-words.md")
PERSON = re.compile(
    r"\b(?:who|whoever|whom|whomever|he|his|him|himself"
    r"|nobody|somebody|anybody|everybody|no one|someone|anyone|everyone)\b",
    re.IGNORECASE,
)


def persons_found(tree):
    """{path: how many words for persons its prose has}; of C++, its comments and strings."""
    found = {}
    for path, text in tree.texts.items():
        if path in OWN_WORDS or not (tree.is_code(path) or path.endswith(".md")):
            continue
        count = len(PERSON.findall(text))
        if path.endswith((".h", ".cc")):
            count -= len(PERSON.findall(without_comments_and_strings(text)))
        if count > 0:
            found[path] = count
    return found


def read_persons(tree):
    lines = [line.split() for line in tree.texts.get(PERSONS, "").splitlines() if not line.startswith("#")]
    return {path: int(count) for count, path in lines}


def rule_persons(tree):
    found = persons_found(tree)
    allowed = read_persons(tree)
    for path in sorted(found.keys() | allowed.keys()):
        count, most = found.get(path, 0), allowed.get(path, 0)
        if count > most:
            text = f"{count} words for persons (who, he, nobody ...), at most {most}: name the process, job or data"
            yield Finding(path, 1, "persons", text)
        elif count < most:
            yield Finding(PERSONS, 1, "persons", f"{path} has {count} by now, not {most}: `tools/tidy --fix` lowers it")


def fix_persons(tree):
    """Lowers the counts. The count of a file that was moved goes with its name."""
    found = persons_found(tree)
    allowed = read_persons(tree)
    moved = {os.path.basename(path): count for path, count in allowed.items() if path not in tree.texts}
    kept = {}
    for path, count in found.items():
        most = allowed.get(path, moved.get(os.path.basename(path), 0))
        if min(count, most) > 0:
            kept[path] = min(count, most)
    head = [line for line in tree.texts.get(PERSONS, "").splitlines() if line.startswith("#")]
    tree.write(PERSONS, "\n".join([*head, *(f"{count:3} {path}" for path, count in sorted(kept.items()))]) + "\n")


# A step is defined in a table of a comment: `//   enq.N4  store the word   ...`, in the left column or the right one.
STEP_DEFINED = re.compile(r"(?<=  )([a-z]+\.[A-Z]\d?[a-z]?)  +(?=\S)")
STEP_USED = re.compile(r"(?<![\w./-])([a-z]{2,}\.[A-Z]\d[a-z]?)(?!\w|\.\w)")
STEP_BARE = re.compile(r"(?<![\w.#/-])[A-Z]\d[a-z]?(?!\w|\.\w)")
STEP_ROOMS = ("ipc/", "core/", "workers/")


def comments_of(path, text):
    """(line, comment, whether code stands in front of it); of other files than C++, their lines."""
    if not path.endswith((".h", ".cc")):
        yield from ((number, line, False) for number, line in enumerate(text.splitlines(), 1))
        return
    code = without_comments_and_strings(text).splitlines()
    for number, line in enumerate(text.splitlines(), 1):
        begin = line.find("//", len(code[number - 1].rstrip()) if number <= len(code) else 0)
        if begin >= 0:
            yield number, line[begin:], line[:begin].strip() != ""


def rule_steps(tree):
    """The name of a protocol's step is defined once, and wherever it is used it leads there."""
    comments = {
        path: list(comments_of(path, text))
        for path, text in tree.texts.items()
        if path.endswith((".h", ".cc", ".md", ".pml"))
    }
    defined = {}  # step -> path
    for path in (path for path in comments if path.startswith(STEP_ROOMS)):
        for number, comment, has_code in comments[path]:
            for step in STEP_DEFINED.findall("" if has_code else comment):
                if step in defined:
                    yield Finding(path, number, "steps", f"{step} is defined in {defined[step]}, too")
                defined.setdefault(step, path)
    bare = {}  # N4 -> the steps of that name
    for step in defined:
        bare.setdefault(step.partition(".")[2], []).append(step)
    for path, lines in comments.items():
        for number, comment, has_code in lines:
            for step in STEP_USED.findall(comment):
                if step not in defined:
                    yield Finding(path, number, "steps", f"no step {step} is defined")
            if not path.startswith(STEP_ROOMS) or "control" in comment:
                continue
            for name in STEP_BARE.findall(comment):
                steps = bare.get(name, [])
                if steps and (has_code or all(defined[step] != path for step in steps)):
                    yield Finding(path, number, "steps", f"{name}: which step is meant, {' or '.join(sorted(steps))}?")
