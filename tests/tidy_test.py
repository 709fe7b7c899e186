#!/usr/bin/env python3
"""Shows for each rule of tools/tidy that it fires on a tree that breaks it, and is silent on one that does not."""

import importlib.machinery
import importlib.util
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent
loader = importlib.machinery.SourceFileLoader("tidy", str(ROOT / "tools/tidy"))
spec = importlib.util.spec_from_loader("tidy", loader)
tidy = importlib.util.module_from_spec(spec)
sys.modules["tidy"] = tidy
loader.exec_module(tidy)
import tidy_prose  # noqa: E402


class RuleTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def tree(self, files):
        for path, text in files.items():
            target = Path(self.folder.name, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        return tidy.Tree(self.folder.name)

    def found(self, rule, files):
        return [finding.text for finding in sorted(rule(self.tree(files)))]

    def fires(self, rule, files, words):
        found = self.found(rule, files)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, found[0])

    def is_silent(self, rule, files):
        self.assertEqual(self.found(rule, files), [])


class Includes(RuleTest):
    def test_ipc_may_not_know_core(self):
        files = {"ipc/a.h": '#include "core/b.h"\n', "core/b.h": ""}
        self.fires(tidy.rule_includes, files, 'ipc may not know "core/b.h"')

    def test_core_may_not_know_workers(self):
        files = {"core/a.cc": '#include "workers/b.h"\n', "workers/b.h": ""}
        self.fires(tidy.rule_includes, files, "core may not know")

    def test_a_room_of_core_that_knows_one_above_it(self):
        files = {"core/table/a.cc": '#include "core/keeper/b.h"\n', "core/keeper/b.h": ""}
        self.fires(tidy.rule_includes, files, "table stands below keeper")

    def test_a_room_of_core_that_knows_a_public_header_above_it(self):
        files = {"core/levels/a.cc": "#include <ringmill/engine.h>\n", "include/ringmill/engine.h": ""}
        self.fires(tidy.rule_includes, files, "levels stands below engine")

    def test_a_file_of_core_in_no_room(self):
        files = {"core/a.cc": '#include "core/table/b.h"\n', "core/table/b.h": ""}
        self.fires(tidy.rule_includes, files, 'core has no room ""')

    def test_a_room_of_core_that_knows_one_below_it(self):
        files = {"core/keeper/a.cc": '#include "core/table/b.h"\n', "core/table/b.h": '#include "core/table/c.h"\n',
                 "core/table/c.h": ""}
        self.is_silent(tidy.rule_includes, files)

    def test_the_bench_may_not_know_the_tests(self):
        self.fires(tidy.rule_includes, {"bench/a.cc": '#include "tests/b.h"\n', "tests/b.h": ""}, "bench may not know")

    def test_public_headers_know_no_private_ones(self):
        files = {"include/ringmill/a.h": '#include "ipc/b.h"\n', "ipc/b.h": ""}
        self.fires(tidy.rule_includes, files, "only <ringmill/...>")

    def test_examples_know_no_private_headers(self):
        files = {"docs/examples/a.cc": '#include "ipc/b.h"\n', "ipc/b.h": ""}
        self.fires(tidy.rule_includes, files, "only <ringmill/...>")

    def test_a_path_starts_at_the_root(self):
        self.fires(tidy.rule_includes, {"ipc/a.cc": '#include "b.h"\n', "ipc/b.h": ""}, "not a path from the root")

    def test_a_public_header_must_exist(self):
        self.fires(tidy.rule_includes, {"ipc/a.cc": "#include <ringmill/gone.h>\n"}, "does not exist")

    def test_downwards_is_fine(self):
        files = {
            "ipc/a.h": "#include <vector>\n#include <ringmill/job.h>\n",
            "include/ringmill/job.h": "",
            "core/b.h": '#include "ipc/a.h"\n',
            "tools/cli/c.h": '#include "core/b.h"\n',
            "tests/d.cc": '#include "tools/cli/c.h"\n',
        }
        self.is_silent(tidy.rule_includes, files)


