// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A model as Python describes it: dictionaries and arrays in, pointers into the arrays out.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "decoder/model.h"

namespace tinychat {

// One of a few names; ValueError, saying what it should name, for another.
template <typename T>
T choose(const std::string& what, const std::string& name, std::initializer_list<std::pair<const char*, T>> choices) {
  for (const auto& [key, value] : choices)
    if (name == key) return value;
  throw pybind11::value_error("unknown " + what + " '" + name + "'");
}

// The pointers go into the arrays of `tensors`, which the caller keeps alive. ValueError for what does not fit, as
// build_model() says.
Model model_from(const pybind11::dict& config, const pybind11::dict& tensors, int positions);

WeightFormat weight_format(const std::string& name);

} // namespace tinychat
