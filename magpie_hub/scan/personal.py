"""Personal data: e-mail addresses, card numbers, IBANs, telephone numbers in international form.

A pattern finds candidates; check digits and number plans decide (python-stdnum, phonenumbers). What
is reserved for manuals, tests and fiction is no finding (`magpie_hub.scan.placeholders`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import phonenumbers
from stdnum import iban, luhn

from magpie_hub.scan.finding import Hit, Rule
from magpie_hub.scan.placeholders import (
    is_fictional_phone,
    is_placeholder_email,
    is_reserved_host,
    is_sample_iban,
    is_test_card,
)

# Where a value may begin. Letters and digits are ASCII's: in Chinese nothing stands between words.
# A line break is spelled out, "\\n", in texts that quote JSON or code.
_BEGIN = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
_SPELLED_OUT = re.compile(r"\\[nrt]$")

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])([A-Za-z0-9._%+-]{1,64})"
    r"@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![A-Za-z0-9-])"
)
_FILES = frozenset("bmp css csv gif html ico jpeg jpg js json pdf png svg ts txt webp xml".split())
"""Endings of "logo@2x.png" and its like; none is a top-level domain."""
_USERINFO = re.compile(r"://(?:[^\s/@]*:)?$")

_CARD = re.compile(
    _BEGIN + r"(?<!\.)(?:"
    r"[2-6][0-9]{13,15}(?![A-Za-z0-9]|[.,][0-9])"
    # More groups of four on either side are a table of numbers, or an IBAN.
    r"|(?<![0-9]{4}[ -])(?<![A-Z]{2}[0-9]{2} )"
    r"[2-6][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?![A-Za-z0-9]|[ -][0-9]{4})"
    r"|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5}(?![A-Za-z0-9]|[ -][0-9]{4})"
    r")"
)
_ISSUERS = re.compile(
    r"4[0-9]{15}"  # Visa
    r"|5[1-5][0-9]{14}"  # Mastercard
    r"|(?:222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}"  # Diners Club
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}"  # JCB
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2}|62[0-9]{2})[0-9]{12}"  # Discover, UnionPay
)

_IBAN = re.compile(
    _BEGIN + r"[A-Z]{2}[0-9]{2}"
    r"(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,4})?)(?![A-Za-z0-9])"
)

_PHONE = re.compile(_BEGIN + r"(?<!\+)\+[1-9](?:[ ().\-/]{0,2}[0-9]){6}")


def _emails(text: str) -> Iterator[Hit]:
    for match in _EMAIL.finditer(text):
        user, host = match[1].lstrip("_").strip("."), match[2]
        if _SPELLED_OUT.search(text[max(0, match.start() - 1) : match.start() + 1]):
            user = user[1:].lstrip("_")
        if not user or user == "git" or host.rpartition(".")[2].lower() in _FILES:
            continue
        # "://user:password@host" is a credential, and "git@host" nobody's address.
        if _USERINFO.search(text[max(0, match.start() - 256) : match.start()]):
            continue
        value = f"{user}@{host}".lower()
        if not is_reserved_host(host) and not is_placeholder_email(value):
            yield Hit(match.start(), match.end(), value)


def _cards(text: str) -> Iterator[Hit]:
    for match in _CARD.finditer(text):
        number = re.sub("[ -]", "", match[0])
        if _ISSUERS.fullmatch(number) and luhn.is_valid(number) and not is_test_card(number):
            yield Hit(match.start(), match.end(), number)


def _ibans(text: str) -> Iterator[Hit]:
    for match in _IBAN.finditer(text):
        # A word in capitals after the number looks like more groups of it.
        groups = match[0].split(" ")
        for count in range(len(groups), 0, -1):
            number = "".join(groups[:count])
            if len(number) >= 15 and iban.is_valid(number):
                if not is_sample_iban(number):
                    end = match.start() + len(" ".join(groups[:count]))
                    yield Hit(match.start(), end, number)
                break


def _phones(text: str) -> Iterator[Hit]:
    for match in _PHONE.finditer(text):
        window = text[match.start() : match.start() + 48]
        found = next(iter(phonenumbers.PhoneNumberMatcher(window, None)), None)
        if found is None or found.start > 0:
            continue
        number = phonenumbers.format_number(found.number, phonenumbers.PhoneNumberFormat.E164)
        if not is_fictional_phone(number):
            yield Hit(match.start(), match.start() + found.end, number)


PERSONAL = (
    Rule("email", r"[A-Za-z0-9._%+-]@[A-Za-z0-9.-]+\.[A-Za-z]{2}", _emails, personal=True),
    Rule(
        "credit-card",
        r"[2-6][0-9]{13}|[2-6][0-9]{3}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{4}"
        r"|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4}",
        _cards,
        personal=True,
    ),
    Rule(
        "iban", r"[A-Z]{2}[0-9]{2}(?:[A-Z0-9]{11}| [A-Z0-9]{4} [A-Z0-9]{4})", _ibans, personal=True
    ),
    Rule("phone", r"\+[1-9](?:[ ()./-]{0,2}[0-9]){6}", _phones, personal=True),
)
