"""Values that look like credentials or personal data and are neither.

A language model writes those of manuals and textbooks again and again: AWS's key that ends in
EXAMPLE, the test cards of payment providers, telephone numbers kept free for films. Were they
findings, users would learn to wave findings through.
"""

from __future__ import annotations

import ipaddress
import re
from itertools import pairwise

from magpie_hub.scan.finding import mark

_CREDENTIALS = frozenset(
    {
        # Azurite's storage account, in Microsoft's manual.
        "azure-key sha256:65f3ddf1776095b4",
        # GitHub's blog on its token formats.
        "github-token sha256:4825fe8dbf4d62cb",
        # Telegram's manual of bots, two editions.
        "telegram-token sha256:d986b726c5dce399",
        "telegram-token sha256:16bcf067daa78c6c",
    }
)
"""By mark, so that this file holds nothing that other scanners find."""

_WORDS = ("example", "placeholder", "redacted", "changeme", "change_me", "yourtoken", "your_")
"""What stands in a made-up key. Of random keys of 40 characters, fewer than one in 10⁵ hold one."""

_CARDS = frozenset(
    # Payment providers' test cards, and what public code has as examples of Luhn's formula.
    "4012888888881881 4001919257537193 4007702835532454 4012001037141112 4263982640269299 "
    "4485275742308327 4532015112830366 4539148803436467 4539319503436467 4539578763621486 "
    "4556737586899855 4916338506082832 4917484589897107 4988438843884305 5200828282828210 "
    "2222405343248877 2222420000001113 5425233430109903 378282246310005 371449635398431 "
    "374245455400126 378734493671000 6011000990139424 6011981111111113 3056930009020004 "
    "36227206271667 30569309025904 38520000023237 3566002020360505 6250941006528599".split()
)

_IBANS = frozenset(
    # The registry's examples (SWIFT), Wikipedia's, and those of banks' own pages.
    "AE070331234567890123456 AT611904300234573201 BE71096123456769 BR9700360305000010009795493P1 "
    "CH5604835012345678009 CH9300762011623852957 CZ6508000000192000145399 DE75512108001245126199 "
    "DE89370400440532013000 DE91100000000123456789 DK5000400440116243 ES7921000813610123456789 "
    "ES9121000418450200051332 FI2112345600000785 FR1420041010050500013M02606 "
    "FR7630006000011234567890189 GB29NWBK60161331926819 GB33BUKB20201555555555 "
    "GB82WEST12345698765432 GB94BARC10201530093459 GR1601101250000000012300695 "
    "IE29AIBK93115212345678 IT60X0542811101000000123456 LU280019400644750000 "
    "MT84MALT011000012345MTLCAST001S NL02ABNA0123456789 NL91ABNA0417164300 NO9386011117947 "
    "PL61109010140000071219812874 PT50000201231234567890154 SA0380000000608010167519 "
    "SE4550000000058398257466 TR330006100519786457841326".split()
)

_PHONES = re.compile(
    r"\+1\d{3}55501\d\d"  # North America: 555-0100 to 555-0199
    # United Kingdom (Ofcom, numbers for drama use)
    r"|\+44(?:1632960|7700900|8081570|2079460|11[3-8]4960|1[2-6]14960|1914980|2896496|2920180)\d{3}"
    r"|\+33(?:19900|26191|35301|46571|53649|63998)\d{4}"  # France (ARCEP)
    r"|\+49(?:3023125|4066969|6990009|2214710|8999998)\d{3}"  # Germany (BNetzA, 148/2021)
    r"|\+61(?:[2378](?:5550|7010)\d{4}|491570\d{3}|1800160401|180097570\d)"  # Australia (ACMA)
)
"""Kept free for films and books."""

# RFC 2606 and 6761; 6762 (local); 8375 (home.arpa); "internal" by ICANN's resolution of 2024.
_RESERVED = re.compile(
    r"(?:.*\.)?(?:example\.(?:com|net|org)|example|test|invalid|localhost|local|internal|home\.arpa)"
)

