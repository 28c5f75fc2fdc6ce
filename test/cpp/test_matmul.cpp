// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Tiles of every weight format, times 1 to 21 rows, against plain loops; the last one has rows left over. With scales of
// one every sum is an integer below 2^24, which a float holds: there the two must be equal bit for bit.

#include <cstring>

#include "check.h"
#include "cpu/half.h"
#include "emulated.h"

using namespace tinychat;

namespace {

constexpr int kTiles = 2, kRows = 27;

// How the zeros of 4-bit weights are told: one for each group, or none, where each is 8.
enum class Zeros { kStored, kCentered };

struct Matrix {
  Linear view;
  std::vector<uint8_t> bytes, zeros, subscales;
  std::vector<uint16_t> scales, mins;
  std::vector<float> channel_scales;
  std::vector<double> values; // [rows][cols], what the stored numbers mean
};

double half(uint16_t bits) { return half_to_float(bits); }

// Stores a weight of less than 16 bits where the layout r16k4 has it.
void store_weight(std::vector<uint8_t>& bytes, int bits, int cols, int row, int k, int q) {
  uint8_t* const tile = &bytes[static_cast<size_t>(row / 16) * cols * 2 * bits];
  const int at = row % 16 * 4 + k % 4;
  if (bits == 8) {
    tile[k / 4 * 64 + at] = static_cast<uint8_t>(q);
    return;
  }
  const int columns = bits == 6 ? 16 : 32, step = k % columns / 4, high = bits - 4;
  uint8_t* const piece = tile + k / columns * columns * 2 * bits;
  piece[step / 2 * 64 + at] |= static_cast<uint8_t>((q & 15) << 4 * (step % 2));
  if (bits > 4) piece[columns / 8 * 64 + at] |= static_cast<uint8_t>(q >> 4 << high * step);
}

// Draws the integers of the scale and of the minimum of a group of a K format, and stores them.
std::pair<int, int> store_subscales(std::vector<uint8_t>& to, std::mt19937& random, WeightFormat format, size_t group,
                                    int lane, bool exact) {
  if (format == WeightFormat::kW6K) {
    const int s = exact ? static_cast<int>(random() % 5) - 2 : static_cast<int>(random() % 256) - 128;
    to[group * 16 + lane] = static_cast<uint8_t>(s);
    return {s, 0};
  }
  const int s = static_cast<int>(random() % (exact ? 3 : 64)), m = static_cast<int>(random() % (exact ? 4 : 64));
  to[group * 24 + lane] = static_cast<uint8_t>((s & 15) | (m & 15) << 4);
  to[group * 24 + 16 + lane % 8] |= static_cast<uint8_t>((s >> 4 | m >> 4 << 2) << (lane < 8 ? 0 : 4));
  return {s, m};
}

// Random weights in the layouts r16k4 and r16k1; scales of one where `exact`.
Matrix random_matrix(std::mt19937& random, WeightFormat format, int cols, int group, bool exact,
                     Zeros zeros = Zeros::kStored) {
  const int bits = bits_of(format);
  const bool sixteen = format == WeightFormat::kF16 || format == WeightFormat::kBf16;
  const bool channel = format == WeightFormat::kW8Channel;
  const int rows = 16 * kTiles;
  group = channel ? cols : format == WeightFormat::kW6K ? 16 : group;
  Matrix m;
  m.values.resize(static_cast<size_t>(rows) * cols);
  std::uniform_real_distribution<float> uniform(0.01f, 0.1f);
  if (sixteen) {
    m.bytes.resize(static_cast<size_t>(rows) * cols * 2);
    auto* words = reinterpret_cast<uint16_t*>(m.bytes.data());
    for (int r = 0; r < rows; ++r)
      for (int k = 0; k < cols; ++k) {
        const float value = uniform(random) - 0.05f;
        uint32_t bits;
        std::memcpy(&bits, &value, 4);
        const uint16_t word = format == WeightFormat::kF16 ? float_to_half(value) : static_cast<uint16_t>(bits >> 16);
        words[(static_cast<size_t>(r / 16) * cols + k) * 16 + r % 16] = word;
        m.values[static_cast<size_t>(r) * cols + k] = format == WeightFormat::kF16 ? half(word) : bf16_to_float(word);
      }
  } else {
    const int groups = cols / group, scale_columns = has_blocks(format) ? kBlock : group;
    m.bytes.resize(static_cast<size_t>(rows) * cols * bits / 8);
    m.scales.resize(static_cast<size_t>(rows) * (cols / scale_columns));
    m.mins.resize(m.scales.size());
    m.zeros.resize(static_cast<size_t>(rows) * groups / 2);
    m.subscales.resize(static_cast<size_t>(rows) * groups * 3 / 2);
    m.channel_scales.resize(rows);
    const float less = has_blocks(format) ? 1.0f / 32 : 1.0f;
    for (uint16_t& scale : m.scales) scale = float_to_half(exact ? 1.0f : less * uniform(random));
    for (uint16_t& min : m.mins)
      min = float_to_half(has_blocks(format) ? (exact ? 1.0f : less * uniform(random))
                          : exact            ? -3.0f
                                             : -uniform(random));
    for (int r = 0; r < rows; ++r) {
      m.channel_scales[r] = exact ? 1.0f : uniform(random);
      for (int g = 0; g < groups; ++g) {
        const size_t index = static_cast<size_t>(r / 16) * groups + g;
        const size_t at = (static_cast<size_t>(r / 16) * (cols / scale_columns) + g * group / scale_columns) * 16 +
                          r % 16;
        int zero = center_of(format);
        if (format == WeightFormat::kW4Zero) {
          if (zeros == Zeros::kStored) zero = static_cast<int>(random() % 16);
          m.zeros[index * 8 + r % 8] |= static_cast<uint8_t>(r % 16 < 8 ? zero : zero << 4);
        }
        double scale = channel ? m.channel_scales[r] : half(m.scales[at]),
               min = has_mins(format) ? half(m.mins[at]) : 0;
        if (has_blocks(format)) {
          const auto [s, e] = store_subscales(m.subscales, random, format, index, r % 16, exact);
          scale *= s, min *= -e;
        }
        for (int k = g * group; k < (g + 1) * group; ++k) {
          const int q = static_cast<int>(random() % (1 << bits)) - (bits == 8 ? 128 : 0);
          store_weight(m.bytes, bits, cols, r, k, q);
          m.values[static_cast<size_t>(r) * cols + k] = scale * (q - zero) + min;
        }
      }
    }
  }
  m.view.format = format;
  m.view.rows = kRows;
  m.view.cols = cols;
  m.view.group = sixteen ? 0 : group;
  m.view.weight = m.bytes.data();
  m.view.scales = m.scales.data();
  m.view.mins = m.mins.data();
  m.view.subscales = m.subscales.data();
  m.view.zeros = zeros == Zeros::kCentered ? nullptr : m.zeros.data();
  m.view.channel_scales = m.channel_scales.data();
  return m;
}

// What the kernels make of `rows` rows of x, in rows of a wider matrix: with `add`, added to what was there. With a bias
// of halves, so that sums stay exact.
constexpr int kStride = kRows + 5;
constexpr float kBefore = 3.0f;

enum class Input { kFloats = 0, kBytes = 1, kDigits = 2 }; // the integers have so many digits

std::vector<float> products(const Kernels& kernels, Matrix& m, const Activations& x, int rows, Input input, bool add) {
  std::vector<float> out(static_cast<size_t>(rows) * kStride, kBefore), bias(kRows);
  for (int i = 0; i < kRows; ++i) bias[i] = 0.5f * static_cast<float>(i);
  m.view.bias = bias.data();
  for (int tile = 0; tile < kTiles; ++tile)
    (input == Input::kBytes    ? kernels.gemm_int8
     : input == Input::kDigits ? kernels.gemm_two_digits
                               : kernels.gemm_float)(m.view, tile, x, rows, {&out[16 * tile], kStride, add});
  for (int r = 0; r < rows; ++r) {
    for (int i = kRows; i < kStride; ++i) CHECK(out[r * kStride + i] == kBefore, "beyond the last row");
    for (int i = 0; i < kRows; ++i) out[r * kStride + i] -= bias[i] + (add ? kBefore : 0);
  }
  return out;
}

double reference(const Matrix& m, int row, const double* x) {
  double total = 0;
  for (int k = 0; k < m.view.cols; ++k) total += m.values[static_cast<size_t>(row) * m.view.cols + k] * x[k];
  return total;
}

const WeightFormat kFormats[] = {WeightFormat::kW4Zero, WeightFormat::kW4Min,   WeightFormat::kW4K,
                                 WeightFormat::kW5Zero, WeightFormat::kW5Min,   WeightFormat::kW5K,
                                 WeightFormat::kW6K,    WeightFormat::kW8Group, WeightFormat::kW8Channel,
                                 WeightFormat::kF16,    WeightFormat::kBf16};

// Columns of a test: half a tile of AMX is left over, or there are two blocks.
int columns(WeightFormat format) {
  return has_blocks(format) ? 2 * kBlock : format == WeightFormat::kW8Channel ? 352 : 384;
}

// Bytes, or 16 bits of two digits: a digit is never -128, which some instructions could not negate.
void test_integers(const Isa& isa, std::mt19937& random, Input input, WeightFormat format, int group, int rows,
                   bool exact, Zeros zeros = Zeros::kStored) {
  const int cols = columns(format);
  Matrix m = random_matrix(random, format, cols, group, exact, zeros);
  const int digits = static_cast<int>(input);
  const int shared = digits == 2 && format == WeightFormat::kW8Channel ? kChannelDigitGroup : m.view.group;
  const int groups = cols / shared;
  std::vector<int8_t> q(static_cast<size_t>(rows) * digits * cols);
  std::vector<float> scales(static_cast<size_t>(rows) * groups), scaled_sums(scales.size());
  std::vector<int32_t> sums(scales.size());
  std::vector<double> x(static_cast<size_t>(rows) * cols);
  for (int r = 0; r < rows; ++r)
    for (int g = 0; g < groups; ++g) {
      const size_t at = static_cast<size_t>(r) * groups + g;
      scales[at] = exact ? 1.0f : 0.01f * static_cast<float>(1 + random() % 9) / (digits == 2 ? 256.0f : 1.0f);
      for (int k = g * shared; k < (g + 1) * shared; ++k) {
        int value = 0;
        for (int d = 0; d < digits; ++d) {
          // The extremes often: that is where a product of pairs would overflow 16 bits.
          int digit = random() % 3 == 0 ? (random() % 2 ? 127 : -127) : static_cast<int>(random() % 255) - 127;
          if (exact && digits == 2 && d == 0) digit %= 2; // sums that a float holds
          q[(static_cast<size_t>(r) * digits + d) * cols + k] = static_cast<int8_t>(digit);
          value = 256 * value + digit;
        }
        sums[at] += value;
        x[static_cast<size_t>(r) * cols + k] = scales[at] * value;
      }
      scaled_sums[at] = scales[at] * static_cast<float>(sums[at]);
    }
  const Activations a{nullptr, q.data(), scales.data(), sums.data(), scaled_sums.data(), cols, groups};
  const std::vector<float> out = products(*isa.kernels, m, a, rows, input, rows % 2 == 0);
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < kRows; ++i) {
      const double expected = reference(m, i, &x[static_cast<size_t>(r) * cols]);
      const double error = std::fabs(out[r * kStride + i] - expected);
      const std::string context = std::string(isa.name) + " format " + std::to_string(static_cast<int>(format)) +
                                  " group " + std::to_string(group) + " rows " + std::to_string(rows) + " digits " +
                                  std::to_string(digits) + ": " + std::to_string(out[r * kStride + i]) + " for " +
                                  std::to_string(expected);
      CHECK(exact ? error == 0 : error <= 1e-3 * cols, context);
    }
}