def function_of(lines, name="run"):
    return f"int {name}(int x) {{\n" + "  ++x;\n" * (lines - 3) + "  return x;\n}\n"


class Lengths(RuleTest):
    def test_a_long_file(self):
        self.fires(tidy.rule_lengths, {"ipc/a.h": "\n" * 601}, "file has 601 lines")

    def test_a_long_function(self):
        text = "namespace ringmill {\nclass A {\n public:\n" + function_of(71) + "};\n}\n"
        self.fires(tidy.rule_lengths, {"ipc/a.h": text}, "function run has 71 lines")

    def test_a_long_test(self):
        text = "TEST(Ring, a_long_one) {\n" + "  f();\n" * 70 + "}\n"
        self.fires(tidy.rule_lengths, {"tests/a_test.cc": text}, "function Ring.a_long_one has 72 lines")

    def test_a_long_constructor_with_braces_in_its_list(self):
        text = "A::A(int x) noexcept : a_{x}, b_(x), c_{} {\n" + "  f();\n" * 70 + "}\n"
        self.fires(tidy.rule_lengths, {"core/a.cc": text}, "function A::A has 72 lines")

    def test_a_long_python_function(self):
        text = "#!/usr/bin/env python3\ndef f():\n" + "    f()\n" * 70
        self.fires(tidy.rule_lengths, {"tools/a": text}, "function f has 71 lines")

    def test_within_the_limits(self):
        text = "namespace a {\nstruct B {\n" + function_of(70) + function_of(70, "again") + "};\n}\n"
        text += "constexpr int table[] = {\n" + "1,\n" * 100 + "};\nenum class E {\n" + "\n" * 80 + "};\n"
        self.is_silent(tidy.rule_lengths, {"ipc/a.h": text})

    def test_an_exception_holds_the_present_number(self):
        files = {"ipc/a.cc": function_of(90), tidy.EXCEPTIONS: "function ipc/a.cc run 90\n"}
        self.is_silent(tidy.rule_lengths, files)

    def test_an_exception_may_not_grow(self):
        files = {"ipc/a.cc": function_of(90), tidy.EXCEPTIONS: "function ipc/a.cc run 89\n"}
        self.fires(tidy.rule_lengths, files, "grew from 89 to 90")

    def test_an_exception_shrinks_with_its_function(self):
        files = {"ipc/a.cc": function_of(80), tidy.EXCEPTIONS: "# why\nfunction ipc/a.cc run 90\n"}
        self.fires(tidy.rule_lengths, files, "is shorter now than 90")
        tree = tidy.Tree(self.folder.name)
        tidy.fix_exceptions(tree)
        self.assertEqual(tree.texts[tidy.EXCEPTIONS], "# why\nfunction ipc/a.cc run 80\n")

    def test_an_exception_goes_when_nothing_needs_it(self):
        files = {"ipc/a.cc": function_of(10), tidy.EXCEPTIONS: "# why\nfunction ipc/a.cc run 90\nfile ipc/a.cc 700\n"}
        tree = self.tree(files)
        tidy.fix_exceptions(tree)
        self.assertEqual(tree.texts[tidy.EXCEPTIONS], "# why\n")


ACQUIRE = "x.load(std::memory_order_acquire);"
RELEASE = "x.store(1, std::memory_order_release);"
RELAXED = "x.load(std::memory_order_relaxed);"


