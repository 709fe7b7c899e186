#include "tests/support/scratch.h"

#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "core/engine/opening.h"
#include "ipc/directory.h"
#include "tests/support/must.h"

namespace ringmill::test {

ScratchFolder::ScratchFolder(const std::filesystem::path& parent) : maker_(::getpid()) {
  std::string name = (parent / "ringmill-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a folder below " + parent.string());
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  if (maker_ != ::getpid()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::string> ScratchFolder::names() const {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(path_))
    found.push_back(entry.path().filename().string());
  std::ranges::sort(found);
  return found;
}

Result<void> write_file_durably(const std::filesystem::path& path, std::string_view text, std::uint32_t mode) {
  const auto folder = Directory::open(path.parent_path(), Directory::Links::followed);
  if (!folder) return std::unexpected(folder.error());
  return folder->write_file_durably(path.filename().string(), text, mode);
}

CreateOptions small_engine() {
  CreateOptions options;
  options.capacity = 256;
  options.cell_size = 128;
  options.max_payload = 1;    // no arena: it is quicker to make
  options.reserve.emplace();  // none: what is full is full for all levels
  return options;
}

CreateOptions small_engine_with_room() {
  CreateOptions options = small_engine();
  options.cell_size = 256;
  return options;
}

CreateOptions ScratchPlace::here(CreateOptions options) const {
  options.shm_dir = shm_dir();
  return options;
}

ScratchEngine::ScratchEngine(const CreateOptions& options, const char* tmpfs) {
  if (tmpfs != nullptr) {
    if (::mount("none", place_.shm_dir().c_str(), "tmpfs", 0, tmpfs) != 0)
      throw std::runtime_error("cannot mount a tmpfs");
    mounter_ = ::getpid();
  }
  must(Engine::create(directory(), place_.here(options)));
}

ScratchEngine::~ScratchEngine() {
  if (mounter_ == ::getpid()) ::umount2(place_.shm_dir().c_str(), MNT_DETACH);
}

std::filesystem::path ScratchEngine::segment_file() const {
  return must(EngineFiles::open(directory())).segment_path();
}

Engine ScratchEngine::open(const OpenOptions& options) const { return must(Engine::open(directory(), options)); }

std::shared_ptr<EngineCore> ScratchEngine::open_core() const { return must(open_engine(directory(), false)); }

}  // namespace ringmill::test
