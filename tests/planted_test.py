#!/usr/bin/env python3
"""Planted defects are read, and planted, as tools/planted.py says; what cannot be planted is named."""

import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from planted import Defect, Trouble, read_defects  # noqa: E402

HEAD = "Rule: it adds\nCaught by: ./ringmill-tests --gtest_filter=Sums.add\n\n"
PAIR = "find:\n  return a + b;\nreplace:\n  return a - b;\nend\n"
CODE = {
    "core/sum.cc": "int add(int a, int b) {\n  return a + b;\n}\n",
    "core/other.cc": "int one() { return 1; }\n",
}


class Reading(unittest.TestCase):
    def test_a_defect_says_its_rule_its_proof_and_its_program(self):
        defect = Defect("sum", HEAD + PAIR)
        self.assertEqual((defect.rule, defect.program), ("it adds", "ringmill-tests"))
        self.assertEqual(defect.caught_by, "./ringmill-tests --gtest_filter=Sums.add")

    def test_one_without_a_rule_is_refused(self):
        with self.assertRaisesRegex(Trouble, "sum has no line `Rule:`"):
            Defect("sum", "Caught by: ./x\n" + PAIR)

    def test_one_without_a_pair_is_refused(self):
        with self.assertRaisesRegex(Trouble, "no pair"):
            Defect("sum", HEAD)

    def test_a_pair_that_is_not_ended_is_refused_with_its_line(self):
        with self.assertRaisesRegex(Trouble, "the pair of line 4 has no"):
            Defect("sum", HEAD + PAIR.replace("end\n", ""))

    def test_a_pair_that_finds_nothing_is_refused(self):
        with self.assertRaisesRegex(Trouble, "finds nothing"):
            Defect("sum", HEAD + "find:\nreplace:\n  x\nend\n")


class Planting(unittest.TestCase):
    def planted(self, pairs, code=None):
        return Defect("sum", HEAD + pairs).planted_in(code or CODE)

    def test_the_text_is_replaced_in_the_file_that_has_it_and_nothing_else_changes(self):
        self.assertEqual(self.planted(PAIR), {"core/sum.cc": "int add(int a, int b) {\n  return a - b;\n}\n"})

    def test_a_file_that_was_moved_is_found(self):
        moved = {"core/table/sums.h": CODE["core/sum.cc"]}
        self.assertEqual(list(self.planted(PAIR, moved)), ["core/table/sums.h"])

    def test_a_text_that_is_nowhere_is_told(self):
        with self.assertRaisesRegex(Trouble, "the text of line 4 is nowhere"):
            self.planted(PAIR.replace("a + b", "a * b"))

    def test_a_text_that_is_in_two_files_is_told_with_both(self):
        with self.assertRaisesRegex(Trouble, "in 2 places: core/copy.cc, core/sum.cc"):
            self.planted(PAIR, CODE | {"core/copy.cc": CODE["core/sum.cc"]})

    def test_a_text_that_is_twice_in_one_file_is_told(self):
        with self.assertRaisesRegex(Trouble, "in 2 places: core/sum.cc"):
            self.planted(PAIR, {"core/sum.cc": CODE["core/sum.cc"] * 2})

    def test_a_pair_that_names_its_file_looks_there_alone(self):
        code = CODE | {"core/copy.cc": CODE["core/sum.cc"]}
        self.assertEqual(list(self.planted(PAIR.replace("find:", "find in core/copy.cc:"), code)), ["core/copy.cc"])

    def test_tests_are_not_searched(self):
        code = CODE | {"tests/sum_test.cc": CODE["core/sum.cc"]}
        self.assertEqual(list(self.planted(PAIR, code)), ["core/sum.cc"])

    def test_lines_are_compared_whole(self):
        with self.assertRaisesRegex(Trouble, "nowhere"):
            self.planted(PAIR.replace("  return a + b;", "return a + b;"))

    def test_an_empty_replacement_takes_the_lines_away(self):
        planted = self.planted(PAIR.replace("  return a - b;\n", ""))
        self.assertEqual(planted["core/sum.cc"], "int add(int a, int b) {\n}\n")

    def test_pairs_are_planted_in_their_order(self):
        second = "\nfind:\n  return a - b;\nreplace:\n  return 0;\nend\n"
        self.assertEqual(self.planted(PAIR + second)["core/sum.cc"], "int add(int a, int b) {\n  return 0;\n}\n")


class ThisTree(unittest.TestCase):
    def test_every_defect_can_be_planted_and_changes_something(self):
        code = {
            path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
            for room in ("include", "ipc", "core", "workers", "clients", "server", "tools")
            for ending in ("*.h", "*.cc")
            for path in (ROOT / room).rglob(ending)
        }
        defects = read_defects(ROOT)
        self.assertGreater(len(defects), 0)
        for defect in defects:
            with self.subTest(defect=defect.name):
                changed = defect.planted_in(code)
                self.assertTrue(any(code[path] != text for path, text in changed.items()))

    def test_every_defect_names_tests_that_there_are(self):
        for defect in read_defects(ROOT):
            with self.subTest(defect=defect.name):
                self.assertTrue(defect.test_files(ROOT) or defect.program != "ringmill-tests")


if __name__ == "__main__":
    unittest.main()
