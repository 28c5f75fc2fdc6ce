// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// An allocator of large buffers in pages of two megabytes, where the system gives them: a GEMM writes 16 numbers to each of
// hundreds of rows, and with the usual pages nearly each row is another page.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace tinychat {

template <typename T>
struct HugePages {
  using value_type = T;
  HugePages() = default;
  template <typename U>
  HugePages(const HugePages<U>&) {}

  // A buffer of less than half such a page gets pages of the usual size.
  T* allocate(size_t n) {
    constexpr size_t kHuge = size_t{2} << 20, kLine = 64;
    const size_t bytes = n * sizeof(T), unit = bytes >= kHuge / 2 ? kHuge : kLine;
    void* memory = std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
    if (memory == nullptr) throw std::bad_alloc();
    if (unit == kHuge) madvise(memory, bytes, MADV_HUGEPAGE);
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t) { std::free(memory); }
  bool operator==(const HugePages&) const { return true; }
  bool operator!=(const HugePages&) const { return false; }
};

} // namespace tinychat
