// The demo: the SHA-256 of every file below a folder, through an engine, by several processes, one of which is killed.
// Started by tools/demo. It starts itself again as its producers and workers:
//
//   demo-program FOLDER                 the demo
//   demo-program producer RUN N OF      (by itself)
//   demo-program worker RUN N OF        (by itself)
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include <ringmill/engine.h>

#include "tools/demo_program/comparison.h"
#include "tools/demo_program/files.h"
#include "tools/demo_program/roles.h"
#include "tools/demo_program/run.h"

namespace {

namespace fs = std::filesystem;
using namespace ringmill::demo;

/// A folder for the run, removed with its engine at the end.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (fs::temp_directory_path() / "ringmill-demo.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a folder " + name);
    folder_.path = name;
  }
  ~ScratchFolder() {
    static_cast<void>(ringmill::Engine::remove(folder_.engine(), true));
    std::error_code ignored;
    fs::remove_all(folder_.path, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const RunFolder& folder() const noexcept { return folder_; }

 private:
  RunFolder folder_;
};

int run_demo(const fs::path& root) {
  if (!fs::is_directory(root)) {
    fmt::print(stderr, "demo: no folder: {}\n", root.string());
    return 2;
  }
  const Listing listing = list_files(root);
  fmt::print("{} regular files below {}\n", listing.files.size(), root.string());
  if (listing.files.empty()) {
    fmt::print(stderr, "demo: nothing to do; name a folder with files\n");
    return 2;
  }
  const ScratchFolder scratch;
  std::vector<std::string> jobs;
  std::vector<std::string> paths;
  for (const ListedFile& file : listing.files) {
    jobs.push_back(fmt::format("{} {}", file.level, file.path));
    paths.push_back(file.path);
  }
  write_records(scratch.folder().jobs(), jobs);
  write_records(scratch.folder().paths(), paths);
  const RunResult result = run_jobs(fs::read_symlink("/proc/self/exe").string(), scratch.folder(), listing);
  return compare(scratch.folder(), listing, result) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 1) return run_demo(words[0]);
    if (words.size() == 4 && words[0] == "producer") {
      return run_producer({words[1]}, std::stoi(words[2]), std::stoi(words[3]));
    }
    if (words.size() == 4 && words[0] == "worker") return run_worker({words[1]}, std::stoi(words[2]));
  } catch (const std::exception& exception) {
    fmt::print(stderr, "demo: {}\n", exception.what());
    return 1;
  }
  fmt::print(stderr, "usage: demo-program FOLDER\n");
  return 2;
}
