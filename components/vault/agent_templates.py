"""The agent's templates for what most applications read: a database login as shell exports, a KV secret as JSON.

They are Go templates with consul-template's functions: https://github.com/hashicorp/consul-template/blob/main/docs/templating-language.md
"""

import re
from urllib.parse import quote

from components.errors import ArgumentError

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


def shell_exports(
    path: str, *, host: str, database: str, port: int = 5432, ssl_mode: str = "", escape: bool = False
) -> str:
    """The template for a database credential: DB_USERNAME, DB_PASSWORD and DATABASE_URL as shell exports.

    Name and password come from one read, so from one lease. Vault generates them from letters, digits and ``-``, which need
    no escaping in a URL or a shell string. ``escape``: where a password policy gives other characters; the same exports,
    right for any text. Raises ArgumentError.
    """
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    if not _HOST.fullmatch(host):
        raise ArgumentError(f"host: {host!r} is none; expected a name or an address, without port or user")
    if ssl_mode and ssl_mode not in SSL_MODES:
        raise ArgumentError(f"ssl_mode: {ssl_mode!r} is unknown; expected one of {', '.join(SSL_MODES)}")
    place = f"{host}:{port}/{quote(database, safe='')}{f'?sslmode={ssl_mode}' if ssl_mode else ''}"
    mark, in_shell, in_url = '"', "", ""
    if escape:
        mark, in_shell, in_url = "'", """ | replaceAll "'" "'\\\\''\"""", ' | urlquery | replaceAll "+" "%20"'
    return (
        f'{{{{- with secret "{path}" -}}}}\n'
        f"export DB_USERNAME={mark}{{{{ .Data.username{in_shell} }}}}{mark}\n"
        f"export DB_PASSWORD={mark}{{{{ .Data.password{in_shell} }}}}{mark}\n"
        f"export DATABASE_URL={mark}postgresql://{{{{ .Data.username{in_url} }}}}:{{{{ .Data.password{in_url} }}}}"
        f"@{place}{mark}\n"
        "{{- end }}\n"
    )


def json_document(path: str) -> str:
    """The template for a KV version 2 secret: all its keys as one JSON object."""
    return f'{{{{- with secret "{path}" -}}}}\n{{{{ .Data.data | toJSON }}}}\n{{{{- end }}}}\n'
