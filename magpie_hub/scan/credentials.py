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

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
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
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.softlayer import SoftlayerDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

from magpie_hub.scan import checks
from magpie_hub.scan.finding import Hit, Rule
from magpie_hub.scan.placeholders import is_placeholder

Accept = Callable[[str, "re.Match[str]"], str | None]
"""Takes a value and its match; gives it in one spelling, or None if it is no credential."""


def _rule(
    kind: str,
    anchor: str,
    *patterns: str | re.Pattern[str],
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
        patterns: What values look like: the library's patterns, or our own.
        group: The group that holds the value, of patterns that have groups.
        generic: As in `Rule`.
        bare: Whether values have letters and digits alone, so that a line beside one is not its.
        alone: Whether a value between letters or digits is part of something longer: these
            patterns find their forms in the middle of a hash, or of a protein.
        accept: A last look at the value.
        drawn: Whether a value is random throughout, so that a made-up one can be told.
    """
    compiled = [re.compile(pattern) for pattern in patterns]

    def all_hits(text: str) -> Iterator[Hit]:
        # Each character stays where it is, so places are those of the text.
        text = _plain(text)
        if bare and "_" in text:
            text = _LINES.sub(_as_breaks, text)
        for pattern in compiled:
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


_ASSIGNED = (
    r"(?i:(?:key|pwd|pw|password|pass|token)['\"]?\]? *(?:=>|:=|::|=|:| ) *['\"]?[a-z0-9_-]{24})"
)
_SETTING = (
    r"(?:server|data source|host|hostname|addr|address|network address|endpoint|database|"
    r"initial catalog|dbname|user id|uid|user|username|port|driver|provider|dsn|encrypt|"
    r"trusted_connection|integrated security|persist security info|sslmode)"
)
_PRIVATE_KEYS = [
    # With what follows the header, which the library stops at; also encrypted ones, and PuTTY's.
    header + r"((?s:(?!-----END|Private-MAC).){0,4096})"
    for header in (
        *(pattern.pattern for pattern in PrivateKeyDetector.denylist),
        "BEGIN ENCRYPTED PRIVATE KEY",
        "PuTTY-User-Key-File-3",
    )
]

CREDENTIALS = (
    _rule(
        "hf-token",
        r"hf_[A-Za-z0-9]{34}|hf_(?:jwt|oauth)_|api_org_[A-Za-z0-9]{34}",
        # Tokens of the Hugging Face Hub: users', OAuth's and CI's, and organisations' of old.
        r"hf_[A-Za-z0-9]{34,}",
        r"hf_(?:jwt|oauth)_[A-Za-z0-9._-]{30,}",
        r"api_org_[A-Za-z0-9]{34,}",
    ),
    _rule(
        "aws-key",
        r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}|['\"][0-9a-zA-Z/+]{40}['\"]"
        r"|(?i:(?:secret|aws)[_-]?(?:access)?[_-]?(?:key|secret)).{0,26}[A-Za-z0-9/+]{40}",
        *AWSKeyDetector.denylist,
        # Amazon's secret keys as they are assigned, with and without quotes.
        r"(?i:(?:secret|aws)[_-]?(?:access)?[_-]?(?:key|secret)(?:[_-]?key)?)"
        r"['\"\]]{0,2}[ \t]{0,8}(?:=>|:=|=|:|,|>)?[ \t]{0,8}['\"]?"
        r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        group=1,
        alone=True,
    ),
    _rule("azure-key", r"AccountKey=", *AzureStorageKeyDetector.denylist, accept=checks.azure),
    _rule(
        "google-key",
        r"AIza[A-Za-z0-9_-]{35}|GOCSPX-",
        # Google's API keys and OAuth client secrets.
        r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9])",
        r"GOCSPX-[A-Za-z0-9_-]{28}(?![A-Za-z0-9])",
        alone=True,
    ),
    _rule(
        "openai-key",
        r"T3BlbkFJ",
        *OpenAIDetector.denylist,
        # OpenAI's keys of projects, whose random parts may hold hyphens and underscores.
        r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,200}T3BlbkFJ[A-Za-z0-9_-]{20,200}",
    ),
    _rule(
        "anthropic-key",
        r"sk-ant-",
        r"sk-ant-[a-z]{3,8}\d\d-[A-Za-z0-9_-]{60,}",
    ),
    _rule(
        "inference-key",
        r"(?:gsk_|nvapi-|sk-or-v1-|pplx-|r8_|xai-)[A-Za-z0-9_-]{36}",
        r"gsk_[A-Za-z0-9]{40,}",  # Groq
        r"nvapi-[A-Za-z0-9_-]{40,}",  # NVIDIA
        r"sk-or-v1-[A-Za-z0-9]{40,}",  # OpenRouter
        r"pplx-[A-Za-z0-9]{40,}",  # Perplexity
        r"r8_[A-Za-z0-9]{36,}",  # Replicate
        r"xai-[A-Za-z0-9]{48,}",  # xAI
        alone=True,
    ),
    _rule(
        "github-token",
        r"gh[pousr]_[A-Za-z0-9_]{36}|github_pat_",
        *GitHubTokenDetector.denylist,
        r"github_pat_[A-Za-z0-9_]{82}",
    ),
    _rule(
        "gitlab-token",
        r"(?:gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-|GR1348941)[A-Za-z0-9_-]{20}",
        *GitLabTokenDetector.denylist,
        # GitLab's routable tokens, which are longer.
        r"glpat-[A-Za-z0-9_-]{27,300}\.[0-9a-z]{9}",
    ),
    _rule(
        "npm-token",
        r":_authToken=|npm_[A-Za-z0-9]{36}",
        *NpmDetector.denylist,
        # npm's tokens outside an .npmrc.
        r"npm_[A-Za-z0-9]{36}",
        group=1,
        accept=checks.npm,
    ),
    _rule("pypi-token", r"pypi-AgE", *PypiTokenDetector.denylist),
    _rule(
        "slack-token",
        r"(?i:xox[apbosr]-[0-9]|hooks\.slack\.com/services/t)|xapp-[0-9]-",
        *SlackDetector.denylist,
        r"xapp-[0-9]-[A-Z0-9]+-[0-9]+-[a-z0-9]{32,}",
    ),
    _rule(
        "discord-token",
        r"\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}",
        *DiscordBotTokenDetector.denylist,
        accept=checks.discord,
    ),
    _rule(
        "telegram-token",
        r"[0-9]{8}:[0-9A-Za-z_-]{35}",
        *TelegramBotTokenDetector.denylist,
        alone=True,
        accept=checks.telegram,
    ),
    _rule(
        "twilio-key", r"(?:AC|SK)[a-z0-9]{32}", *TwilioKeyDetector.denylist, alone=True, bare=True
    ),
    _rule("sendgrid-key", r"SG\.[a-zA-Z0-9_-]{22}\.", *SendGridDetector.denylist),
    _rule("mailchimp-key", r"-us[0-9]", *MailchimpDetector.denylist, alone=True),
    _rule("stripe-key", r"[rs]k_live_[0-9a-zA-Z]{24}", *StripeDetector.denylist),
    _rule(
        "square-key",
        r"sq0(?:csp|atp)-",
        *SquareOAuthDetector.denylist,
        r"sq0atp-[A-Za-z0-9_-]{22}",
    ),
    _rule(
        "artifactory-key",
        r"AKC[a-zA-Z0-9]{10}|AP[0-9A-F][a-zA-Z0-9]{8}",
        *ArtifactoryDetector.denylist,
        # Artifactory's tokens, whatever stands beside them.
        r"(?<![A-Za-z0-9])AKC[A-Za-z0-9]{60,}(?![A-Za-z0-9])",
        accept=checks.artifactory,
        bare=True,
    ),
    _rule(
        "cloudant-key",
        r"(?i:cl(?:oudant|ou)?[_-]?(?:api)?(?:key|pwd|pw|pass|token)|\.cloudant\.com)",
        *CloudantDetector.denylist,
        group=1,
        bare=True,
    ),
    _rule(
        "ibm-key",
        _ASSIGNED + r"|(?i:api.softlayer.com)",
        *IbmCloudIamDetector.denylist,
        *IbmCosHmacDetector.denylist,
        *SoftlayerDetector.denylist,
        group=1,
        accept=checks.drawn,
        bare=True,
    ),
    _rule(
        "jwt",
        r"eyJ[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]",
        *JwtTokenDetector.denylist,
        accept=checks.jwt,
    ),
    _rule(
        "private-key",
        r"PRIVATE KEY|PuTTY-User-Key-File",
        *_PRIVATE_KEYS,
        accept=checks.private_key,
        drawn=False,
    ),
    _rule(
        "basic-auth",
        r"://[^\s:/?#@]*:[^\s/?#@]+@|jdbc:[^\s]+(?i:[?&;](?:password|passwd|pwd)=)|jdbc:oracle:",
        # Passwords in URLs, those without a user's name too.
        r"://[^\s/?#@:'\"<>]{0,128}:([^\s/?#@'\"<>]{1,256})@",
        r"jdbc:[^\s'\"<>]{1,256}?(?i:[?&;](?:password|passwd|pwd)=)([^\s&;'\"<>`*,()]{1,128})",
        r"jdbc:oracle:[a-z]{1,8}:[^\s/@'\"]{1,64}/([^\s/@'\"]{1,128})@",
        group=1,
        accept=checks.basic_auth,
    ),
    _rule(
        "connection-string",
        r"(?i:password|pwd)[ \t]?=[ \t]?[^;\s'\"<>(){}]+(?:[;\s'\"<>\\]|[^\x00-\x7f]|$)",
        # Passwords in connection strings: settings with semicolons between them.
        rf"(?i:(?<![A-Za-z0-9]){_SETTING}[ \t]?=[^;=\n]{{1,128}};"
        r"(?:[^;=\n]{1,64}=[^;=\n]{0,128};){0,8}?"
        r"[ \t]?(?:password|pwd)[ \t]?=[ \t]?)([^;\s'\"<>(){}]{1,128})(?=[;\s'\"<>\\]|\Z)",
        rf"(?i:(?<![A-Za-z0-9])(?:password|pwd)[ \t]?=[ \t]?)([^;\s'\"<>(){{}}]{{1,128}})"
        rf"(?i:;[ \t]?{_SETTING}[ \t]?=)",
        # Settings with spaces between them, as libpq takes them; a lone one that is strong.
        rf"(?i:(?<![A-Za-z0-9]){_SETTING}=\S{{1,128}} +(?:[a-z_]{{1,32}}=\S{{1,128}} +){{0,8}}?"
        r"password=)([^;\s'\"<>(){}]{1,128})(?=[;\s'\"<>\\]|\Z)",
        r"(?<![A-Za-z0-9.$])(?i:password|pwd)=([^;\s'\"<>(){}]{8,128});",
        group=1,
        generic=True,
        accept=checks.connection,
    ),
    _rule(
        "service-token",
        r"do[opr]_v1_|shp(?:at|ca|pa|ss)_|dapi[a-f0-9]{32}|lin_api_|ntn_[0-9]{11}|PMAK-"
        r"|gl(?:sa|c)_|dckr_pat_|hv[sb]\.[A-Za-z0-9_-]{16}|AGE-SECRET-KEY-1|figd_|ATATT3|sbp_"
        r"|pscale_|rubygems_|NRAK-|sntry[su]_|dp\.(?:pt|st|ct|scim|audit)\.|whsec_|\.atlasv1\."
        r"|oy2[a-z0-9]{43}|HRKU-AA|[0-9]Q~|api/webhooks/[0-9]",
        r"do[opr]_v1_[a-f0-9]{64}",  # DigitalOcean
        r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",  # Shopify
        r"dapi[a-f0-9]{32}",  # Databricks
        r"lin_api_[A-Za-z0-9]{40}",  # Linear
        r"ntn_[0-9]{11}[A-Za-z0-9]{35}",  # Notion
        r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",  # Postman
        r"gl(?:sa_[A-Za-z0-9]{32}_[a-f0-9]{8}|c_[A-Za-z0-9+/]{32,400})",  # Grafana
        r"dckr_pat_[A-Za-z0-9_-]{27}",  # Docker Hub
        r"hv[sb]\.[A-Za-z0-9_-]{90,300}",  # Vault
        r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",  # age
        r"figd_[A-Za-z0-9_-]{40,}",  # Figma
        r"ATATT3[A-Za-z0-9_=-]{60,}",  # Atlassian
        r"sbp_[a-f0-9]{40}",  # Supabase
        r"pscale_(?:tkn|oauth|pw)_[A-Za-z0-9=._-]{32,64}",  # PlanetScale
        r"rubygems_[a-f0-9]{48}",  # RubyGems
        r"NRAK-[A-Z0-9]{27}",  # New Relic
        r"sntry[su]_[A-Za-z0-9_=+/-]{40,}",  # Sentry
        r"dp\.(?:pt|st|ct|scim|audit)\.[A-Za-z0-9._-]{40,}",  # Doppler
        r"whsec_[A-Za-z0-9+/]{32,}={0,2}",  # Stripe (webhooks)
        r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}",  # Terraform
        r"oy2[a-z0-9]{43}",  # NuGet
        r"HRKU-AA[A-Za-z0-9_-]{58}",  # Heroku
        r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}",  # Azure Entra
        r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,}",  # Discord's webhooks
        alone=True,
    ),
    _rule(
        "assigned-secret",
        r"(?i:key|secret|token|password|passwd|pwd)['\"\]]{0,2}[ \t]{0,8}[:=][=>]?[ \t]{0,8}['\"]?"
        r"[A-Za-z0-9_/+.~-]{20}"
        r"|(?:PASSWORD|PASSWD|PWD|SECRET|TOKEN|KEY)=['\"]?[^\s'\"$<>(){};]{10}",
        # Whatever is assigned to a name that says it is a secret; what it is like tells which
        # are.
        r"(?i:(?<![A-Za-z])(?:[A-Za-z0-9]{1,32}[_-]){0,4}"
        r"(?:api[_-]?key|apikey|secret|secret[_-]?key|access[_-]?key|private[_-]?key|"
        r"auth[_-]?token|access[_-]?token|refresh[_-]?token|bearer[_-]?token|token|"
        r"client[_-]?secret|password|passwd|pwd))"
        r"['\"\]]{0,2}[ \t]{0,8}(?:=>|:=|=|:)[ \t]{0,8}['\"]?"
        r"([A-Za-z0-9_/+.~-]{20,200}={0,2})(?![A-Za-z0-9_/+.~(\[=-])",
        # A variable of the environment, whose value may be shorter.
        r"(?:(?<![A-Za-z0-9])(?:export|setx?|ENV|env) +|^|\n)(?:[A-Z0-9]{1,32}_){0,6}"
        r"(?:PASSWORD|PASSWD|PWD|SECRET|TOKEN|KEY)=['\"]?([^\s'\"$<>(){};\\]{10,200})",
        group=1,
        generic=True,
        accept=checks.assigned,
    ),
)