class Orders(RuleTest):
    def test_an_order_without_a_label(self):
        self.fires(tidy.rule_orders, {"ipc/a.h": RELAXED + "\n"}, "relaxed without an `ORDER name`")

    def test_a_label_without_a_partner(self):
        self.fires(tidy.rule_orders, {"ipc/a.h": f"{ACQUIRE}  // ORDER slot\n"}, "`ORDER slot` has no partner")

    def test_two_that_acquire_are_no_partners(self):
        text = f"{ACQUIRE}  // ORDER slot\n{ACQUIRE}  // ORDER slot\n"
        self.fires(tidy.rule_orders, {"core/a.cc": text}, "no place labelled `ORDER slot` releases")

    def test_two_that_release_are_no_partners(self):
        text = f"{RELEASE}  // ORDER slot\n{RELEASE}  // ORDER slot\n"
        self.fires(tidy.rule_orders, {"core/a.cc": text}, "no place labelled `ORDER slot` acquires")

    def test_relaxed_needs_a_reason(self):
        self.fires(tidy.rule_orders, {"workers/a.cc": f"{RELAXED}  // ORDER relaxed\n"}, "no reason")

    def test_an_acquire_is_not_excused_as_relaxed(self):
        self.fires(tidy.rule_orders, {"ipc/a.h": f"{ACQUIRE}  // ORDER relaxed: a hint\n"}, "needs a partner's name")

    def test_a_blank_line_ends_a_label(self):
        text = f"// ORDER relaxed: a hint\n{RELAXED}\n\n{RELAXED}\n"
        self.fires(tidy.rule_orders, {"ipc/a.h": text}, "without an `ORDER name`")

    def test_a_label_beside_one_statement_is_not_the_next_ones(self):
        text = f"{RELAXED}  // ORDER relaxed: a hint\n{RELAXED}\n"
        self.fires(tidy.rule_orders, {"ipc/a.h": text}, "without an `ORDER name`")

    def test_a_label_beside_a_statement_of_two_lines(self):
        text = "x.compare_exchange_strong(a, b, std::memory_order_acq_rel,  // ORDER slot\n"
        text += "                          std::memory_order_relaxed);\nx.store(0);  // ORDER slot\n"
        self.is_silent(tidy.rule_orders, {"ipc/a.h": text})

    def test_a_label_does_not_reach_far(self):
        text = "// ORDER relaxed: a hint\n" + "f();\n" * tidy.LABEL_REACH + f"{RELAXED}\n"
        self.fires(tidy.rule_orders, {"ipc/a.h": text}, "without an `ORDER name`")

    def test_partners_in_two_files(self):
        files = {
            "ipc/a.h": f"/// ORDER slot: pairs with push().\n/// More.\nint f() {{\n  return {ACQUIRE}\n}}\n",
            "core/b.cc": f"f();\n{RELEASE}  // ORDER slot\n",
            "core/c.cc": f"{RELAXED}  // ORDER relaxed: a counter\n",
        }
        self.is_silent(tidy.rule_orders, files)

    def test_a_sequentially_consistent_partner(self):
        text = f"x.store(1);  // ORDER slot\n{ACQUIRE}  // ORDER slot\n"
        self.is_silent(tidy.rule_orders, {"ipc/a.h": text})

    def test_comments_and_other_rooms_are_free(self):
        self.is_silent(tidy.rule_orders, {"ipc/a.h": f"// {RELAXED}\n", "tests/a.cc": RELAXED + "\n"})


SOUND_STRUCT = """struct alignas(64) Entry {
  std::atomic<std::uint64_t> word;
};
static_assert(sizeof(Entry) == 64);
"""


