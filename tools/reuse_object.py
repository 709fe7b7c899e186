"""A compiler launcher for a copy of the tree: takes an object file that the original tree has built already, if the
compiler would make the same one here. tools/defects builds its broken trees with it, so that only what a defect changes
is compiled, with or without a compiler cache.

  python3 tools/reuse_object.py ROOT TREE [LAUNCHER...] COMPILER ARGUMENT...

Ninja runs it in the build folder of TREE.

It would make the same one if the command is that of ROOT's build, and every file that the compiler read there (Ninja
has written them down) is older than the object, and says the same here. Else the compiler runs.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path


def without_dependency_options(command):
    """The command as compile_commands.json has it, and the file that names what was read."""
    kept, depfile = [], None
    words = iter(command)
    for word in words:
        if word == "-MF":
            depfile = next(words)
        elif word == "-MT":
            next(words)
        elif word != "-MD":
            kept.append(word)
    return kept, depfile


def command_in(build, output):
    """The words of the command that makes `output` in the folder `build`; None: it is not known there."""
    path = build / "compile_commands.json"
    for entry in json.loads(path.read_text(encoding="utf-8")) if path.exists() else []:
        if f" -o {output} " in entry["command"]:
            return shlex.split(entry["command"])
    return None


def files_read_for(build, output):
    """What the compiler read for `output` in the folder `build`; None: not known, or no longer true."""
    command = ["ninja", "-C", str(build), "-t", "deps", output]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = run.stdout.splitlines()
    if run.returncode != 0 or not lines or not lines[0].endswith("(VALID)"):
        return None
    return [Path(os.path.normpath(build / line.strip())) for line in lines[1:] if line.strip()]


def moved(text, root, tree):
    """`text` with each path to ROOT, or into it, as one of TREE."""
    return re.sub(re.escape(str(root)) + r"(?![\w.-])", lambda _: str(tree), text)


def says_the_same(theirs, ours, root, tree):
    """Two files, but for the place of the tree in what CMake has written."""
    try:
        their_bytes, our_bytes = theirs.read_bytes(), ours.read_bytes()
    except OSError:
        return False
    if their_bytes == our_bytes:
        return True
    try:
        return moved(their_bytes.decode("utf-8"), root, tree) == our_bytes.decode("utf-8")
    except UnicodeDecodeError:
        return False


def files_to_take(root, tree, build, output, command):
    """Our names of the files that ROOT's object was made from; None: it is not what the compiler would make here."""
    their_build = root / build.relative_to(tree)
    theirs = command_in(their_build, output)
    # In front of the compiler there may be another launcher here, as ccache.
    if theirs is None or [moved(word, root, tree) for word in theirs] != command[-len(theirs):]:
        return None
    read = files_read_for(their_build, output)
    if read is None:
        return None
    made = (their_build / output).stat().st_mtime_ns
    ours = []
    for path in read:
        here = tree / path.relative_to(root) if path.is_relative_to(root) else path
        if path.stat().st_mtime_ns > made or (here != path and not says_the_same(path, here, root, tree)):
            return None
        ours.append(here)
    return ours


def take(root, tree, build, command):
    """True: the object is there, as the compiler would have made it."""
    if "-o" not in command:
        return False
    command, depfile = without_dependency_options(command)
    output = command[command.index("-o") + 1]
    try:
        files = files_to_take(root, tree, build, output, command)
        if files is None:
            return False
        (build / output).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / build.relative_to(tree) / output, build / output)
    except (OSError, ValueError):
        return False
    if depfile:
        names = " ".join(str(path).replace(" ", "\\ ") for path in files)
        (build / depfile).write_text(f"{output}: {names}\n", encoding="utf-8")
    return True


def main():
    root, tree = Path(sys.argv[1]), Path(sys.argv[2])
    command = sys.argv[3:]
    if not take(root, tree, Path.cwd(), command):
        os.execvp(command[0], command)


if __name__ == "__main__":
    main()
