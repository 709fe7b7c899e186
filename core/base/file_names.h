// Every file of an engine's directory.
//
//   engine.json          written once, whole, last of a creation: its presence means that the engine exists
//   lock                 byte locks: keeper, structure, one per participant (ipc/registry.h)
//   memory               which shared memory was made last (core/instance/engine_identity.h)
//   generation           the highest generation any cell may have had: durable before a cell gets there (hazard 2 in
//                        docs/hazards.md)
//   creating             names the segment of a creation that has not ended; the next create() or remove() cleans up
//   resizing             what a resize that has not ended makes of engine.json (core/engine/engine_resize.h)
//   flow-control.json    what is paused or limited (core/flow_control/flow_rules.h)
//   levels.json          the dynamic levels (core/levels/level_list.h)
//   dead-letters.db      jobs that ended badly, and what SQLite keeps beside it (core/dead_letters/store.h)
//   schedules.db         the schedules, likewise (core/schedules/schedule_book.h)
//   serve.sock           the socket of `ringmill serve` (server/sockets.h)
//   serve.token          its token for TCP, if no other file was named
//   journal/             the journal's segments (docs/journal-format.md), and damaged blocks that a recovery kept aside
#pragma once

#include <array>
#include <string_view>

namespace ringmill {

inline constexpr const char* configuration_file = "engine.json";
inline constexpr const char* engine_lock_file = "lock";
inline constexpr const char* memory_note_file = "memory";
inline constexpr const char* generation_file = "generation";
inline constexpr const char* creation_note_file = "creating";
inline constexpr const char* resize_note_file = "resizing";
inline constexpr std::string_view flow_file = "flow-control.json";
inline constexpr const char* level_list_file = "levels.json";
inline constexpr const char* dead_letter_file = "dead-letters.db";
/// The files that a store of dead letters makes. The log first: a database without its log has lost its last
/// transactions, a log without its database would be taken for that of the next one.
inline constexpr std::string_view dead_letter_files[] = {"dead-letters.db-wal", "dead-letters.db-shm",
                                                         "dead-letters.db"};
inline constexpr std::string_view schedules_file = "schedules.db";
inline constexpr std::string_view journal_folder = "journal";
inline constexpr const char* serve_socket_file = "serve.sock";
inline constexpr const char* serve_token_file = "serve.token";

/// What an engine has in databases, and what SQLite keeps beside them. An engine that is made where another one was
/// half removed must not find that one's.
inline constexpr std::array<std::string_view, 6> database_files{dead_letter_files[0], dead_letter_files[1],
                                                                dead_letter_files[2], "dead-letters.db-journal",
                                                                schedules_file,       "schedules.db-journal"};

/// Every file that is made in an engine's directory, the lock last. Each may stand there half-made, too. The journal's
/// folder has names of its own (core/journal/file_names.h).
inline constexpr std::array<std::string_view, 16> own_files{
    resize_note_file,  configuration_file, generation_file,   creation_note_file, memory_note_file,  flow_file,
    database_files[0], database_files[1],  database_files[2], database_files[3],  database_files[4], database_files[5],
    level_list_file,   serve_socket_file,  serve_token_file,  engine_lock_file};

}  // namespace ringmill