class Paths(RuleTest):
    def test_each_call_of_the_system_that_takes_a_path(self):
        for call in (
            "::open(path, O_RDONLY)",
            "::openat(folder, name, O_RDONLY)",
            "creat(path, 0600)",
            "std::fopen(path, mode)",
            "::chmod(path, 0600)",
            "::lchown(path, user, group)",
            "::rename(from, to)",
            "unlink(path.c_str())",
            "::mkdir(path, 0700)",
            "rmdir(path)",
            "::stat(path, &facts)",
            "lstat(path, &facts)",
            "access(path.c_str(), W_OK)",
            "::truncate(path, 0)",
            "opendir(path)",
        ):
            with self.subTest(call):
                self.fires(tidy.rule_paths, {"core/a.cc": f"bool f() {{ return {call}; }}\n"}, "takes a path")

    def test_each_call_of_the_standard_library_that_takes_a_path(self):
        for call in ("std::filesystem::remove_all(p)", "fs::exists(p)", "fs::rename(p, q)", "fs::permissions(p, m)"):
            with self.subTest(call):
                self.fires(tidy.rule_paths, {"workers/a.cc": f"bool f() {{ return {call}; }}\n"}, "takes a path")

    def test_a_stream_that_opens_a_file(self):
        self.fires(tidy.rule_paths, {"tools/cli/a.cc": "std::ofstream out(path);\n"}, "ofstream takes a path")

    def test_our_own_calls_for_paths_of_the_system(self):
        self.fires(tidy.rule_paths, {"core/a.cc": "auto text = read_file(folder + name);\n"}, "read_file takes a path")
        self.fires(tidy.rule_paths, {"core/a.cc": "auto file = open_file(path, O_RDONLY);\n"}, "open_file takes a path")

    def test_descriptors_members_types_and_words_are_fine(self):
        code = """
struct stat facts {};  // ::open(path) opens
const char* words = "::unlink(path)";
Result<Store> Store::open(const Directory& directory) { return directory.open_file(name, O_RDONLY); }
void f() { ::fstat(file, &facts); ::fchmod(file, 0600); folder->rename(a, b); link(); remove(name); }
void g() { read_file(*file, path); }
fs::path path = fs::absolute(given).lexically_normal();
"""
        self.is_silent(tidy.rule_paths, {"core/a.cc": code})

    def test_the_files_that_may_and_other_rooms(self):
        code = "int f() { return ::open(path, 0); }\n"
        self.is_silent(tidy.rule_paths, {"workers/spool.cc": code, "tests/a.cc": code, "bench/a.cc": code})

    def test_a_file_that_may_and_is_gone(self):
        self.assertIn(
            "workers/spool.cc is allowed to use paths and does not exist",
            self.found(tidy.rule_paths, {"ipc/directory.h": ""}),
        )


class Layouts(RuleTest):
    def test_a_struct_without_its_size(self):
        text = SOUND_STRUCT.replace("static_assert(sizeof(Entry) == 64);\n", "")
        self.fires(tidy.rule_layouts, {tidy.LAYOUT: text}, "Entry has no static_assert of its size")

    def test_a_sound_struct_and_a_packed_value(self):
        text = SOUND_STRUCT + "struct Note {\n  int a;\n  constexpr int bits() const { return a; }\n};\n"
        self.is_silent(tidy.rule_layouts, {tidy.LAYOUT: text})


class Unused(RuleTest):
    def test_a_header_that_nobody_includes(self):
        self.fires(tidy.rule_unused, {"ipc/a.h": '#include "ipc/a.h"\n'}, "no file includes")

    def test_headers_in_use(self):
        files = {"ipc/a.h": "", "include/ringmill/b.h": "", "ipc/a.cc": '#include "ipc/a.h"\n#include <ringmill/b.h>\n'}
        self.is_silent(tidy.rule_unused, files)


class Reports(RuleTest):
    def test_a_result_that_may_be_dropped(self):
        text = "class A {\n  [[nodiscard]] Result<void> run();\n  static Result<A> open();\n};\n"
        self.fires(tidy.rule_reports, {"include/ringmill/a.h": text}, "not [[nodiscard]]")
        self.is_silent(tidy.rule_reports, {"core/b.h": text, "include/ringmill/a.h": "void f(Result<int> done);\n"})


class Links(RuleTest):
    def test_a_link_to_no_file(self):
        self.fires(tidy.rule_links, {"docs/a.md": "see [b](b.md)\n"}, "b.md leads nowhere")

    def test_a_link_to_no_heading(self):
        self.fires(tidy.rule_links, {"docs/a.md": "[b](b.md#two)\n", "docs/b.md": "# One\n"}, "no such heading")

    def test_links_that_lead_somewhere(self):
        text = "# The `top`\n[b](../ipc/b.h) [c](#the-top) [d](https://example.org/x)\n"
        text += "```\n[e](gone.md)\n```\n`[f](gone)`\n"
        self.is_silent(tidy.rule_links, {"docs/a.md": text, "ipc/b.h": ""})


