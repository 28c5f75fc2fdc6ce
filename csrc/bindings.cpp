// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The module. Only bindings*.cpp know Python: dictionaries and arrays in, arrays out, the GIL released while the decoder
// works.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings_batch.h"
#include "bindings_cuda.h"
#include "bindings_model.h"
#include "cpu/bandwidth.h"
#include "cpu/cpu_backend.h"
#include "cpu/isa.h"
#include "cuda_api/loader.h"
#include "decoder/decoder.h"
#include "decoder/mapping_guard.h"
#include "decoder/sampler.h"
#include "last_resort.h"

namespace py = pybind11;
using namespace py::literals;

namespace tinychat {
namespace {

// A decoder and the Python objects whose memory it reads.
class PyDecoder {
 public:
  PyDecoder(const py::dict& config, const py::dict& tensors, const std::string& activations, const std::string& isa,
            int threads, bool equal_cores, int max_seq_len, const std::string& cuda_library, bool int8_kv_cache,
            const py::object& place_files)
      : tensors_(tensors), isa_(choose_isa(isa)), threads_(threads) {
    if (threads < 1) throw py::value_error("threads must be at least 1");
    if (max_seq_len < 1) throw py::value_error("max_seq_len must be at least 1");
    const Model model = model_from(config, tensors, max_seq_len);
    const auto input = choose<ActivationType>("activations", activations,
                                              {{"float", ActivationType::kFloat},
                                               {"bytes", ActivationType::kInt8},
                                               {"sixteen_bits", ActivationType::kTwoDigits}});
    std::unique_ptr<Backend> backend;
    if (cuda_library.empty()) {
      // The A16 precisions promise what fp32 gives, and a rounded key can change a large score by a percent.
      const CacheKind cache = int8_kv_cache                     ? CacheKind::kInt8
                              : input == ActivationType::kFloat ? CacheKind::kFloat
                                                                : CacheKind::kBf16;
      backend = std::make_unique<CpuBackend>(model, *isa_.kernels, input, cache, threads, equal_cores, max_seq_len);
    } else {
      const CudaOptions options = {max_seq_len, int8_kv_cache, input == ActivationType::kInt8, placing(place_files)};
      const py::gil_scoped_release release;
      backend = CudaLibrary(cuda_library).backend(model, options);
    }
    decoder_ = std::make_unique<Decoder>(model, std::move(backend));
  }

  std::unique_ptr<KvCache> new_cache() { return decoder_->new_cache(); }
  std::string isa() const { return isa_.name; }
  int threads() const { return threads_; }
  py::dict step_seconds() const {
    py::dict steps;
    for (int i = 0; i < Decoder::kSteps; ++i) steps[Decoder::kStepNames[i]] = decoder_->step_seconds()[i];
    return steps;
  }

  ForwardResult forward(const PyBatch& batch, const CancelFlag* cancel) { return batch.run(*decoder_, cancel); }

