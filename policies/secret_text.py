"""Whether a name and a text look like a secret: settings, environment variables, configuration files.

Names go by the words that hold a secret (``DB_PASSWORD``) and those that only speak of one (``PASSWORD_FILE``); texts by the
form of well-known tokens and by what they assign.
"""

from __future__ import annotations

import base64
import re
from typing import Final

_LONGEST: Final = 65536  # characters of a text that are looked at

_HOLDS: Final = re.compile(
    r"passw(?:or)?d(?!less)|passphrase|secret|token(?!iz)|credential|(?:^|_)(?:pass|pwd)$"
    r"|(?:api|access|account|private|signing|encryption|master|shared)_?key",
    re.IGNORECASE,
)
_PASSWORD: Final = re.compile(r"passw(?:or)?d|passphrase|(?:^|_)(?:pass|pwd)$", re.IGNORECASE)
_SPEAKS_OF: Final = re.compile(
    r"(?:_|\b|(?<=[a-z]))(?:age|alg|algorithm|arn|attempts|audience|auth(?:entication)?|backend|change|check|class|config|cookie|"
    r"count|days|digits|dir|disabled|duration|enabled?|encoding|encryption|endpoint|engine|expir(?:ation|es|y)|field|file|flow|"
    r"format|grant|hash(?:ing)?|header|hint|history|host|hours|id|interval|issuer|kind|len|length|lifetime|limit|location|"
    r"manager|max|method|min|minutes|mode|mount|names?|namespace|path|pattern|period|plugin|policy|port|prefix|provider|ref|"
    r"regex|region|required|reset|retries|role|rotation|scopes?|seconds?|server|service|size|source|store|strength|suffix|"
    r"timeout|title|ttl|type|uri|url|user(?:name)?|validation|validity|version)$"
    # The name of a Secret: imagePullSecret, existingSecret, passwordSecret.
    r"|(?:pull|tls|cert|certificate|existing|kubernetes|k8s|credentials?|password|token)_?secrets?$",
    re.IGNORECASE,
)
# Not the value but where it comes from, or a switch: templates, paths, addresses, ARNs, references to a secret store.
_STANDS_FOR: Final = re.compile(
    r"\s*|\$\{[^}]*\}|\$\([^)]*\)|\$\w+|\{\{.*\}\}|<[^>]*>|%\w+%|/[\w./-]+|https?://\S+|arn:[\w-]*:\S+"
    r"|(?:env|file|vault|sops|op|awssm|ref\+\w+):\S+|true|false|null|none|yes|no|on|off",
    re.IGNORECASE | re.DOTALL,
)
_PATH: Final = re.compile(r"[a-z0-9._-]+(?:/[a-z0-9._-]+)+")  # production/payment-api/db, in Vault or Secrets Manager
_AMOUNT: Final = re.compile(r"\d+(?:\.\d+)?\s?(?:ms|s|m|h|d|%)?", re.IGNORECASE)
_TOKENS: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[0-9A-Za-z]{36}|\bxox[abprs]-[0-9A-Za-z-]{10,}"
    r"|\bhv[sbr]\.[0-9A-Za-z_-]{24,}|\bs\.[0-9A-Za-z]{24}\b|\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}"
    r"|\bAGE-SECRET-KEY-1[0-9A-Z]{20,}|\bglpat-[0-9A-Za-z_-]{20}|\bsk_live_[0-9A-Za-z]{16,}|\bAIza[0-9A-Za-z_-]{35}\b"
    r"|\bgithub_pat_[0-9A-Za-z_]{22,}|\bnpm_[0-9A-Za-z]{36}\b|\bSG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}"
    r"|\bhooks\.slack\.com/services/T[0-9A-Z]{6,}/B[0-9A-Z]{6,}/[0-9A-Za-z]{16,}"
    r"|(?:^|\n)[ \t]*(?:requirepass|masterauth)[ \t]+(?![$<%{\"'])[^\s]{3,}"
    r"|[a-z][a-z0-9+]{1,20}://[^\s/:@]{1,64}:(?![$<*%]|\{)[^\s/@]{1,128}@"
    r"|\b(?i:password|pwd|AccountKey|SharedAccessKey)=(?![$<*%'\"]|\{)[^\s;&,]{3,}(?:;|$)"
)
# NAME: value, NAME=value and "name": "value" in a file, where the value is quoted or one word.
_ASSIGNMENTS: Final = (
    re.compile(
        r"^[ \t]*(?:- |export )?[\"']?([A-Za-z][\w.-]{0,80})[\"']?[ \t]*[:=][ \t]*"
        r"(?:\"([^\"$\n{}<>]{3,256})\"|'([^'$\n{}<>]{3,256})'|([^\s\"'(){}\[\]<>$,;|&*%]{3,256}))[ \t]*[,;]?[ \t\r]*$",
        re.MULTILINE,
    ),
    re.compile(r"\"([A-Za-z][\w.-]{0,80})\"[ \t]*:[ \t]*\"([^\"$\s{}<>]{3,256})\""),
)
# What is not the secret itself: a variable of a program, a type, the label of a form.
_NOT_ITSELF: Final = re.compile(
    r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|str|string|text|input|hidden|required|optional|Password|Token|Secret"
    r"|(?=.*\s)(?=.*(?i:password|token|secret|key)).*"
)


def names_secret(name: str) -> bool:
    """Whether what has this name is a secret, by the name alone."""
    bare = re.sub(r"[-.\s/]", "_", name[-256:])
    return bool(_HOLDS.search(bare)) and not _SPEAKS_OF.search(bare)


def holds_secret(name: str, text: str) -> bool:
    """Whether the text is a secret, by its name, its form, or what it assigns."""
    text = text[:_LONGEST]
    if names_secret(name) and not _stands_for(name, text):
        return True
    return bool(_TOKENS.search(text)) or _assigns_secret(text)


def decoded(text: str) -> str:
    """The text of base64; empty where it is none, or no text."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""


def _stands_for(name: str, text: str) -> bool:
    """Whether the text is only a placeholder; a number is one, but for a password, and a path, for what is called a secret."""
    if _AMOUNT.fullmatch(text):
        return not _PASSWORD.search(re.sub(r"[-.\s/]", "_", name[-256:]))
    if name.lower().endswith("secret") and _PATH.fullmatch(text[:4096]):
        return True
    return bool(_STANDS_FOR.fullmatch(text[:4096]))


def _assigns_secret(text: str) -> bool:
    return any(
        _holds(name, value)
        for pattern in _ASSIGNMENTS
        for name, *values in pattern.findall(text)
        for value in filter(None, values)
    )


def _holds(name: str, value: str) -> bool:
    alone = name.lower() in ("secret", "secrets", "credentials")  # as often as not the name of one
    return names_secret(name) and not (alone or _stands_for(name, value) or _NOT_ITSELF.fullmatch(value))
