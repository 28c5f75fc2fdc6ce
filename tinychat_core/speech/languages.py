# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Words that decide whether a full stop ends a sentence, in one table per language.

The language of an answer is unknown, and people mix languages, so the splitter uses all tables together. An entry that
is an ordinary word of another language is listed only where a number must follow.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


@dataclass(frozen=True)
class Words:
    """
    One language; everything but `titles` in lower case, abbreviations without their last full stop and without spaces.

    `titles`: as they are written before a name; their full stop never ends a sentence. `never`: the same of other
    abbreviations. `before_number`: abbreviations only where a number follows. `before_capital`: their full stop ends a
    sentence where a capital letter follows, but for the words of `after_time`. `usually`: their full stop ends a
    sentence only where one of `starters` follows. `starters`: with a capital letter these almost always begin a
    sentence. `before_ordinal`: between one of these and a noun a number with a full stop is an ordinal.
    `after_ordinal`: behind a number with a full stop these make it an ordinal. `labels`: a single letter behind one of
    these is no initial ("Plan B."). `particles`: a name may go on with these behind an initial ("Ursula K. Le Guin").
    """

    titles: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    before_number: frozenset[str] = frozenset()
    before_capital: frozenset[str] = frozenset()
    after_time: frozenset[str] = frozenset()
    usually: frozenset[str] = frozenset()
    starters: frozenset[str] = frozenset()
    before_ordinal: frozenset[str] = frozenset()
    after_ordinal: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    particles: frozenset[str] = frozenset()


ENGLISH = Words(
    titles=word_set('Mr Mrs Ms Mx Messrs Dr Drs Prof Rev Hon'),
    never=word_set('e.g i.e viz vs cf approx'),
    before_number=word_set(
        'c no nos vol vols fig figs p pp ch chap sec sect art par para eq eqs ver v ed tab ext est max min apt rm ste '
        'jan feb mar apr may jun jul aug sep sept oct nov dec temp tel'),
    before_capital=word_set('a.m p.m etc al'),
    after_time=word_set(
        'eastern pacific central mountain gmt utc est edt pst pdt cst cdt mst mdt cet cest bst monday tuesday '
        'wednesday thursday friday saturday sunday january february march april may june july august september '
        'october november december'),
    usually=word_set(
        'st sr jr esq gen sen gov capt cmdr col lt sgt maj adm pres rep supt inc ltd co corp llc plc bros dept univ '
        'assn mt ft ave blvd rd hwy oz lb lbs tsp tbsp hr hrs mins avg ph ph.d mr mrs dr prof'),
    starters=word_set(
        "the a an this that these those it it's its he he's she she's we we're they they're you i i'm i'll his her "
        'our their my your there here then when where if but and or so in on at for with after before however also '
        'yesterday today tomorrow now what who why how please do does did is are was can could would to as while '
        'although because since by from one some many most all both each every next finally first second third '
        'meanwhile later instead no not yes okay well thus therefore once until during despite another other such '
        'only even just maybe perhaps'),
    labels=word_set(
        'vitamin plan group option type class grade part appendix point hepatitis exhibit step gate terminal answer '
        'choice team section level line track phase category letter note zone room block unit is are was be equals'),
    particles=word_set('van von'))

GERMAN = Words(
    titles=word_set('Hr Fr Frl Dipl Ing Mag Hrsg Dr.-Ing Dipl.-Ing'),
    never=word_set(
        'z.b d.h u.a i.d.r s.o s.u o.ä u.ä m.e z.t z.zt u.u v.a o.g v.chr n.chr bzw ca vgl sog inkl exkl ggf evtl '
        'bspw bzgl'),
    before_number=word_set('nr abb kap abs bd aufl tab s z jan feb mär apr jun jul aug sep okt nov dez'),
    before_capital=word_set('usw usf u.s.w'),
    usually=word_set('str fa med phil rer nat jur geb gest tel jh jhd std sek gmbh mio mrd abt tsd ehem hl'),
    starters=word_set(
        'der die das ein eine er sie es wir ihr ich du dann danach heute morgen gestern wenn aber und im am auf mit '
        'nach vor bei zu dieser diese dieses was wer wie wo warum hier dort doch denn seit jetzt bitte auch nun '
        'zuerst später außerdem deshalb jedoch dabei damit kein keine mein meine sein seine unser'),
    before_ordinal=word_set(
        'der die das dem den des im vom zum zur beim ab bis seit jeder jede jedes jeden jedem ein eine einen einem '
        'einer ihr ihre ihren ihrem sein seine seinen seinem mein meine meinen unser unsere dieser diese dieses '
        'diesem und'),
    after_ordinal=word_set(
        'januar jänner februar märz april mai juni juli august september oktober november dezember jahrhundert '
        'weltkrieg tag stock platz mal klasse kapitel geburtstag auflage'),
    particles=word_set('der du'))

FRENCH = Words(
    titles=word_set('M MM Mme Mmes Mlle Mlles Mgr Me Pr'),
    never=word_set('p.ex c.-à-d'),
    before_number=word_set('n nº vol fig p pp chap art env min max tél éd janv févr avr juil sept oct nov déc réf al'),
    before_capital=word_set('etc'),
    usually=word_set('st ste av bd boul apr env cie'),
    starters=word_set(
        "le la les un une il elle ils elles nous vous je j'ai tu on c'est ce cette ces mais et puis ensuite dans en à "
        "pour avec si quand que qui quel quelle pourquoi comment où voici voilà aujourd'hui demain hier après avant "
        'ça'),
    particles=word_set('le la les de du'))

SPANISH = Words(
    titles=word_set('Sr Sra Srta Sres Dña Dra Ud Uds Vd Vds Lic Arq'),
    never=word_set('p.ej'),
    before_number=word_set('n núm nro pág págs cap vol fig art tel ene feb mar abr ago sept oct nov dic'),
    before_capital=word_set('etc a.m p.m'),
    usually=word_set('ee ee.uu avda av ej aprox a.c d.c cía gral hnos'),
    starters=word_set(
        'el la los las un una él ella ellos ellas nosotros yo tú esto este esta estos y pero luego después hoy ayer '
        'en con para por si cuando qué quién cómo dónde también entonces además ahora aquí allí sí su sus mi se hay '
        'es'),
    particles=word_set('el la los las de'))

# Their full stops are characters of their own, and Latin abbreviations are in the other tables.
CHINESE = Words()
JAPANESE = Words()

ITALIAN = Words(titles=word_set('Sig Dott'), before_capital=word_set('ecc'))

LANGUAGES = {'en': ENGLISH, 'de': GERMAN, 'fr': FRENCH, 'es': SPANISH, 'zh': CHINESE, 'ja': JAPANESE, 'it': ITALIAN}

# All of them together.
ALL = Words(**{field.name: frozenset().union(*(getattr(words, field.name) for words in LANGUAGES.values()))
               for field in fields(Words)})
# Names that end with a mark of their own.
NAMES_WITH_MARK = word_set('yahoo! jeopardy!')
# In Japanese a quotation goes on with one of these ("「はい。」と言った。").
AFTER_QUOTATION = frozenset('とってがのをにはもなで')
