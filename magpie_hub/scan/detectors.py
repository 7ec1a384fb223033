"""What detect-secrets lacks, as detectors in its manner.

Forms as in gitleaks' rules where it has them. Lengths are lower bounds where public rules differ.
"""

from __future__ import annotations

import re

from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector


class HuggingFaceDetector(RegexBasedDetector):
    """Tokens of the Hugging Face Hub: users', OAuth's and CI's, and organisations' of old."""

    secret_type = "Hugging Face Token"
    denylist = (
        re.compile(r"hf_[A-Za-z0-9]{34,}"),
        re.compile(r"hf_(?:jwt|oauth)_[A-Za-z0-9._-]{30,}"),
        re.compile(r"api_org_[A-Za-z0-9]{34,}"),
    )


class AnthropicDetector(RegexBasedDetector):
    """Keys of Anthropic."""

    secret_type = "Anthropic Key"
    denylist = (re.compile(r"sk-ant-[a-z]{3,8}\d\d-[A-Za-z0-9_-]{60,}"),)


class GoogleDetector(RegexBasedDetector):
    """Google's API keys and OAuth client secrets."""

    secret_type = "Google Key"
    denylist = (
        re.compile(r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9])"),
        re.compile(r"GOCSPX-[A-Za-z0-9_-]{28}(?![A-Za-z0-9])"),
    )


class InferenceDetector(RegexBasedDetector):
    """Keys of further servers that a generator or judge may run on.

    In this order: Groq, NVIDIA, OpenRouter, Perplexity, Replicate, xAI.
    """

    secret_type = "Inference Key"
    denylist = (
        re.compile(r"gsk_[A-Za-z0-9]{40,}"),
        re.compile(r"nvapi-[A-Za-z0-9_-]{40,}"),
        re.compile(r"sk-or-v1-[A-Za-z0-9]{40,}"),
        re.compile(r"pplx-[A-Za-z0-9]{40,}"),
        re.compile(r"r8_[A-Za-z0-9]{36,}"),
        re.compile(r"xai-[A-Za-z0-9]{48,}"),
    )


class OpenAIProjectDetector(RegexBasedDetector):
    """OpenAI's keys of projects, whose random parts may hold hyphens and underscores."""

    secret_type = "OpenAI Project Key"
    denylist = (
        re.compile(r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,200}T3BlbkFJ[A-Za-z0-9_-]{20,200}"),
    )


class GitHubFineGrainedDetector(RegexBasedDetector):
    """GitHub's fine-grained tokens."""

    secret_type = "GitHub Fine-Grained Token"
    denylist = (re.compile(r"github_pat_[A-Za-z0-9_]{82}"),)


class GitLabRoutableDetector(RegexBasedDetector):
    """GitLab's routable tokens, which are longer."""

    secret_type = "GitLab Routable Token"
    denylist = (re.compile(r"glpat-[A-Za-z0-9_-]{27,300}\.[0-9a-z]{9}"),)


class NpmTokenDetector(RegexBasedDetector):
    """npm's tokens outside an .npmrc."""

    secret_type = "npm Token"
    denylist = (re.compile(r"npm_[A-Za-z0-9]{36}"),)


class ArtifactoryTokenDetector(RegexBasedDetector):
    """Artifactory's tokens, whatever stands beside them."""

    secret_type = "Artifactory Token"
    denylist = (re.compile(r"(?<![A-Za-z0-9])AKC[A-Za-z0-9]{60,}(?![A-Za-z0-9])"),)


class AwsSecretDetector(RegexBasedDetector):
    """Amazon's secret keys as they are assigned, with and without quotes."""

    secret_type = "AWS Secret Key"
    denylist = (
        re.compile(
            r"(?i:(?:secret|aws)[_-]?(?:access)?[_-]?(?:key|secret)(?:[_-]?key)?)"
            r"['\"\]]{0,2}[ \t]{0,8}(?:=>|:=|=|:|,|>)?[ \t]{0,8}['\"]?"
            r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
        ),
    )


class UrlPasswordDetector(RegexBasedDetector):
    """Passwords in URLs, those without a user's name too."""

    secret_type = "URL Password"
    denylist = (
        re.compile(r"://[^\s/?#@:'\"<>]{0,128}:([^\s/?#@'\"<>]{1,256})@"),
        re.compile(
            r"jdbc:[^\s'\"<>]{1,256}?(?i:[?&;](?:password|passwd|pwd)=)([^\s&;'\"<>`*,()]{1,128})"
        ),
        re.compile(r"jdbc:oracle:[a-z]{1,8}:[^\s/@'\"]{1,64}/([^\s/@'\"]{1,128})@"),
    )


_SETTING = (
    r"(?:server|data source|host|hostname|addr|address|network address|endpoint|database|"
    r"initial catalog|dbname|user id|uid|user|username|port|driver|provider|dsn|encrypt|"
    r"trusted_connection|integrated security|persist security info|sslmode)"
)


