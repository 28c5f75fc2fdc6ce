// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Everything that a ForwardBatch can ask for: the CUDA backend against itself, a sequence at a time, and against the CPU.
//
//   test_cuda_batch LIBRARY    that of the host's stand-in, or the one of a device

#include <functional>

#include "cpu/cpu_backend.h"
#include "cpu/embedding.h"
#include "cuda_api/loader.h"
#include "decoder/decoder.h"
#include "small_model.h"

using namespace tinychat;

namespace {

constexpr int kVocab = SmallModel::kVocab, kContext = SmallModel::kContext;

using Caches = std::vector<std::unique_ptr<KvCache>>;
using Logits = std::vector<std::vector<float>>;

std::string library;

Decoder on_cuda(const Model& model, bool int8_cache = false) {
  return Decoder(model, CudaLibrary(library).backend(model, CudaOptions{kContext, int8_cache, false, {}}));
}

Decoder on_cpu(const Model& model) {
  return Decoder(model, std::make_unique<CpuBackend>(model, *compiled_isas().back().kernels, ActivationType::kFloat,
                                                     CacheKind::kFloat, 1, true, kContext));
}

std::vector<int32_t> random_ids(std::mt19937& random, int count) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(random() % kVocab));
  return ids;
}

// Adds a sequence, causal if it has a cache.
void add(ForwardBatch& batch, KvCache* cache, const std::vector<int32_t>& ids, std::vector<TokenRange> spans = {}) {
  const int begin = batch.num_tokens();
  batch.tokens.insert(batch.tokens.end(), ids.begin(), ids.end());
  for (TokenRange& span : spans) span = {span.begin + begin, span.end + begin};
  batch.sequences.push_back({{begin, batch.num_tokens()}, cache, cache != nullptr, spans});
}

// Runs a batch for the logits of some tokens, or of all.
Logits run(Decoder& decoder, ForwardBatch batch, std::vector<int> tokens = {}) {
  if (tokens.empty())
    for (int i = 0; i < batch.num_tokens(); ++i) tokens.push_back(i);
  Logits logits(tokens.size(), std::vector<float>(kVocab, NAN));
  for (size_t i = 0; i < tokens.size(); ++i) batch.outputs.push_back({tokens[i], logits[i].data()});
  decoder.forward(batch, nullptr);
  return logits;
}

void check_close(const Logits& found, const Logits& expected, double bound, const std::string& name) {
  CHECK(found.size() == expected.size(), name);
  double largest = 0;
  for (const auto& row : expected)
    for (float x : row) largest = std::max(largest, std::abs(static_cast<double>(x)));
  for (size_t i = 0; i < found.size(); ++i)
    for (int j = 0; j < kVocab; ++j)
      CHECK(std::abs(found[i][j] - expected[i][j]) <= bound * largest, name + ", row " + std::to_string(i) + ": " +
                                                                           std::to_string(found[i][j]) + " for " +
                                                                           std::to_string(expected[i][j]));
}

constexpr double kOfItself = 2e-3; // other kernels, with sums in another order and fp16 in between
constexpr double kOfTheCpu = 5e-3; // fp16 instead of float

// Sequences of unequal length and history give what each gives alone: passes without and with a graph.
void test_together_equals_alone(bool int8_cache) {
  SmallModel small(WeightFormat::kW4Zero, 2);
  Decoder decoder = on_cuda(small.model, int8_cache);
  std::mt19937 random(5);
  const std::vector<int> histories = {3, 250, 1, 40};
  Caches together, alone;
  for (int history : histories)
    for (Caches* caches : {&together, &alone}) {
      caches->push_back(decoder.new_cache());
      ForwardBatch batch;
      add(batch, caches->back().get(), std::vector<int32_t>(history, 7));
      run(decoder, batch, {history - 1});
    }
  // A pass a row: so many tokens of each sequence. Those of up to 8 tokens become graphs; 257 slots are another context bucket.
  const std::vector<std::vector<int>> passes = {{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1},  {1, 4, 2, 1},  {1, 4, 2, 1},
                                                {1, 4, 2, 1}, {0, 1, 1, 0}, {70, 1, 9, 3}, {1, 1, 1, 65}, {1, 1, 1, 1}};
  for (size_t pass = 0; pass < passes.size(); ++pass) {
    ForwardBatch batch;
    Logits expected;
    for (size_t i = 0; i < histories.size(); ++i) {
      if (passes[pass][i] == 0) continue;
      const std::vector<int32_t> ids = random_ids(random, passes[pass][i]);
      add(batch, together[i].get(), ids);
      ForwardBatch one;
      add(one, alone[i].get(), ids);
      for (auto& row : run(decoder, one)) expected.push_back(row);
    }
    check_close(run(decoder, batch), expected, kOfItself, "pass " + std::to_string(pass));
  }
  for (size_t i = 0; i < histories.size(); ++i)
    CHECK(together[i]->length() == alone[i]->length(), "lengths of the caches");
}

