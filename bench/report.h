// What all rounds gave together: the table for people, the JSON file for scripts.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace ringmill::bench {

/// What a reader must know to repeat it.
struct Measurement {
  std::map<std::string, std::string> machine;  // described before the first round: the load of the run is our own
  std::string commit;
  bool quick;
};

class Report {
 public:
  void add_figure(const std::string& name, double value);
  void add_note(const std::string& workload, const std::string& name, double value);
  void add_failure(const std::string& workload, const std::string& why);

  bool failed() const noexcept { return !failures_.empty(); }
  /// The table, the targets and the failures, on standard output.
  void print() const;
  /// False, with a sentence on standard error, when the file cannot be written.
  bool write_json(const std::string& path, const Measurement& measurement) const;

 private:
  bool has(const std::string& name) const { return values_.contains(name); }
  double figure(const std::string& name) const;
  void print_figures() const;
  void print_targets() const;

  std::vector<std::string> order_;  // of first appearance
  std::map<std::string, std::vector<double>> values_;
  std::map<std::string, std::map<std::string, std::vector<double>>> notes_;
  std::vector<std::string> failures_;
};

}  // namespace ringmill::bench
