#!/usr/bin/env python3
"""tools/reuse_object.py takes an object of the original tree exactly where the compiler would make the same one."""

import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = """cmake_minimum_required(VERSION 3.25)
project(sums LANGUAGES CXX)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
add_executable(sums one.cc two.cc)
target_include_directories(sums PRIVATE ${CMAKE_SOURCE_DIR})
target_precompile_headers(sums PRIVATE <string>)
"""
FILES = {
    "CMakeLists.txt": PROJECT,
    "one.cc": '#include "sum.h"\nint main() { return sum(one, 1) + two(); }\n',
    "two.cc": "int two() { return 0; }\n",
    "sum.h": "inline int sum(int a, int b) { return a + b; }\ninline constexpr int one = -1;\nint two();\n",
}


class Reuse(unittest.TestCase):
    """An original tree that is built, and a copy of it that is not."""

    def setUp(self):
        scratch = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, scratch)
        self.root, self.tree = scratch / "root", scratch / "root/build/copy"
        for name, text in FILES.items():
            self.write(self.root, name, text)
            self.write(self.tree, name, text)
        self.build(self.root)

    def write(self, tree, name, text):
        tree.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")

    def build(self, tree, *options):
        folder = tree / "build/release"
        configure = ["cmake", "-S", tree, "-B", folder, "-G", "Ninja", "-DCMAKE_CXX_COMPILER=g++", *options]
        for command in (configure, ["cmake", "--build", folder]):
            subprocess.run(command, check=True, capture_output=True)

    def compiled_in_the_copy(self, *options):
        """The files of the copy that the compiler was called for."""
        log = self.root / "compiled"
        log.unlink(missing_ok=True)
        compiler = self.root / "note"
        compiler.write_text(f'#!/bin/sh\nfor last; do :; done\necho "${{last##*/}}" >>{log}\nexec "$@"\n')
        compiler.chmod(0o755)
        launcher = [sys.executable, ROOT / "tools/reuse_object.py", self.root, self.tree, compiler]
        self.build(self.tree, f"-DCMAKE_CXX_COMPILER_LAUNCHER={';'.join(map(str, launcher))}", *options)
        return sorted(log.read_text().split()) if log.exists() else []

    def result(self):
        return subprocess.run([self.tree / "build/release/sums"], check=False).returncode

    def test_nothing_is_compiled_in_a_copy_that_says_the_same(self):
        self.assertEqual(self.compiled_in_the_copy(), [])
        self.assertEqual(self.result(), 0)

    def test_a_file_that_changed_is_compiled_and_no_other(self):
        self.write(self.tree, "two.cc", "int two() { return 2; }\n")
        self.assertEqual(self.compiled_in_the_copy(), ["two.cc"])
        self.assertEqual(self.result(), 2)

    def test_files_that_include_a_changed_header_are_compiled(self):
        self.write(self.tree, "sum.h", FILES["sum.h"].replace("a + b", "a - b"))
        self.assertEqual(self.compiled_in_the_copy(), ["one.cc"])
        self.assertNotEqual(self.result(), 0)

    def test_a_change_that_is_taken_back_is_taken_from_the_original(self):
        self.write(self.tree, "sum.h", FILES["sum.h"].replace("a + b", "a - b"))
        self.compiled_in_the_copy()
        self.write(self.tree, "sum.h", FILES["sum.h"])
        self.assertEqual(self.compiled_in_the_copy(), [])
        self.assertEqual(self.result(), 0)

    def test_a_header_that_changed_after_its_object_was_taken_is_noticed(self):
        self.compiled_in_the_copy()
        self.write(self.tree, "sum.h", FILES["sum.h"].replace("a + b", "a - b"))
        self.assertEqual(self.compiled_in_the_copy(), ["one.cc"])
        self.assertNotEqual(self.result(), 0)

    def test_an_original_that_changed_since_it_was_built_is_not_believed(self):
        time.sleep(0.01)
        for tree in (self.root, self.tree):
            self.write(tree, "two.cc", "int two() { return 2; }\n")
        self.assertEqual(self.compiled_in_the_copy(), ["two.cc"])
        self.assertEqual(self.result(), 2)

    def test_other_options_of_the_compiler_are_noticed(self):
        self.assertIn("two.cc", self.compiled_in_the_copy("-DCMAKE_CXX_FLAGS=-O1"))


if __name__ == "__main__":
    unittest.main()
