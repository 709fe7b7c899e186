"""A scratch folder with one engine."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import ringmill


class Place:
    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ringmill-bench-"))
        self.path = str(self.folder / "engine")
        ringmill.create(self.path)
        return self

    def __exit__(self, *_):
        ringmill.remove(self.path, True)
        shutil.rmtree(self.folder, ignore_errors=True)
