// ringmill manual: pages for man(1), in mdoc(7), from one walk over commands and options. They open no engine.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <string_view>

#include "tools/cli/command.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"
#include "tools/cli/walk.h"

namespace ringmill::cli {

namespace {

/// A line that is text, whatever it begins with.
std::string roff_line(std::string_view text) {
  std::string out;
  if (!text.empty() && (text.front() == '.' || text.front() == '\'')) out += "\\&";
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

/// Words behind a macro: in quotes, so that none of them is one.
std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : roff_line(text)) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string in_capitals(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

/// One word for the value: what --help shows may be a whole rule.
std::string value_of(const CLI::Option& option) {
  const std::string shown = option.get_type_name();
  return shown.empty() || shown.find_first_of(" {[") != std::string::npos ? "VALUE" : shown;
}

std::string option_text(const CLI::Option& option) {
  std::string names;
  for (const std::string& name : option.get_snames()) names += (names.empty() ? "Fl " : " , Fl ") + name;
  for (const std::string& name : option.get_lnames()) {
    names += std::string(names.empty() ? "Fl " : " , Fl ") + "\\-" + roff_line(name);
  }
  if (names.empty()) names = "Ar " + roff_line(option.get_name());
  if (!option.get_positional() && option.get_items_expected_max() > 0) names += " Ar " + in_quotes(value_of(option));
  std::string text = ".It " + names + "\n";
  for (std::string_view rest = option.get_description(); !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    if (end != 0) text += roff_line(rest.substr(0, end)) + "\n";
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return text;
}

/// A footer: paragraphs, and examples behind "Example:" or "Examples:".
std::string footer_text(std::string_view footer) {
  std::string text;
  bool is_example = false;
  bool is_open = false;
  while (!footer.empty()) {
    const std::size_t end = std::min(footer.find('\n'), footer.size());
    const std::string_view line = footer.substr(0, end);
    footer.remove_prefix(std::min(end + 1, footer.size()));
    if (line.starts_with("Example")) {
      text += ".Sh EXAMPLES\n.Bd -literal\n";
      is_example = is_open = true;
    } else if (is_example && is_open && (line.empty() || line.front() != ' ')) {
      text += ".Ed\n";
      is_open = false;
      if (!line.empty()) text += ".Pp\n" + roff_line(line) + "\n";
    } else if (is_example && is_open) {
      text += roff_line(line.substr(line.find_first_not_of(' '))) + "\n";
    } else if (line.empty()) {
      if (!text.empty() && !text.ends_with(".Pp\n")) text += ".Pp\n";
    } else {
      text += roff_line(line.substr(line.find_first_not_of(' '))) + "\n";
    }
  }
  if (is_open) text += ".Ed\n";
  // No paragraph before a section.
  for (std::size_t at = 0; (at = text.find(".Pp\n.Sh", at)) != std::string::npos;) text.erase(at, 4);
  while (text.ends_with(".Pp\n")) text.erase(text.size() - 4);
  return text;
}

std::string options_text(const CLI::App& command) {
  std::string text = ".Sh OPTIONS\n.Bl -tag -width Ds\n";
  for_each_option(command, [&text](const CLI::Option& option) { text += option_text(option); });
  return text + ".El\n";
}

constexpr std::string_view exit_codes =
    ".Sh EXIT STATUS\n.Bl -tag -width Ds\n"
    ".It 0\ndone\n"
    ".It 1\nthe answer is no: no such job, a check failed, it would block\n"
    ".It 2\nusage\n"
    ".It 3\nthe engine or the system failed\n.El\n";

std::string head(const std::string& name, const std::string& description) {
  return fmt::format(".Dd $Mdocdate$\n.Dt {} 1\n.Os ringmill\n.Sh NAME\n.Nm {}\n.Nd {}\n", in_capitals(name),
                     roff_line(name), roff_line(description));
}

std::string page_of(const CLI::App& command) {
  const std::string footer = footer_text(command.get_footer());
  const std::size_t examples = std::min(footer.find(".Sh EXAMPLES"), footer.size());
  std::string positional;
  for_each_option(command, [&positional](const CLI::Option& option) {
    if (option.get_positional()) positional += "\n.Ar " + roff_line(option.get_name());
  });
  return head("ringmill-" + command.get_name(), command.get_description()) + ".Sh SYNOPSIS\n.Nm ringmill " +
         roff_line(command.get_name()) + "\n.Op Ar options" + positional + "\n.Sh DESCRIPTION\n" +
         (examples == 0 ? roff_line(command.get_description()) + ".\n" : footer.substr(0, examples)) +
         options_text(command) + std::string(exit_codes) + footer.substr(examples) + ".Sh SEE ALSO\n.Xr ringmill 1\n";
}

std::string main_page(const CLI::App& program) {
  std::string commands = ".Sh COMMANDS\n.Bl -tag -width Ds\n";
  std::string others;
  for (const CLI::App* command : commands_of(program)) {
    commands += fmt::format(".It Cm {}\n{}\n", command->get_name(), roff_line(command->get_description()));
    others += fmt::format("{}.Xr ringmill-{} 1", others.empty() ? "" : " ,\n", command->get_name());
  }
  return head("ringmill", "a job engine for one Linux host, in shared memory") +
         ".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar options\n.Sh DESCRIPTION\n"
         "Producer and worker processes share the memory of an engine, which is a directory.\n"
         "There is no broker between them.\nA journal makes jobs durable, and jobs of a process that dies are\n"
         "handed to another.\n" +
         commands + ".El\n" + options_text(program) + std::string(exit_codes) + ".Sh SEE ALSO\n" + others + "\n";
}

}  // namespace

Command add_manual(CLI::App& program) {
  auto name = std::make_shared<std::string>();
  CLI::App* app = program.add_subcommand("manual", "Print a page of the manual, for man(1)");
  app->add_option("COMMAND", *name, "The command; without it, the page of ringmill itself");
  app->footer(
      "Examples:\n"
      "  ringmill manual enqueue | man -l -\n"
      "  ringmill manual > /usr/local/share/man/man1/ringmill.1");
  return {app, [name, &program] {
            Output output;
            if (name->empty()) {
              output.text(main_page(program));
              return output.finish(0);
            }
            for (const CLI::App* command : commands_of(program)) {
              if (command->get_name() != *name) continue;
              output.text(page_of(*command));
              return output.finish(0);
            }
            return fail("manual", exit_usage, "no such command: " + *name + "; see `ringmill --help`");
          }};
}

}  // namespace ringmill::cli