// What a batch gives on the CPU, too.
void check_against_cpu(const Model& model, const std::function<void(ForwardBatch&, Caches&, Decoder&)>& fill,
                       const std::string& name) {
  Decoder cuda = on_cuda(model), cpu = on_cpu(model);
  Caches cuda_caches, cpu_caches;
  for (int round = 0, rounds = 1; round < rounds; ++round) {
    ForwardBatch cuda_batch, cpu_batch;
    fill(cuda_batch, cuda_caches, cuda);
    if (cuda_batch.num_tokens() <= 8) rounds = 3; // it is captured, and replayed
    fill(cpu_batch, cpu_caches, cpu);
    check_close(run(cuda, cuda_batch), run(cpu, cpu_batch), kOfTheCpu, name + ", round " + std::to_string(round));
  }
}

KvCache* cache_at(Caches& caches, size_t index, Decoder& decoder) {
  while (caches.size() <= index) caches.push_back(decoder.new_cache());
  return caches[index].get();
}

std::vector<int32_t> ids_of(int seed, int count) {
  std::mt19937 random(seed);
  return random_ids(random, count);
}

// Sequences that are not causal and bidirectional spans beside causal sequences, in every kernel; with a window in the
// second layer, with ALiBi, with neither.
void test_who_sees_whom() {
  SmallModel plain(WeightFormat::kW4Zero, 2), window(WeightFormat::kW4Zero, 2), alibi(WeightFormat::kW4Zero, 2);
  window.model.config.windows = {0, 6};
  alibi.model.config.rope_inv_freq.clear();
  alibi.model.config.alibi_slopes = {0.5f, 0.25f, 0.125f};
  const auto few = [](ForwardBatch& batch, Caches& caches, Decoder& decoder) {
    add(batch, cache_at(caches, 0, decoder), ids_of(1, 3), {{1, 3}});
    add(batch, nullptr, ids_of(2, 5));
  };
  const auto many = [](ForwardBatch& batch, Caches& caches, Decoder& decoder) {
    add(batch, nullptr, ids_of(3, 1));
    add(batch, cache_at(caches, 0, decoder), ids_of(4, 1));
    add(batch, nullptr, ids_of(5, 7));
    add(batch, nullptr, ids_of(6, 75));
    add(batch, cache_at(caches, 1, decoder), ids_of(7, 100), {{0, 9}, {40, 80}});
  };
  for (const auto& [name, model] :
       {std::pair{"plain", &plain.model}, {"window", &window.model}, {"ALiBi", &alibi.model}}) {
    check_against_cpu(*model, few, std::string(name) + ", few tokens");
    check_against_cpu(*model, many, std::string(name) + ", many tokens");
  }
}

// Longer than a pass of a causal sequence: buffers grow, and the graphs that were made before still serve.
void test_a_long_sequence_that_is_not_causal() {
  SmallModel small(WeightFormat::kW4Zero, 1);
  Decoder cuda = on_cuda(small.model), cpu = on_cpu(small.model);
  const auto cache = cuda.new_cache(), other = cuda.new_cache();
  const auto decode = [&](KvCache& to) {
    ForwardBatch batch;
    add(batch, &to, {5});
    return run(cuda, batch);
  };
  const Logits first = decode(*cache);
  decode(*cache);
  ForwardBatch batch;
  add(batch, nullptr, ids_of(1, 530));
  const std::vector<int> some = {0, 200, 511, 512, 529};
  check_close(run(cuda, batch, some), run(cpu, batch, some), kOfTheCpu, "530 tokens");
  check_close(decode(*other), first, 0, "a token after it");
}

