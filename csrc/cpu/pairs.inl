// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A pair of bf16 a lane, times a pair that is the same for all lanes: for instruction sets that have no word for it, in
// floats. Here nothing but what the cache holds is rounded.
#pragma once

#if !defined(TINYCHAT_PAIRS)
namespace {

struct Pairs {
  F first, second;
};
using PairNumber = float; // what the other factor is made of
inline Pairs load_pairs(const uint16_t* p) {
  const I words = as_words(load_bytes(reinterpret_cast<const uint8_t*>(p)));
  return {as_float(shift_left(words, 16)), as_float(words & broadcast(static_cast<int32_t>(0xffff0000)))};
}
inline F dot(const Pairs& a, const PairNumber* pair, F total) {
  return fma(a.second, broadcast(pair[1]), fma(a.first, broadcast(pair[0]), total));
}
// n numbers, a multiple of 16, as dot() takes them: here as they are, elsewhere in `room`.
inline const PairNumber* as_pairs(const float* x, int, PairNumber*) { return x; }

} // namespace
#endif
