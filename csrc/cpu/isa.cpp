// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cpu/isa.h"

#include <stdexcept>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace tinychat {

extern const Kernels kernels_generic;
#if defined(__x86_64__)
extern const Kernels kernels_avx2, kernels_avx512;
#if defined(TINYCHAT_HAVE_AVXVNNI)
extern const Kernels kernels_avxvnni;
#endif
#elif defined(__aarch64__)
extern const Kernels kernels_neon, kernels_dotprod, kernels_i8mm;
#endif

namespace {

#if defined(__x86_64__)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}
#if defined(TINYCHAT_HAVE_AVXVNNI)
bool has_avxvnni() {
  // CPUID leaf 7, subleaf 1, EAX bit 4; older compilers do not know the name.
  unsigned eax = 7, ebx, ecx = 1, edx;
  asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  return has_avx2() && (eax >> 4 & 1) != 0;
}
#endif
#elif defined(__aarch64__)
bool has_dotprod() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
bool has_i8mm() { return has_dotprod() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0; }
#endif
bool always() { return true; }

} // namespace

const std::vector<Isa>& compiled_isas() {
  static const std::vector<Isa> isas = {
#if defined(__x86_64__)
      {"avx512", &kernels_avx512, has_avx512},
#if defined(TINYCHAT_HAVE_AVXVNNI)
      {"avxvnni", &kernels_avxvnni, has_avxvnni},
#endif
      {"avx2", &kernels_avx2, has_avx2},
#elif defined(__aarch64__)
      {"i8mm", &kernels_i8mm, has_i8mm},
      {"dotprod", &kernels_dotprod, has_dotprod},
      {"neon", &kernels_neon, always},
#endif
      {"generic", &kernels_generic, always},
  };
  return isas;
}

const Isa& choose_isa(const std::string& name) {
  std::string known;
  for (const Isa& isa : compiled_isas()) {
    if (name.empty() ? isa.supported() : name == isa.name) {
      if (!isa.supported()) throw std::invalid_argument("this CPU has no " + name);
      return isa;
    }
    known += (known.empty() ? "" : ", ") + std::string(isa.name);
  }
  throw std::invalid_argument("unknown instruction set '" + name + "'; this build has " + known);
}

} // namespace tinychat
