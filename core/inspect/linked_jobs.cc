#include "core/inspect/linked_jobs.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/inspect/job_view.h"
#include "core/table/arena.h"
#include "core/table/parents.h"

namespace ringmill {

namespace {

using Ids = std::vector<std::uint64_t>;

/// The jobs that are not over and are linked: which each one waits for, and which wait for it.
struct Links {
  std::unordered_map<std::uint64_t, Ids> parents;
  std::unordered_map<std::uint64_t, Ids> children;
};

Links links_of(const Segment& segment) {
  const auto look = segment.look();
  const JobTable table(segment);
  const Arena arena(segment);
  Links links;
  table.for_each_cell([&](CellIndex index) {
    const StateWord word = table.word(index);
    const auto state = shown_state(word.state());
    if (!state || is_over(*state) || table.parents(index) == 0) return;
    const JobId id = job_id_of(word, index);
    const auto parents = parents_of(table, arena, id);
    if (!parents || table.word(index).generation() != word.generation()) return;
    for (const JobId parent : *parents) {
      links.parents[id.value()].push_back(parent.value());
      links.children[parent.value()].push_back(id.value());
    }
  });
  return links;
}

Ids all_from(const Links& links, std::uint64_t id) {
  Ids all{id};
  std::unordered_set<std::uint64_t> known{id};
  const auto add = [&](const std::unordered_map<std::uint64_t, Ids>& map, std::uint64_t of) {
    const auto found = map.find(of);
    if (found == map.end()) return;
    for (const std::uint64_t other : found->second) {
      if (known.insert(other).second) all.push_back(other);
    }
  };
  for (std::size_t n = 0; n < all.size(); ++n) {
    const std::uint64_t one = all[n];  // the vector grows
    add(links.parents, one);
    add(links.children, one);
  }
  return all;
}

}  // namespace

Children children_of(const Segment& segment, JobId id, CellIndex begin, std::size_t most, std::size_t most_looks) {
  const auto look = segment.look();
  const JobTable table(segment);
  const Arena arena(segment);
  const CellChunks chunks = segment.chunks();
  const std::uint32_t capacity = segment.geometry().capacity;
  Children children;
  std::size_t looks = 0;
  for (CellIndex index = begin;; ++index, ++looks) {
    index = chunks.next_there(index);
    if (index >= capacity) return children;
    if (looks >= most_looks || children.ids.size() == most) {
      children.next = index;
      return children;
    }
    const StateWord word = table.word(index);
    if (!shown_state(word.state()) || table.parents(index) == 0) continue;
    const JobId one = job_id_of(word, index);
    const auto parents = parents_of(table, arena, one);
    if (!parents || table.word(index).generation() != word.generation()) continue;
    looks += parents->size();
    if (std::ranges::find(*parents, id) != parents->end()) children.ids.push_back(one);
  }
}

std::vector<JobId> linked_with(const Segment& segment, JobId id) {
  const Links links = links_of(segment);
  std::unordered_map<std::uint64_t, std::size_t> waiting_children;
  Ids ready;
  for (const std::uint64_t one : all_from(links, id.value())) {
    const auto children = links.children.find(one);
    const std::size_t count = children == links.children.end() ? 0 : children->second.size();
    waiting_children[one] = count;
    if (count == 0) ready.push_back(one);
  }
  std::vector<JobId> ordered;
  while (!ready.empty()) {
    const std::uint64_t one = ready.back();
    ready.pop_back();
    ordered.emplace_back(one);
    const auto parents = links.parents.find(one);
    if (parents == links.parents.end()) continue;
    for (const std::uint64_t parent : parents->second) {
      if (--waiting_children[parent] == 0) ready.push_back(parent);
    }
  }
  return ordered;
}

}  // namespace ringmill
