// A user's program: one job from enqueue to completion. argv[1] is where to make the engine.
#include <cstdio>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <ringmill/engine.h>

template <class T>
T value_of(ringmill::Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

void run_one_job(const char* directory) {
  ringmill::Engine engine = value_of(ringmill::Engine::open(directory));
  auto participant = value_of(engine.attach(ringmill::Role::worker));
  const ringmill::JobRequest request{.kind = value_of(engine.kind("greet")),
                                     .level = value_of(engine.level("default")),
                                     .payload = ringmill::as_payload("hello")};
  const ringmill::JobId id = value_of(participant->enqueue(request));
  ringmill::Job job = value_of(participant->claim());
  if (job.id() != id) throw std::runtime_error("another job was claimed");
  if (ringmill::as_text(job.payload()) != "hello") throw std::runtime_error("the payload changed on its way");
  value_of(job.complete());
}

int main(int argument_count, char** arguments) {
  if (argument_count != 2) return 2;
  int exit_code = 0;
  try {
    value_of(ringmill::Engine::create(arguments[1], {.capacity = 64}));
    run_one_job(arguments[1]);
    std::puts("completed one job");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    exit_code = 1;
  }
  return ringmill::Engine::remove(arguments[1], true) ? exit_code : 1;
}