LAYOUTS = {"Entry": [["0", "8", "word"], ["8", "4", "count"]]}
TABLE = """<!-- layout:Entry -->
| offset | bytes | field | writer |
| --: | --: | --- | --- |
| 0 | 8 | `word` | the owner |
| 8 | 4 | `count` | the keeper |
<!-- /layout -->
"""
PRINTER = {"tools/layout_table/layout_table.cc": ""}


class Tables(RuleTest):
    def rule(self, tree):
        return tidy.rule_tables(tree, LAYOUTS)

    def test_an_offset_that_differs(self):
        text = TABLE.replace("| 8 | 4 |", "| 8 | 8 |")
        self.fires(self.rule, PRINTER | {"docs/a.md": text}, "Entry differs from the struct")

    def test_a_field_that_nobody_explains(self):
        self.fires(self.rule, PRINTER | {"docs/a.md": TABLE.replace("the keeper", " ")}, "has an empty cell")

    def test_a_struct_without_a_table(self):
        self.fires(self.rule, PRINTER | {"docs/shared-memory-layout.md": "# Words\n"}, "no table of Entry")

    def test_a_struct_that_the_printer_does_not_know(self):
        text = SOUND_STRUCT.replace("Entry", "Other")
        self.fires(self.rule, PRINTER | {"docs/a.md": TABLE, tidy.LAYOUT: text}, "does not print Other")

    def test_a_region_of_another_size(self):
        text = TABLE + "\n| region | size |\n|---|---|\n| Entry (kinds) | 1,016 bytes x 64 |\n"
        self.fires(self.rule, PRINTER | {"docs/shared-memory-layout.md": text}, "Entry has 12 bytes, not 1,016")

    def test_a_region_of_the_structs_size(self):
        text = TABLE + "\n| Entry | 12 bytes x 1,024 | behind it |\n"
        self.is_silent(self.rule, PRINTER | {"docs/shared-memory-layout.md": text})

    def test_a_table_that_is_right(self):
        self.is_silent(self.rule, PRINTER | {"docs/shared-memory-layout.md": TABLE})

    def test_a_fixed_table_keeps_what_was_written_by_hand(self):
        table = tidy.TABLE.search(TABLE).group(3)
        fixed = tidy.fixed_table(table, [["0", "8", "word"], ["8", "2", "kind"], ["10", "2", "count"]])
        rows = ["| 0 | 8 | `word` | the owner |", "| 8 | 2 | `kind` |  |", "| 10 | 2 | `count` | the keeper |"]
        self.assertEqual(fixed.splitlines()[2:], rows)

    def test_the_printer_covers_the_real_structs(self):
        layouts = tidy.printed_layouts(tidy.Tree(ROOT))
        self.assertEqual({name for name, _, _ in tidy.layout_structs(tidy.Tree(ROOT))}, set(layouts))


SHOWN = "Look:\n\n<!-- example:greet -->\n```cpp\nint main() {}\n```\n<!-- /example -->\n"
GREET = {"docs/examples/greet.cc": "int main() {}\n"}


