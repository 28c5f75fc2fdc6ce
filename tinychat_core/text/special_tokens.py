# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Special tokens by the names that models give them.

Files forget what a token is for: its type in a GGUF file, or an entry of eos_token_id. The names are those of the
models' own tokenizer files, and a name has one meaning in all of them.
"""
from __future__ import annotations

from collections.abc import Collection
import re


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


# What ends an answer: the text, the turn, the message, or a call that waits for its result.
_ENDS = _set(
    '</s> <eos> <|eos|> [EOS] <|endoftext|> <|end_of_text|> <｜end▁of▁sentence｜> <|endofdocument|> '
    '<|im_end|> <|end|> <|eot_id|> <|eot|> <EOT> _<EOT> <|EOT|> [EOT] <|eom_id|> <|eom|> <end_of_turn> <|end_of_turn|> '
    '<turn|> <|endofturn|> [|endofturn|] <|END_OF_TURN_TOKEN|> <end_of_utterance> <|return|> <|call|> <|calls|> '
    '<|flush|> <|role_end|> <|stop|> [e~[')
# In files with these, `<|end|>` only ends a part of an answer (OpenAI's harmony format, and Solar's).
_PARTS = ({'<|return|>', '<|call|>'}, {'<|calls|>', '<|flush|>'})
# Names of HTML, too (Gemma has both): an end only where the file calls it a control token.
MARKUP = frozenset({'</s>'})

_CONTROL = _set(
    '<|im_start|> <|im_sep|> <|start_header_id|> <|end_header_id|> <|header_start|> <|header_end|> <|begin_of_text|> '
    '<start_of_turn> <|startoftext|> <|turn> <|start|> <|channel|> <|message|> <|constrain|> <|system|> <|user|> '
    '<|assistant|> <|tool|> <|observation|> <|endofprompt|> <bos> <|bos|> <｜begin▁of▁sentence｜> <｜User｜> '
    '<｜Assistant｜> [INST] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_CALLS] '
    '[TOOL_RESULTS] [/TOOL_RESULTS] <pad> <|pad|> [PAD] <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> '
    '<fim_prefix> <fim_middle> <fim_suffix> <fim_pad> <|repo_name|> <|file_sep|>')
# What a template writes and the answer shows: thoughts and calls are marked with them.
_SHOWN = _set(
    '<think> </think> <thinking> </thinking> <tool_call> </tool_call> <tool_response> </tool_response> <tools> '
    '</tools> <answer> </answer>')
# What looks like a token that no text has: <|…|>, <｜…｜>, <name>, </name>, [NAME], [/NAME].
_MARK = re.compile(r'<[|｜].+[|｜]?>|</?[A-Za-z][\w.-]*>|\[/?[A-Z][A-Z_]*\]|\[\|.+\|\]')


def ends_of_answers(tokens: Collection[str]) -> frozenset[str]:
    """Return those of a vocabulary's special tokens that end an answer, by their names."""
    ends = _ENDS.intersection(tokens)
    return ends - {'<|end|>'} if any(part <= ends for part in _PARTS) else ends


def is_control_name(token: str) -> bool:
    """Whether a token with this name is a control token in every model that has it."""
    return token in _ENDS or token in _CONTROL


def is_mark(token: str) -> bool:
    """Whether a token looks like one that is no text."""
    return _MARK.fullmatch(token) is not None


def is_shown(token: str) -> bool:
    """Whether a mark belongs to what a model says: its thoughts, its calls."""
    return token in _SHOWN
