"""Credentials and personal data, made up in every run.

Each is put together when a test runs, so that the repository holds none for other scanners to find.
"""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from stdnum import iban, luhn

LETTERS = string.ascii_letters
DIGITS = string.digits
ALNUM = LETTERS + DIGITS
URL = ALNUM + "_"
HEX = "0123456789abcdef"
LOWER = string.ascii_lowercase + DIGITS
UPPER = string.ascii_uppercase + DIGITS

OPENSSH = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz"
"""How every OpenSSH key begins."""


@dataclass(frozen=True, slots=True)
class Planted:
    """Something to be found.

    Attributes:
        kind: As what.
        value: As what value; without the words around it that make it recognisable.
        text: It, with those words.
    """

    kind: str
    value: str = field(repr=False)
    text: str = field(repr=False)


def draw(rng: Random, alphabet: str, length: int) -> str:
    """Random characters, no two in a row equal or next to each other: a run would be made up."""
    drawn = ""
    while len(drawn) < length:
        char = rng.choice(alphabet)
        if not drawn or abs(ord(char.lower()) - ord(drawn[-1].lower())) > 1:
            drawn += char
    return drawn


def _b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _jwt(rng: Random) -> tuple[str, str]:
    header, claims = {"alg": "HS256"}, {"sub": draw(rng, DIGITS, 8)}
    value = f"{_b64(json.dumps(header))}.{_b64(json.dumps(claims))}"
    return value, f"Authorization: Bearer {value}.{draw(rng, ALNUM, 43)}"


def _private_key(rng: Random, kind: str, first_line: str = "") -> tuple[str, str]:
    header = "BEGIN " + kind + "PRIVATE" + " KEY"
    lines = [draw(rng, ALNUM + "+/", 64) for _ in range(4)]
    lines[0] = first_line or lines[0]
    block = "\n".join(
        [f"-----{header}-----", *lines, f"-----{header.replace('BEGIN', 'END')}-----"]
    )
    return f"{header} {''.join(lines)}", block


def _card(rng: Random, prefix: str, length: int, separator: str = "") -> tuple[str, str]:
    body = prefix + draw(rng, DIGITS, length - 1 - len(prefix))
    number = body + luhn.calc_check_digit(body)
    groups = [number[at : at + 4] for at in range(0, length, 4)]
    return number, separator.join(groups)


def _iban(rng: Random, separator: str = "") -> tuple[str, str]:
    bank = draw(rng, DIGITS, 18)
    number = f"DE{iban.calc_check_digits('DE00' + bank)}{bank}"
    return number, separator.join(number[at : at + 4] for at in range(0, len(number), 4))


def _polish_iban(rng: Random) -> tuple[str, str]:
    """Of full groups of four, with a word behind it that could be one more."""
    bank = draw(rng, DIGITS, 24)
    number = f"PL{iban.calc_check_digits('PL00' + bank)}{bank}"
    return number, " ".join(number[at : at + 4] for at in range(0, len(number), 4)) + " PLUS TAX"


def _phone(rng: Random, spelling: str) -> tuple[str, str]:
    # Of Berlin, "30", whose numbers kept free for fiction begin with "23125".
    local = rng.choice("4568") + draw(rng, DIGITS, 7)
    while abs(int(local[0]) - int(local[1])) <= 1:
        local = rng.choice("4568") + draw(rng, DIGITS, 7)
    return f"+4930{local}", spelling.format(local, local[:4], local[4:])


def _email(rng: Random) -> tuple[str, str]:
    text = f"{draw(rng, LETTERS, 6)}.{draw(rng, LETTERS, 5)}@{draw(rng, LOWER, 9)}.io"
    return text.lower(), text


def _simple(*parts: str | tuple[str, int]) -> Callable[[Random], tuple[str, str]]:
    """Fixed parts, and random ones by alphabet and length."""

    def make(rng: Random) -> tuple[str, str]:
        value = "".join(part if isinstance(part, str) else draw(rng, *part) for part in parts)
        return value, value

    return make


def _within(
    before: str, alphabet: str, length: int, after: str = ""
) -> Callable[[Random], tuple[str, str]]:
    """A random value with words around it."""

    def make(rng: Random) -> tuple[str, str]:
        value = draw(rng, alphabet, length)
        return value, f"{before}{value}{after}"

    return make