class Examples(RuleTest):
    def test_a_block_that_differs(self):
        text = SHOWN.replace("main()", "main(int)")
        self.fires(tidy.rule_examples, GREET | {"README.md": text}, "the block is not docs/examples/greet.cc")

    def test_an_empty_block(self):
        text = "<!-- example:greet -->\n<!-- /example -->\n"
        self.fires(tidy.rule_examples, GREET | {"docs/a.md": text}, "the block is not docs/examples/greet.cc")

    def test_a_block_of_no_example(self):
        self.fires(tidy.rule_examples, {"README.md": SHOWN}, "there is no docs/examples/greet.cc")

    def test_a_block_without_an_end(self):
        text = "<!-- example:greet -->\n" + SHOWN
        self.fires(tidy.rule_examples, GREET | {"README.md": text}, "no <!-- /example --> closes this block")

    def test_an_example_that_is_too_long_to_be_shown(self):
        files = {"docs/examples/greet.cc": "f();\n" * 40, "README.md": SHOWN.replace("int main() {}\n", "f();\n" * 40)}
        self.fires(tidy.rule_examples, files, "40 lines; README.md shows at most 39")

    def test_a_block_that_is_the_file(self):
        self.is_silent(tidy.rule_examples, GREET | {"README.md": SHOWN + SHOWN})

    def test_a_fixed_block_is_the_file_and_the_text_around_it_stays(self):
        text = "<!-- example:gone -->\nby hand\n<!-- /example -->\n"
        tree = self.tree(GREET | {"README.md": text + SHOWN.replace("int main() {}\n", "")})
        tidy.fix_examples(tree)
        self.assertEqual(Path(self.folder.name, "README.md").read_text(encoding="utf-8"), text + SHOWN)


class Words(RuleTest):
    def test_using_namespace_in_a_header(self):
        self.fires(tidy.rule_words, {"ipc/a.h": "using namespace std;\n"}, "`using namespace`")

    def test_a_reminder(self):
        self.fires(tidy.rule_words, {"ipc/a.cc": "// TO" + "DO: later\n"}, "a reminder")

    def test_a_path_of_one_machine(self):
        self.fires(tidy.rule_words, {"docs/a.md": "in /ho" + "me/somebody/ringmill\n"}, "a path of one machine")

    def test_a_wide_line(self):
        self.fires(tidy.rule_words, {"ipc/a.cc": "x" * 121 + "\n"}, "121 columns")

    def test_plain_words(self):
        code = "using namespace ringmill;\n" + "x" * 120 + "\n"
        self.is_silent(tidy.rule_words, {"ipc/a.cc": code, "docs/a.md": "y" * 200 + " build/work/x\n"})


class States(RuleTest):
    ENUM = {"ipc/state_word.h": "enum class CellState : int {\n  free = 0,  // no job\n  filling = 1,\n};\n"}
    HEAD = "| state | owner |\n|---|---|\n"

    def test_a_state_that_the_table_does_not_have(self):
        files = self.ENUM | {tidy.LAYOUT_PAGE: self.HEAD + "| free 0 | 0 |\n"}
        self.fires(tidy.rule_states, files, "filling 1 is missing")

    def test_a_state_that_there_is_not(self):
        files = self.ENUM | {tidy.LAYOUT_PAGE: self.HEAD + "| free 0, filling 1, asleep 2 | 0 |\n"}
        self.fires(tidy.rule_states, files, "asleep 2 is no CellState")

    def test_a_table_of_all_states(self):
        files = self.ENUM | {tidy.LAYOUT_PAGE: self.HEAD + "| free 0 | 0 |\n| filling 1 | yes |\n"}
        self.is_silent(tidy.rule_states, files)


class Hazards(RuleTest):
    PAGE = {"docs/hazards.md": '| <a id="hazard-5"></a>5 | torn |\n| <a id="promise-3"></a>3 | once |\n'}

    def test_a_number_that_the_page_does_not_have(self):
        text = "// Torn (hazards 5 and 6 in docs/hazards.md).\n"
        self.fires(tidy.rule_hazards, self.PAGE | {"core/a.h": text}, "has no hazard 6")

    def test_a_promise_is_not_a_hazard(self):
        self.fires(tidy.rule_hazards, self.PAGE | {"docs/a.md": "[promise 5](hazards.md)\n"}, "has no promise 5")

    def test_a_citation_that_does_not_say_where(self):
        files = self.PAGE | {"core/a.h": "// Torn (hazard 5).\n"}
        self.fires(tidy.rule_hazards, files, "does not name docs/hazards.md")

    def test_a_citation_that_leads_somewhere(self):
        text = "// Once (promise 3, docs/hazards.md), torn (hazard 5).\n"
        self.is_silent(tidy.rule_hazards, self.PAGE | {"core/a.h": text})


