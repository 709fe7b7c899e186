// What ties an engine's shared memory to its directory, and the directory to its place.
//
// Three signs, each of which something else cannot have by accident:
//
//   home       in engine.json: inode and time of birth of the file `lock`, and the directory's inode, as they were when
//              the engine was made, or was adopted. A copy of the directory has others: it has no right to the engine's
//              id, nor to its memory.
//   making     a random number for each making of shared memory: in the file `memory`, durably, before the segment gets
//              its name, and in the segment's header. A segment with another one is out of date: a later one was made
//              for this directory elsewhere (a container with its own /dev/shm), or the directory was brought back from
//              a backup.
//   home word  in the segment's header: a hash of the home and of the device, for this boot. A segment with another one
//              was made by another directory: it is never mapped for use, replaced or removed.
//
//   what happened                                   what shows it          what is done
//   cp -a, rsync, or a restore into a new place     home                   refused; `ringmill recover` adopts it
//   mv to another file system                       home                   as a copy
//   cp -al (hard links)                             home (directory)       refused: both would write one journal
//   mv within the file system, a bind mount         nothing changes        the engine goes on
//   a restore over the same path                    home, or making        as a copy; or memory is made anew
//   a snapshot of the file system beside it         home word (device)     refused; `ringmill recover` adopts it
//   another /dev/shm (a container)                  making                 refused while either memory is in use,
//                                                                          else made anew from the journal
//   the id of another engine in engine.json         home word              refused
//
// Adopting gives the directory a new id and a home of its own, both in one file that is replaced whole. Its journal
// keeps the id with which its blocks were written (`journal_id` in engine.json).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <ringmill/error.h>

#include "ipc/directory.h"
#include "ipc/segment.h"

namespace ringmill {

/// Where an engine was made: the place of its file `lock`, whose locks keep processes out of each other's way. A file
/// system that does not say when a file was born leaves `born_ns` 0.
struct EngineHome {
  std::uint64_t inode = 0;  // 0: the engine was made before homes were noted
  std::uint64_t born_ns = 0;
  std::uint64_t directory = 0;  // its inode
};

/// What was noted is what is there, as far as both say it.
bool is_at_home(const EngineHome& noted, const EngineHome& found) noexcept;

/// A directory's lock file, as far as it can be told without opening it.
struct FoundHome {
  EngineHome home;
  /// Never 0. The device is in it, which is the same for all mounts of a file system until it is unmounted, and may be
  /// another one after that. So it counts for one boot, as shared memory does.
  std::uint64_t word = 0;
  /// False: a link, or another thing that was put there. It says nothing of a copy: opening the lock file refuses it.
  bool is_plain_file = false;
};
/// Error not_found: there is no lock file.
Result<FoundHome> find_home(const Directory& directory);

/// What stands in the file `memory`: the segment that was made last.
struct MemoryNote {
  std::uint64_t engine_id = 0;
  std::uint64_t making = 0;
  std::string segment;  // its name in the folder of shared memory

  std::string to_text() const;
  /// Error corrupt.
  static Result<MemoryNote> of(std::string_view text, const std::filesystem::path& path);
};

/// The name of a segment's file; `number` is the engine's id, or a random number where another user has that name.
std::string segment_name(std::uint64_t number);
bool is_segment_name(std::string_view name) noexcept;

/// The two words of the segment's header that tie it to its directory; both 0: the memory was made before there were
/// any. Written by the maker before the segment has its name, and never again. The header's checksum does not cover
/// them: a peer that corrupts them makes the memory one that is out of date, or another directory's.
struct MemorySigns {
  std::uint64_t making = 0;
  std::uint64_t home = 0;

  static MemorySigns of(const Segment& segment) noexcept {
    const auto& words = segment.header().reserved;
    return {.making = words[0].load(), .home = words[1].load()};
  }
  void put_into(const Segment& segment) const noexcept {
    segment.header().reserved[0].store(making);
    segment.header().reserved[1].store(home);
  }
  bool is_of_another(const FoundHome& here) const noexcept { return home != 0 && home != here.word; }
};

}  // namespace ringmill
