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
