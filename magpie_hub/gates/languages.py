"""Words by which a text speaks of languages, so that another one in it is no surprise."""

from __future__ import annotations

import re

SPEAKS_OF_LANGUAGE = re.compile(
    r"\b(?:translat\w*|languages?|pronounc\w*|pronunciation|phrases?|idioms?|proverbs?|slang"
    r"|dialects?|alphabets?|characters?|scripts?|letters?|words?|kanji|hanzi|hangul|kana|hiragana"
    r"|katakana|pinyin|cyrillic|transliterat\w*|romani[sz]\w*|unicode|vocabulary|conjugat\w*"
    r"|grammar"
    r"|means?|meaning|bilingual|multilingual|lyrics|haiku|mantra"
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
