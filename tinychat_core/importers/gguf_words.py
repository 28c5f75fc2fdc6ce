# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Pre-tokenizers: how text is split into words before byte-level merges, by the names in GGUF files.

The patterns are those of the models' own tokenizer.json. llama.cpp simplifies some of them, because its regular
expressions know upper and lower case only in ASCII: there `gpt-4o` and `tekken` differ for texts with combining marks,
or with capitals within a word of another script.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import normalizers, pre_tokenizers, Regex, Tokenizer

from tinychat_core.errors import UnsupportedModelError


@dataclass(frozen=True)
class Words:
    """
    The steps of a pre-tokenizer; each splits the pieces of the previous one.

    `patterns`: regular expressions; a piece is a match, or the text between two matches. `whole`: a word that is a
    token is not split, whatever the merges say. `bos`: whether a text starts with BOS, where the file does not say.
    `composed`: normalize to Unicode's form C first.
    """

    patterns: tuple[str, ...]
    whole: bool = False
    bos: bool = False
    composed: bool = False

    def apply(self, tokenizer: Tokenizer) -> None:
        """Install the steps in a tokenizer."""
        splits = [pre_tokenizers.Split(Regex(pattern), 'isolated') for pattern in self.patterns]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        if self.composed:
            tokenizer.normalizer = normalizers.NFC()


_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r'[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]', r'[\p{Ll}\p{Lm}\p{Lo}\p{M}]'
_NO_LETTER = r'[^\r\n\p{L}\p{N}]?'  # before a word; usually a space
_SPACES = r'\s*[\r\n]+|\s+(?!\S)|\s+'
_GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_DIGIT, _THREE_DIGITS = r'\p{N}', r'\p{N}{1,3}'
_HAN_AND_KANA = r'[一-龥぀-ゟ゠-ヿ]+'
# DeepSeek V3's words, which other models have adopted.
_DEEPSEEK_WORDS = (r'[!"#$%&\'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|'
                   rf' ?[\p{{P}}\p{{S}}]+[\r\n]*|{_SPACES}')
# The letters, the signs, and the Chinese and Korean characters of DeepSeek's first version.
_ALPHABETS = (
    '41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376-377 37B-37D 37F 386 388-38A 38C '
    '38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B '
    '1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 '
    '1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 '
    '2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183-2184 2C00-2C7B '
    '2C7E-2CE4 2CEB-2CEE 2CF2-2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 '
    'FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF '
    '1E900-1E943')
_SIGNS = '21-2F 3A-7E FF01-FF0F FF1A-FF5E 2018-201F 3000-3002'
_CHINESE_AND_KOREAN = '4E00-9FA5 800-4E00 AC00-D7FF'


def _any_of(ranges: str) -> str:
    """Return the character class of code point ranges."""
    return '[' + ''.join('-'.join(rf'\x{{{code}}}' for code in item.split('-')) for item in ranges.split()) + ']'


def _words(digits: str, letters: str = r'\p{L}+', sign: str = r'\p{L}\p{N}', line_ends: str = r'[\r\n]*',
           spaces: str = _SPACES) -> str:
    """Return the pattern that LLaMA 3 and Qwen 2 share: contractions, words, numbers, signs, spaces."""
    return rf'{_CONTRACTIONS}|{_NO_LETTER}{letters}|{digits}| ?[^\s{sign}]+{line_ends}|{spaces}'


def _cased_words(end: str, digits: str) -> str:
    """Return the pattern that GPT-4o and Mistral's Tekken share: a word also ends before capitals."""
    return (rf'{_NO_LETTER}{_UPPER}*{_LOWER}+{end}|{_NO_LETTER}{_UPPER}+{_LOWER}*{end}|{digits}|'
            rf' ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}')


_LLAMA_3 = _words(_THREE_DIGITS)
_QWEN_2 = _words(_DIGIT)
_GPT_4O = _cased_words(f'{_CONTRACTIONS}?', _THREE_DIGITS)
_POWERS_OF_TWO = '|'.join([r'\s*[\r\n]+|\s{512}(?!\S)', *(rf'\s{{{2 ** i}}}(?!\S)' for i in range(8, 1, -1)),
                           r'\s{1,2}(?!\S)|\s'])