class Defects(RuleTest):
    DEFECT = "Rule: it adds\nCaught by: ./x\n\nfind:\n  add();\nreplace:\nend\n"

    def test_one_whose_text_is_gone(self):
        files = {"tests/defects/sum.defect": self.DEFECT, "core/a.cc": "void f() {\n  subtract();\n}\n"}
        self.fires(tidy.rule_defects, files, "the text of line 4 is nowhere")

    def test_a_patch(self):
        self.fires(tidy.rule_defects, {"tests/defects/sum.patch": "--- a\n"}, "is a file NAME.defect")

    def test_one_that_can_be_planted(self):
        files = {"tests/defects/sum.defect": self.DEFECT, "core/a.cc": "void f() {\n  add();\n}\n"}
        self.is_silent(tidy.rule_defects, files)


class Columns(RuleTest):
    LONG = "A sentence of some length that says a thing, and a [link](a/very/long/path/to/a/file.md) which is whole. "

    def fixed(self, text):
        tree = self.tree({"docs/a.md": text})
        tidy.fix_columns(tree)
        return tree.texts["docs/a.md"]

    def test_a_long_line_of_prose(self):
        self.fires(tidy.rule_columns, {"docs/a.md": "Short.\n\n" + self.LONG * 2 + "\n"}, "more than 120 columns")

    def test_tables_code_and_headings_may_be_long(self):
        text = "# " + self.LONG * 2 + "\n\n| " + self.LONG * 2 + " |\n\n```\n" + self.LONG * 2 + "\n```\n"
        self.is_silent(tidy.rule_columns, {"docs/a.md": text})

    def test_a_word_that_is_longer_than_a_line(self):
        self.is_silent(tidy.rule_columns, {"docs/a.md": "x" * 130 + "\n"})

    def test_fixing_changes_white_space_only_and_leaves_nothing_to_find(self):
        text = "Short.\n\n- " + self.LONG * 3 + "\n  more\n- next\n"
        fixed = self.fixed(text)
        self.assertEqual(fixed.split(), text.split())
        self.assertLessEqual(max(map(len, fixed.splitlines())), 120)
        self.assertIn("\n  ", fixed)

    def test_fixing_breaks_no_link(self):
        self.assertEqual(self.fixed(self.LONG * 3).count("[link](a/very/long/path/to/a/file.md)"), 3)

    def test_fixing_leaves_what_is_short_as_it_is(self):
        text = "One\ntwo.\n\n* three\n"
        self.assertEqual(self.fixed(text), text)


class Persons(RuleTest):
    TWO = {"core/a.h": "// Who waits for him.\nint nobody = 0;\n"}

    def test_more_than_are_listed(self):
        files = self.TWO | {tidy_prose.PERSONS: "# head\n  1 core/a.h\n"}
        self.fires(tidy.rule_persons, files, "2 words for persons")

    def test_a_file_that_is_not_listed_has_none(self):
        self.fires(tidy.rule_persons, {"docs/a.md": "Somebody waits.\n"}, "1 words for persons")

    def test_fewer_than_are_listed(self):
        files = self.TWO | {tidy_prose.PERSONS: "  3 core/a.h\n"}
        self.fires(tidy.rule_persons, files, "core/a.h has 2 by now, not 3")

    def test_as_many_as_are_listed(self):
        self.is_silent(tidy.rule_persons, self.TWO | {tidy_prose.PERSONS: "  2 core/a.h\n"})

    def fixed(self, files):
        tree = self.tree(files)
        tidy.fix_persons(tree)
        return tree.texts[tidy_prose.PERSONS]

    def test_fixing_lowers_and_never_raises(self):
        listed = {tidy_prose.PERSONS: "# head\n  9 core/a.h\n  1 docs/a.md\n"}
        fixed = self.fixed(self.TWO | {"docs/a.md": "Who, whom, he.\n", "docs/b.md": "Who.\n"} | listed)
        self.assertEqual(fixed, "# head\n  2 core/a.h\n  1 docs/a.md\n")

    def test_a_file_that_was_moved_keeps_its_count(self):
        files = {"core/table/a.h": self.TWO["core/a.h"], tidy_prose.PERSONS: "  2 core/a.h\n"}
        self.assertEqual(self.fixed(files), "  2 core/table/a.h\n")


