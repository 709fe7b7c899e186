// Threads of the engine inside a program of others.
#pragma once

#include <functional>
#include <thread>

namespace ringmill {

/// Starts a thread that leaves signals to the program's own threads: it blocks all but those of its own faults. So no
/// handler of the program runs on it, and a thread of the program that waits for a signal gets it. SIGXFSZ is blocked
/// as well: a file that may not grow (RLIMIT_FSIZE) is the error EFBIG. The kernel keeps 15 characters of `name`.
/// Throws std::system_error where no thread is to be had.
std::thread start_engine_thread(const char* name, std::function<void()> body);

}  // namespace ringmill
