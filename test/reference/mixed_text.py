# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Text of all kinds that a tokenizer meets, the same in every run: languages, code, numbers, signs, white space."""
from __future__ import annotations

import random

LANGUAGES = [
    "The robot doesn't move: it's waiting, and they'd've called if we'll need 3 more.",
    'Der Roboter fährt zur Küche; er trägt Äpfel, Öl und süße Brötchen. Größe: 1,75 m.',
    "L'été dernier, j'ai vu où naît l'œuvre: ça coûte 12,50 € à Noël, n'est-ce pas?",
    '¿Dónde está la habitación? ¡El niño comió piña mañana!',
    'A ação não é à toa: coração, pão, irmãos, três às 15h30.',
    'Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy.',
    'Árvíztűrő tükörfúrógép; Şişli’de İstanbul ığdır çağrı.',
    'Съешь же ещё этих мягких французских булок, да выпей чаю. ПРИВЕТ Мир!',
    'Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί. ΩΜΕΓΑ Άλφα',
    'מה שלומך היום? הרובוט נוסע לחדר 12.',
    'مرحبا بالعالم، كيف حالك؟ الغرفة رقم ٣٤٥.',
    '机器人正在走廊里移动，请稍候。你好，世界！２０２６年１１月３０日。',
    'ロボットは廊下を移動しています。これはテストです、はい。カタカナー・ひらがな',
    '로봇이 복도에서 움직이고 있습니다. 안녕하세요, 세계! 한국어 텍스트',
    'Robot đang di chuyển trong hành lang; xin chờ một chút nhé.',
    'Robotti liikkuu käytävällä ja odottaa hyvää päivää. Ääliö!',
]
# Combining marks, and capitals in the middle of words that are not ASCII.
MARKED = [
    'नमस्ते दुनिया, रोबोट रसोई में है। १२३४५ सही है?',
    'สวัสดีชาวโลก หุ่นยนต์กำลังเคลื่อนที่ ๑๒๓',
    'வணக்கம் உலகம், ரோபோ நகர்கிறது. বাংলা ভাষায় লেখা।',
    'e\u0301cole A\u030angstro\u0308m cafe\u0301 n\u0303 ÉCOLE приветМир ДобрыйДень ΑβγΔελτα iÉcole',
    'שָׁלוֹם עֲלֵיכֶם וְעַל כָּל יִשְׂרָאֵל. مُحَمَّدٌ',
]
PLAIN = [
    'def f(x: int) -> int:\n\treturn x**2  # square\n\n\n    if (a[0] != b->c) { puts("%d\\n"); }\n',
    'class HTTPServer<T>: public Base { iPhone camelCase snake_case XMLHttpRequest };\n',
    '{"name": "move_base", "x": -1.5e-07, "list": [1, 22, 333, 4444], "ok": true}\r\n',
    '1234567890 3.14159 1,000,000 12a34 x86_64 2026-11-23T10:00:00Z 0xDEADBEEF 99.9% $5 12345678901234567890',
    '½ ² ٣ ४ Ⅷ 五 ①②③ 𝟘𝟙 ¼',
    '👩‍👩‍👧‍👦 🇩🇪 🤖🤖 👍🏽 ❤️ ☎ ✓ → ∀x∈ℝ: ⌈x⌉ ≥ x',
    '!!! ... --- === ### "quoted" ‘single’ “double” «guillemets» (a/b//c) [d]{e} @user #tag ~/.bashrc && | ^ `x`',
    '$+<=>^~|` $ + < = > ^ ~ | ` $$++<<==>>^^~~||``',
    "'s 't 're 've 'm 'll 'd 'S 'T 'RE 'VE 'M 'LL 'D I'M DON'T he'll we're ’s",
    'https://example.org/path?q=1&r=%20#frag mail@example.org ../a/b.c',
    '\ta\t\tb \t c\t\n\t\n', '\n\n\na\n\n \n  b\n\n\n\n  \n', 'a\r\n\r\nb\rc\r \n', '  two before, two after  ',
    'a\u00a0b\u2003c\u3000d\u200be', '=' * 40 + ' ' * 23 + 'x' * 50 + '\n', '﷽ ﬁ ſ K Å ẞ', '\ufffd a\ufffd',
    'zyzzyva and a zyzzyva again, qwfpgj', '\n/\n//\n /r\n', '。、！？：；（）「」…—', ' ' * 700 + '\n',
]


def mixed(*kinds: list[str], characters: int, seed: int, shout: bool = True) -> str:
    """Return about that many characters of these kinds, shuffled; `shout`: some of it in capitals."""
    chance = random.Random(seed)
    snippets = [snippet for kind in kinds for snippet in kind]
    parts: list[str] = []
    size = 0
    while size < characters:
        snippet = snippets[int(chance.random() * len(snippets))]
        if chance.random() < 0.3:  # a piece of it
            begin = int(chance.random() * len(snippet))
            snippet = snippet[begin:begin + 1 + int(chance.random() * 12)]
        if chance.random() < 0.1 and shout:
            snippet = snippet.upper()
        parts.append(snippet + ['', ' ', ' ', '\n', '  ', '\n\n', '\t'][int(chance.random() * 7)])
        size += len(parts[-1])
    return ''.join(parts)


# 100 kB that every name's words are tried on, and 10 kB more with marks.
TEXTS = [mixed(LANGUAGES, PLAIN, characters=7500, seed=seed) for seed in range(10)]
MARKED_TEXTS = [mixed(LANGUAGES, MARKED, characters=4000, seed=100)]
# The same without what llama.cpp takes for another case than the models do: marks, and capitals beyond ASCII next to
# those of ASCII.
_LOWER = [''.join(c if c.isascii() else c.lower() for c in snippet) for snippet in LANGUAGES]
ASCII_CASE = [mixed(_LOWER, PLAIN, characters=7500, seed=seed, shout=False) for seed in range(10)]
