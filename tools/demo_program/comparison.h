// The proof of the demo: every digest against sha256sum, every file of the list in a ledger.
#pragma once

#include "tools/demo_program/files.h"
#include "tools/demo_program/run.h"

namespace ringmill::demo {

/// Runs sha256sum on the same files, compares, prints the table and the result. True: all digests match, none is lost.
bool compare(const RunFolder& folder, const Listing& listing, const RunResult& run);

}  // namespace ringmill::demo
