"""The rules of tools/tidy that read prose: comments and *.md."""

import re

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
