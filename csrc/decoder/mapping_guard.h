// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// If a mapped file is truncated, a read of a lost page raises SIGBUS in the reading thread, which would end the process.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tinychat {

// While a guard exists, a lost page of [begin, begin + size) reads as zeros and is counted. Code that computed with the
// range must check lost() before it returns a result.
class MappingGuard {
 public:
  // Throws std::runtime_error if too many ranges are guarded already.
  MappingGuard(const void* begin, size_t size);
  ~MappingGuard();
  MappingGuard(const MappingGuard&) = delete;
  MappingGuard& operator=(const MappingGuard&) = delete;

  int64_t lost() const; // number of lost pages that were read

 private:
  int slot_;
};

} // namespace tinychat
