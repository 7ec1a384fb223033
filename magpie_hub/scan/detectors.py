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
        re.compile(r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
        re.compile(r"GOCSPX-[A-Za-z0-9_-]{28}(?![A-Za-z0-9_-])"),
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
