"""Which language a text is in by its small words, and words by which it speaks of languages.

Not a detector (that is `magpie_hub.models.langid`, for which a package is needed): seven languages
of Latin script, told apart where it is plain.
"""

from __future__ import annotations

import re

BEGINNING = 400
"""Characters of a text that its language is told by."""

_SMALL_WORDS = {
    "en": "the and of to is are that with for you this what how it not be have from your can was "
    "they will would there their an as by my do does should which who why when where it's i'm",
    "fr": "le la les des une est et dans que pour vous qui sur pas avec ce cette ou du au ne sont "
    "plus un en il elle nous je votre comment pourquoi quels quelle aux se son par mais être",
    "de": "der die das und ist nicht ein eine sie mit für auf dem den von zu wie werden auch im "
    "ich es sich bei aus einen oder sind wird warum welche kann haben als nach wenn man ihr",
    "es": "el los las una es que para con por del se no su más como y en lo la un al o son puede "
    "cómo qué cuál este esta pero muy sus hay tu mi te",
    "it": "il di che è una per con non del della gli sono come più si nel le un la i in o da ma "
    "anche quali cosa perché questo alla dei puoi",
    "pt": "o os uma é que para com não do da em você dos mais como um no na as se por são ou seu "
    "sua quais isso pode ao",
    "nl": "de het een van en is niet voor met zijn op dat te je aan in die er wat hoe ook als "
    "worden kan naar uw deze",
}
_LANGUAGES_OF: dict[str, list[str]] = {}
for _code, _words in _SMALL_WORDS.items():
    for _word in _words.split():
        _LANGUAGES_OF.setdefault(_word, []).append(_code)

_WORDS = re.compile(r"[^\W\d_]+(?:'[a-z]+)?")
# The same for text in ASCII, but for the apostrophes: several times as fast as a pattern.
_ASCII_BETWEEN_WORDS = {
    code: " " for code in range(128) if not chr(code).isalpha() and chr(code) != "'"
}

SPEAKS_OF_LANGUAGE = re.compile(
    r"\b(?:translat\w*|languages?|pronounc\w*|pronunciation|phrases?|idioms?|proverbs?|slang"
    r"|dialects?|alphabets?|characters?|scripts?|letters?|words?|kanji|hanzi|hangul|kana|hiragana"
    r"|katakana|pinyin|cyrillic|transliterat\w*|romani[sz]\w*|unicode|vocabulary|conjugat\w*"
    r"|grammar|means?|meaning|bilingual|multilingual|lyrics|haiku|mantra"
    r"|english|french|german|spanish|italian|portuguese|dutch|swedish|danish|norwegian|finnish"
    r"|icelandic|polish|czech|slovak|hungarian|romanian|bulgarian|greek|turkish|russian|ukrainian"
    r"|serbian|croatian|bosnian|albanian|lithuanian|latvian|estonian|arabic|hebrew|persian|farsi"
    r"|urdu|hindi|bengali|punjabi|gujarati|marathi|tamil|telugu|kannada|malayalam|sinhala|nepali"
    r"|sanskrit|thai|lao|khmer|burmese|vietnamese|indonesian|malay|tagalog|filipino|chinese"
    r"|mandarin|cantonese|japanese|korean|mongolian|tibetan|swahili|amharic|yoruba|zulu|afrikaans"
    r"|latin|esperanto|catalan|basque|galician|welsh|irish|gaelic|maltese|armenian|georgian|kazakh"
    r"|uzbek|azerbaijani|ingl[eé]s|espa[nñ]ol|fran[cç]ais|franc[eé]s|deutsch|alem[aá]n|englisch"
    r"|franz[oö]sisch|spanisch|anglais|espagnol|allemand|italiano|portugu[eê]s|chino|chinois"
    r"|japon[eé]s|japonais|traduc\w*|traduz\w*|traduis\w*|traduir\w*|[uü]bersetz\w*|tradurre"
    r"|vertaal\w*)\b"
    r"|перев[ео]\w*|язык\w*|по-\w+ски|англий\w*|русск\w*|翻译|翻譯|英文|英语|英語|中文|汉语|漢語|日语"
    r"|日語|日文|日本語|法语|德语|西班牙语|韩语|訳|翻訳|번역|영어|한국어|일본어|ترجم|अनुवाद|हिंदी|हिन्दी",
    re.IGNORECASE,
)


def small_words(text: str) -> dict[str, int]:
    """How many small words of each language the beginning of a text holds, each word once."""
    found = dict.fromkeys(_SMALL_WORDS, 0)
    for word in _distinct_words(text[:BEGINNING].lower().replace("’", "'")):
        for code in _LANGUAGES_OF.get(word, ()):
            found[code] += 1
    return found


def _distinct_words(text: str) -> set[str]:
    if not text.isascii():
        return set(_WORDS.findall(text))
    words = set(text.translate(_ASCII_BETWEEN_WORDS).split())
    if "'" in text:
        for word in [word for word in words if "'" in word]:
            words.remove(word)
            words.update(_WORDS.findall(word))
    return words


def differ(asked: str, answer: str) -> str | None:
    """The language of an answer that is plainly in another one than its instruction.

    Plainly: the instruction has at least two small words of one language and three times as many
    as of the answer's, the answer at least four of another and four times as many as of the
    instruction's.
    """
    there = small_words(asked)
    one = max(there, key=there.__getitem__)
    if there[one] < 2:
        return None
    here = small_words(answer)
    other = max(here, key=here.__getitem__)
    plain = one != other and there[one] >= 3 * there[other] and here[other] >= max(4, 4 * here[one])
    return other if plain else None
