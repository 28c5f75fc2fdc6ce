# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The formats in which models write tool calls. Many models share a format; the chat template shows which one.

Sources: the chat templates of the models, and
- https://github.com/NousResearch/Hermes-Function-Calling (Hermes; Qwen 2.5 and 3, Granite 4, SmolLM3 write the same),
- https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/ (Llama 3),
- https://github.com/mistralai/mistral-common (Mistral: a list until v7, NAME[ARGS]{…} from v11 on),
- https://ai.google.dev/gemma/docs/capabilities/function-calling (Gemma; here a call is JSON in a `tool_code` block).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import re

from tinychat_core.errors import InvalidParameterError


@dataclass(frozen=True)
class ToolFormat:
    """
    The texts around the names and arguments of an answer's calls.

        opening begin  before_name NAME before_arguments ARGUMENTS after_arguments  between … closing

    `opening`: the mark that begins the calls; '': a call is only recognized at the beginning of the answer. `between`:
    between two calls; None: an answer has at most one call. `other_opening`: a mark that the model may write instead of
    `opening`. `call_id`: the text before the id, in formats that have an id between the name and `before_arguments`.
    `result_begin`, `result_end`: around a tool's result, if the chat template does not support results.
    `may_be_plain`: an answer may also begin with calls without marks, as JSON alone or in a code block. Small models
    often write that, and llama.cpp's parser of this format (common/chat.cpp) accepts it, too.
    """

    name: str
    opening: str
    begin: str
    before_name: str
    before_arguments: str
    after_arguments: str
    between: str | None
    closing: str
    other_opening: str = ''
    call_id: str = ''
    result_begin: str = '<tool_response>\n'
    result_end: str = '\n</tool_response>'
    may_be_plain: bool = False

    @property
    def openings(self) -> tuple[str, ...]:
        """The marks that open a call within text."""
        return tuple(mark for mark in (self.opening, self.other_opening) if mark)

    def written(self, calls: list[tuple[str, str]]) -> str:
        """Return calls, each a name and a JSON object, as the model writes them."""
        texts = [f'{self.before_name}{name}{self.before_arguments}{arguments}{self.after_arguments}'
                 for name, arguments in calls]
        between = f'{self.closing}\n' if self.between is None else self.between
        return f'{self.opening}{self.begin}{between.join(texts)}{self.closing}'


_HERMES = ToolFormat('hermes', opening='<tool_call>', begin='\n', before_name='{"name": "',
                     before_arguments='", "arguments": ', after_arguments='}',
                     between='\n</tool_call>\n<tool_call>\n', closing='\n</tool_call>', may_be_plain=True)
_LIST = ToolFormat('', opening='', begin='[', before_name='{"name": "', before_arguments='", "arguments": ',
                   after_arguments='}', between=', ', closing=']')
_DEEPSEEK = ToolFormat('deepseek', opening='<｜tool▁calls▁begin｜>', begin='',
                       before_name='<｜tool▁call▁begin｜>function<｜tool▁sep｜>', before_arguments='\n```json\n',
                       after_arguments='\n```<｜tool▁call▁end｜>', between='\n', closing='<｜tool▁calls▁end｜>')
FORMATS = {form.name: form for form in (
    _HERMES,
    ToolFormat('llama3', opening='', begin='', before_name='{"name": "', before_arguments='", "parameters": ',
               after_arguments='}', between=None, closing='', other_opening='<|python_tag|>'),
    replace(_LIST, name='mistral', opening='[TOOL_CALLS]'),
    ToolFormat('mistral-v11', opening='[TOOL_CALLS]', begin='', before_name='', before_arguments='[ARGS]',
               after_arguments='', between='[TOOL_CALLS]', closing='', call_id='[CALL_ID]'),
    ToolFormat('mistral-v13', opening='[TOOL_CALLS]', begin='', before_name='', before_arguments='[ARGS]',
               after_arguments='', between='[TOOL_CALLS]', closing=''),
    replace(_LIST, name='phi4', opening='<|tool_call|>', closing=']<|/tool_call|>'),
    ToolFormat('phi4-single', opening='<|tool_call|>', begin='', before_name='{"name": "',
               before_arguments='", "arguments": ', after_arguments='}',
               between='<|/tool_call|><|tool_call|>', closing='<|/tool_call|>'),
    replace(_LIST, name='granite', opening='<|tool_call|>'),
    _DEEPSEEK,
    replace(_DEEPSEEK, name='deepseek-v3.1', before_name='<｜tool▁call▁begin｜>', before_arguments='<｜tool▁sep｜>',
            after_arguments='<｜tool▁call▁end｜>', between=''),
    ToolFormat('gemma', opening='```tool_code', begin='\n', before_name='{"name": "',
               before_arguments='", "parameters": ', after_arguments='}', between='\n```\n```tool_code\n',
               closing='\n```', result_begin='```tool_output\n', result_end='\n```'),
    replace(_HERMES, name='general'),
)}
# The format of a chat template is the first one here whose patterns are all in the template.
_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ('deepseek', ('<｜tool▁calls▁begin｜>', '```json')),
    ('deepseek-v3.1', ('<｜tool▁calls▁begin｜>', '<｜tool▁sep｜>')),
    ('mistral-v11', (r'\[TOOL_CALLS\]', r'\[CALL_ID\]')),
    ('mistral-v13', (r'\[TOOL_CALLS\]', r'\[ARGS\]')),
    ('mistral', (r'\[TOOL_CALLS\]',)),
    ('', ('<tool_call>', '<function=|<arg_key>|<parameter')),  # Qwen3-Coder, GLM: XML for each argument
    ('hermes', ('<tool_call>', r'\\?"name\\?"')),
    ('phi4-single', (r'<\|tool\|>', r'<\|/tool_call\|>')),
    ('phi4', (r'<\|tool\|>',)),
    ('granite', (r'<\|tool_call\|>',)),
    ('granite', (r'<\|start_of_role\|>', 'available_tools|tools')),
    ('llama3', (r'<\|start_header_id\|>', '"parameters"')),
)
# Formats for templates that do not support tools.
_GENERAL_SIGNS = (('gemma', '<start_of_turn>'),)


def tool_format(name: str) -> ToolFormat:
    """Return the format with this name; InvalidParameterError if there is none."""
    if name not in FORMATS:
        raise InvalidParameterError(f"there is no tool format '{name}'; use one of {', '.join(FORMATS)}")
    return FORMATS[name]


def format_of_template(template: str) -> ToolFormat | None:
    """Return the format of calls in a chat template that supports tools; None for an unknown format."""
    name = next((name for name, patterns in _SIGNS if all(re.search(pattern, template) for pattern in patterns)), '')
    return FORMATS[name] if name else None


def general_format(template: str) -> ToolFormat:
    """Return the format for a model whose chat template does not support tools."""
    return FORMATS[next((name for name, sign in _GENERAL_SIGNS if sign in template), 'general')]
