// What the command puts right in its own process before it does anything else: a program inherits more from its caller
// than its words.
#pragma once

namespace ringmill::cli {

/// Opens what is missing of the descriptors 0 to 2, so that no file of ours gets one of these numbers: messages and
/// results would be written into it. What is written there goes nowhere; reading standard input fails with EBADF.
/// False: not even that can be opened.
bool fill_standard_descriptors() noexcept;

/// SIGCHLD gets its default action: where the caller ignores it, no end of a child could be waited for. SIGPIPE and
/// SIGXFSZ are ignored. A reader that leaves early (`ringmill dump DIR | head`) is no failure: Output sees it as EPIPE.
/// A file that may not grow (`ulimit -f`) is an error like a full disk. Commands that we run get fresh actions.
void set_signal_actions() noexcept;

/// As the first process of a pid namespace (a container's own command) we inherit every orphan, and no signal has its
/// default action. So that process stays behind here: it reaps, forwards signals, and ends as the command has ended.
/// The command goes on in a child, for which this returns. In any other process it returns at once.
void leave_first_process_behind() noexcept;

}  // namespace ringmill::cli
