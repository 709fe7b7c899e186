"""What the rules of tools/tidy and tools/tidy_prose.py look at, and what they find."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

SKIPPED_FOLDERS = {".git", "build", "__pycache__", ".cache", "third_party"}


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    rule: str
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


class Tree:
    """The files of the repository, read once."""

    def __init__(self, root):
        self.root = Path(root)
        self.texts = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
            for name in sorted(names):
                path = Path(folder, name)
                try:
                    self.texts[str(path.relative_to(self.root))] = path.read_text(encoding="utf-8")
                except (UnicodeDecodeError, FileNotFoundError):
                    pass  # a picture, or gone meanwhile

    def lines(self, path):
        return self.texts[path].splitlines()

    def paths(self, *endings):
        return [path for path in self.texts if path.endswith(endings)]

    def cpp(self):
        return self.paths(".h", ".cc")

    def is_python(self, path):
        return path.endswith(".py") or self.texts[path].startswith("#!/usr/bin/env python3")

    def is_shell(self, path):
        return path.endswith(".sh") or re.match(r"#!/bin/(ba)?sh\b", self.texts[path]) is not None

    def is_code(self, path):
        endings = (".h", ".cc", ".pml", ".cmake", "CMakeLists.txt")
        return path.endswith(endings) or self.is_python(path) or self.is_shell(path)

    def exists(self, path):
        return (self.root / path).exists()

    def write(self, path, text):
        self.texts[path] = text
        (self.root / path).write_text(text, encoding="utf-8")
