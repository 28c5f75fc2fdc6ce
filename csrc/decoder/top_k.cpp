// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/top_k.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tinychat {

void find_top_k(const float* logits, int vocab, TopKRequest& request) {
  const auto k = static_cast<size_t>(request.k);
  const auto has = [](const uint32_t* bits, int token) { return (bits[token / 32] >> (token % 32) & 1) != 0; };
  std::vector<Candidate>& found = request.found;
  found.clear();
  // A heap of the k best so far, the worst of them on top: most logits end at one comparison.
  for (int token = 0; token < vocab; ++token) {
    float logit = logits[token];
    if (request.seen != nullptr && has(request.seen, token))
      logit = logit > 0 ? logit / request.penalty : logit * request.penalty;
    if (request.allowed != nullptr && !has(request.allowed, token)) continue;
    if (std::isnan(logit)) {
      found = {{std::numeric_limits<float>::quiet_NaN(), token}};
      return;
    }
    const Candidate candidate = {logit, token};
    if (found.size() == k) {
      if (!likelier(candidate, found.front())) continue;
      std::pop_heap(found.begin(), found.end(), likelier);
      found.pop_back();
    }
    found.push_back(candidate);
    std::push_heap(found.begin(), found.end(), likelier);
  }
  std::sort_heap(found.begin(), found.end(), likelier);
}

} // namespace tinychat
