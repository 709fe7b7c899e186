// The one walk over commands and options, for what is made of them: completions, and pages of the manual.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

namespace ringmill::cli {

/// By name.
inline std::vector<const CLI::App*> commands_of(const CLI::App& program) {
  std::vector<const CLI::App*> commands =
      program.get_subcommands([](const CLI::App* one) { return !one->get_name().empty(); });
  std::ranges::sort(commands, {}, [](const CLI::App* one) { return one->get_name(); });
  return commands;
}

/// Options of a command stand in it, or in its groups: commands without a name. Positional words are among them.
template <class Visit>
void for_each_option(const CLI::App& command, const Visit& visit) {
  for (const CLI::Option* option : command.get_options()) visit(*option);
  for (const CLI::App* group : command.get_subcommands([](const CLI::App* one) { return one->get_name().empty(); })) {
    for_each_option(*group, visit);
  }
}

}  // namespace ringmill::cli
