"""Credentials: what the plugins of detect-secrets find, and what they lack.

Of the plugins those are used that know a credential by its form. Left out are the ones that go by
entropy or by words such as "password" (in natural text they find little else than text), and public
IP addresses, which a text about networks is made of.

A plugin's patterns (`denylist`) are read here, not its `analyze_string`: that gives a pattern's
group where there is one, which for GitHub's and GitLab's is the prefix that all tokens share, and
no place. Nothing is ever sent anywhere: `verify` and `analyze_line`, which may, are not called.

What a generator of keys would not have drawn is no finding (`magpie_hub.scan.placeholders`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.cloudant import CloudantDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.ibm_cloud_iam import IbmCloudIamDetector
from detect_secrets.plugins.ibm_cos_hmac import IbmCosHmacDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.softlayer import SoftlayerDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

from magpie_hub.scan.detectors import (
    AnthropicDetector,
    ArtifactoryTokenDetector,
    AssignedDetector,
    AwsSecretDetector,
    ConnectionStringDetector,
    GitHubFineGrainedDetector,
    GitLabRoutableDetector,
    GoogleDetector,
    HuggingFaceDetector,
    InferenceDetector,
    NpmTokenDetector,
    OpenAIProjectDetector,
    PrivateKeyBlockDetector,
    ServiceDetector,
    SlackAppDetector,
    SquareTokenDetector,
    UrlPasswordDetector,
)
from magpie_hub.scan.placeholders import is_placeholder, is_reserved_host
from magpie_hub.scan.rule import Hit, Rule

Accept = Callable[[str, "re.Match[str]"], str | None]
"""Takes a value and its match; gives it in one spelling, or None if it is no credential."""


def _rule(
    kind: str,
    anchor: str,
    *detectors: RegexBasedDetector,
    group: int = 0,
    alone: bool = False,
    generic: bool = False,
    bare: bool = False,
    accept: Accept | None = None,
    drawn: bool = True,
) -> Rule:
    """A rule of one kind.

    Args:
        kind: As in `Rule`.
        anchor: As in `Rule`.
        detectors: Where the patterns come from.
        group: The group that holds the value, of patterns that have groups.
        generic: As in `Rule`.
        bare: Whether values have letters and digits alone, so that a line beside one is not its.
        alone: Whether a value between letters or digits is part of something longer: these
            patterns find their forms in the middle of a hash, or of a protein.
        accept: A last look at the value.
        drawn: Whether a value is random throughout, so that a made-up one can be told.
    """
    patterns = [regex for detector in detectors for regex in detector.denylist]

    def all_hits(text: str) -> Iterator[Hit]:
        # Each character stays where it is, so places are those of the text.
        text = _plain(text)
        if bare and "_" in text:
            text = _LINES.sub(_as_breaks, text)
        for pattern in patterns:
            which = min(group, pattern.groups)
            for match in pattern.finditer(text):
                start, end = match.span(which)
                if alone and (_is_word(text[start - 1 : start]) or _is_word(text[end : end + 1])):
                    continue
                value = accept(match[which], match) if accept else match[which]
                if not value or (drawn and is_placeholder(kind, value)):
                    continue
                shift = max(0, match[which].find(value))
                yield Hit(start + shift, end, value)

    def search(text: str) -> Iterator[Hit]:
        # Of two patterns that take more and less of one value, the one that takes more.
        reach = 0
        for hit in sorted(all_hits(text), key=lambda hit: (hit.start, -hit.end)):
            if hit.end > reach:
                reach = hit.end
                yield hit

    return Rule(kind, anchor, search, generic=generic)


_FOREIGN = re.compile(r"[^\x00-\x7f]|\\[nrt]")
"""What credentials do not hold, and libraries' patterns take for parts of words: letters of other
alphabets, and line breaks that are spelled out."""
_LINES = re.compile(r"(?<![A-Za-z0-9_])_+|_+(?![A-Za-z0-9_])")


@lru_cache(1)
def _plain(text: str) -> str:
    # Most texts are; several rules look at one text after another.
    if text.isascii() and "\\" not in text:
        return text
    return _FOREIGN.sub(_as_breaks, text)


def _as_breaks(match: re.Match[str]) -> str:
    return "\n" * len(match[0])


def _is_word(char: str) -> bool:
    return char.isascii() and char.isalnum()


def _artifactory(value: str, _: re.Match[str]) -> str | None:
    """Keys have digits throughout; "AP" and "AKC" also begin words."""
    value = value.strip('=:" \t\r\n')
    return value if sum(map(str.isdigit, value)) >= 3 else None


def _azure(value: str, _: re.Match[str]) -> str | None:
    return value.partition("=")[2]


def _is_mixed(value: str) -> bool:
    """Whether there are small letters, capitals and digits in a value."""
    return all(re.search(letters, value) for letters in ("[a-z]", "[A-Z]", "[0-9]"))


def _drawn(value: str, _: re.Match[str]) -> str | None:
    """A value drawn at random; the plugins take any long word after "key" or "token"."""
    return value if _is_mixed(value) or re.fullmatch("[0-9a-f]{48,}", value) else None


_DUMMIES = re.compile(
    r"pass|pwd|secret|user|admin|token|test|guest|root|demo|qwerty|letmein|login|[<>{}]|^\W*$",
    re.IGNORECASE,
)


def _basic_auth(value: str, match: re.Match[str]) -> str | None:
    """A password in a URL, unless it says that it is one, or the host is nobody's."""
    window = match.string[match.end() : match.end() + 256]
    if match[0].startswith("jdbc:"):
        window = match[0].partition("//")[2] or window.lstrip("/")
    host = re.match(r"[A-Za-z0-9.-]*", window)
    if _is_dummy(value) or is_reserved_host(host[0] if host else ""):
        return None
    return value


