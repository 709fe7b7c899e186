// Names that all processes share, each under a fixed number: append-only, without a lock, safe against death at any
// instruction.
//
// A name is 64 bytes: the text, padded with 0xff (never part of a name), its length in the last byte. So no word of a
// name is zero, and a zero word is one that is not set yet. To intern a name, walk the entries from the first; in
// each, set word after word by compare-and-swap from zero, and go on to the next entry at the first word that differs.
//
// A writer sets word n only after it has seen that words 0 to n-1 are its own name's. So the process that sets the last
// word has seen a whole entry that is its name: entries never mix names. A writer that dies half-way leaves the
// beginning of an entry: the next name with that beginning completes it, and until then it names nothing. Entries are
// never removed, and all walk in the same order, so the same name ends in the same entry for all.
//
// The creator of a table may place names at numbers that they had before, and leave gaps (place()). So the walk comes
// after a look for the name behind them: what was placed is seen by all from the beginning.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "ipc/layout.h"

namespace ringmill {

using NameWords = std::array<std::uint64_t, name_bytes / 8>;

/// 1 to 63 characters of [A-Za-z0-9._:/-].
inline bool is_valid_name(std::string_view name) noexcept {
  if (name.empty() || name.size() >= name_bytes) return false;
  for (const char c : name) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                      c == '_' || c == ':' || c == '/' || c == '-';
    if (!fine) return false;
  }
  return true;
}

inline NameWords encode_name(std::string_view name) noexcept {
  std::array<unsigned char, name_bytes> bytes;
  bytes.fill(0xff);
  std::memcpy(bytes.data(), name.data(), name.size());
  bytes[name_bytes - 1] = static_cast<unsigned char>(name.size());
  return std::bit_cast<NameWords>(bytes);
}

/// The text of a complete, valid entry; nothing otherwise.
inline std::optional<std::string> decode_name(const std::atomic<std::uint64_t>* words) {
  NameWords copy;
  for (std::size_t i = 0; i < copy.size(); ++i) {
    copy[i] = words[i].load(std::memory_order_acquire);  // ORDER name: pairs with the setting of each word
    if (copy[i] == 0) return std::nullopt;
  }
  const auto bytes = std::bit_cast<std::array<char, name_bytes>>(copy);
  const auto length = static_cast<unsigned char>(bytes[name_bytes - 1]);
  if (length == 0 || length >= name_bytes) return std::nullopt;
  std::string text(bytes.data(), length);
  if (!is_valid_name(text)) return std::nullopt;
  return text;
}

class NameTable {
 public:
  NameTable() noexcept = default;
  NameTable(NameEntry* entries, std::uint32_t count) noexcept : entries_(entries), count_(count) {}

  /// The number of a valid name, given now if need be. Nothing when the table is full.
  std::optional<std::uint32_t> intern(std::string_view name) noexcept {
    const NameWords wanted = encode_name(name);
    for (std::uint32_t n = 0; n < count_; ++n) {
      if (holds(entries_[n], wanted)) return n;
    }
    for (std::uint32_t n = 0; n < count_; ++n) {
      if (settle(entries_[n], wanted)) return n;
    }
    return std::nullopt;
  }

  /// The number of a name that is there already.
  std::optional<std::uint32_t> find(std::string_view name) const {
    for (std::uint32_t n = 0; n < count_; ++n) {
      if (decode_name(entries_[n].word) == name) return n;
    }
    return std::nullopt;
  }

  std::optional<std::string> name_of(std::uint32_t number) const {
    if (number >= count_) return std::nullopt;
    return decode_name(entries_[number].word);
  }
  std::uint32_t count() const noexcept { return count_; }

  /// Puts a valid name at a number that has none. For the creator of the table, while no other process sees it.
  void place(std::uint32_t number, std::string_view name) noexcept {
    const NameWords words = encode_name(name);
    // ORDER relaxed: the table is published as a whole, by the rename of its segment.
    for (std::size_t i = 0; i < words.size(); ++i) entries_[number].word[i].store(words[i], std::memory_order_relaxed);
  }

 private:
  static bool holds(const NameEntry& entry, const NameWords& wanted) noexcept {
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (entry.word[i].load(std::memory_order_acquire) != wanted[i]) return false;  // ORDER name
    }
    return true;
  }
  /// True when the entry is, or has become, `wanted`.
  static bool settle(NameEntry& entry, const NameWords& wanted) noexcept {
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      std::uint64_t seen = 0;
      // ORDER name: releases the words before this one to its readers.
      if (!entry.word[i].compare_exchange_strong(seen, wanted[i], std::memory_order_acq_rel) && seen != wanted[i]) {
        return false;
      }
    }
    return true;
  }

  NameEntry* entries_ = nullptr;
  std::uint32_t count_ = 0;
};

}  // namespace ringmill
