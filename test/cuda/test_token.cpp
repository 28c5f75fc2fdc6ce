// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A decoded token is one graph of few kernels, recorded once for a range of context lengths and for every cache.

#include "cuda/runtime/cuda_backend.h"
#include "decoder/decoder.h"
#include "small_model.h"

using namespace tinychat;

namespace {

struct Counted {
  long launches, records;
};

// What one more token takes of the device.
template <typename Decode>
Counted counted(const Decode& decode) {
  const fake::Device& device = fake::device;
  const long launches = device.launches, records = device.records;
  decode();
  return {device.launches - launches, device.records - records};
}

struct Small {
  SmallModel model;
  Decoder decoder;
  std::vector<float> logits = std::vector<float>(96);

  Small(WeightFormat format, int layers, bool bytes)
      : model(format, layers),
        decoder(model.model, std::make_unique<cuda::CudaBackend>(model.model, CudaOptions{600, false, bytes, {}})) {}

  void read(KvCache& cache, const std::vector<int32_t>& tokens) {
    const int count = static_cast<int>(tokens.size());
    ForwardBatch batch;
    batch.tokens = tokens;
    batch.sequences = {{{0, count}, &cache}};
    batch.outputs = {{count - 1, logits.data()}};
    decoder.forward(batch, nullptr);
  }
};

long kernels_of_a_token(WeightFormat format, int layers, bool bytes) {
  Small small(format, layers, bytes);
  const auto cache = small.decoder.new_cache();
  for (int32_t token : {1, 2}) small.read(*cache, {token}); // kernels are loaded, and a graph recorded
  const Counted third = counted([&] { small.read(*cache, {3}); });
  CHECK(third.records == 0, "the third token is a replay");
  return third.launches;
}

void test_few_kernels(WeightFormat format, bool bytes, int of_a_layer, int besides) {
  const long one = kernels_of_a_token(format, 1, bytes), two = kernels_of_a_token(format, 2, bytes);
  CHECK(two - one == of_a_layer, std::to_string(two - one) + " kernels a layer");
  CHECK(one - of_a_layer == besides, std::to_string(one - of_a_layer) + " kernels besides");
}

void test_records() {
  Small small(WeightFormat::kW4Zero, 1, false);
  const auto cache = small.decoder.new_cache(), other = small.decoder.new_cache();
  small.read(*cache, std::vector<int32_t>(253, 7));
  const auto records = [&](KvCache& of) { return counted([&] { small.read(of, {5}); }).records; };
  CHECK(records(*cache) == 0, "the first token is not recorded: kernels are loaded by it");
  CHECK(records(*cache) == 1, "the second one is");
  CHECK(records(*cache) == 0, "position 256 is the last of the range");
  CHECK(records(*other) == 0, "another cache");
  CHECK(records(*cache) == 1, "position 257: more parts of the cache are read at once");
  CHECK(records(*cache) == 0, "and the next");
  CHECK(records(*other) == 0, "a short context, again");
}

void test_a_choice_is_in_the_graph() {
  Small small(WeightFormat::kW4Zero, 1, false);
  const auto cache = small.decoder.new_cache();
  Sampler sampler(0, {});
  const auto choose = [&] {
    return counted([&] {
      ForwardBatch batch;
      batch.tokens = {5};
      batch.sequences = {{{0, 1}, cache.get()}};
      small.decoder.sample(batch, {{0, &sampler, nullptr}}, nullptr);
    });
  };
  choose();
  CHECK(choose().records == 1, "recorded");
  const Counted third = choose();
  CHECK(third.records == 0 && third.launches == 9, std::to_string(third.launches) + " kernels");
}

} // namespace

int main() {
  // Embedding, and norm and head; with bytes, norm, then head.
  test_few_kernels(WeightFormat::kW4Zero, false, 5, 2);
  test_few_kernels(WeightFormat::kF16, false, 5, 2);
  test_few_kernels(WeightFormat::kW8Group, true, 9, 3);
  test_records();
  test_a_choice_is_in_the_graph();
}
