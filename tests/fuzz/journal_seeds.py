#!/usr/bin/env python3
"""Writes the seeds of journal_reader_fuzz into a folder: each journal whole, signed and not, and with a first harm.

  journal_seeds.py FOLDER
"""

import random
import sys
from pathlib import Path

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
choose = random.Random(20260)
for base in range(64):
    for signing in range(4):
        steps = bytes([choose.randrange(256) for _ in range(choose.choice((0, 6, 12, 40)))])
        (folder / f"{base:02}-{signing}").write_bytes(bytes([base, signing]) + steps)