def _is_dummy(password: str) -> bool:
    """Whether a password says that it is one, or is a variable's name."""
    return (
        len(password) < 6
        or _DUMMIES.search(password) is not None
        or set(password) <= set("*.xX-_•…")
        or password.startswith(("$", "%(", "os.environ", "process.env"))
    )


_HOST = re.compile(
    r"(?i:(?:server|data source|host|hostname|addr|address|endpoint)\s?=\s?(?:tcp:)?)"
    r"([A-Za-z0-9.-]+)"
)


def _connection(value: str, match: re.Match[str]) -> str | None:
    """A password in a connection string, unless it is a dummy, or the server is nobody's."""
    around = match.string[max(0, match.start() - 256) : match.end() + 256]
    host = _HOST.search(around)
    if _is_dummy(value) or (host is not None and is_reserved_host(host[1])):
        return None
    alone = match[0].lower().startswith(("password=", "pwd=")) and match[0].endswith(";")
    return value if not alone or _is_mixed(value) else None


def _assigned(value: str, _: re.Match[str]) -> str | None:
    """A value drawn at random: capitals, small letters and digits that change places all the time.

    Of neighbours in a random value two of three are of different kinds; in names, words and paths
    one of five.
    """
    kinds = ["d" if char.isdigit() else "u" if char.isupper() else "l" for char in value]
    changes = sum(left != right for left, right in pairwise(kinds))
    drawn = set(kinds) == {"d", "u", "l"} and kinds.count("d") >= 2 and changes >= 0.4 * len(value)
    marks = sum(not char.isalnum() for char in value)
    if not drawn or marks > len(value) // 8 or _DUMMIES.search(value):
        return None
    return value


def _discord(value: str, _: re.Match[str]) -> str | None:
    """A bot's token begins with its user id in Base64; dotted names of code have its form."""
    first = value.partition(".")[0]
    try:
        user = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4))
    except binascii.Error:
        return None
    return value if user.isdigit() else None


