// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The best set is chosen where none is named; an unknown one is refused by name.

#include <stdexcept>

#include "check.h"

int main() {
  using namespace tinychat;
  const Isa& best = choose_isa("");
  CHECK(best.supported(), best.name);
  for (const Isa& isa : compiled_isas()) {
    if (&isa == &best) break;
    CHECK(!isa.supported(), isa.name);
  }
  CHECK(choose_isa("generic").name == std::string("generic"), "by name");
  std::string message;
  try {
    choose_isa("mmx");
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  CHECK(message.find("'mmx'") != std::string::npos && message.find("generic") != std::string::npos, message);
  return 0;
}