class Steps(RuleTest):
    HEAD = (
        "// Enqueueing.\n//\n//                     killed just after\n//   enq.N1  take a cell   the scan frees it\n"
        "//   enq.M   mark it       as N1\n//   enq.N2  queue it      nothing is left; again from N1\n"
    )
    ENQ = {"core/enq.cc": HEAD + "void f() {\n  take();  // enq.N1\n  mark();  // enq.M\n}\n"}

    def test_steps_that_lead_to_their_table(self):
        files = {"core/a.h": "/// enq.N1 and enq.N2 of a job.\n", "docs/a.md": "It is taken (enq.N1 to enq.N2).\n"}
        self.is_silent(tidy_prose.rule_steps, self.ENQ | files)

    def test_a_step_that_is_nowhere(self):
        self.fires(tidy_prose.rule_steps, self.ENQ | {"docs/a.md": "See enq.N7.\n"}, "no step enq.N7 is defined")

    def test_a_step_that_is_defined_twice(self):
        files = {"core/b.h": "//   enq.N2  something else\n"}
        self.fires(tidy_prose.rule_steps, self.ENQ | files, "enq.N2 is defined in core/b.h, too")

    def test_a_bare_step_of_another_file(self):
        files = {"core/a.h": "/// After N1.\n"}
        self.fires(tidy_prose.rule_steps, self.ENQ | files, "N1: which step is meant, enq.N1?")

    def test_a_bare_step_beside_code(self):
        files = {"core/enq.cc": self.HEAD + "void f() {\n  take();  // N1\n}\n"}
        self.fires(tidy_prose.rule_steps, files, "N1: which step is meant")

    def test_steps_in_both_columns(self):
        table = "//   due.B1  mark        due.C1  take all\n//   due.B2  ring        due.C2  sleep\n// B1 before C2.\n"
        self.is_silent(tidy_prose.rule_steps, {"ipc/due.h": table, "core/a.cc": "int a;  // due.C2\n"})

    def test_what_is_no_step(self):
        text = "/// C0 and C1 control characters; RFC 1, UTF8, 10 M.\nconst char* s = \"N1\";\n"
        self.is_silent(tidy_prose.rule_steps, self.ENQ | {"core/a.h": text})


class Changelog(RuleTest):
    def test_another_version(self):
        files = {"CMakeLists.txt": "project(ringmill VERSION 0.2.0)\n", "CHANGELOG.md": "# Changes\n\n## 0.1.0\n"}
        self.fires(tidy.rule_changelog, files, "the first version is 0.1.0, the project's 0.2.0")

    def test_the_same_version(self):
        files = {"CMakeLists.txt": "project(ringmill VERSION 0.2.0)\n", "CHANGELOG.md": "## [0.2.0] - now\n## 0.1.0\n"}
        self.is_silent(tidy.rule_changelog, files)


@unittest.skipUnless(tidy.can_format(), "clang-format 14 is not installed")
class Format(RuleTest):
    def test_code_that_is_not_formatted(self):
        files = {".clang-format": "BasedOnStyle: Google\n", "ipc/a.cc": "int  f( ) ;\nint  g( ) ;\n"}
        self.fires(tidy.rule_format, files, "clang-format would change")

    def test_code_that_is_formatted(self):
        self.is_silent(tidy.rule_format, {".clang-format": "BasedOnStyle: Google\n", "ipc/a.cc": "int f();\n"})


if __name__ == "__main__":
    unittest.main()
