// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The attention step: who reads which part of the cache. A causal sequence with few tokens is decoded, and each token gets the
// numbers that it would get in a pass of its own; every other sequence is prefilled. What a sequence's numbers depend on is that
// sequence alone.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cpu/cpu_backend.h"
#include "cpu/kv_cache.h"

namespace tinychat {
namespace {

constexpr int kStretch = 256;  // a long cache is cut into stretches of at least so many slots
constexpr int kChunk = 128;    // slots at whose multiples the kernels begin
constexpr int kFewQueries = 8; // of a sequence that read a KV head: so many are faster without tiles

// Whether a sequence is decoded. One with a bidirectional span is not: its tokens see later ones.
bool is_decoded(const Sequence& sequence, int few_tokens) {
  return sequence.causal && sequence.tokens.size() <= few_tokens && sequence.bidirectional.empty();
}

// The slots that a token sees. A window reaches window - 1 slots back, and where a sequence is not causal, as far ahead; a
// bidirectional span is seen as a whole (Gemma 3), or alone.
TokenRange visible_slots(int window, const Sequence& sequence, int first_slot, int token) {
  const int slot = first_slot + token - sequence.tokens.begin;
  if (window == kOwnSpan) {
    const auto ends_before = [](int other, const TokenRange& span) { return other < span.end; };
    const TokenRange& span = *std::upper_bound(sequence.bidirectional.begin(), sequence.bidirectional.end(), token,
                                               ends_before);
    return {slot - (token - span.begin), slot + (span.end - token)};
  }
  TokenRange seen = {window > 0 ? std::max(0, slot + 1 - window) : 0, slot + 1};
  if (!sequence.causal) {
    const int size = sequence.tokens.size();
    seen.end = window > 0 ? std::min(size, slot + window) : size;
  }
  if (!sequence.causal) return seen;
  for (const TokenRange& span : sequence.bidirectional) {
    if (token < span.begin || token >= span.end) continue;
    seen.begin = std::min(seen.begin, slot - (token - span.begin));
    seen.end = slot + (span.end - token);
  }
  return seen;
}

} // namespace

int CpuBackend::window_of(int layer) const { return model_.config.windows.empty() ? 0 : model_.config.windows[layer]; }

// What all layers of a pass share: a layer takes microseconds, and allocating and planning in each is felt.
void CpuBackend::plan_attention(const ForwardBatch& batch) {
  plan_stores(batch);
  decode_plans_.clear();
  size_t most_items = parts_of(kMaxTokens);
  for (int layer = 0; layer < model_.config.layers; ++layer) {
    const auto [plan, is_new] = decode_plans_.try_emplace(window_of(layer));
    if (is_new) plan->second = decode_plan(plan->first, batch);
    most_items = std::max(most_items, plan->second.items.size());
  }
  reserve_scratch(most_items);
}

// Caches of sequences that are not causal have as many slots as the longest one so far. Where floats are promised, tiles read
// bf16 numbers and what is left of each.
void CpuBackend::plan_stores(const ForwardBatch& batch) {
  const ModelConfig& c = model_.config;
  const bool floats = input_ == ActivationType::kFloat;
  const bool rests = floats && kernels_.gemm_large_m != nullptr && c.head_dim % kPanelColumns == 0;
  const CacheKind kind = floats && !rests ? CacheKind::kFloat : CacheKind::kBf16;
  const auto new_cache = [&](int slots) {
    return std::make_unique<CpuKvCache>(1, c.kv_heads, c.head_dim, slots, kind);
  };
  stores_.clear();
  size_t next = 0;
  for (const Sequence& sequence : batch.sequences) {
    if (sequence.causal) {
      stores_.push_back({static_cast<CpuKvCache*>(sequence.cache), nullptr, sequence.first_slot(), false});
      continue;
    }
    if (next == layer_caches_.size()) layer_caches_.emplace_back(), layer_rests_.emplace_back();
    std::unique_ptr<CpuKvCache>&cache = layer_caches_[next], &rest = layer_rests_[next];
    ++next;
    if (cache == nullptr || cache->capacity() < sequence.tokens.size()) {
      cache = new_cache(sequence.tokens.size());
      if (rests) rest = new_cache(sequence.tokens.size());
    }
    stores_.push_back({cache.get(), rest.get(), 0, true});
  }
}

// A KV head and a few tokens of a sequence are a work item; a long cache is cut so that every thread has the same to read.
// Where it is cut depends on a token alone, so tokens share an item only if their caches are cut in the same way.
CpuBackend::DecodePlan CpuBackend::decode_plan(int window, const ForwardBatch& batch) const {
  const int kv_heads = model_.config.kv_heads, threads = pool_.threads();
  const int at_once = std::max(1, kPrefillQueries / (model_.config.heads / kv_heads));
  struct Cut {
    int begin, end, parts, size;
  };
  DecodePlan plan;
  std::vector<int64_t> costs = {0}; // of all items before
  for (size_t i = 0; i < batch.sequences.size(); ++i) {
    const Sequence& sequence = batch.sequences[i];
    if (!is_decoded(sequence, kFewTokens)) continue;
    const auto cut_of = [&](int token) {
      const TokenRange visible = visible_slots(window, sequence, stores_[i].first_slot, token);
      const int begin = visible.begin / kChunk * kChunk, count = visible.end - begin;
      const int parts = kv_heads % threads == 0 ? 1 : std::max(1, std::min(threads, count / kStretch));
      return Cut{begin, visible.end, parts, ((count + parts - 1) / parts + kChunk - 1) / kChunk * kChunk};
    };
    for (TokenRange tokens = {sequence.tokens.begin, 0}; tokens.begin < sequence.tokens.end;
         tokens.begin = tokens.end) {
      Cut cut = cut_of(tokens.begin);
      for (tokens.end = tokens.begin + 1; tokens.end < sequence.tokens.end && tokens.size() < at_once; ++tokens.end) {
        const Cut next = cut_of(tokens.end);
        if (next.begin != cut.begin || next.parts != cut.parts || next.size != cut.size) break;
        cut.end = next.end;
      }
      for (int kv_head = 0; kv_head < kv_heads; ++kv_head)
        for (int part = 0; part < cut.parts; ++part) {
          const int begin = std::min(cut.begin + part * cut.size, cut.end), end = std::min(begin + cut.size, cut.end);
          plan.items.push_back({static_cast<int>(i), kv_head, {begin, end}, cut.parts, tokens});
          costs.push_back(costs.back() + cut.size + kChunk);
        }
    }
  }
  // A part has the items whose middle is in its share of the cost.
  const int count = static_cast<int>(plan.items.size()), parts = parts_of(1);
  for (int part = 0, item = 0; part <= parts; ++part) {
    while (item < count && (costs[item] + costs[item + 1]) * parts < 2 * costs.back() * part) ++item;
    plan.begins.push_back(item);
  }
  return plan;
}

// The queries of one token that read `kv_head`, [queries of a KV head][head_dim], as the span's queries `index` ….
void CpuBackend::add_queries(AttentionScratch& s, int index, int kv_head, const float* heads, int slot,
                             const TokenRange& visible) const {
  const ModelConfig& c = model_.config;
  const int shared = c.heads / c.kv_heads;
  for (int r = 0; r < shared; ++r, ++index) {
    s.queries[index] = heads + static_cast<size_t>(r) * c.head_dim;
    s.slots[index] = slot;
    s.first_visible[index] = visible.begin;
    s.last_visible[index] = visible.end - 1;
    if (!c.alibi_slopes.empty()) s.slopes[index] = c.alibi_slopes[kv_head * shared + r];
  }
}

// The queries of s over slots [begin, end) of a KV head: running softmax state into s.
void CpuBackend::run_span(int layer, const Store& store, int kv_head, int queries, int begin, int end, bool tiles,
                          AttentionScratch& s) const {
  const ModelConfig& c = model_.config;
  CpuKvCache& cache = *store.cache;
  const int cached = store.layer(layer);
  AttentionSpan span;
  span.keys = cache.keys(cached, kv_head);
  span.values = cache.values(cached, kv_head);
  if (cache.kind() == CacheKind::kInt8) {
    span.key_scales = cache.key_scales(cached, kv_head);
    span.value_scales = cache.value_scales(cached, kv_head);
  }
  if (store.rests != nullptr) {
    span.key_rests = store.rests->keys(cached, kv_head);
    span.value_rests = store.rests->values(cached, kv_head);
  }
  span.head_dim = c.head_dim;
  span.begin = begin;
  span.end = end;
  span.scale = c.attention_scale > 0 ? c.attention_scale : 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  span.softcap = c.attention_softcap;
  span.num_queries = queries;
  span.queries = s.queries.data();
  span.slots = s.slots.data();
  span.first_visible = s.first_visible.data();
  span.last_visible = s.last_visible.data();
  span.slopes = c.alibi_slopes.empty() ? nullptr : s.slopes.data();
  span.accumulators = s.accumulators.data();
  span.maxima = s.maxima.data();
  span.sums = s.sums.data();
  span.tiles = tiles;
  (cache.kind() == CacheKind::kInt8   ? kernels_.attention_int8
   : cache.kind() == CacheKind::kBf16 ? kernels_.attention_bf16
                                      : kernels_.attention_float)(span);
}

void CpuBackend::attention(int layer, const ForwardBatch& batch, Tokens queries) {
  store_and_rotate(layer, batch);
  attention_decode(layer, batch);
  attention_prefill(layer, batch, queries);
}

// The keys and values of every token into the caches, and the queries rotated in place; for sequences of one token
// decode_item() does it.
void CpuBackend::store_and_rotate(int layer, const ForwardBatch& batch) {
  const ModelConfig& c = model_.config;
  const int heads = c.heads + c.kv_heads;
  std::vector<std::pair<int, int>> tokens; // and their sequences
  for (int i = 0; i < static_cast<int>(batch.sequences.size()); ++i) {
    const Sequence& sequence = batch.sequences[i];
    if (is_decoded(sequence, 1)) continue;
    for (int token = sequence.tokens.begin; token < sequence.tokens.end; ++token) tokens.emplace_back(token, i);
  }
  if (tokens.empty()) return;
  const size_t width = c.qkv_width();
  const int parts = parts_of(static_cast<int>(tokens.size()));
  pool_.run(parts, [&](int part) {
    const auto count = static_cast<int64_t>(tokens.size()) * heads;
    for (int64_t item = count * part / parts; item < count * (part + 1) / parts; ++item) {
      const auto [token, i] = tokens[item / heads];
      const int head = static_cast<int>(item % heads);
      if (head >= c.heads) store_token(layer, stores_[i], head - c.heads, batch.sequences[i], token);
      else rotate_head(layer, token, false, &qkv_[token * width + static_cast<size_t>(head) * c.head_dim]);
    }
  });
}

// Few tokens a sequence; the parts of a cache are joined afterwards.
void CpuBackend::attention_decode(int layer, const ForwardBatch& batch) {
  const DecodePlan& plan = decode_plans_.at(window_of(layer));
  if (plan.items.empty()) return;
  pool_.run(static_cast<int>(plan.begins.size()) - 1, [&](int part) {
    const int begin = plan.begins[part], end = plan.begins[part + 1];
    // All heads' first keys come while the first head's queries are rotated; the kernel asks for the rest.
    for (int i = begin; i < end; ++i) {
      const AttentionItem& item = plan.items[i];
      const Store& store = stores_[item.sequence];
      const CacheKind kind = store.cache->kind();
      const size_t bytes = (kind == CacheKind::kInt8 ? 1 : kind == CacheKind::kBf16 ? 2 : 4) * model_.config.head_dim;
      const uint8_t* keys = store.cache->keys(store.layer(layer), item.kv_head);
      const size_t last = std::min(item.range.end, item.range.begin + kChunk) * bytes;
      for (size_t byte = item.range.begin * bytes; byte < last; byte += 64) __builtin_prefetch(keys + byte, 0, 2);
    }
    for (int i = begin; i < end; ++i) decode_item(layer, batch, plan.items[i], scratch_[i]);
  });
  join_parts(plan.items);
}

// A single token goes from the rotation to the result. Each part of its cache rotates the queries for itself; the key belongs
// to the part that reads it.
void CpuBackend::decode_item(int layer, const ForwardBatch& batch, const AttentionItem& item, AttentionScratch& s) {
  const ModelConfig& c = model_.config;
  const Sequence& sequence = batch.sequences[item.sequence];
  const Store& store = stores_[item.sequence];
  const int shared = c.heads / c.kv_heads, count = item.tokens.size();
  const size_t first = static_cast<size_t>(item.kv_head) * shared * c.head_dim;
  const auto queries_of = [&](int token) { return &qkv_[static_cast<size_t>(token) * c.qkv_width() + first]; };
  const bool is_single = sequence.tokens.size() == 1;
  if (is_single) {
    const int token = sequence.tokens.begin;
    std::copy_n(queries_of(token), shared * c.head_dim, s.rotated.data());
    for (int r = 0; r < shared; ++r) rotate_head(layer, token, false, &s.rotated[static_cast<size_t>(r) * c.head_dim]);
    if (item.range.begin <= store.first_slot && store.first_slot < item.range.end)
      store_token(layer, store, item.kv_head, sequence, token);
  }
  for (int i = 0; i < count; ++i) {
    const int token = item.tokens.begin + i, slot = store.first_slot + token - sequence.tokens.begin;
    add_queries(s, i * shared, item.kv_head, is_single ? s.rotated.data() : queries_of(token), slot,
                visible_slots(window_of(layer), sequence, store.first_slot, token));
  }
  run_span(layer, store, item.kv_head, count * shared, item.range.begin, item.range.end, false, s);
  if (item.parts > 1) return;
  for (int i = 0; i < count; ++i)
    finish(s, shared, &attention_[static_cast<size_t>(item.tokens.begin + i) * c.attention_width() + first],
           i * shared);
}

// What the parts of a cache found, into one result; an item's scratch has its number.
void CpuBackend::join_parts(const std::vector<AttentionItem>& items) {
  const ModelConfig& c = model_.config;
  const int shared = c.heads / c.kv_heads, dim = c.head_dim;
  for (size_t item = 0; item < items.size(); item += items[item].parts) {
    const int count = items[item].parts;
    if (count == 1) continue;
    const AttentionScratch* parts = &scratch_[item];
    const size_t first = static_cast<size_t>(items[item].kv_head) * shared * dim;
    for (int query = 0; query < items[item].tokens.size() * shared; ++query) {
      float* out = &attention_[static_cast<size_t>(items[item].tokens.begin + query / shared) * c.attention_width() +
                               first + static_cast<size_t>(query % shared) * dim];
      float highest = parts[0].maxima[query], total = 0;
      for (int p = 1; p < count; ++p) highest = std::max(highest, parts[p].maxima[query]);
      std::fill_n(out, dim, 0.0f);
      for (int p = 0; p < count; ++p) {
        const float weight = std::exp(parts[p].maxima[query] - highest);
        total += weight * parts[p].sums[query];
        for (int d = 0; d < dim; ++d) out[d] += weight * parts[p].accumulators[static_cast<size_t>(query) * dim + d];
      }
      for (int d = 0; d < dim; ++d) out[d] /= total;
    }
  }
}

// What the heads of one token add up to, into out [heads][head_dim].
void CpuBackend::finish(const AttentionScratch& s, int heads, float* out, int first) const {
  const int dim = model_.config.head_dim;
  for (int r = 0; r < heads; ++r) {
    const float* from = &s.accumulators[static_cast<size_t>(first + r) * dim];
    const float factor = 1 / s.sums[first + r]; // many divisions are felt
    for (int d = 0; d < dim; ++d) out[r * dim + d] = from[d] * factor;
  }
}

// Of a work item: with tiles, so many that their queries leave no row of a tile empty.
int CpuBackend::prefill_tokens() const {
  const int shared = model_.config.heads / model_.config.kv_heads;
  const bool tiles = kernels_.gemm_large_m != nullptr;
  return tiles ? kPrefillQueries / std::gcd(kPrefillQueries, shared) : std::max(1, kPrefillQueries / shared);
}

// All other sequences: a KV head and a few tokens are a work item.
void CpuBackend::attention_prefill(int layer, const ForwardBatch& batch, Tokens queries) {
  const ModelConfig& c = model_.config;
  const int parts = parts_of(kMaxTokens), at_once = prefill_tokens();
  std::vector<AttentionItem> items;
  for (int i = 0; i < static_cast<int>(batch.sequences.size()); ++i) {
    const Sequence& sequence = batch.sequences[i];
    if (is_decoded(sequence, kFewTokens)) continue;
    TokenRange all = sequence.tokens;
    if (queries == Tokens::kOutputs) {
      const auto before = [](const OutputRequest& output, int token) { return output.token < token; };
      const auto first = std::lower_bound(batch.outputs.begin(), batch.outputs.end(), all.begin, before);
      const auto last = std::lower_bound(first, batch.outputs.end(), all.end, before);
      all = {static_cast<int>(first - batch.outputs.begin()), static_cast<int>(last - batch.outputs.begin())};
    }
    for (int kv_head = 0; kv_head < c.kv_heads; ++kv_head)
      for (int begin = all.begin; begin < all.end; begin += at_once)
        items.push_back({i, kv_head, {}, 1, {begin, std::min(begin + at_once, all.end)}});
  }
  if (items.empty()) return;
  // Later tokens see more: items are dealt in turn.
  pool_.run(parts, [&](int part) {
    for (size_t item = part; item < items.size(); item += parts)
      prefill_item(layer, batch, items[item], queries, scratch_[part]);
  });
}

void CpuBackend::prefill_item(int layer, const ForwardBatch& batch, const AttentionItem& item, Tokens queries,
                              AttentionScratch& s) {
  const ModelConfig& c = model_.config;
  const Sequence& sequence = batch.sequences[item.sequence];
  const Store& store = stores_[item.sequence];
  const int shared = c.heads / c.kv_heads, count = item.tokens.size();
  const size_t first_head = static_cast<size_t>(item.kv_head) * shared * c.head_dim;
  const auto token_of = [&](int i) {
    return queries == Tokens::kOutputs ? batch.outputs[item.tokens.begin + i].token : item.tokens.begin + i;
  };
  TokenRange seen = {store.cache->capacity(), 0};
  for (int i = 0; i < count; ++i) {
    const int token = token_of(i), slot = store.first_slot + token - sequence.tokens.begin;
    const TokenRange visible = visible_slots(window_of(layer), sequence, store.first_slot, token);
    add_queries(s, i * shared, item.kv_head, &qkv_[static_cast<size_t>(token) * c.qkv_width() + first_head], slot,
                visible);
    seen = {std::min(seen.begin, visible.begin), std::max(seen.end, visible.end)};
  }
  const bool tiles = store.rests != nullptr ||
                     (input_ == ActivationType::kTwoDigits && sequence.tokens.size() * shared > kFewQueries);
  run_span(layer, store, item.kv_head, count * shared, seen.begin / kChunk * kChunk, seen.end, tiles, s);
  for (int i = 0; i < count; ++i)
    finish(s, shared, &attention_[static_cast<size_t>(token_of(i)) * c.attention_width() + first_head], i * shared);
}

// The queries of a few tokens that read one KV head; of a single token if it has more.
void CpuBackend::reserve_scratch(size_t count) {
  const ModelConfig& c = model_.config;
  const int shared = c.heads / c.kv_heads;
  const size_t queries = std::max(shared * prefill_tokens(), kPrefillQueries);
  for (; scratch_.size() < count; scratch_.emplace_back()) {
  }
  for (AttentionScratch& s : scratch_) {
    if (!s.maxima.empty()) continue;
    s.accumulators.resize(queries * c.head_dim);
    s.rotated.resize(static_cast<size_t>(shared) * c.head_dim);
    s.maxima.resize(queries);
    s.sums.resize(queries);
    s.queries.resize(queries);
    s.slots.resize(queries);
    s.first_visible.resize(queries);
    s.last_visible.resize(queries);
    s.slopes.resize(queries);
  }
}

} // namespace tinychat
