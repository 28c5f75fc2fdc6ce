// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "bindings_model.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <map>
#include <set>
#include <string>

namespace py = pybind11;

namespace tinychat {
namespace {

ModelConfig config_from(const py::dict& d) {
  ModelConfig c;
  std::set<std::string> known;
  const auto read = [&](const char* name, auto& field, bool required = false) {
    known.insert(name);
    if (!d.contains(name)) {
      if (required) throw py::value_error(std::string("the model configuration lacks ") + name);
      return;
    }
    try {
      field = d[name].cast<std::decay_t<decltype(field)>>();
    } catch (const py::cast_error&) {
      throw py::value_error(std::string(name) + " of the model configuration has the wrong type or is out of range");
    }
  };
  read("vocab_size", c.vocab_size, true);
  read("hidden_size", c.hidden_size, true);
  read("intermediate_size", c.intermediate_size, true);
  read("layers", c.layers, true);
  read("heads", c.heads, true);
  read("kv_heads", c.kv_heads, true);
  read("head_dim", c.head_dim, true);
  read("norm_eps", c.norm_eps, true);
  read("gated", c.gated, true);
  read("parallel", c.parallel);
  read("embedding_scale", c.embedding_scale);
  read("attention_scale", c.attention_scale);
  read("attention_softcap", c.attention_softcap);
  read("logit_softcap", c.logit_softcap);
  read("position_offset", c.position_offset);
  read("embedding_size", c.embedding_size);
  read("final_norm", c.final_norm);
  read("encoder", c.encoder);
  read("rope_inv_freq", c.rope_inv_freq);
  read("rope_axes", c.rope_axes);
  read("rope_scale", c.rope_scale);
  read("rope_local_inv_freq", c.rope_local_inv_freq);
  read("alibi_slopes", c.alibi_slopes);
  read("windows", c.windows);
  read("deepstack_layers", c.deepstack_layers);
  read("output_layers", c.output_layers);
  std::string norm, activation;
  read("norm", norm, true);
  read("activation", activation, true);
  c.norm = choose<Norm>("norm", norm, {{"rms", Norm::kRms}, {"layer", Norm::kLayer}});
  c.activation = choose<Activation>("activation", activation,
                                    {{"silu", Activation::kSilu},
                                     {"gelu", Activation::kGelu},
                                     {"gelu_tanh", Activation::kGeluTanh},
                                     {"relu", Activation::kRelu}});
  for (const auto& [key, value] : d)
    if (const auto name = key.cast<std::string>(); known.count(name) == 0)
      throw py::value_error("the model configuration has an unknown field: " + name);
  return c;
}

// A pointer into an array that has at least `count` numbers of `size` bytes; the array is kept alive by the caller.
const void* data_of(const py::dict& d, const char* key, size_t count, size_t size) {
  const auto array = d[key].cast<py::array>();
  if (static_cast<size_t>(array.nbytes()) < count * size || !(array.flags() & py::array::c_style))
    throw py::value_error(std::string("array '") + key + "' is too small or not contiguous");
  return array.data();
}

Linear linear_from(const py::dict& d) {
  Linear w;
  const auto format = d["format"].cast<std::string>();
  w.format = weight_format(format);
  w.rows = d["rows"].cast<int>();
  w.cols = d["cols"].cast<int>();
  const size_t tiles = w.tiles(), cols = w.cols;
  if (w.format == WeightFormat::kF16 || w.format == WeightFormat::kBf16) {
    w.weight = static_cast<const uint8_t*>(data_of(d, "weight", tiles * 16 * cols, 2));
    return w;
  }
  w.group = w.format == WeightFormat::kW8Channel ? w.cols : d["group_size"].cast<int>();
  const bool blocks = has_blocks(w.format), pairs = blocks && has_mins(w.format);
  const int unit = w.format == WeightFormat::kW6K ? 16 : 32;
  if (w.group <= 0 || w.group % unit != 0 || w.cols % w.group != 0 || (blocks && w.group != unit))
    throw py::value_error("the group size must be a multiple of " + std::to_string(unit) + " that divides the width");
  if (blocks && w.cols % kBlock != 0) throw py::value_error("the width must be a multiple of 256");
  const size_t groups = cols / w.group, scales = tiles * 16 * (blocks ? cols / kBlock : groups);
  w.weight = static_cast<const uint8_t*>(data_of(d, "weight", tiles * w.tile_bytes(), 1));
  if (w.format == WeightFormat::kW8Channel)
    w.channel_scales = static_cast<const float*>(data_of(d, "scales", tiles * 16, 4));
  else w.scales = static_cast<const uint16_t*>(data_of(d, "scales", scales, 2));
  if (has_mins(w.format)) w.mins = static_cast<const uint16_t*>(data_of(d, "mins", scales, 2));
  if (blocks) w.subscales = static_cast<const uint8_t*>(data_of(d, "subscales", tiles * groups * (pairs ? 24 : 16), 1));
  if (w.format == WeightFormat::kW4Zero && d.contains("zeros"))
    w.zeros = static_cast<const uint8_t*>(data_of(d, "zeros", tiles * groups * 8, 1));
  return w;
}

} // namespace

WeightFormat weight_format(const std::string& name) {
  return choose<WeightFormat>("weight format", name,
                              {{"w4z", WeightFormat::kW4Zero},
                               {"w4m", WeightFormat::kW4Min},
                               {"w4k", WeightFormat::kW4K},
                               {"w5z", WeightFormat::kW5Zero},
                               {"w5m", WeightFormat::kW5Min},
                               {"w5k", WeightFormat::kW5K},
                               {"w6k", WeightFormat::kW6K},
                               {"w8g", WeightFormat::kW8Group},
                               {"w8c", WeightFormat::kW8Channel},
                               {"f16", WeightFormat::kF16},
                               {"bf16", WeightFormat::kBf16}});
}

Model model_from(const py::dict& config, const py::dict& tensors, int positions) {
  std::map<std::string, Tensor> views;
  for (const auto& [key, value] : tensors) {
    Tensor& tensor = views[key.cast<std::string>()];
    if (py::isinstance<py::dict>(value)) {
      tensor.linear = linear_from(value.cast<py::dict>());
    } else {
      const auto vector = py::array_t<float, py::array::c_style>::ensure(value);
      if (!vector || vector.ptr() != value.ptr()) throw py::value_error("a vector must be a float32 array");
      tensor.vector = vector.data();
      tensor.size = static_cast<int>(vector.size());
    }
  }
  return build_model(config_from(config), views, positions);
}

} // namespace tinychat