void test_three_axes() {
  SmallModel small(WeightFormat::kW4Zero, 2);
  for (int i = 0; i < 16; ++i) small.model.config.rope_axes.push_back(i % 3);
  check_against_cpu(
      small.model,
      [](ForwardBatch& batch, Caches& caches, Decoder& decoder) {
        add(batch, cache_at(caches, 0, decoder), ids_of(1, 2));
        add(batch, cache_at(caches, 1, decoder), ids_of(2, 20));
        std::mt19937 random(9);
        for (int i = 0; i < batch.num_tokens(); ++i)
          batch.positions.push_back(i % 4 == 0 ? ForwardBatch::kNext
                                               : Position{static_cast<int>(random() % (kContext / 2)),
                                                          static_cast<int>(random() % (kContext / 2)),
                                                          static_cast<int>(random() % (kContext / 2))});
      },
      "three axes");
}

// Embeddings of ids are the ids, bit for bit; mixed, in one stretch of memory and apart.
void test_embeddings_equal_ids() {
  SmallModel small(WeightFormat::kW4Zero, 2);
  small.model.config.embedding_scale = 8;
  Decoder decoder = on_cuda(small.model);
  for (int count : {1, 4, 4, 4, 1, 1, 30}) {
    ForwardBatch ids;
    const auto first = decoder.new_cache(), second = decoder.new_cache();
    add(ids, first.get(), ids_of(count, count));
    const Logits expected = run(decoder, ids);
    std::vector<float> table(static_cast<size_t>(count) * SmallModel::kHidden);
    ForwardBatch rows = ids;
    rows.sequences[0].cache = second.get();
    rows.embedding_width = SmallModel::kHidden;
    rows.embeddings.resize(count);
    for (int i = 0; i < count; ++i) {
      if (i % 5 == 3) continue; // an id among rows
      float* row = &table[static_cast<size_t>(i) * SmallModel::kHidden];
      read_row(small.model.embedding, ids.tokens[i], row);
      for (int j = 0; j < SmallModel::kHidden; ++j) row[j] *= 8;
      rows.tokens[i] = ForwardBatch::kEmbedding;
      rows.embeddings[i] = row;
    }
    check_close(run(decoder, rows), expected, 0, std::to_string(count) + " tokens");
  }
}

// Parts of embedding rows that are added after a layer, also in a graph; those of tokens with ids are not read.
void test_deepstack() {
  constexpr int kHidden = SmallModel::kHidden;
  SmallModel small(WeightFormat::kW4Zero, 3);
  small.model.config.deepstack_layers = 2;
  Decoder cuda = on_cuda(small.model), cpu = on_cpu(small.model);
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  Caches on_device, on_host;
  on_device.push_back(cuda.new_cache());
  on_host.push_back(cpu.new_cache());
  for (int count : {30, 4, 4, 4, 1, 1, 1}) {
    ForwardBatch batch;
    add(batch, on_device[0].get(), random_ids(random, count));
    std::vector<float> rows(static_cast<size_t>(count) * 3 * kHidden);
    for (float& number : rows) number = normal(random);
    batch.embedding_width = 3 * kHidden;
    batch.embeddings.resize(count);
    for (int i = 0; i < count; ++i) {
      if (i % 3 == 1) continue; // an id among rows
      batch.tokens[i] = ForwardBatch::kEmbedding;
      batch.embeddings[i] = &rows[static_cast<size_t>(i) * 3 * kHidden];
    }
    ForwardBatch same = batch;
    same.sequences[0].cache = on_host[0].get();
    check_close(run(cuda, batch), run(cpu, same), kOfTheCpu, "deepstack, " + std::to_string(count) + " tokens");
  }
  for (int turn = 0; turn < 3; ++turn) { // text alone is another graph
    ForwardBatch batch, same;
    add(batch, on_device[0].get(), {5});
    add(same, on_host[0].get(), {5});
    check_close(run(cuda, batch), run(cpu, same), kOfTheCpu, "text after it");
  }
}

