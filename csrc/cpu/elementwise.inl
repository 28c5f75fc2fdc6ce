// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Norms, activations and the quantization of activations.
#pragma once

namespace {

// exp(x), relative error below 2e-7: x = n ln 2 + r, a polynomial of r on [-ln2/2, ln2/2] (Cephes' expf), times 2^n.
inline F exp(F x) {
  x = max(min(x, broadcast(88.0f)), broadcast(-87.0f));
  const I n = round(x * broadcast(1.44269504f));
  const F whole = to_float(n);
  F r = fma(whole, broadcast(-0.693359375f), x);
  r = fma(whole, broadcast(2.12194440e-4f), r);
  F p = broadcast(1.9875691500e-4f);
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  return fma(p * r, r, r + broadcast(1.0f)) * power_of_two(n);
}

inline F sigmoid(F x) { return broadcast(1.0f) / (broadcast(1.0f) + exp(broadcast(0.0f) - x)); }
inline F tanh(F x) { return fma(broadcast(2.0f), sigmoid(x + x), broadcast(-1.0f)); }

// 1 + erf(x), absolute error below 3e-7 (Abramowitz and Stegun 7.1.26 on |x|, then 1 + erf(-x) = 1 - erf(x)).
inline F one_plus_erf(F x) {
  const F zero = broadcast(0.0f), magnitude = max(x, zero - x);
  const F t = broadcast(1.0f) / fma(broadcast(0.3275911f), magnitude, broadcast(1.0f));
  F p = broadcast(1.061405429f);
  p = fma(p, t, broadcast(-1.453152027f));
  p = fma(p, t, broadcast(1.421413741f));
  p = fma(p, t, broadcast(-0.284496736f));
  p = fma(p, t, broadcast(0.254829592f));
  const F tail = p * t * exp(zero - magnitude * magnitude);                 // 1 - erf(|x|)
  const F positive = min(max(x * broadcast(1e30f), zero), broadcast(1.0f)); // 1 where x > 0, else 0
  return fma(positive, broadcast(2.0f) - tail - tail, tail);
}

inline F apply(tinychat::Activation kind, F x) {
  switch (kind) {
    case tinychat::Activation::kSilu: return x * sigmoid(x);
    case tinychat::Activation::kGelu: return broadcast(0.5f) * x * one_plus_erf(x * broadcast(0.70710678f));
    case tinychat::Activation::kGeluTanh: {
      const F inner = broadcast(0.79788456f) * fma(broadcast(0.044715f) * x * x, x, x);
      return broadcast(0.5f) * x * (broadcast(1.0f) + tanh(inner));
    }
    case tinychat::Activation::kRelu: return max(x, broadcast(0.0f));
  }
  return x;
}

void activate(tinychat::Activation kind, const float* gate, const float* up, int rows, float* out, size_t stride) {
  for (int r = 0; r < rows; ++r) {
    const F y = apply(kind, load(gate + 16 * r));
    store(out + r * stride, up != nullptr ? y * load(up + 16 * r) : y);
  }
}

void norm(tinychat::Norm kind, const float* x, const float* weight, const float* bias, float eps, int n, float* out) {
  float mean = 0;
  if (kind == tinychat::Norm::kLayer) {
    F total = broadcast(0.0f);
    for (int i = 0; i < n; i += 16) total = total + load(x + i);
    mean = sum(total) / static_cast<float>(n);
  }
  const F center = broadcast(mean);
  F squares = broadcast(0.0f);
  for (int i = 0; i < n; i += 16) {
    const F y = load(x + i) - center;
    squares = fma(y, y, squares);
  }
  const F factor = broadcast(1.0f / __builtin_sqrtf(sum(squares) / static_cast<float>(n) + eps));
  for (int i = 0; i < n; i += 16) {
    const F y = (load(x + i) - center) * factor * load(weight + i);
    store(out + i, bias != nullptr ? y + load(bias + i) : y);
  }
}

void scale(float* x, const float* factors, int n) {
  for (int i = 0; i < n; ++i) x[i] *= factors[i];
}

int32_t read(const uint8_t* memory, size_t lines) {
  I total[4] = {broadcast(0), broadcast(0), broadcast(0), broadcast(0)};
  size_t line = 0;
  for (; line + 4 <= lines; line += 4)
    for (int i = 0; i < 4; ++i) total[i] = total[i] ^ as_words(load_bytes(memory + 64 * (line + i)));
  for (; line < lines; ++line) total[0] = total[0] ^ as_words(load_bytes(memory + 64 * line));
  return sum(total[0] + total[1] + total[2] + total[3]);
}

// To bytes, or with two digits to 16 bits: each byte is in -127 … 127, of which every product fits where a pair of them is
// added in 16 bits.
template <int kDigits>
void quantize(const float* x, int cols, int group, int8_t* q, float* scales, int32_t* sums, float* scaled_sums) {
  constexpr float kLeast = 1e-30f; // a smaller maximum has no inverse; beside what else there is, it is nothing
  const int groups = cols / group;
  F no_number = broadcast(0.0f);
  for (int i = 0; i < cols; i += 16) no_number = fma(load(x + i), broadcast(0.0f), no_number);
  if (sum(no_number) != 0) { // an infinity or a NaN makes the row NaN
    for (int i = 0; i < kDigits * cols; ++i) q[i] = 0;
    for (int g = 0; g < groups; ++g) scales[g] = scaled_sums[g] = __builtin_nanf(""), sums[g] = 0;
    return;
  }
  for (int g = 0; g < groups; ++g, x += group, q += group) {
    F most = broadcast(0.0f);
    for (int i = 0; i < group; i += 16) {
      const F y = load(x + i);
      most = max(most, max(y, broadcast(0.0f) - y));
    }
    const float largest = highest(most);
    const bool present = largest > kLeast;
    const F factor = broadcast(present ? 127.0f / largest : 0.0f);
    I total = broadcast(0), second_total = broadcast(0);
    for (int i = 0; i < group; i += 16) {
      const F scaled = load(x + i) * factor;
      const I first = round(scaled);
      store_i8(q + i, first);
      total = total + first;
      if (kDigits == 1) continue;
      const F rest = (scaled - to_float(first)) * broadcast(256.0f);
      const I second = round(max(min(rest, broadcast(127.0f)), broadcast(-127.0f)));
      store_i8(q + cols + i, second);
      second_total = second_total + second;
    }
    scales[g] = present ? largest / (kDigits == 1 ? 127.0f : 127.0f * 256.0f) : 0.0f;
    sums[g] = kDigits == 1 ? sum(total) : 256 * sum(total) + sum(second_total);
    scaled_sums[g] = scales[g] * static_cast<float>(sums[g]);
  }
}

} // namespace
