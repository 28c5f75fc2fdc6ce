// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/mapping_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <stdexcept>

namespace tinychat {
namespace {

struct Range {
  std::atomic<uintptr_t> begin{0}, end{0}; // none: 0, 0
  std::atomic<int64_t> lost{0};
};

// Fixed, because a signal handler may not wait for whoever changes a list.
std::array<Range, 4096> ranges;
std::atomic<int> used{0}; // slots that ever were
std::mutex changing;
uintptr_t page;
struct sigaction before;

void on_bus_error(int number, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (int i = 0; i < used.load(); ++i) {
    Range& range = ranges[i];
    if (address < range.begin.load() || address >= range.end.load()) continue;
    const int kept = errno;
    void* zeros = mmap(reinterpret_cast<void*>(address / page * page), page, PROT_READ,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    errno = kept;
    if (zeros == MAP_FAILED) break;
    ++range.lost;
    return; // to the same load
  }
  // Not ours: as it would have gone without us.
  if ((before.sa_flags & SA_SIGINFO) != 0) before.sa_sigaction(number, info, context);
  else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) before.sa_handler(number);
  else sigaction(SIGBUS, &before, nullptr);
}

// Again with each range: another library may have set its own since.
void install() {
  struct sigaction now;
  if (sigaction(SIGBUS, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_bus_error)
    return;
  before = now;
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigaction(SIGBUS, &action, nullptr);
}

} // namespace

MappingGuard::MappingGuard(const void* begin, size_t size) {
  const std::lock_guard<std::mutex> lock(changing);
  page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  slot_ = 0;
  while (slot_ < used && ranges[slot_].end != 0) ++slot_;
  if (slot_ == static_cast<int>(ranges.size())) throw std::runtime_error("too many files are mapped at once");
  ranges[slot_].lost = 0;
  ranges[slot_].begin = reinterpret_cast<uintptr_t>(begin);
  ranges[slot_].end = reinterpret_cast<uintptr_t>(begin) + size;
  if (slot_ == used) ++used;
  install();
}

MappingGuard::~MappingGuard() {
  const std::lock_guard<std::mutex> lock(changing);
  ranges[slot_].end = 0;
  ranges[slot_].begin = 0;
}

int64_t MappingGuard::lost() const { return ranges[slot_].lost; }

} // namespace tinychat