def _jwt(value: str, _: re.Match[str]) -> str | None:
    """A signed token, unless it is issued to jwt.io's John Doe."""
    value = value.rstrip(".")
    try:
        if not JwtTokenDetector.is_formally_valid(value):
            return None
        payload = value.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except RecursionError:  # brackets within brackets: no issuer's claims
        return None
    made_up = isinstance(claims, dict) and claims.get("sub") == "1234567890"
    return None if made_up else value


def _npm(value: str, _: re.Match[str]) -> str | None:
    """The library's pattern goes on to the end of the line, and takes any word after "npm_"."""
    token = re.match(r"npm_[A-Za-z0-9]{36,}|[A-Fa-f0-9-]{36}", value)
    return token[0] if token else None


def _private_key(_: str, match: re.Match[str]) -> str | None:
    """A header with key material under it; a header alone, or dots under it, are a manual's.

    The shortest key (Ed25519) has 64 characters of Base64. The value is all of them: the first
    line of an OpenSSH key is the same in all keys.
    """
    material = "".join(re.findall(r"[A-Za-z0-9+/=]{32,}", match[1]))
    if len(material) < 64 or len(set(material)) < 20:
        return None
    return f"{match[0][: match.start(1) - match.start()]} {material}"


def _telegram(value: str, _: re.Match[str]) -> str | None:
    """Tokens go on with an A after the colon; times with a hash after them do not."""
    return value if value.partition(":")[2].startswith("A") else None


_ASSIGNED = (
    r"(?i:(?:key|pwd|pw|password|pass|token)['\"]?\]? *(?:=>|:=|::|=|:| ) *['\"]?[a-z0-9_-]{24})"
)

