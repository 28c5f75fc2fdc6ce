// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cpu/isa.h"

#include <stdexcept>
#include <vector>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace tinychat {

extern const Kernels kernels_generic;
#if defined(__x86_64__)
extern const Kernels kernels_avx2, kernels_avx512;
#if defined(TINYCHAT_HAVE_AMX)
extern const Kernels kernels_amx;
#endif
#if defined(TINYCHAT_HAVE_AVX512BF16)
extern const Kernels kernels_avx512bf16;
#endif
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
// CPUID leaf 7: older compilers do not know the names of its bits.
struct Features {
  unsigned eax = 7, ebx = 0, ecx, edx = 0;
  explicit Features(unsigned subleaf) : ecx(subleaf) {
    asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  }
};
#if defined(TINYCHAT_HAVE_AVX512BF16)
bool has_avx512bf16() { return has_avx512() && (Features(1).eax >> 5 & 1) != 0; }
#endif
#if defined(TINYCHAT_HAVE_AVXVNNI)
bool has_avxvnni() { return has_avx2() && (Features(1).eax >> 4 & 1) != 0; }
#endif
#if defined(TINYCHAT_HAVE_AMX)
// Whether sixteen tokens times one tile of weights are the same numbers as in plain loops; with integers that bf16 holds they
// are exact. A machine that computes something else must not answer with it.
bool multiplies_like_generic(const Kernels& kernels) {
  constexpr int kRows = 16, kCols = 96, kTile = 0;
  std::vector<uint8_t> bytes(16 * kCols), zeros(8, 0x53);
  std::vector<float> values(kRows * kCols);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(i * 37 + i / 64);
    values[i] = static_cast<float>(static_cast<int>(i * 29 % 255) - 127);
  }
  const std::vector<uint16_t> ones(16, 0x3c00); // fp16
  Activations x;
  x.values = values.data();
  x.cols = kCols;
  std::vector<uint16_t> packed(kRows * kCols);
  for (int row = 0; row < kRows; ++row) kernels.pack_bf16(&values[row * kCols], kCols, row, packed.data());
  for (const WeightFormat format : {WeightFormat::kW4Zero, WeightFormat::kW8Group}) {
    Linear w;
    w.format = format;
    w.rows = 16;
    w.cols = w.group = kCols;
    w.weight = bytes.data();
    w.scales = ones.data();
    w.zeros = zeros.data();
    std::vector<float> expected(16 * kRows), out(16 * kRows);
    kernels_generic.gemm_float(w, kTile, x, kRows, {expected.data(), 16});
    kernels.gemm_large_m({w, 0, 1, 1, packed.data(), kRows, {out.data(), 16}, {}});
    if (out != expected) return false;
  }
  return true;
}

// AMX-TILE and AMX-BF16, and Linux lets this process have the tiles' eight kilobytes of state.
bool has_amx() {
  static const bool usable = [] {
    const unsigned edx = Features(0).edx;
    if (!has_avx512bf16() || (edx >> 22 & 1) == 0 || (edx >> 24 & 1) == 0) return false;
    constexpr long kRequestPermission = 0x1023, kTileData = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0 && multiplies_like_generic(kernels_amx);
  }();
  return usable;
}
#endif
#elif defined(__aarch64__)
bool has_dotprod() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
bool has_i8mm() { return has_dotprod() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0; }
#endif
bool always() { return true; }

// A set with the integer dot products of another one, which has no other functions.
[[maybe_unused]] Kernels extended(Kernels base, const Kernels& own) {
  base.gemm_int8 = own.gemm_int8;
  base.gemm_two_digits = own.gemm_two_digits;
  return base;
}

} // namespace

const std::vector<Isa>& compiled_isas() {
#if defined(__x86_64__)
#if defined(TINYCHAT_HAVE_AVXVNNI)
  static const Kernels avxvnni = extended(kernels_avx2, kernels_avxvnni);
#endif
#elif defined(__aarch64__)
  static const Kernels i8mm = extended(kernels_neon, kernels_i8mm), dotprod = extended(kernels_neon, kernels_dotprod);
#endif
  static const std::vector<Isa> isas = {
#if defined(__x86_64__)
#if defined(TINYCHAT_HAVE_AMX)
      {"amx", &kernels_amx, has_amx},
#endif
#if defined(TINYCHAT_HAVE_AVX512BF16)
      {"avx512bf16", &kernels_avx512bf16, has_avx512bf16},
#endif
      {"avx512", &kernels_avx512, has_avx512},
#if defined(TINYCHAT_HAVE_AVXVNNI)
      {"avxvnni", &avxvnni, has_avxvnni},
#endif
      {"avx2", &kernels_avx2, has_avx2},
#elif defined(__aarch64__)
      {"i8mm", &i8mm, has_i8mm},
      {"dotprod", &dotprod, has_dotprod},
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