void test_floats(const Isa& isa, std::mt19937& random, WeightFormat format, int group, int rows,
                 Zeros zeros = Zeros::kStored) {
  const int cols = format == WeightFormat::kF16 ? 97 : columns(format); // 16-bit weights may have any width
  Matrix m = random_matrix(random, format, cols, group, false, zeros);
  const std::vector<float> x = random_floats(random, static_cast<size_t>(rows) * cols);
  const std::vector<double> wide(x.begin(), x.end());
  Activations a;
  a.values = x.data();
  a.cols = cols;
  const std::vector<float> out = products(*isa.kernels, m, a, rows, Input::kFloats, rows % 2 == 0);
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < kRows; ++i) {
      const double expected = reference(m, i, &wide[static_cast<size_t>(r) * cols]);
      CHECK(std::fabs(out[r * kStride + i] - expected) <= 1e-5 * (std::fabs(expected) + cols),
            std::string(isa.name) + " format " + std::to_string(static_cast<int>(format)));
    }
}

// Many tokens in bf16. With integers that bf16 holds, times scales of one, the sums are exact; else weights are rounded
// to bf16, by half a unit of eight bits at most.
void test_panels(const Isa& isa, std::mt19937& random, WeightFormat format, int group, int rows, bool exact,
                 Zeros zeros = Zeros::kStored) {
  const int cols = has_blocks(format) ? 2 * kBlock : 640; // more than a panel
  Matrix m = random_matrix(random, format, cols, group, exact, zeros);
  std::vector<float> x = random_floats(random, static_cast<size_t>(rows) * cols);
  for (float& value : x) value = exact ? std::round(16 * value) : bf16_to_float(float_to_bf16(value));
  // Rows that are not there may be anything.
  std::vector<uint16_t> packed(static_cast<size_t>(rows + 15) / 16 * 16 * cols, 0x7fc0);
  for (int r = 0; r < rows; ++r) isa.kernels->pack_bf16(&x[static_cast<size_t>(r) * cols], cols, r, packed.data());
  std::vector<float> bias(kRows, 0.5f);
  m.view.bias = bias.data();
  for (const bool add : {false, true})
    for (const int count : {1, 2}) {
      std::vector<float> out(static_cast<size_t>(rows) * kStride, kBefore);
      isa.kernels->gemm_large_m(
          {m.view, 0, count, 1, packed.data(), rows, {out.data(), kStride, add}, {out.data() + 16, kStride, add}});
      for (int r = 0; r < rows; ++r)
        for (int i = 0; i < kStride; ++i) {
          const bool written = i < (count == 2 ? kRows : 16);
          double expected = kBefore, size = 0;
          if (written) {
            expected = 0.5 + (add ? kBefore : 0);
            for (int k = 0; k < cols; ++k) {
              const double product = m.values[static_cast<size_t>(i) * cols + k] * x[static_cast<size_t>(r) * cols + k];
              expected += product;
              size += std::fabs(product);
            }
          }
          CHECK(std::fabs(out[r * kStride + i] - expected) <= (exact ? 0 : size / 256),
                std::string(isa.name) + " panels, format " + std::to_string(static_cast<int>(format)) + " rows " +
                    std::to_string(rows) + ": " + std::to_string(out[r * kStride + i]) + " for " +
                    std::to_string(expected));
        }
    }
}

