#include "tools/demo_program/files.h"

#include <sys/stat.h>

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace ringmill::demo {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t small_bytes = 4 * 1024;
constexpr std::uint64_t middle_bytes = 64 * 1024;

std::size_t level_for(std::uint64_t bytes) {
  if (bytes <= small_bytes) return 0;
  return bytes <= middle_bytes ? 1 : 2;
}

}  // namespace

FileFacts facts_of(const std::string& path) {
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0) return {};
  return {static_cast<std::uint64_t>(facts.st_size),
          std::int64_t{facts.st_mtim.tv_sec} * 1'000'000'000 + facts.st_mtim.tv_nsec, facts.st_ino};
}

Listing list_files(const fs::path& folder) {
  Listing listing;
  std::vector<fs::path> folders{folder};
  while (!folders.empty()) {
    const fs::path next = std::move(folders.back());
    folders.pop_back();
    std::error_code failure;
    for (auto entry = fs::directory_iterator(next, failure); !failure && entry != fs::directory_iterator();
         entry.increment(failure)) {
      std::error_code ignored;  // an entry that goes away meanwhile is neither
      const fs::file_type type = entry->symlink_status(ignored).type();
      if (type == fs::file_type::directory) folders.push_back(entry->path());
      if (type != fs::file_type::regular) continue;
      ListedFile file{.path = entry->path().string(), .facts = facts_of(entry->path().string())};
      file.level = level_for(file.facts.bytes);
      listing.files.push_back(std::move(file));
    }
    if (failure) ++listing.unreadable_folders;
  }
  return listing;
}

std::vector<std::string> read_records(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream content;
  // An empty file sets failbit of the receiving stream, which says nothing.
  if (stream && stream.peek() != std::ifstream::traits_type::eof()) content << stream.rdbuf();
  if (!stream.is_open() || stream.bad()) throw std::runtime_error("cannot read " + file.string());
  const std::string text = std::move(content).str();
  std::vector<std::string> records;
  for (std::size_t begin = 0, end = 0; (end = text.find('\0', begin)) != std::string::npos; begin = end + 1) {
    records.push_back(text.substr(begin, end - begin));
  }
  return records;
}

void write_records(const fs::path& file, const std::vector<std::string>& records) {
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  for (const std::string& record : records)
    stream.write(record.c_str(), static_cast<std::streamsize>(record.size() + 1));
  stream.close();
  if (!stream) throw std::runtime_error("cannot write " + file.string());
}

}  // namespace ringmill::demo
