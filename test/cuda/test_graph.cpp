// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What a pass launches: a token is few kernels, a small pass is a graph that serves every cache and every later pass of its
// shape, and after a failure the next pass works again.

#include "cuda/runtime/cuda_backend.h"
#include "decoder/decoder.h"
#include "small_model.h"

using namespace tinychat;

namespace {

struct Counted {
  long launches, captures;
};

// What a pass takes of the device.
template <typename Run>
Counted counted(const Run& run) {
  const fake::Device& device = fake::device;
  const long launches = device.launches, captures = device.captures;
  run();
  return {device.launches - launches, device.captures - captures};
}

struct Small {
  SmallModel model;
  Decoder decoder;
  std::vector<float> logits = std::vector<float>(SmallModel::kVocab);

  Small(WeightFormat format, int layers, bool int8_activations)
      : model(format, layers),
        decoder(model.model, std::make_unique<cuda::CudaBackend>(
                                 model.model, CudaOptions{SmallModel::kContext, false, int8_activations, {}})) {}

  static void add(ForwardBatch& batch, KvCache& cache, int count) {
    const int begin = batch.num_tokens();
    batch.tokens.resize(begin + count, 5);
    batch.sequences.push_back({{begin, begin + count}, &cache});
  }

  // Appends tokens to each cache, and asks for the logits of the last one of all.
  Counted read(const std::vector<KvCache*>& caches, int count) {
    ForwardBatch batch;
    for (KvCache* cache : caches) add(batch, *cache, count);
    batch.outputs = {{batch.num_tokens() - 1, logits.data()}};
    return counted([&] { decoder.forward(batch, nullptr); });
  }
};

long kernels_of_a_token(WeightFormat format, int layers, bool int8_activations) {
  Small small(format, layers, int8_activations);
  const auto cache = small.decoder.new_cache();
  small.read({cache.get()}, 1); // loads the kernels
  small.read({cache.get()}, 1); // captures the graph
  const Counted third = small.read({cache.get()}, 1);
  CHECK(third.captures == 0, "the third token is a replay");
  return third.launches;
}

void test_few_kernels(WeightFormat format, bool int8_activations, int of_a_layer, int besides) {
  const long one = kernels_of_a_token(format, 1, int8_activations),
             two = kernels_of_a_token(format, 2, int8_activations);
  CHECK(two - one == of_a_layer, std::to_string(two - one) + " kernels a layer");
  CHECK(one - of_a_layer == besides, std::to_string(one - of_a_layer) + " kernels besides");
}

// Of a replayed pass of `tokens` tokens, each of a sequence of its own, or all of one.
long kernels_of_a_pass(int layers, int tokens, bool own_sequences) {
  Small small(WeightFormat::kW4Zero, layers, false);
  std::vector<std::unique_ptr<KvCache>> caches;
  std::vector<KvCache*> used;
  for (int i = 0; i < (own_sequences ? tokens : 1); ++i) {
    caches.push_back(small.decoder.new_cache());
    used.push_back(caches.back().get());
  }
  const auto read = [&] { return small.read(used, own_sequences ? 1 : tokens); };
  read(); // loads the kernels
  CHECK(read().captures == 1, std::to_string(tokens) + " tokens are captured");
  const Counted third = read();
  CHECK(third.captures == 0, std::to_string(tokens) + " tokens are a replay");
  return third.launches;
}

void test_kernels_of_small_passes() {
  for (const bool own_sequences : {false, true})
    for (int tokens = 1; tokens <= 8; ++tokens) {
      const long one = kernels_of_a_pass(1, tokens, own_sequences), two = kernels_of_a_pass(2, tokens, own_sequences);
      const std::string found = std::to_string(tokens) + " tokens: " + std::to_string(two - one) +
                                " kernels a layer, " + std::to_string(2 * one - two) + " besides";
      CHECK(two - one == (tokens == 1 ? 5 : 8) && 2 * one - two == 2, found);
    }
}

// One graph for each number of tokens and context bucket: for all caches, and however the tokens are spread over sequences.
void test_graphs() {
  Small small(WeightFormat::kW4Zero, 1, false);
  const auto cache = small.decoder.new_cache(), other = small.decoder.new_cache();
  const auto captures = [&](const std::vector<KvCache*>& caches, int count) {
    return small.read(caches, count).captures;
  };
  CHECK(captures({cache.get()}, 253) == 0, "a prompt");
  CHECK(captures({cache.get()}, 1) == 0, "the first token loads kernels");
  CHECK(captures({cache.get()}, 1) == 1, "the second one is captured");
  CHECK(captures({cache.get()}, 1) == 0, "slot 256 is the last one of the bucket");
  CHECK(captures({other.get()}, 1) == 0, "another cache");
  CHECK(captures({cache.get()}, 1) == 1, "slot 257 is in the next bucket");
  CHECK(captures({cache.get()}, 1) == 0, "and the next");
  CHECK(captures({other.get()}, 1) == 0, "a short context again");
  CHECK(captures({other.get()}, 2) == 0, "two tokens load kernels");
  CHECK(captures({other.get()}, 2) == 1, "and are captured");
  CHECK(captures({cache.get(), other.get()}, 1) == 1, "in the bucket of the longer cache");
  CHECK(captures({other.get(), cache.get()}, 1) == 0, "in another order");
  CHECK(captures({cache.get()}, 2) == 0, "two tokens of one sequence");
  for (int round = 0; round < 3; ++round) CHECK(captures({cache.get()}, 9) == 0, "nine tokens are never captured");
}

void test_top_k_is_in_the_graph() {
  Small small(WeightFormat::kW4Zero, 1, false);
  const auto cache = small.decoder.new_cache();
  Sampler sampler(0, {});
  const auto sample = [&] {
    return counted([&] {
      ForwardBatch batch;
      Small::add(batch, *cache, 1);
      small.decoder.sample(batch, {DrawRequest{0, &sampler}}, nullptr);
    });
  };
  sample();
  CHECK(sample().captures == 1, "captured");
  const Counted third = sample();
  CHECK(third.captures == 0 && third.launches == 9, std::to_string(third.launches) + " kernels");
}

void test_a_bad_batch_launches_nothing() {
  Small small(WeightFormat::kW4Zero, 1, false);
  const auto cache = small.decoder.new_cache();
  const Counted bad = counted([&] {
    try {
      small.read({cache.get(), cache.get()}, 600); // several passes, of which the last is bad
      CHECK(false, "two sequences with one cache");
    } catch (const std::invalid_argument&) {
    }
  });
  CHECK(bad.launches == 0 && cache->length() == 0, std::to_string(bad.launches) + " kernels");
}

// Every sequence of a batch that the device fails in is lost, and the next batch is answered.
void test_failure() {
  Small small(WeightFormat::kW4Zero, 1, false);
  const auto first = small.decoder.new_cache(), second = small.decoder.new_cache();
  const auto read = [&] { return small.read({first.get(), second.get()}, 3); };
  read();
  const std::vector<float> expected = small.logits;
  fake::device.fault = "fault=" + std::to_string(fake::device.launches + 4);
  bool failed = false;
  try {
    read();
  } catch (const DeviceError&) {
    failed = true;
  }
  fake::device.fault = "";
  CHECK(failed && first->length() == 0 && second->length() == 0, "what the caches held is lost");
  read();
  CHECK(small.logits == expected && second->length() == 3, "after a failure");
}

} // namespace

int main() {
  // Embedding, and norm with head; with int8 activations, norm, then head.
  test_few_kernels(WeightFormat::kW4Zero, false, 5, 2);
  test_few_kernels(WeightFormat::kF16, false, 5, 2);
  test_few_kernels(WeightFormat::kW8Group, true, 9, 3);
  test_kernels_of_small_passes();
  test_graphs();
  test_top_k_is_in_the_graph();
  test_a_bad_batch_launches_nothing();
  test_failure();
}
