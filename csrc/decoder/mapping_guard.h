// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A file that is cut short under its mapping answers reads with SIGBUS, in whichever thread, and that would end the process.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tinychat {

// While it lives, a page of [begin, begin + size) that the file no longer has reads as zeros, and is counted: whoever
// computed with the range looks at lost() before it lets the result out.
class MappingGuard {
 public:
  // Throws std::runtime_error where too many ranges are guarded already.
  MappingGuard(const void* begin, size_t size);
  ~MappingGuard();
  MappingGuard(const MappingGuard&) = delete;
  MappingGuard& operator=(const MappingGuard&) = delete;

  int64_t lost() const; // pages

 private:
  int slot_;
};

} // namespace tinychat
