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
  // A set that extends another one has all of its functions.
  for (const Isa& isa : compiled_isas()) {
    const Kernels& k = *isa.kernels;
    CHECK(k.gemm_float && k.gemm_int8 && k.gemm_two_digits && k.quantize_int8 && k.quantize_two_digits && k.norm &&
              k.activate && k.scale && k.attention_bf16 && k.attention_float && k.attention_int8 && k.read,
          isa.name);
    CHECK((k.gemm_large_m != nullptr) == (isa.name == std::string("amx")) && !k.gemm_large_m == !k.pack_bf16, isa.name);
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