_GENERIC_HOSTS = re.compile(
    r"(?:your|my|some|the|our)?-?(?:domain|company|website|site|host|server|provider|email|mail|"
    r"business|organi[sz]ation|org|school|university|store|shop|app|brand|service)(?:name)?"
    r"\.(?:com|org|net|edu|co|io|tld)"
    r"|(?:test|testing|abc|xyz|foo|bar|foobar|somewhere|nowhere|anywhere|sample|dummy|placeholder|"
    r"fake|fictional|fictitious|hypothetical|example\w*|acme|acmecorp|contoso|fabrikam)"
    r"\.(?:com|org|net|edu)"
    r"|x{3,}\.[a-z]{2,3}"
)
"""Hosts that stand for any host: "name@domain.com"."""
_MAILERS = frozenset(
    "gmail.com googlemail.com yahoo.com hotmail.com outlook.com icloud.com live.com aol.com "
    "proton.me protonmail.com msn.com".split()
)
_GENERIC_USER = re.compile(
    r"(?:your|my|some|any)?[._-]?(?:e?mail|name|user|username|address|account|login|id|person|"
    r"one|body|friend|boss|recipient|sender|contact)[0-9]{0,3}"
    r"|(?:first|last|full|given)[._-]?name(?:[._-]?(?:first|last|sur)?name)?|first[._-]last"
    r"|(?:john|jane|joe)[._-]?(?:doe|smith|public)[0-9]{0,3}"
    r"|example|test|testuser|sample|dummy|foo|bar|abc|xyz|[ax]{3,}"
)
"""User names that stand for any user, even with a real provider's host."""

_RUN = 6
"""So many equal or consecutive characters no generator of keys is taken to have drawn: of random
keys of 40 letters and digits, one in 10⁵ holds such a run; of 40 hex digits, one in 10⁴."""


def is_placeholder(kind: str, value: str) -> bool:
    """Whether a credential is made up or printed in a manual: no generator would have drawn it."""
    low = value.lower().strip("-_.")  # a line under a key is not part of it
    return (
        any(word in low for word in _WORDS)
        or has_run(low)
        or (len(value) >= 16 and len(set(value)) <= 6)
        or mark(kind, value) in _CREDENTIALS
    )


_GENERIC_PREFIXES = tuple(
    "your. your_ your- yourname youremail yourusername firstname first.last".split()
)


def is_placeholder_email(address: str) -> bool:
    """Whether an address, in lower case, stands for any address: "your.name@gmail.com"."""
    user, _, host = address.partition("@")
    return (
        _GENERIC_HOSTS.fullmatch(host) is not None
        or user.startswith(_GENERIC_PREFIXES)
        or (host in _MAILERS and _GENERIC_USER.fullmatch(user) is not None)
    )


def has_run(text: str) -> bool:
    """Whether characters repeat, rise or fall one by one: "xxxxxx", "123456", "fedcba"."""
    length, before = 1, 0
    for left, right in pairwise(map(ord, text)):
        step = right - left
        goes_on = step == before and length > 1
        length = 1 if abs(step) > 1 else length + 1 if goes_on else 2
        before = step
        if length >= _RUN:
            return True
    return False


def is_test_card(number: str) -> bool:
    """Whether a card number is one for tests; those of few different digits are."""
    return number in _CARDS or len(set(number)) <= 4


def is_sample_iban(number: str) -> bool:
    """Whether an IBAN is printed as a sample."""
    return number in _IBANS


def is_fictional_phone(number: str) -> bool:
    """Whether a number in E.164 form is kept free for fiction, or counts up or down."""
    return _PHONES.fullmatch(number) is not None or has_run(number)


def is_reserved_host(host: str) -> bool:
    """Whether a host belongs to no one: reserved, private, or without a domain."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        host = host.lower().rstrip(".")
        return "." not in host or _RESERVED.fullmatch(host) is not None
    return not address.is_global