class ConnectionStringDetector(RegexBasedDetector):
    """Passwords in connection strings: settings with semicolons between them."""

    secret_type = "Connection String"
    denylist = (
        re.compile(
            rf"(?i:(?<![A-Za-z0-9]){_SETTING}[ \t]?=[^;=\n]{{1,128}};"
            r"(?:[^;=\n]{1,64}=[^;=\n]{0,128};){0,8}?"
            r"[ \t]?(?:password|pwd)[ \t]?=[ \t]?)([^;\s'\"<>(){}]{1,128})(?=[;\s'\"<>\\]|\Z)"
        ),
        re.compile(
            rf"(?i:(?<![A-Za-z0-9])(?:password|pwd)[ \t]?=[ \t]?)([^;\s'\"<>(){{}}]{{1,128}})"
            rf"(?i:;[ \t]?{_SETTING}[ \t]?=)"
        ),
        # Settings with spaces between them, as libpq takes them; a lone one that is strong.
        re.compile(
            rf"(?i:(?<![A-Za-z0-9]){_SETTING}=\S{{1,128}} +(?:[a-z_]{{1,32}}=\S{{1,128}} +){{0,8}}?"
            r"password=)([^;\s'\"<>(){}]{1,128})(?=[;\s'\"<>\\]|\Z)"
        ),
        re.compile(r"(?<![A-Za-z0-9.$])(?i:password|pwd)=([^;\s'\"<>(){}]{8,128});"),
    )


class AssignedDetector(RegexBasedDetector):
    """Whatever is assigned to a name that says it is a secret; what it is like tells which are."""

    secret_type = "Assigned Secret"
    denylist = (
        re.compile(
            r"(?i:(?<![A-Za-z])(?:[A-Za-z0-9]{1,32}[_-]){0,4}"
            r"(?:api[_-]?key|apikey|secret|secret[_-]?key|access[_-]?key|private[_-]?key|"
            r"auth[_-]?token|access[_-]?token|refresh[_-]?token|bearer[_-]?token|token|"
            r"client[_-]?secret|password|passwd|pwd))"
            r"['\"\]]{0,2}[ \t]{0,8}(?:=>|:=|=|:)[ \t]{0,8}['\"]?"
            r"([A-Za-z0-9_/+.~-]{20,200}={0,2})(?![A-Za-z0-9_/+.~(\[=-])"
        ),
        # A variable of the environment, whose value may be shorter.
        re.compile(
            r"(?:(?<![A-Za-z0-9])(?:export|setx?|ENV|env) +|^|\n)(?:[A-Z0-9]{1,32}_){0,6}"
            r"(?:PASSWORD|PASSWD|PWD|SECRET|TOKEN|KEY)=['\"]?([^\s'\"$<>(){};\\]{10,200})"
        ),
    )


class ServiceDetector(RegexBasedDetector):
    """Tokens of further services, whose forms no other has.

    In this order: DigitalOcean, Shopify, Databricks, Linear, Notion, Postman, Grafana, Docker Hub,
    Vault, age, Figma, Atlassian, Supabase, PlanetScale, RubyGems, New Relic, Sentry, Doppler,
    Stripe (webhooks), Terraform, NuGet, Heroku, Azure Entra, and Discord's webhooks.
    """

    secret_type = "Service Token"
    denylist = (
        re.compile(r"do[opr]_v1_[a-f0-9]{64}"),
        re.compile(r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
        re.compile(r"dapi[a-f0-9]{32}"),
        re.compile(r"lin_api_[A-Za-z0-9]{40}"),
        re.compile(r"ntn_[0-9]{11}[A-Za-z0-9]{35}"),
        re.compile(r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
        re.compile(r"gl(?:sa_[A-Za-z0-9]{32}_[a-f0-9]{8}|c_[A-Za-z0-9+/]{32,400})"),
        re.compile(r"dckr_pat_[A-Za-z0-9_-]{27}"),
        re.compile(r"hv[sb]\.[A-Za-z0-9_-]{90,300}"),
        re.compile(r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
        re.compile(r"figd_[A-Za-z0-9_-]{40,}"),
        re.compile(r"ATATT3[A-Za-z0-9_=-]{60,}"),
        re.compile(r"sbp_[a-f0-9]{40}"),
        re.compile(r"pscale_(?:tkn|oauth|pw)_[A-Za-z0-9=._-]{32,64}"),
        re.compile(r"rubygems_[a-f0-9]{48}"),
        re.compile(r"NRAK-[A-Z0-9]{27}"),
        re.compile(r"sntry[su]_[A-Za-z0-9_=+/-]{40,}"),
        re.compile(r"dp\.(?:pt|st|ct|scim|audit)\.[A-Za-z0-9._-]{40,}"),
        re.compile(r"whsec_[A-Za-z0-9+/]{32,}={0,2}"),
        re.compile(r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}"),
        re.compile(r"oy2[a-z0-9]{43}"),
        re.compile(r"HRKU-AA[A-Za-z0-9_-]{58}"),
        re.compile(r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
        re.compile(r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,}"),
    )


class SquareTokenDetector(RegexBasedDetector):
    """Square's access tokens."""

    secret_type = "Square Access Token"
    denylist = (re.compile(r"sq0atp-[A-Za-z0-9_-]{22}"),)


class SlackAppDetector(RegexBasedDetector):
    """Slack's app-level tokens."""

    secret_type = "Slack App Token"
    denylist = (re.compile(r"xapp-[0-9]-[A-Z0-9]+-[0-9]+-[a-z0-9]{32,}"),)


class PrivateKeyBlockDetector(RegexBasedDetector):
    """Private keys with what follows their header, which the library stops at.

    Also encrypted ones, and PuTTY's newer files.
    """

    secret_type = "Private Key Block"
    denylist = tuple(
        re.compile(header + r"((?s:(?!-----END|Private-MAC).){0,4096})")
        for header in (
            *(regex.pattern for regex in PrivateKeyDetector.denylist),
            "BEGIN ENCRYPTED PRIVATE KEY",
            "PuTTY-User-Key-File-3",
        )
    )