// Layers that see own spans alone, between layers that see all; spans of any length across blocks of queries.
void test_own_spans() {
  SmallModel small(WeightFormat::kW4Zero, 3);
  small.model.config.windows = {kOwnSpan, 0, kOwnSpan};
  check_against_cpu(
      small.model,
      [](ForwardBatch& batch, Caches&, Decoder&) {
        add(batch, nullptr, ids_of(1, 200), {{0, 3}, {3, 70}, {70, 134}, {134, 135}, {135, 200}});
        add(batch, nullptr, ids_of(2, 6), {{0, 2}, {2, 6}});
      },
      "own spans");
}

// The residuals of layers behind the rows of the last norm.
void test_layer_outputs() {
  constexpr int kHidden = SmallModel::kHidden, kTokens = 40;
  SmallModel small(WeightFormat::kW4Zero, 3);
  small.model.config.encoder = true;
  small.model.config.output_layers = {0, 2};
  small.model.config.vocab_size = 3 * kHidden;
  Decoder cuda = on_cuda(small.model), cpu = on_cpu(small.model);
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  std::vector<float> rows(kTokens * kHidden);
  for (float& number : rows) number = normal(random);
  for (int count : {kTokens, 3, 3, 3}) {
    std::vector<float> found(count * 3 * kHidden), expected(found.size());
    for (auto [decoder, outputs] : {std::pair{&cuda, &found}, {&cpu, &expected}}) {
      ForwardBatch batch;
      add(batch, nullptr, std::vector<int32_t>(count, ForwardBatch::kEmbedding));
      batch.embedding_width = kHidden;
      for (int i = 0; i < count; ++i) {
        batch.embeddings.push_back(&rows[static_cast<size_t>(i) * kHidden]);
        batch.outputs.push_back({i, &(*outputs)[static_cast<size_t>(i) * 3 * kHidden]});
      }
      decoder->forward(batch, nullptr);
    }
    float largest = 0, difference = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      difference = std::max(difference, std::abs(found[i] - expected[i]));
    }
    CHECK(largest > 0 && difference <= kOfTheCpu * largest, "outputs of layers, " + std::to_string(count) + " tokens");
  }
}

// Logits, candidates, or both, of any tokens: more than are computed together, and in graphs.
void test_outputs() {
  SmallModel small(WeightFormat::kW4Zero, 2);
  Decoder decoder = on_cuda(small.model);
  const std::vector<uint32_t> seen = {0xf0f0f0f0, 0x12345678, 0xffff}, allowed = {0x55555555, 0xffffffff, 0x1};
  for (int count : {1, 6, 6, 6, 50}) {
    const auto first = decoder.new_cache(), second = decoder.new_cache();
    ForwardBatch batch;
    add(batch, first.get(), ids_of(count, count));
    const Logits all = run(decoder, batch);
    batch.sequences[0].cache = second.get();
    std::vector<TopKRequest> requests(count);
    Logits logits(count, std::vector<float>(kVocab));
    for (int i = 0; i < count; ++i) {
      requests[i] = {1 + i % 5, 1.0f + 0.1f * static_cast<float>(i % 3), i % 2 == 0 ? seen.data() : nullptr,
                     i % 3 == 0 ? allowed.data() : nullptr};
      const int kind = i % 4; // none, logits, candidates, both
      if (kind == 0 && count > 1) continue;
      batch.outputs.push_back({i, kind == 2 ? nullptr : logits[i].data(), kind == 1 ? nullptr : &requests[i]});
    }
    decoder.forward(batch, nullptr);
    for (const OutputRequest& output : batch.outputs) {
      const std::string name = "token " + std::to_string(output.token) + " of " + std::to_string(count);
      const auto& row = all[output.token];
      // Rows of logits are computed in other groups of 16: the bits are the same nevertheless.
      if (output.logits != nullptr) CHECK(std::equal(row.begin(), row.end(), output.logits), name);
      if (output.top_k == nullptr) continue;
      std::vector<Candidate> expected;
      for (int id = 0; id < kVocab; ++id) {
        const auto has = [&](const uint32_t* bits) { return bits != nullptr && (bits[id / 32] >> id % 32 & 1); };
        const float penalty = output.top_k->penalty;
        const float logit = !has(output.top_k->seen) ? row[id] : row[id] > 0 ? row[id] / penalty : row[id] * penalty;
        if (output.top_k->allowed == nullptr || has(output.top_k->allowed)) expected.push_back({logit, id});
      }
      std::sort(expected.begin(), expected.end(), [](const Candidate& a, const Candidate& b) {
        return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
      });
      CHECK(static_cast<int>(output.top_k->found.size()) == output.top_k->k, name);
      for (int i = 0; i < output.top_k->k; ++i)
        CHECK(output.top_k->found[i].token == expected[i].token && output.top_k->found[i].logit == expected[i].logit,
              name + ", candidate " + std::to_string(i));
    }
  }
}