CREDENTIALS = (
    _rule(
        "hf-token",
        r"hf_[A-Za-z0-9]{34}|hf_(?:jwt|oauth)_|api_org_[A-Za-z0-9]{34}",
        HuggingFaceDetector(),
    ),
    _rule(
        "aws-key",
        r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}|['\"][0-9a-zA-Z/+]{40}['\"]"
        r"|(?i:(?:secret|aws)[_-]?(?:access)?[_-]?(?:key|secret)).{0,26}[A-Za-z0-9/+]{40}",
        AWSKeyDetector(),
        AwsSecretDetector(),
        group=1,
        alone=True,
    ),
    _rule("azure-key", r"AccountKey=", AzureStorageKeyDetector(), accept=_azure),
    _rule("google-key", r"AIza[A-Za-z0-9_-]{35}|GOCSPX-", GoogleDetector(), alone=True),
    _rule("openai-key", r"T3BlbkFJ", OpenAIDetector(), OpenAIProjectDetector()),
    _rule("anthropic-key", r"sk-ant-", AnthropicDetector()),
    _rule(
        "inference-key",
        r"(?:gsk_|nvapi-|sk-or-v1-|pplx-|r8_|xai-)[A-Za-z0-9_-]{36}",
        InferenceDetector(),
        alone=True,
    ),
    _rule(
        "github-token",
        r"gh[pousr]_[A-Za-z0-9_]{36}|github_pat_",
        GitHubTokenDetector(),
        GitHubFineGrainedDetector(),
    ),
    _rule(
        "gitlab-token",
        r"(?:gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-|GR1348941)[A-Za-z0-9_-]{20}",
        GitLabTokenDetector(),
        GitLabRoutableDetector(),
    ),
    _rule(
        "npm-token",
        r":_authToken=|npm_[A-Za-z0-9]{36}",
        NpmDetector(),
        NpmTokenDetector(),
        group=1,
        accept=_npm,
    ),
    _rule("pypi-token", r"pypi-AgE", PypiTokenDetector()),
    _rule(
        "slack-token",
        r"(?i:xox[apbosr]-[0-9]|hooks\.slack\.com/services/t)|xapp-[0-9]-",
        SlackDetector(),
        SlackAppDetector(),
    ),
    _rule(
        "discord-token",
        r"\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}",
        DiscordBotTokenDetector(),
        accept=_discord,
    ),
    _rule(
        "telegram-token",
        r"[0-9]{8}:[0-9A-Za-z_-]{35}",
        TelegramBotTokenDetector(),
        alone=True,
        accept=_telegram,
    ),
    _rule("twilio-key", r"(?:AC|SK)[a-z0-9]{32}", TwilioKeyDetector(), alone=True, bare=True),
    _rule("sendgrid-key", r"SG\.[a-zA-Z0-9_-]{22}\.", SendGridDetector()),
    _rule("mailchimp-key", r"-us[0-9]", MailchimpDetector(), alone=True),
    _rule("stripe-key", r"[rs]k_live_[0-9a-zA-Z]{24}", StripeDetector()),
    _rule("square-key", r"sq0(?:csp|atp)-", SquareOAuthDetector(), SquareTokenDetector()),
    _rule(
        "artifactory-key",
        r"AKC[a-zA-Z0-9]{10}|AP[0-9A-F][a-zA-Z0-9]{8}",
        ArtifactoryDetector(),
        ArtifactoryTokenDetector(),
        accept=_artifactory,
        bare=True,
    ),
    _rule(
        "cloudant-key",
        r"(?i:cl(?:oudant|ou)?[_-]?(?:api)?(?:key|pwd|pw|pass|token)|\.cloudant\.com)",
        CloudantDetector(),
        group=1,
        bare=True,
    ),
    _rule(
        "ibm-key",
        _ASSIGNED + r"|(?i:api.softlayer.com)",
        IbmCloudIamDetector(),
        IbmCosHmacDetector(),
        SoftlayerDetector(),
        group=1,
        accept=_drawn,
        bare=True,
    ),
    _rule(
        "jwt",
        r"eyJ[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]",
        JwtTokenDetector(),
        accept=_jwt,
    ),
    _rule(
        "private-key",
        r"PRIVATE KEY|PuTTY-User-Key-File",
        PrivateKeyBlockDetector(),
        accept=_private_key,
        drawn=False,
    ),
    _rule(
        "basic-auth",
        r"://[^\s:/?#@]*:[^\s/?#@]+@|jdbc:[^\s]+(?i:[?&;](?:password|passwd|pwd)=)|jdbc:oracle:",
        UrlPasswordDetector(),
        group=1,
        accept=_basic_auth,
    ),
    _rule(
        "connection-string",
        r"(?i:password|pwd)[ \t]?=[ \t]?[^;\s'\"<>(){}]+(?:[;\s'\"<>\\]|[^\x00-\x7f]|$)",
        ConnectionStringDetector(),
        group=1,
        generic=True,
        accept=_connection,
    ),
    _rule(
        "service-token",
        r"do[opr]_v1_|shp(?:at|ca|pa|ss)_|dapi[a-f0-9]{32}|lin_api_|ntn_[0-9]{11}|PMAK-"
        r"|gl(?:sa|c)_|dckr_pat_|hv[sb]\.[A-Za-z0-9_-]{16}|AGE-SECRET-KEY-1|figd_|ATATT3|sbp_"
        r"|pscale_|rubygems_|NRAK-|sntry[su]_|dp\.(?:pt|st|ct|scim|audit)\.|whsec_|\.atlasv1\."
        r"|oy2[a-z0-9]{43}|HRKU-AA|[0-9]Q~|api/webhooks/[0-9]",
        ServiceDetector(),
        alone=True,
    ),
    _rule(
        "assigned-secret",
        r"(?i:key|secret|token|password|passwd|pwd)['\"\]]{0,2}[ \t]{0,8}[:=][=>]?[ \t]{0,8}['\"]?"
        r"[A-Za-z0-9_/+.~-]{20}"
        r"|(?:PASSWORD|PASSWD|PWD|SECRET|TOKEN|KEY)=['\"]?[^\s'\"$<>(){};]{10}",
        AssignedDetector(),
        group=1,
        generic=True,
        accept=_assigned,
    ),
)