// Many tokens times 16-bit weights: activations and fp16 weights are sums of two bf16 numbers, which hold all but 2^-16 of them.
void test_panels_of_16_bits(const Isa& isa, std::mt19937& random, WeightFormat format, int cols, int rows) {
  Matrix m = random_matrix(random, format, cols, 0, false);
  const std::vector<float> x = random_floats(random, static_cast<size_t>(rows) * cols);
  const size_t steps = (cols + kPanelColumns - 1) / kPanelColumns;
  // Rows that are not there may be anything.
  std::vector<uint16_t> packed((rows + 15) / 16 * steps * 2 * 16 * kPanelColumns, 0x7fc0);
  for (int r = 0; r < rows; ++r) isa.kernels->pack_two_bf16(&x[static_cast<size_t>(r) * cols], cols, r, packed.data());
  for (const bool add : {false, true})
    for (const int count : {1, 2}) {
      std::vector<float> out(static_cast<size_t>(rows) * kStride, kBefore);
      isa.kernels->gemm_large_m(
          {m.view, 0, count, 1, packed.data(), rows, {out.data(), kStride, add}, {out.data() + 16, kStride, add}});
      for (int r = 0; r < rows; ++r)
        for (int i = 0; i < (count == 2 ? kRows : 16); ++i) {
          double expected = add ? kBefore : 0, size = kBefore;
          for (int k = 0; k < cols; ++k) {
            const double product = m.values[static_cast<size_t>(i) * cols + k] * x[static_cast<size_t>(r) * cols + k];
            expected += product;
            size += std::fabs(product);
          }
          CHECK(std::fabs(out[r * kStride + i] - expected) <= size / 65536,
                std::string(isa.name) + " panels, format " + std::to_string(static_cast<int>(format)) + " columns " +
                    std::to_string(cols) + " rows " + std::to_string(rows) + ": " +
                    std::to_string(out[r * kStride + i]) + " for " + std::to_string(expected));
        }
    }
}