# The names of each pre-tokenizer; several models share one.
_WAYS: dict[Words, str] = {
    Words((_LLAMA_3,), whole=True, bos=True): 'llama-bpe llama-v3 llama3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 '
                                              'jina-v5-nano',
    Words((_LLAMA_3,)): 'smaug-bpe dbrx',
    Words((_QWEN_2,), composed=True): 'qwen2 deepseek-r1-qwen f2llmv2',
    Words((_QWEN_2,)): 'stablelm2 hunyuan solar-open grok-2 kormo megrez',
    Words((_words(_DIGIT, r'[\p{L}\p{M}]+', r'\p{L}\p{M}\p{N}'),), composed=True): 'qwen35',
    Words((_GPT_2,)): 'gpt-2 phi-2 mpt olmo jais trillion granite-docling gigachat a.x-4.0 mellum exaone4 jina-es '
                      'jina-de jina-v2-es jina-v2-de modern-bert',
    Words((_DIGIT, _GPT_2)): 'smollm starcoder refact command-r codeshell exaone minerva-7b mellum2',
    Words((r'[\p{P}\$\+<=>\^~\|`]+', _GPT_2, '[0-9][0-9][0-9]')): 'falcon',
    Words((_GPT_4O,)): 'gpt-4o llama4 kanana2 talkie minimax-m2',
    Words((_cased_words('', _DIGIT),), whole=True, bos=True): 'tekken',
    Words((r'[\r\n]', rf'\s?{_any_of(_ALPHABETS)}+', rf'\s?{_any_of(_SIGNS)}+', r'\s+$',
           f'{_any_of(_CHINESE_AND_KOREAN)}+', r'\p{N}+')): 'deepseek-llm',
    Words((r'[\r\n]', r'\s?\p{L}+', r'\s?\p{P}+', f'{_any_of(_CHINESE_AND_KOREAN)}+', _DIGIT)): 'deepseek-coder',
    Words((_THREE_DIGITS, _HAN_AND_KANA, _DEEPSEEK_WORDS)): 'deepseek-v3 hunyuan-dense joyai-llm hy_v4',
    Words((_words(_THREE_DIGITS, spaces=_POWERS_OF_TWO),)): 'jais-2',
    Words((_THREE_DIGITS, _words(r'\p{N}+')), whole=True): 'minicpm5',
    Words(('[^\\n]+|[\\n]+', _QWEN_2)): 'laguna',
    Words((_words(_DIGIT, sign=r'\p{L}\p{N}\r\n', line_ends=''),)): 'seed-coder',
    Words((_QWEN_2.removeprefix(f'{_CONTRACTIONS}|'),)): 'ufakzeka',
    Words((_words(_DIGIT, r'(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+', line_ends=r'[\r\n/]?',
                  spaces=r'\s*[\r\n]|\s+(?!\S)|\s+'),)): 'exaone-moe',
    Words((_words(_DIGIT, spaces=r'\s*[\r\n]|\s+(?!\S)|\s+'),)): 'bailingmoe bailingmoe2 llada-moe',
    Words((r' ?[^(\s|.,!?…。，、।۔،)]+',)): 'poro-chat bloom gpt3-finnish',
    Words((r' ?[^(\s|.,!?…。，、।۔،)]+', _DIGIT)): 'viking',
    Words((r'[\p{P}\$\+<=>\^~\|]+', _GPT_2, r'\p{N}+', '[0-9][0-9][0-9]')): 'default',
}
_BY_NAME = {name: words for words, names in _WAYS.items() for name in names.split()}


def words_of(name: str) -> Words:
    """Return the pre-tokenizer named by `tokenizer.ggml.pre`; UnsupportedModelError for an unknown name."""
    if name not in _BY_NAME:
        raise UnsupportedModelError(
            f"the pre-tokenizer '{name}' is not supported; import the model's Hugging Face directory instead, or a "
            f'GGUF file with one of: {", ".join(sorted(_BY_NAME))}')
    return _BY_NAME[name]