 private:
  py::dict tensors_;
  const Isa& isa_;
  int threads_;
  std::unique_ptr<Decoder> decoder_;
};

int32_t sample(Sampler& sampler, const py::array_t<float, py::array::c_style>& logits, const py::object& allowed) {
  const auto vocab = static_cast<int>(logits.size());
  const Mask mask = mask_of(allowed, vocab);
  return sampler.sample(logits.data(), vocab, mask ? mask->data() : nullptr);
}

void bind_sampler(py::module_& m) {
  py::class_<Sampler>(m, "Sampler")
      .def(py::init([](uint64_t seed, float temperature, int top_k, float top_p, float min_p, float repetition_penalty,
                       float dry_multiplier, float dry_base, int dry_allowed_length, int dry_penalty_last_n,
                       const Mask& dry_breakers, float frequency_penalty, float presence_penalty,
                       const std::map<int32_t, float>& logit_bias, int top_logprobs) {
             std::vector<uint32_t> breakers;
             if (dry_breakers) breakers.assign(dry_breakers->data(), dry_breakers->data() + dry_breakers->size());
             const DryParams dry{dry_multiplier, dry_base, dry_allowed_length, dry_penalty_last_n};
             std::vector<TokenPenalty> penalties;
             for (const auto& [token, bias] : logit_bias) penalties.push_back({token, -bias});
             return Sampler(seed,
                            {temperature, top_k, top_p, min_p, repetition_penalty, dry, frequency_penalty,
                             presence_penalty, std::move(penalties), top_logprobs},
                            std::move(breakers));
           }),
           "seed"_a, "temperature"_a = 0.0f, "top_k"_a = 0, "top_p"_a = 1.0f, "min_p"_a = 0.0f,
           "repetition_penalty"_a = 1.0f, "dry_multiplier"_a = 0.0f, "dry_base"_a = 1.75f, "dry_allowed_length"_a = 2,
           "dry_penalty_last_n"_a = -1, "dry_breakers"_a = py::none(), "frequency_penalty"_a = 0.0f,
           "presence_penalty"_a = 0.0f, "logit_bias"_a = std::map<int32_t, float>(), "top_logprobs"_a = -1,
           "`dry_breakers`: uint32 bit mask of the tokens over which no repetition reaches. `top_logprobs`: how many "
           "alternatives `logprobs` has; -1: it is not computed.")
      .def("accept", &Sampler::accept, "token"_a, "is_prompt"_a = false,
           "Count a token; those of the prompt do not count for frequency_penalty and presence_penalty.")
      .def("sample", &sample, "logits"_a, "allowed"_a = py::none(),
           "Draw a token from logits float32 [vocab]; `allowed`: uint32 bit mask [ceil(vocab/32)].")
      .def_property_readonly(
          "logprobs", [](const Sampler& sampler) { return tuple_of(sampler.logprobs()); },
          "Of the last draw: the log probability of the token, and the most likely tokens as a list "
          "of (id, log probability); before penalties, mask and temperature.");
}

} // namespace
} // namespace tinychat

