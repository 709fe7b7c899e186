#!/usr/bin/env python3
"""Shows for each rule of tools/hardening that it fires on a program that was built without it, and is silent on one
that has all."""

import importlib.machinery
import importlib.util
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent
loader = importlib.machinery.SourceFileLoader("hardening", str(ROOT / "tools/hardening"))
spec = importlib.util.spec_from_loader("hardening", loader)
hardening = importlib.util.module_from_spec(spec)
sys.modules["hardening"] = hardening
loader.exec_module(hardening)

PROGRAM = """
#include <cstdlib>
#include <cstring>
#include <vector>
int main(int count, char** words) {
  char text[64];
  std::strcpy(text, words[0]);
  std::vector<int> numbers(std::strlen(text));
  return numbers[std::atoi(words[count - 1])];
}
"""
HARD = ["-O2", "-fPIE", "-pie", "-Wl,-z,relro,-z,now,-z,noexecstack", "-fstack-protector-strong", "-U_FORTIFY_SOURCE",
        "-D_FORTIFY_SOURCE=3", "-D_GLIBCXX_ASSERTIONS"]


class HardeningTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        (cls.folder / "program.cc").write_text(PROGRAM, encoding="utf-8")

    def built(self, *options):
        """A program with all of HARD, and then these options."""
        program = self.folder / "program"
        subprocess.run(["g++", str(self.folder / "program.cc"), *HARD, *options, "-o", str(program)], check=True)
        return program

    def found(self, *options):
        program = self.built(*options)
        found = list(hardening.findings_of_program(program))
        return found + list(hardening.findings_of_symbols(hardening.symbols_of(hardening.readelf("-s", program))))

    def fires(self, words, *options):
        found = self.found(*options)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, found[0])

    def test_a_program_that_has_all_is_fine(self):
        self.assertEqual(self.found(), [])

    def test_a_program_at_a_fixed_address_is_found(self):
        self.fires("not position independent", "-no-pie", "-fno-pie")

    def test_late_binding_is_found(self):
        self.fires("binds functions late", "-Wl,-z,lazy")

    def test_a_table_of_functions_that_stays_writable_is_found(self):
        self.fires("has no RELRO", "-Wl,-z,norelro")

    def test_an_executable_stack_is_found(self):
        self.fires("executable stack", "-Wl,-z,execstack")

    def test_a_search_path_is_found(self):
        self.fires("search path", "-Wl,-rpath,/opt/nowhere")

    def test_a_missing_canary_is_found(self):
        self.fires("no stack protector", "-fno-stack-protector")

    def test_unchecked_functions_are_found(self):
        self.fires("no checked function", "-U_FORTIFY_SOURCE")

    def test_missing_checks_of_bounds_are_found(self):
        self.fires("no checks of bounds", "-U_GLIBCXX_ASSERTIONS")


SHADOW_STACK = "Properties: x86 feature: SHSTK\n"
SYMBOL = "  1: 0000000000000000 0 NOTYPE GLOBAL DEFAULT UND {}\n"


def member(*symbols, note=SHADOW_STACK):
    return note + "".join(SYMBOL.format(symbol) for symbol in symbols)


class LibraryTest(unittest.TestCase):
    def library(self, **changed):
        members = {name: member("__stack_chk_fail", "_ZSt21__glibcxx_assert_failPKciS0_S0_")
                   for name in hardening.PARSERS}
        members[hardening.HOT_UNIT] = member("__memcpy_chk")
        members.update({f"{name}.cc.o": text for name, text in changed.items()})
        return members

    def found(self, members):
        return list(hardening.findings_of_library(members, "x86_64"))

    def fires(self, words, members):
        found = self.found(members)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, " ".join(found[0]))

    def test_a_library_that_has_all_is_fine(self):
        self.assertEqual(self.found(self.library(waking=member())), [])

    def test_a_file_that_fell_out_of_the_hot_path_is_found(self):
        self.fires("not one unit", self.library(claiming=member()))

    def test_a_canary_on_the_hot_path_is_found(self):
        members = self.library()
        members[hardening.HOT_UNIT] = member("__memcpy_chk", "__stack_chk_fail")
        self.fires("costs the hot path", members)

    def test_a_file_without_the_note_of_the_shadow_stack_is_found(self):
        self.fires("waking.cc.o does not live", self.library(waking=member(note="")))
        members = self.library(waking=member(note=""))
        self.assertEqual(list(hardening.findings_of_library(members, "aarch64")), [])

    def test_a_parser_without_checks_of_bounds_is_found(self):
        self.fires("reader.cc.o has no checks of bounds", self.library(reader=member("__stack_chk_fail")))

    def test_a_parser_that_is_gone_is_found(self):
        members = self.library()
        del members["reader.cc.o"]
        self.fires("reader.cc.o is not in the library", members)

    def test_a_library_without_checked_functions_is_found(self):
        members = self.library()
        members[hardening.HOT_UNIT] = member()
        self.fires("no checked function", members)


if __name__ == "__main__":
    unittest.main()
