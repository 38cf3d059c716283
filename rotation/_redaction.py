"""Secrets are kept out of logs: a filter that knows every secret this process has read."""

from __future__ import annotations

import json
import logging
import re
import threading
import urllib.parse
from collections import OrderedDict

MASK = "[redacted]"
_KEPT = 512  # the newest secrets; older ones have long been replaced
_SHORTEST = 6  # masking "abc" everywhere would make logs unreadable and hide nothing
_SHAPES = re.compile(
    r"(?P<url>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@]+(?=@)"
    r"|(?P<key>\b(?:password|passwd|pwd|secret|token)\b[\"']?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s,;&]+)"
    r"|\bhv[sbr]\.[A-Za-z0-9_-]{16,}",
    re.IGNORECASE,
)
_lock = threading.Lock()
_secrets: OrderedDict[str, None] = OrderedDict()
_known: re.Pattern[str] | None = None


def register(secret: str) -> None:
    """Mask this value from now on, also as it looks inside a URL or in JSON."""
    global _known
    if len(secret) < _SHORTEST:
        return
    with _lock:
        if secret in _secrets:
            _secrets.move_to_end(secret)
            return
        _secrets[secret] = None
        while len(_secrets) > _KEPT:
            _secrets.popitem(last=False)
        forms = {
            form
            for value in _secrets
            for form in (
                value,
                urllib.parse.quote(value, safe=""),
                urllib.parse.quote_plus(value),
                json.dumps(value)[1:-1],
            )
        }
        _known = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))


def redact(text: str) -> str:
    """The text with every known secret, and whatever looks like one, masked."""
    known = _known
    if known is not None:
        text = known.sub(MASK, text)
    return _SHAPES.sub(lambda match: (match["url"] or match["key"] or "") + MASK, text)


class RedactingFilter(logging.Filter):
    """Masks secrets in what a handler writes, in messages and in tracebacks.

    Add it to handlers, not to loggers: a logger's filter does not see what its children log.

        for handler in logging.getLogger().handlers:
            handler.addFilter(RedactingFilter())
    """

    _formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        masked = redact(message)
        if masked != message:
            record.msg, record.args = masked, None
        if record.exc_info and not record.exc_text:
            record.exc_text = self._formatter.formatException(
                record.exc_info
            )  # what Formatter.format would cache there
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True
