#include "bench/scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace ringmill::bench {
namespace {

/// Also one whose creator was killed half-way: only create() finds the segment of such an engine.
void remove_engine(const std::filesystem::path& directory) {
  if (Engine::remove(directory, true)) return;
  CreateOptions smallest;
  smallest.capacity = 64;
  if (Engine::create(directory, smallest)) static_cast<void>(Engine::remove(directory, true));
}

void remove_engines(const std::filesystem::path& folder) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) remove_engine(entry.path());
  std::filesystem::remove_all(folder, ignored);
}

}  // namespace

Scratch::Scratch() {
  std::string name = (std::filesystem::temp_directory_path() / "ringmill-bench.XXXXXX").string();
  int ends[2] = {-1, -1};
  if (mkdtemp(name.data()) == nullptr || pipe2(ends, O_CLOEXEC) != 0) {
    std::perror("ringmill-bench: scratch folder");
    std::exit(3);
  }
  folder_ = name;
  janitor_ = fork();
  if (janitor_ < 0) {
    std::perror("ringmill-bench: fork");
    std::exit(3);
  }
  if (janitor_ == 0) {
    // Out of the reach of the terminal's interrupt, which ends all the others.
    setsid();
    close(ends[1]);
    // Every process of the bench inherits the other end and none writes: this returns when the last of them has gone.
    char nothing = 0;
    while (read(ends[0], &nothing, 1) < 0) {
    }
    remove_engines(folder_);
    _exit(0);
  }
  close(ends[0]);
  alive_ = ends[1];
}

Scratch::~Scratch() {
  close(alive_);
  waitpid(janitor_, nullptr, 0);
}

std::expected<ScratchEngine, std::string> ScratchEngine::create(const std::filesystem::path& folder,
                                                                std::uint32_t capacity, std::uint32_t cell_size,
                                                                std::uint64_t journal_limit,
                                                                std::chrono::milliseconds keep_memory) {
  static int count = 0;
  std::filesystem::path directory = folder / ("engine" + std::to_string(count++));
  CreateOptions options;
  if (capacity != 0) options.capacity = capacity;
  if (cell_size != 0) options.cell_size = cell_size;
  options.journal_limit = journal_limit;
  if (keep_memory.count() != 0) options.keep_memory = keep_memory;
  if (auto made = Engine::create(directory, options); !made) return std::unexpected(made.error().message());
  return ScratchEngine(std::move(directory));
}

ScratchEngine::~ScratchEngine() {
  if (directory_.empty()) return;
  if (auto removed = Engine::remove(directory_, true); !removed) {
    std::fprintf(stderr, "ringmill-bench: an engine stays until the end: %s\n", removed.error().message().c_str());
  }
}

}  // namespace ringmill::bench
