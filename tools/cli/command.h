// What a command of `ringmill` is to main.cc: its words, and what it does. One file per command.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace ringmill::cli {

struct Command {
  CLI::App* words;
  std::function<int()> run;  // returns the exit code
};

Command add_init(CLI::App& program);
Command add_enqueue(CLI::App& program);
Command add_work(CLI::App& program);
Command add_status(CLI::App& program);
Command add_job(CLI::App& program);
Command add_cancel(CLI::App& program);
Command add_forget(CLI::App& program);
Command add_value(CLI::App& program);
Command add_dump(CLI::App& program);
Command add_dead(CLI::App& program);
Command add_pause(CLI::App& program);
Command add_resume(CLI::App& program);
Command add_limit(CLI::App& program);
Command add_keeper(CLI::App& program);
Command add_recover(CLI::App& program);
Command add_schedule(CLI::App& program);
Command add_wait(CLI::App& program);
Command add_explain(CLI::App& program);
Command add_verify(CLI::App& program);
Command add_level(CLI::App& program);
Command add_remove(CLI::App& program);
Command add_resize(CLI::App& program);
Command add_backup(CLI::App& program);
Command add_upgrade(CLI::App& program);
Command add_top(CLI::App& program);
Command add_metrics(CLI::App& program);
Command add_serve(CLI::App& program);
Command add_watch(CLI::App& program);
Command add_completion(CLI::App& program);
Command add_manual(CLI::App& program);

}  // namespace ringmill::cli
