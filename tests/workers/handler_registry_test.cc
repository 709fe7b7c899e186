// Which handler belongs to a kind, and what a worker refuses to begin with.
#include "workers/handler_registry.h"

#include "tests/support/worker_test.h"

namespace ringmill::test {
namespace {

TEST(HandlerRegistryInProcess, finds_a_handler_by_the_number_of_its_kind) {
  World world;
  HandlerRegistry registry;
  registry.add("first", done);
  registry.add("second", done);
  must(registry.resolve(world.engine));
  const Handler* first = registry.find(must(world.engine.kind("first")));
  const Handler* second = registry.find(must(world.engine.kind("second")));
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  EXPECT_NE(first, second);
}

TEST(HandlerRegistryInProcess, finds_nothing_for_a_kind_that_nobody_registered) {
  World world;
  HandlerRegistry registry;
  registry.add("known", done);
  must(registry.resolve(world.engine));
  const auto known = static_cast<std::uint32_t>(must(world.engine.kind("known")));
  for (std::uint32_t bit = 1; bit != 0; bit <<= 1) EXPECT_EQ(registry.find(Kind{known ^ bit}), nullptr) << bit;
  EXPECT_EQ(registry.find(Kind{}), nullptr);
  EXPECT_EQ(registry.find(Kind{~0U}), nullptr);
}

TEST(HandlerRegistryInProcess, the_default_handler_is_found_for_every_kind_without_one) {
  World world;
  HandlerRegistry registry;
  registry.add("named", done);
  registry.add_default(done);
  must(registry.resolve(world.engine));
  const Handler* fallback = registry.find(must(world.engine.kind("other")));
  ASSERT_NE(fallback, nullptr);
  EXPECT_NE(registry.find(must(world.engine.kind("named"))), fallback);
}

TEST(HandlerRegistryInProcess, subscribes_to_the_registered_kinds_only) {
  World world;
  HandlerRegistry registry;
  registry.add("first", done);
  registry.add("second", done);
  must(registry.resolve(world.engine));
  EXPECT_EQ(registry.kinds(), (std::vector{must(world.engine.kind("first")), must(world.engine.kind("second"))}));
}

TEST(HandlerRegistryInProcess, subscribes_to_every_kind_when_there_is_a_default_handler) {
  World world;
  HandlerRegistry registry;
  registry.add("named", done);
  registry.add_default(done);
  must(registry.resolve(world.engine));
  EXPECT_TRUE(registry.kinds().empty());
}

TEST(HandlerRegistryInProcess, resolving_again_changes_nothing) {
  World world;
  HandlerRegistry registry;
  registry.add("named", done);
  must(registry.resolve(world.engine));
  must(registry.resolve(world.engine));
  EXPECT_EQ(registry.kinds().size(), 1U);
  EXPECT_NE(registry.find(must(world.engine.kind("named"))), nullptr);
}

/// What resolve() says to a registry that `fill` has filled.
template <class Fill>
Error refusal(Fill&& fill) {
  World world;
  HandlerRegistry registry;
  fill(registry);
  const auto resolved = registry.resolve(world.engine);
  if (resolved) throw std::runtime_error("this registry was expected to be refused");
  return resolved.error();
}

TEST(HandlerRegistryInProcess, nothing_registered_is_refused) {
  const Error error = refusal([](HandlerRegistry&) {});
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_NE(error.message().find("no handler"), std::string::npos) << error.message();
}

TEST(HandlerRegistryInProcess, two_handlers_of_one_kind_are_refused_by_the_kinds_name) {
  const Error error = refusal([](HandlerRegistry& registry) {
    registry.add("twice", done);
    registry.add("twice", done);
  });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_NE(error.message().find("twice"), std::string::npos) << error.message();
}

TEST(HandlerRegistryInProcess, two_default_handlers_are_refused) {
  const Error error = refusal([](HandlerRegistry& registry) {
    registry.add_default(done);
    registry.add_default(done);
  });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_NE(error.message().find("on_any() was called twice"), std::string::npos) << error.message();
}

TEST(HandlerRegistryInProcess, an_empty_handler_is_refused_by_the_kinds_name) {
  const Error error = refusal([](HandlerRegistry& registry) { registry.add("hollow", Handler{}); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_NE(error.message().find("hollow"), std::string::npos) << error.message();
}

TEST(HandlerRegistryInProcess, an_empty_default_handler_is_refused) {
  const Error error = refusal([](HandlerRegistry& registry) { registry.add_default(Handler{}); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_NE(error.message().find("on_any()"), std::string::npos) << error.message();
}

TEST(HandlerRegistryInProcess, a_name_that_is_no_kind_is_refused) {
  EXPECT_EQ(refusal([](HandlerRegistry& registry) { registry.add("two words", done); }).code(),
            ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace ringmill::test