PYBIND11_MODULE(_tinychat, m) {
  using namespace tinychat;
  m.doc() = "The native runtime: decoder, KV cache and sampler.";

  py::register_exception<Canceled>(m, "Canceled");
  py::register_exception<DeviceError>(m, "DeviceError", PyExc_RuntimeError);

  py::class_<CancelFlag>(m, "CancelFlag", "Stops a decoder that runs in another thread, before its next layer.")
      .def(py::init<>())
      .def("set", [](CancelFlag& flag) { flag.set = true; })
      .def("clear", [](CancelFlag& flag) { flag.set = false; })
      .def("is_set", [](const CancelFlag& flag) { return flag.set.load(); });

  py::class_<KvCache>(m, "Cache", "Keys and values of one conversation.")
      .def_property_readonly("length", &KvCache::length, "Positions in use.")
      .def_property_readonly("capacity", &KvCache::capacity, "Positions there is room for.")
      .def_property_readonly("bytes", &KvCache::bytes, "Memory reserved; a page is provided when it is first written.")
      .def(
          "next_position",
          [](KvCache& cache, int tokens) {
            const py::gil_scoped_release release;
            const std::lock_guard<std::mutex> lock(cache.mutex());
            if (tokens < 0 || tokens > cache.length())
              throw std::invalid_argument("a cache of " + std::to_string(cache.length()) + " positions has no " +
                                          std::to_string(tokens));
            return cache.next_position(tokens);
          },
          "tokens"_a,
          "The position after the largest one of the first `tokens` tokens: `tokens` itself, unless positions were "
          "given (M-RoPE). Raises ValueError beyond what is there.")
      .def(
          "truncate",
          [](KvCache& cache, int length) {
            const py::gil_scoped_release release;
            const std::lock_guard<std::mutex> lock(cache.mutex());
            if (length < 0 || length > cache.length())
              throw std::invalid_argument("cannot truncate a cache of " + std::to_string(cache.length()) +
                                          " positions to " + std::to_string(length));
            cache.set_length(length);
          },
          "length"_a, "Forget all positions from `length` on. Raises ValueError beyond what is there.")
      .def(
          "copy_prefix",
          [](KvCache& cache, KvCache& from, int length) {
            if (&cache == &from || cache.decoder_id() != from.decoder_id())
              throw std::invalid_argument("a prefix is copied from another cache of the same decoder");
            const py::gil_scoped_release release;
            const std::scoped_lock lock(cache.mutex(), from.mutex());
            if (length < 0 || length > from.length())
              throw std::invalid_argument("cannot copy " + std::to_string(length) + " of " +
                                          std::to_string(from.length()) + " positions");
            cache.copy_prefix(from, length);
          },
          "source"_a, "length"_a,
          "Replace the content by the first `length` positions of another cache of the same decoder. Raises ValueError "
          "for "
          "any other cache, and beyond what is there.");

  bind_sampler(m);
  bind_batch(m);
  py::class_<PyDecoder>(m, "Decoder")
      .def(py::init<const py::dict&, const py::dict&, const std::string&, const std::string&, int, bool, int,
                    const std::string&, bool, const py::object&>(),
           "config"_a, "tensors"_a, py::kw_only(), "activations"_a, "isa"_a, "threads"_a, "equal_cores"_a = true,
           "max_seq_len"_a, "cuda_library"_a = "", "int8_kv_cache"_a = false, "place_files"_a = py::none(),
           "Build a decoder over mapped tensors, which stay alive with it; `cuda_library`: a path, to decode on a "
           "GPU; `place_files`: called with a WeightMemory whenever that is set up, to copy files there.\n\n"
           "Raises ValueError for what does not fit, DeviceError where there is no GPU or it has no room.")
      .def("new_cache", &PyDecoder::new_cache)
      .def("forward", &PyDecoder::forward, "batch"_a, "cancel"_a = nullptr,
           "Append the tokens of each sequence to its cache, and return what is wanted of them.\n\n"
           "Raises InvalidBatchError, before anything is computed, for an empty batch, a token outside the vocabulary, "
           "an "
           "embedding of another width, a position outside the context, a cache that is full, belongs to another "
           "decoder "
           "or is there twice, and a mask that is too short; Canceled once "
           "`cancel` is set, DeviceError.")
      .def("step_seconds", &PyDecoder::step_seconds, "Seconds spent so far, by fused step.")
      .def_property_readonly("isa", &PyDecoder::isa)
      .def_property_readonly("threads", &PyDecoder::threads);

  py::class_<MappingGuard>(m, "MappingGuard",
                           "Makes pages of a mapping that its file has lost read as zeros, instead of a SIGBUS.")
      .def(py::init([](const py::buffer& mapping) {
             const py::buffer_info info = mapping.request();
             return std::make_unique<MappingGuard>(info.ptr, static_cast<size_t>(info.size * info.itemsize));
           }),
           "mapping"_a, "Guard a mapping, which must outlive this. Raises RuntimeError for more than 4096.")
      .def_property_readonly("lost", &MappingGuard::lost, "Pages that were read and were not there.");

  bind_cuda(m);
  m.def("read_bandwidth", &read_bandwidth, "bytes"_a, "threads"_a, "rounds"_a = 9,
        py::call_guard<py::gil_scoped_release>(),
        "Bytes per second at which `threads` threads together read a buffer of `bytes`: the median of `rounds`.");

  m.def("exit_after_signal", &exit_after_signal, "signals"_a, "seconds"_a, "message"_a,
        "Exit with code 1, after a message on stderr, `seconds` after the first of `signals`, even if Python cannot "
        "run.");

  m.def(
      "isas",
      [] {
        std::vector<std::string> names;
        for (const Isa& isa : compiled_isas())
          if (isa.supported()) names.emplace_back(isa.name);
        return names;
      },
      "Instruction sets that this build has and this CPU supports, best first.");
}
