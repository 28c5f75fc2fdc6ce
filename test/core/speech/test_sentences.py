# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Where a spoken sentence ends, language by language."""

from __future__ import annotations

from core.speech.speaking import spoken
import pytest

from tinychat_core.speech.languages import ALL, LANGUAGES
from tinychat_core.speech.sentences import MAX_LENGTH

# Sentences are apart by |.
TEXTS = {
    'en': [
        'I go to the kitchen.| Then I pick up the cup!| Is that right?',
        'It is 3.5 m long, at 10.30 a.m. exactly.| Yes.',
        'Mr. Smith and Dr. J. R. Müller are here.| They wait.',
        'Robots, e.g. arms, i.e. manipulators, etc. are useful.',
        'See No. 5 today.| Vol. 2 is new.| Fig. 3 and pp. 5-7, ch. IV too.',
        'Acme Inc. makes it.| She has a Ph.D. in physics.| He has a Ph.D.| She works at Acme Inc.| They know.',
        'We meet at 5 p.m. on Monday.| The shop opens at 9 a.m. EST today.| It closes at 5 p.m.| Bring a coat.',
        'J. K. Rowling wrote it.| So did Ursula K. Le Guin and W. E. B. Du Bois.| George W. Bush read it.',
        'John Smith Jr. is at St. Louis.| Lt. Col. Brown saw Mt. Everest.| Martin Luther King Jr. Day is a holiday.',
        'The U.S. Army is there.| I live in the U.S.| It is large.| Washington, D.C. is warm.',
        'On Jan. 5 we go.| You may.| No.| I do not.| I want no.',
        'You and I.| We go.| Take plan B.| Then vitamin C.| Robots need none.',
        'Version v2.0 is out.| The IP is 10.0.0.1, the file a.txt.| Done.| See example.com.| Node.js is there.',
        'Wait... what?| Wait...| I think so.| …| Well… maybe.| Hm . . . yes.',
        'It is .5 m.| .NET is old.| ...And then?',
        'What?!| Really!!!| Yes.',
        '"Stop!" he said.| He said "Stop!" and left.| She asked, “Why?”| Then she left.| (Really.)| Yes.| No.',
        'Yahoo! is a company.| I use it.| iPhone is another name.',
        '1. Open the door.| 2. Close it.| IV. Results are here.| B. Second.| (1) First.',
        'He was born in 1995.| 20 people came.| Louis XIV. was king.| I am 5.| Then I am 30.| Robots are 60.',
        'Meet Prof. Dr. He and Ms. You, M.D.| Then call ext. 12, approx. at noon, cf. Smith et al. 2019.',
        'MR. SMITH and mr. Smith take NO. 5.| The answer is C.| Robots know the (U.S.) Army.| (It is 5.)| Yes.',
        'No end',
    ],
    'de': [
        'Ich fahre z.B. nach Köln.| Bis bald!| Das heißt, z. B. Hunde, d. h. Tiere, u. a. Katzen, i. d. R. kleine.',
        'Am 3. Oktober 1990 war es so.| Der 2. Weltkrieg und der 1. FC Köln.| Ich habe 3.| Dann gehe ich.',
        'Hr. Meier und Prof. Dr. med. Schmidt von der Fa. Müller kommen.| Sie kommen bzw. gehen.',
        'Das kostet ca. 3 Mio. Euro inkl. MwSt. und evtl. mehr, usw.| Dann nichts.',
        'Nr. 5, Abb. 3, Bd. 2 und S. 12.| Hauptstr. 5.| Er wohnt in der Goethestr.| Dort ist es schön.',
        '„Halt!“ rief er.| „Gut.“| Dann ging er.| 50 v. Chr. lebte er.| Um 10.30 Uhr am 1.1.2020.',
    ],
    'fr': [
        'M. Dupont et Mme Durand sont là.| M. Le Pen aussi.| MM. Martin et J.-P. Sartre.',
        'Ça va ?| Oui !| « Oui. »| Il dit : « Non ! » et part.| Peut-être…| À 9 h. 30.| Merci !',
        "Selon l'art. 5 du code.| Il a été élu d'av. Pierre jusqu'en janv. 2024.| C'est l'art.| Puis rien.",
        'P. ex. le no. 5, n° 6, p. 12, chap. 3.| Av. J.-C. il y avait env. 3,5 % etc.| Puis rien.',
    ],
    'es': [
        '¿Dónde está?| Está allí.| ¡Hola!| ¡¿Qué?!| El Sr. García y la Sra. López están.| Ud. sabe.',
        'Viven en EE. UU. desde 1990.| P. ej. en la pág. 5, núm. 3, aprox. 1.000 euros.| D. Juan vino.',
        'Son las 5 p. m.| Luego vamos.| J. L. Borges.| «Sí.»| Luego.',
    ],
    'zh': [
        '我去厨房。|然后我拿杯子！|好吗？',
        '我有3.5公斤。|第1.5节。|他是Dr. Smith。|网址是example.com。|真的吗？！|是。',
        '他说：“你好！”|然后走了。|《三国演义》很好。|省略号……。|"好。"|他走了。|太好了！|“真的吗？”|她问。|你好……|再见。',
        '你好吗?|我很好!|他用GPT-4.|然后走。|1. 打开门。|2. 关门。',
    ],
    'ja': [
        '「はい。」|わかりました。|「はい。」と彼は言った。|「はい！」|「いいえ。」|彼女は「行く。」って言った。',
        'これは3.5です。|Mr. Smithです。|今日は（月曜日。）です。|本当？！|うん。',
    ],
    'others': [
        'मैं रसोई में जाता हूँ।| ठीक है।',
        'هل أنت هنا؟| نعم.',
    ],
}
CASES = [pytest.param(text, id=f'{language}-{number}')
         for language, texts in TEXTS.items() for number, text in enumerate(texts)]


