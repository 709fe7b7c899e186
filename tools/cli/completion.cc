// ringmill completion: scripts for shells, from one walk over the commands and their options. They open no engine.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tools/cli/command.h"
#include "tools/cli/output.h"
#include "tools/cli/walk.h"

namespace ringmill::cli {

namespace {

struct Word {
  std::string name;  // with its dashes
  std::string description;
  bool takes_value = false;
};

struct Walked {
  std::string name;
  std::string description;
  std::vector<Word> options;
};

/// One line, without what a shell's quotes would end at.
std::string plain(const std::string& text) {
  std::string out = text.substr(0, text.find('\n'));
  std::erase_if(
      out, [](char c) { return c == '\'' || c == '"' || c == '\\' || c == '`' || c == '$' || c == '[' || c == ']'; });
  std::ranges::replace(out, ':', ';');
  return out;
}

void add_options(const CLI::App& command, std::vector<Word>& options) {
  for_each_option(command, [&options](const CLI::Option& option) {
    for (const std::string& name : option.get_lnames()) {
      options.push_back({"--" + name, plain(option.get_description()), option.get_items_expected_max() > 0});
    }
  });
}

std::vector<Walked> walk(const CLI::App& program) {
  std::vector<Walked> commands;
  for (const CLI::App* command : commands_of(program)) {
    Walked walked{.name = command->get_name(), .description = plain(command->get_description()), .options = {}};
    add_options(*command, walked.options);
    commands.push_back(std::move(walked));
  }
  return commands;
}

std::string bash_script(const std::vector<Walked>& commands) {
  std::string names;
  std::string cases;
  for (const Walked& command : commands) {
    names += (names.empty() ? "" : " ") + command.name;
    std::string options;
    for (const Word& word : command.options) options += (options.empty() ? "" : " ") + word.name;
    cases += fmt::format("    {}) options='{}' ;;\n", command.name, options);
  }
  return "# bash completion of ringmill: source it, or put it into /usr/share/bash-completion/completions/ringmill\n"
         "_ringmill() {\n"
         "  local word=\"${COMP_WORDS[COMP_CWORD]}\" options=''\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    COMPREPLY=($(compgen -W '" +
         names + " --help --version' -- \"$word\"))\n    return\n  fi\n  case \"${COMP_WORDS[1]}\" in\n" + cases +
         "  esac\n"
         "  case \"$word\" in\n"
         "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
         "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
         "  esac\n"
         "}\n"
         "complete -o filenames -F _ringmill ringmill\n";
}

std::string zsh_script(const std::vector<Walked>& commands) {
  std::string names;
  std::string cases;
  for (const Walked& command : commands) {
    names += fmt::format("    '{}:{}'\n", command.name, command.description);
    cases += fmt::format("    {}) _arguments", command.name);
    for (const Word& word : command.options) {
      cases += fmt::format(" '{}[{}]{}'", word.name, word.description, word.takes_value ? ":value:" : "");
    }
    cases += " '*:file:_files' ;;\n";
  }
  return "#compdef ringmill\n"
         "# zsh completion of ringmill: as _ringmill in a folder of $fpath\n"
         "local -a commands\n"
         "if (( CURRENT == 2 )); then\n"
         "  commands=(\n" +
         names +
         "  )\n"
         "  _describe command commands\n"
         "else\n"
         "  local command=$words[2]\n"
         "  shift words\n"
         "  (( CURRENT-- ))\n"
         "  case $command in\n" +
         cases + "  esac\nfi\n";
}

std::string fish_script(const std::vector<Walked>& commands) {
  std::string script =
      "# fish completion of ringmill: as ~/.config/fish/completions/ringmill.fish\n"
      "complete -c ringmill -n __fish_use_subcommand -f\n";
  for (const Walked& command : commands) {
    script +=
        fmt::format("complete -c ringmill -n __fish_use_subcommand -a {} -d '{}'\n", command.name, command.description);
    for (const Word& word : command.options) {
      script += fmt::format("complete -c ringmill -n '__fish_seen_subcommand_from {}' -l {}{} -d '{}'\n", command.name,
                            word.name.substr(2), word.takes_value ? " -r" : "", word.description);
    }
  }
  return script;
}

}  // namespace

Command add_completion(CLI::App& program) {
  auto shell = std::make_shared<std::string>();
  CLI::App* app = program.add_subcommand("completion", "Print a script that completes ringmill's words in a shell");
  app->add_option("SHELL", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  app->footer(
      "Examples:\n"
      "  source <(ringmill completion bash)\n"
      "  ringmill completion fish > ~/.config/fish/completions/ringmill.fish");
  return {app, [shell, &program] {
            const std::vector<Walked> commands = walk(program);
            Output output;
            output.text(*shell == "bash"  ? bash_script(commands)
                        : *shell == "zsh" ? zsh_script(commands)
                                          : fish_script(commands));
            return output.finish(0);
          }};
}

}  // namespace ringmill::cli
