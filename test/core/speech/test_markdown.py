# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Markdown, HTML and formulas become what a person would say."""

from __future__ import annotations

from core.speech.speaking import spoken
import pytest

CASES: dict[str, tuple[str, list[str]]] = {
    'bold, italic': ('**Step 1:** *Go* to __the__ _hall_, ***now***!', ['Step 1: Go to the hall, now!']),
    'marks around a sentence': ('**Warning!** Be careful. *Yes.* No.', ['Warning!', 'Be careful.', 'Yes.', 'No.']),
    'struck, marked, small': ('~~Old~~ ==new== H~2~O.', ['Old new H2O.']),
    'stars that multiply': ('2 * 3 = 6 and 2*3', ['2 × 3 = 6 and 2×3']),
    'powers and comparisons': ('x**2 is <= 5, >= 3 or != 4', ['x^2 is <= 5, >= 3 or != 4']),
    'a name with underscores': ('Set max_speed in __init__.', ['Set max speed in init.']),
    'the same as code': ('Set `max_speed` in `__init__.py`.', ['Set max speed in init.py.']),
    'headings': ('# Title\n## 1. Intro ##\nText.', ['Title', '1. Intro', 'Text.']),
    'headings with lines below': ('Title\n=====\nSub\n---\nText', ['Title', 'Sub', 'Text']),
    'no heading': ('#robots love C# and #1', ['robots love C# and #1']),
    'items': ('- one\n* **two**\n  + nested\n• dot\n– dash\n1. First\n2) Second',
              ['one', 'two', 'nested', 'dot', 'dash', '1. First', '2) Second']),
    'tasks': ('- [x] done\n- [ ] open', ['done', 'open']),
    'quotations': ('> quoted\n> > deeper\n> - item', ['quoted', 'deeper', 'item']),
    'a table': ('| Name | Age |\n|:-----|----:|\n| **Bob** | 5 |\n| | `a|b` |', ['Name, Age', 'Bob, 5', 'a|b']),
    'a table without bars around it': ('Name | Age\n--- | ---\nBob | 5', ['Name, Age', 'Bob, 5']),
    'lines across': ('One.\n\n---\n***\n___\nTwo.', ['One.', 'Two.']),
    'inline code': ('Run `ros2 run x`. Then ``a `b` c``! See `config.d/a. B`.',
                    ['Run ros2 run x.', 'Then a b c!', 'See config.d/a. B.']),
    'a tick for an apostrophe': ('It`s a dog. I don`t.', ["It's a dog.", "I don't."]),
    'exclamation marks': ('Go !\nStop !\n!`x` and ![y](z) !', ['Go !', 'Stop !', '!x and y !']),
    'a tick alone': ('Type ` here. Then **go**.', ['Type here.', 'Then go.']),
    'a code block': ('Do this:\n```python\nprint("Hello. World")\n\n# x\n```\nDone.', ['Do this:', 'Done.']),
    'code without a language': ('```\ncode. Code\n```\nText', ['Text']),
    'code between tildes': ('~~~~\na\n~~~\nb\n~~~~\nText', ['Text']),
    'code in a list': ('- Run:\n  ```bash\n  ls. A\n  ```\n- Then', ['Run:', 'Then']),
    'code in a quotation': ('> ```\n> a. B\n> ```\n> after', ['after']),
    'an open code block': ('Text.\n```\nx. Y', ['Text.']),
    'an indented code block': ('Text.\n\n    x. Y\n\nMore.', ['Text.', 'More.']),
    'a deep item is no code': ('- a\n\n    - b', ['a', 'b']),
    'links': ('See [the **docs**](https://a.com/x_(y) "T. t"), [ref][1] and [a. B](u).',
              ['See the docs, ref and a. B.']),
    'no link': ('It is [sic] and [a](b c d).', ['It is sic and a(b c d).']),
    'a picture': ('![A map](map.png)', ['A map']),
    'footnotes': ('Text[^1] and more.[12] Yes.\n\n[^1]: The note.\n[1]: http://x.y',
                  ['Text and more.', 'Yes.', 'The note.']),
    'URLs': ('Visit https://www.example.com/a/b?x=1. Then <https://ros.org/x>, or www.foo.org/a.',
             ['Visit example.com.', 'Then ros.org, or foo.org.']),
    'URLs with more in them': ('(https://me:pw@host.org:80/x) https://en.wikipedia.org/wiki/A_(b). The end.',
                               ['(host.org) en.wikipedia.org.', 'The end.']),
    'a URL without its beginning': ('See github.com/ros2/ros2 and me@x.org. Ok.',
                                    ['See github.com and me@x.org.', 'Ok.']),
    'a URL as the text of a link': ('[https://x.org/abc](https://x.org/abc)', ['x.org']),
    'a URL in Chinese': ('请访问https://example.com/a。谢谢。', ['请访问example.com。', '谢谢。']),
    'a long URL': ('https://a.org/' + 'x' * 1000 + ' is long', ['a.org is long']),
    'emoji': ("Great! 😊 Let's go👍. ✅ Done 🤖. I❤️you. 👩‍👩‍👧 🇩🇪 1️⃣ one",
              ['Great!', "Let's go.", 'Done.', 'I you.', '1 one']),
    'emoticons': ('Hello :) How are you? ;-) Fine :smile: <3', ['Hello How are you?', 'Fine']),
    'arrows': ('Open Menu → Settings -> Network', ['Open Menu, Settings Network']),
    'tags': ('<p>Hello <b class="x">bold</b>.</p>Bye.<br/>New<hr>a<sub>2</sub>', ['Hello bold.', 'Bye.', 'New', 'a2']),
    'what is between tags': ('<script>x. Y</script><style>\na\n</style><!-- c. D\n-->Text', ['Text']),
    'no tags': ('a < b and c > d, type <name> or 5 <6', ['a < b and c > d, type name or 5 <6']),
    'entities': ('a &amp; b &lt; 5&nbsp;m &#8212; &copy; AT&T;', ['a & b < 5 m — © AT&T;']),
    'escapes': (r'\*not bold\* and 1\. one \_ \\', ['*not bold* and 1. one']),
    'formulas': (r'The value $x^2 + \frac{a}{b}$ is \(\alpha \times \sqrt{2}\). So. \[E = mc^2\]',
                 ['The value x² + a / b is α × √2.', 'So.', 'E = mc²']),
    'a formula on lines of its own': ('So:\n$$\na_1 \\leq b\n$$\nDone.', ['So:', 'a 1 ≤ b', 'Done.']),
    'prices': ('It costs $5. I like $10 and $20. From $5-$10, or $3.50. $HOME is.',
               ['It costs $5.', 'I like $10 and $20.', 'From $5-$10, or $3.50.', '$HOME is.']),
    'nothing to say': ('---\n***\n😀\n| | |\n', []),
    'control characters': ('a\x00b\u200b c\u00ad d\ufeff', ['ab c d']),
}


@pytest.mark.parametrize('name', CASES)
def test_what_is_said(name: str) -> None:
    text, expected = CASES[name]
    assert spoken(text) == expected
