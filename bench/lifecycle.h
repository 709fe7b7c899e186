// What a producer and a worker of the plain lifecycle do, for runs that measure something beside it.
#pragma once

#include <cstddef>

#include <ringmill/job.h>

#include "bench/engine_throughput.h"

namespace ringmill::bench {

/// Enqueues until the run is over; `batch` 1: by single calls.
EngineBody lifecycle_producer(std::size_t batch, Durability durability);
/// Claims and completes.
EngineBody lifecycle_worker(std::size_t batch);

}  // namespace ringmill::bench