void test_multiply(const Isa& isa) {
  std::mt19937 random(7);
  for (const WeightFormat format : kFormats)
    for (const int group : {32, 64, 128})
      for (const int rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 21}) {
        if (has_blocks(format) && group != 32) continue; // its own group
        test_floats(isa, random, format, group, rows);
        if (format == WeightFormat::kF16 || format == WeightFormat::kBf16) {
          if (isa.kernels->gemm_large_m != nullptr && group == 32 && rows % 5 == 1)
            for (const int cols : {192, 112, 97, 3})
              for (const int more : {0, 16, 107}) test_panels_of_16_bits(isa, random, format, cols, rows + more);
          continue;
        }
        if (isa.kernels->gemm_large_m != nullptr && group != 128)
          for (const int more : {0, 16, 32, 107})
            for (const bool exact : {true, false}) {
              test_panels(isa, random, format, group, rows + more, exact);
              if (format == WeightFormat::kW4Zero)
                test_panels(isa, random, format, group, rows + more, exact, Zeros::kCentered);
            }
        for (const Input input : {Input::kBytes, Input::kDigits})
          for (const bool exact : {true, false}) {
            test_integers(isa, random, input, format, group, rows, exact);
            if (format == WeightFormat::kW4Zero)
              test_integers(isa, random, input, format, group, rows, exact, Zeros::kCentered);
          }
        if (format == WeightFormat::kW4Zero) test_floats(isa, random, format, group, rows, Zeros::kCentered);
      }
}

} // namespace

int main() {
  for_each_isa(test_multiply);
  test_multiply(kEmulatedTiles);
  return 0;
}