@pytest.mark.parametrize('text', CASES)
def test_sentences(text: str) -> None:
    expected = [part.strip() for part in text.split('|') if any(c.isalnum() for c in part)]
    assert spoken(text.replace('|', '')) == expected


@pytest.mark.parametrize('kind', ['titles', 'never'])
def test_an_abbreviation_of_the_table_ends_nothing(kind: str) -> None:
    words = [word for word in getattr(ALL, kind) if '.' not in word]
    assert len(words) > 10
    assert [word for word in words if spoken(f'Ask {word}. Xaver now') != [f'Ask {word}. Xaver now']] == []


def test_what_a_number_follows_ends_nothing_and_elsewhere_a_sentence() -> None:
    words = sorted(word for word in ALL.before_number - ALL.usually - ALL.before_capital - ALL.never if len(word) > 1)
    assert [word for word in words if len(spoken(f'We see {word}. 12 now')) != 1] == []
    assert [word for word in words if len(spoken(f'We see {word}. Then now')) != 2] == []


def test_there_is_a_table_for_each_language() -> None:
    assert {'en', 'de', 'fr', 'es', 'zh', 'ja'} <= LANGUAGES.keys()


def test_a_line_ends_a_sentence() -> None:
    assert spoken('First line\nsecond line\n\n- third') == ['First line', 'second line', 'third']


def test_a_line_that_its_writer_has_wrapped_ends_none() -> None:
    line = 'A robot that shows people around a large museum'
    assert spoken(f'{line}\nneeds a map. Yes') == [f'{line} needs a map.', 'Yes']
    assert spoken(f'{line}\n\nneeds a map') == [line, 'needs a map']
    assert spoken(f'{line}\nNeeds a map') == [line, 'Needs a map']


@pytest.mark.parametrize('unit', ['a', 'word ', 'word, ', '一', 'A. ', 'no. 5 ', '1 '])
def test_a_sentence_is_no_longer_than_a_breath_allows(unit: str) -> None:
    text = unit * 5000
    sentences = spoken(text)
    assert max(map(len, sentences)) <= MAX_LENGTH
    assert ''.join(''.join(sentences).split()) == ''.join(text.split())


def test_a_long_sentence_is_cut_behind_a_comma() -> None:
    part = 'the robot moves slowly ' * 11 + 'on, '
    assert all(sentence.endswith('on,') for sentence in spoken(part * 3))