def _mixed(before: str, length: int, after: str = "") -> Callable[[Random], tuple[str, str]]:
    """A random value that has small letters, capitals and digits."""

    def make(rng: Random) -> tuple[str, str]:
        value = "x4T7" + draw(rng, ALNUM, length - 4)
        return value, f"{before}{value}{after}"

    return make


def _discord(rng: Random) -> tuple[str, str]:
    value = f"{_b64('7' + draw(rng, DIGITS, 17))}.{draw(rng, ALNUM, 6)}.{draw(rng, ALNUM, 27)}"
    return value, value


FORMS: list[tuple[str, Callable[[Random], tuple[str, str]]]] = [
    ("hf-token", _simple("hf" + "_", (LETTERS, 34))),
    ("hf-token", _simple("hf" + "_jwt_", (ALNUM, 20), ".", (ALNUM, 60))),
    ("hf-token", _simple("api" + "_org_", (LETTERS, 34))),
    ("aws-key", _simple("AKIA", (UPPER, 16))),
    ("aws-key", _simple("ASIA", (UPPER, 16))),
    ("aws-key", _within('aws_secret_access_key = "', ALNUM + "/+", 40, '"')),
    ("azure-key", _within("AccountName=acme;Account" + "Key=", ALNUM + "+/", 88)),
    ("google-key", _simple("AI" + "za", (ALNUM, 35))),
    ("google-key", _simple("GOC" + "SPX-", (ALNUM, 28))),
    ("openai-key", _simple("sk" + "-", (ALNUM, 20), "T3Blb" + "kFJ", (ALNUM, 20))),
    ("openai-key", _simple("sk" + "-proj-", (URL, 74), "T3Blb" + "kFJ", (URL, 74))),
    ("anthropic-key", _simple("sk" + "-ant-api03-", (URL, 93), "AA")),
    ("inference-key", _simple("gsk" + "_", (ALNUM, 52))),
    ("inference-key", _simple("nvapi" + "-", (URL, 64))),
    ("inference-key", _simple("sk" + "-or-v1-", (HEX, 64))),
    ("inference-key", _simple("pplx" + "-", (ALNUM, 48))),
    ("inference-key", _simple("r8" + "_", (ALNUM, 37))),
    ("inference-key", _simple("xai" + "-", (ALNUM, 80))),
    ("github-token", _simple("gh" + "p_", (ALNUM, 36))),
    ("github-token", _simple("gh" + "s_", (ALNUM, 36))),
    ("github-token", _simple("github" + "_pat_", (ALNUM, 22), "_", (ALNUM, 59))),
    ("gitlab-token", _simple("gl" + "pat-", (ALNUM, 20))),
    ("gitlab-token", _simple("gl" + "pat-", (ALNUM, 60), ".", (LOWER, 9))),
    ("gitlab-token", _simple("GR13" + "48941", (ALNUM, 20))),
    ("npm-token", _simple("np" + "m_", (ALNUM, 36))),
    ("npm-token", _within("//registry.npmjs.org/:_auth" + "Token=", HEX, 36)),
    ("pypi-token", _simple("py" + "pi-AgEIcHlwaS5vcmc", (ALNUM, 80))),
    ("slack-token", _simple("xox" + "b-", (DIGITS, 11), "-", (DIGITS, 11), "-", (LOWER, 24))),
    (
        "slack-token",
        _simple(
            "https://hooks.sl" + "ack.com/services/T",
            (UPPER, 8),
            "/B",
            (UPPER, 8),
            "/",
            (ALNUM, 24),
        ),
    ),
    ("slack-token", _simple("xa" + "pp-1-A", (UPPER, 9), "-", (DIGITS, 13), "-", (HEX, 64))),
    ("discord-token", _discord),
    ("telegram-token", _simple((DIGITS, 9), ":AA", (ALNUM, 33))),
    ("twilio-key", _simple("S" + "K", (HEX, 32))),
    ("sendgrid-key", _simple("S" + "G.", (ALNUM, 22), ".", (ALNUM, 43))),
    ("mailchimp-key", _simple((HEX, 32), "-us", "12")),
    ("stripe-key", _simple("sk" + "_live_", (ALNUM, 24))),
    ("square-key", _simple("sq0" + "csp-", (ALNUM, 43))),
    ("square-key", _simple("sq0" + "atp-", (ALNUM, 22))),
    ("artifactory-key", _simple("AK" + "Cp", (DIGITS, 3), (ALNUM, 66))),
    ("cloudant-key", _within("cloudant_pass" + "word: ", HEX, 64)),
    ("cloudant-key", _within("https://acme:", HEX, 64, "@acme.cloud" + "ant.com")),
    ("ibm-key", _mixed("IBM_API" + "_KEY=", 44)),
    ("ibm-key", _within('"secret_access' + '_key": "', HEX, 48, '"')),
    ("ibm-key", _within("softlayer_api" + "_key = ", HEX, 64)),
    ("jwt", _jwt),
    ("private-key", lambda rng: _private_key(rng, "RSA ")),
    ("private-key", lambda rng: _private_key(rng, "OPENSSH ", OPENSSH)),
    ("private-key", lambda rng: _private_key(rng, "ENCRYPTED ")),
    ("basic-auth", _within("postgres://carol:", ALNUM, 12, "@db.acme.io:5432/shop")),
    ("basic-auth", _within("redis://:", ALNUM, 12, "@cache.acme.io:6379/0")),
    ("basic-auth", _within("jdbc:mysql://db.acme.io/shop?user=carol&password=", ALNUM, 12)),
    ("basic-auth", _within("jdbc:oracle:thin:carol/", ALNUM, 12, "@//db.acme.io:1521/shop")),
    (
        "connection-string",
        _within("Server=db.acme.io;Database=shop;User Id=carol;Password=", ALNUM, 14, ";"),
    ),
    ("connection-string", _within("Pwd=", ALNUM, 14, ";Server=tcp:db.acme.io,1433")),
    (
        "basic-auth",
        _within("jdbc:sqlserver://db.acme.io:1433;user=carol;password=", ALNUM, 14, ";"),
    ),
    ("connection-string", _mixed("Password=", 12, ";")),
    (
        "connection-string",
        _within("host=db.acme.io user=carol password=", ALNUM, 14, " dbname=shop"),
    ),
    ("aws-key", _within("<SecretAccess" + "Key>", ALNUM + "/+", 40, "</SecretAccessKey>")),
    ("assigned-secret", _mixed("export DB_PASS" + "WORD=", 14)),
    ("service-token", _simple("dop" + "_v1_", (HEX, 64))),
    ("service-token", _simple("shp" + "at_", (HEX, 32))),
    ("service-token", _simple("dckr" + "_pat_", (ALNUM, 27))),
    ("service-token", _simple("fi" + "gd_", (ALNUM, 43))),
    ("service-token", _simple("lin" + "_api_", (ALNUM, 40))),
    ("service-token", _simple("gl" + "sa_", (ALNUM, 32), "_", (HEX, 8))),
    ("aws-key", _within("aws_secret_access" + "_key = ", ALNUM + "/+", 40)),
    ("aws-key", _within("export AWS_SECRET_ACCESS" + "_KEY=", ALNUM + "/+", 40)),
    ("aws-key", _within('"SecretAccess' + 'Key": "', ALNUM + "/+", 40, '"')),
    ("assigned-secret", _mixed("export ACME_API" + "_KEY=", 32)),
    ("assigned-secret", _mixed("client_sec" + "ret: ", 40)),
    ("assigned-secret", _mixed("'auth_tok" + "en' => '", 32, "'")),
    ("email", _email),
    ("credit-card", lambda rng: _card(rng, "4", 16)),
    ("credit-card", lambda rng: _card(rng, "53", 16, " ")),
    ("credit-card", lambda rng: _card(rng, "2500", 16, "-")),
    ("credit-card", lambda rng: _card(rng, "37", 15)),
    ("iban", _iban),
    ("iban", lambda rng: _iban(rng, " ")),
    ("iban", _polish_iban),
    ("phone", lambda rng: _phone(rng, "+49 30 {1} {2}")),
    ("phone", lambda rng: _phone(rng, "+4930{0}")),
    ("phone", lambda rng: _phone(rng, "(+49) 30/{1}-{2}")),
]
"""Every form that is looked for, with its kind and what makes one: its value, and its text."""


def plant(form: int, seed: int) -> Planted:
    """One of a form."""
    kind, make = FORMS[form % len(FORMS)]
    value, text = make(Random(seed))
    return Planted(kind, value, text)


def every_form(seed: int = 20) -> Iterator[Planted]:
    """One of each form."""
    for form in range(len(FORMS)):
        yield plant(form, seed + form)


def form_names() -> list[str]:
    """Names of forms, for test ids."""
    return [f"{kind}-{form}" for form, (kind, _) in enumerate(FORMS)]