// A batch without outputs fills the caches, also in a graph.
void test_no_outputs() {
  SmallModel small(WeightFormat::kW4Zero, 2);
  Decoder decoder = on_cuda(small.model);
  const auto filled = decoder.new_cache(), expected = decoder.new_cache();
  for (int count : {2, 2, 2, 20, 1, 1, 1})
    for (KvCache* cache : {filled.get(), expected.get()}) {
      ForwardBatch batch;
      add(batch, cache, ids_of(count, count));
      if (cache == filled.get()) decoder.forward(batch, nullptr);
      else run(decoder, batch);
    }
  ForwardBatch last, same;
  add(last, filled.get(), {3});
  add(same, expected.get(), {3});
  check_close(run(decoder, last), run(decoder, same), 0, "the token after it");
}

// Refused before anything is computed.
void test_bad_batches() {
  SmallModel small(WeightFormat::kW4Zero, 1);
  Decoder decoder = on_cuda(small.model), other = on_cuda(small.model);
  const auto cache = decoder.new_cache(), foreign = other.new_cache();
  const std::vector<float> row(SmallModel::kHidden);
  const auto refused = [&](const char* what, const std::function<void(ForwardBatch&)>& spoil) {
    ForwardBatch batch;
    add(batch, cache.get(), {1, 2});
    spoil(batch);
    bool threw = false;
    try {
      decoder.forward(batch, nullptr);
    } catch (const std::invalid_argument&) {
      threw = true;
    }
    CHECK(threw && cache->length() == 0, what);
  };
  refused("a cache of another engine", [&](ForwardBatch& b) { b.sequences[0].cache = foreign.get(); });
  refused("one cache for two sequences", [&](ForwardBatch& b) { add(b, cache.get(), {3}); });
  refused("a position outside the context",
          [&](ForwardBatch& b) { b.positions = {{0, 0, 0}, {kContext, kContext, kContext}}; });
  refused("three axes for a model with one", [&](ForwardBatch& b) { b.positions = {{0, 0, 0}, {1, 2, 3}}; });
  refused("an embedding of another width", [&](ForwardBatch& b) {
    b.tokens[0] = ForwardBatch::kEmbedding;
    b.embeddings = {row.data(), nullptr};
    b.embedding_width = SmallModel::kHidden - 1;
  });
  refused("positions that continue behind the context",
          [&](ForwardBatch& b) { b.positions = {{kContext - 1, kContext - 1, kContext - 1}, ForwardBatch::kNext}; });
  refused("an id outside the vocabulary", [&](ForwardBatch& b) { b.tokens[1] = kVocab; });
  refused("a span outside its sequence", [&](ForwardBatch& b) { b.sequences[0].bidirectional = {{1, 3}}; });
  refused("too long to be computed at once",
          [&](ForwardBatch& b) { add(b, nullptr, std::vector<int32_t>(kContext + 1, 1)); });
}

} // namespace

int main(int argc, char** argv) {
  CHECK(argc == 2, "test_cuda_batch LIBRARY");
  library = argv[1];

  test_together_equals_alone(false);
  test_together_equals_alone(true);
  test_who_sees_whom();
  test_a_long_sequence_that_is_not_causal();
  test_three_axes();
  test_embeddings_equal_ids();
  test_deepstack();
  test_own_spans();
  test_layer_outputs();
  test_outputs();
  test_no_outputs();
  test_bad_batches();
}
