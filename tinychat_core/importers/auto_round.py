# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
AutoRound's own format (github.com/intel/auto-round, export/export_to_autoround): GPTQ's tensors or AWQ's.

`packing_format` selects the format and how zero points are stored: `auto_round:auto_gptq` less one, `auto_round` and
`auto_round:gptqmodel` as they are, `auto_round:auto_awq` as AutoAWQ's gemm. Older releases store it in `backend`,
followed by the name of a kernel. `extra_config` has the exceptions of single layers, by name or pattern.
"""

from __future__ import annotations

from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers.autoawq import Awq
from tinychat_core.importers.gptq import Gptq, settings
from tinychat_core.importers.options import Options
from tinychat_core.importers.quantized_source import QuantFormat

_LESS_ONE = ('gptq', 'auto_gptq')
_AWQ = ('awq', 'auto_awq')
_AS_THEY_ARE = ('', 'gptqmodel', 'exllama', 'exllamav2', 'triton', 'tritonv2', 'torch', 'marlin')


def quant_format(config: Options) -> QuantFormat:
    """Return the format of a quantization_config; UnsupportedModelError names an unsupported option."""
    name = next((option for option in ('packing_format', 'backend') if config.text(option) not in ('', 'auto')), '')
    head, _, kind = (config.text(name) if name else 'auto_round:auto_gptq').partition(':')
    kind = kind.partition(':')[0]
    if head != 'auto_round' or kind not in (*_LESS_ONE, *_AWQ, *_AS_THEY_ARE):
        raise config.refused(name, 'auto_round, auto_round:auto_gptq and auto_round:auto_awq are')
    exceptions = config.groups('extra_config')
    for rule in (config, *exceptions.values()):
        if rule.text('data_type', 'int') not in ('int', 'int_sym', 'int_asym'):
            raise rule.refused('data_type', 'int is')
        for option in ('super_bits', 'super_group_size', 'rotation_config', 'rotation_configs', 'transform_config'):
            rule.only(option, 'leave it out when you quantize')
    if (config.whole('act_bits') or 16) < 16:
        raise config.refused('act_bits', '16 is; activations are rounded when the model runs')
    found = settings(config, 'AutoRound', exceptions, kind in _LESS_ONE)
    if kind not in _AWQ:
        return Gptq(found)
    if set(found.bits) != {4}:
        raise UnsupportedModelError(f'{config.label}: AutoRound with bits = 8 as auto_round:{kind} is not supported; '
                                    'auto_round:auto_gptq is')
    return Awq(found.group_sizes, found.symmetric)
