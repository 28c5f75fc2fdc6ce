// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "last_resort.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace tinychat {
namespace {

std::array<struct sigaction, NSIG> before;
std::array<int, 2> wake; // a pipe, because a signal handler may do little more than write to a file

void on_signal(int number) {
  const int kept = errno;
  [[maybe_unused]] const auto written = write(wake[1], "", 1);
  errno = kept;
  before[number].sa_handler(number);
}

void watch(double seconds, const std::string& message) {
  char byte;
  while (read(wake[0], &byte, 1) != 1) {
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  [[maybe_unused]] const auto written = write(STDERR_FILENO, message.data(), message.size());
  _exit(1);
}

} // namespace

void exit_after_signal(const std::vector<int>& signals, double seconds, const std::string& message) {
  for (const int number : signals) {
    struct sigaction now = {};
    if (sigaction(number, nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO) != 0 || now.sa_handler == SIG_DFL ||
        now.sa_handler == SIG_IGN || now.sa_handler == on_signal)
      throw std::invalid_argument("signal " + std::to_string(number) + " has no handler");
    before[number] = now;
  }
  if (pipe(wake.data()) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  sigset_t all, kept; // the thread takes no signal away from those that wait for one
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &kept);
  std::thread(watch, seconds, message + '\n').detach();
  pthread_sigmask(SIG_SETMASK, &kept, nullptr);
  for (const int number : signals) {
    struct sigaction action = before[number];
    action.sa_handler = on_signal;
    sigaction(number, &action, nullptr);
  }
}

} // namespace tinychat
