"""One mistake in many spellings, and what looks like it and is none: the rules about Vault."""

from __future__ import annotations

import base64
from typing import Any

from tests.policies.cases_vault import AUDIT, CREATE, ENDPOINT, MOUNT, UNTIL, connection, policy
from tests.policies.kit import UNKNOWN, resource

DATABASE = "vault:database/secretsMount:SecretsMount"
JWT = "vault:jwt/authBackend:AuthBackend"
MSSQL = "CREATE LOGIN [{{name}}] WITH PASSWORD = '{{password}}'; CREATE USER [{{name}}] FOR LOGIN [{{name}}];"


def url(text: str) -> dict[str, Any]:
    return {"postgresql": {"connectionUrl": text, "passwordWo": "written"}}


def sql(*statements: Any) -> dict[str, Any]:
    return {"creationStatements": list(statements)}


def login(way: str, account: Any, provider: str = "vault") -> dict[str, Any]:
    return {"spec": {"provider": {provider: {"auth": {way: {"serviceAccountRef": account}}}}}}


VIOLATES: dict[str, list[Any]] = {
    "vault-policy-broad": [
        {"policy": 'path "*" { "capabilities" = ["read"] }'},
        {"policy": 'path "secret/a" { capabilities = [ "read", # why\n "sudo", ] }'},
        {"policy": '/* all */ path "**" { capabilities = ["list"] }'},
        {"policy": '{"path": [{"+/+": {"capabilities": ["read"]}}]}'},
        {"policy": '{"path": {"a": [{"capabilities": ["sudo"]}]}}'},
        {"policy": 'path "a" { policy = "sudo" }'},
        policy("sys/*", "read"),
        policy("sys/raw", "read"),
        policy("/sys/raw*", "read"),
        policy("+/raw/core", "read"),
        policy("/*", "read"),
    ],
    "vault-token-bounded": [
        {"policies": ["default", "root"], "explicitMaxTtl": "1h"},
        {"policies": ["app"], "ttl": "0", "explicitMaxTtl": "0s"},
        {"policies": ["app"], "explicitMaxTtl": "25h"},
        {"policies": ["app"], "ttl": 604800},
        {"policies": ["root", UNKNOWN], "ttl": "1h"},
    ],
    "vault-connection-tls": [
        {"address": "HTTP://vault:8200"},
        {"address": "http://127.0.0.1.example.com:8200"},
        {"address": "http://localhost@example.com"},
        {"address": "http://127.0.0.1:8200@example.com/"},
        {"address": UNKNOWN, "skipTlsVerify": "true"},
    ],
    "vault-audit": [
        [resource(JWT, "jwt", {"path": "jwt"})],
        [resource(DATABASE, "db", {"path": "db"})],
        [resource(AUDIT, "file", {"options": {"log_raw": True}})],
    ],
    "vault-database-ttl": [
        {"defaultTtl": "1h", "maxTtl": "48h"},
        {"defaultTtl": "5h", "maxTtl": "24h"},
        {"defaultTtl": -1, "maxTtl": 3600},
        {"defaultTtl": None, "maxTtl": 3600.0},
        {"maxTtl": "1h"},
    ],
    "vault-database-statements": [
        sql(base64.b64encode(CREATE.encode()).decode()),
        sql(f"{CREATE}; -- VALID UNTIL '{{{{expiration}}}}'"),
        sql(UNTIL, 'GRANT rds_superuser TO "{{name}}"'),
        sql(UNTIL, "alter role x with superuser", UNKNOWN),
        sql('create user "{{name}}"'),
    ],
    "vault-database-allowed-roles": [
        {"allowedRoles": ["app", "*"]},
        {"allowedRoles": "*"},
        {"path": "db", "mysqlLegacies": [{"name": "a", "allowedRoles": ["a"]}, {"name": "b", "allowedRoles": ["b*"]}]},
    ],
    "vault-database-root-password": [
        {"mysql": {"connectionUrl": "root:hunter2@tcp(db:3306)/"}},
        {"oracle": {"connectionUrl": "system/hunter2@//db:1521/app"}},
        {"mssql": {"connectionUrl": "server=db;user id={{username}};PWD=hunter2"}},
        url("postgresql://{{username}}:hunter2@db/app"),
        {"mongodb": {"password": ""}, "mysql": {"password": "hunter2"}},
        {"data": {"password": "hunter2"}},
    ],
    "vault-database-root-rotation": [
        [connection(), resource(ENDPOINT, "rotate", {"path": "other/rotate-root/app"})],
        [resource(DATABASE, "db", {"path": "db", "mysqlRds": [{"name": "app", "username": "u"}]})],
    ],
    "vault-kubernetes-bound": [
        {"boundServiceAccountNames": ["a", "*"], "boundServiceAccountNamespaces": ["b"]},
        {"boundServiceAccountNames": ["a"], "boundServiceAccountNamespaces": ["*"], "audience": "vault"},
        {"boundServiceAccountNames": "*", "boundServiceAccountNamespaces": "b"},
    ],
    "vault-kubernetes-audience": [
        {"audience": ""},
        {"audience": None},
        login("kubernetes", {"name": "a", "audiences": []}),
        login("jwt", {"name": "a"}),
    ],
    "vault-kubernetes-token-ttl": [
        {"tokenTtl": "1h", "tokenMaxTtl": "30h"},
        {"tokenMaxTtl": 86400},
        {"tokenTtl": 3600},
        {"tokenTtl": 3600, "tokenExplicitMaxTtl": 864000},
        {"tokenPeriod": 3600, "tokenTtl": 3600, "tokenMaxTtl": 3600},
    ],
}
COMPLIES: dict[str, list[Any]] = {
    "vault-policy-broad": [
        policy("secret/data/+/app", "read"),
        policy("sys/rawish", "read"),
        policy("secret/data/sys/raw", "read"),
        policy("sys/mounts", "read"),
        policy("sys/leases/+", "update"),
        policy("a", "deny", "sudo"),
        {"policy": 'path "secret/a" { capabilities = ["read"]\n allowed_parameters = { "sudo" = ["sudo"] } }'},
        {"policy": 'path "secret/a" { capabilities = ["read"] min_wrapping_ttl = "1s" max_wrapping_ttl = "sudo" }'},
        {"policy": ""},
    ],
    "vault-token-bounded": [
        {"policies": ["root-reader"], "ttl": "1h", "period": "0"},
        {"policies": ["app"], "period": "1h", "explicitMaxTtl": "12h"},
        {"policies": ["app"], "ttl": "3600"},
    ],
    "vault-connection-tls": [
        {"address": "http://127.0.0.2:8200"},
        {"address": "http://[::1]:8200"},
        {"address": "https://vault", "skipTlsVerify": "false"},
        {"address": "https://vault", "skipTlsVerify": None},
    ],
    "vault-audit": [
        [resource("vault:kubernetes/authBackendRole:AuthBackendRole", "r", {})],
        [resource(MOUNT, "kv", {}), resource(AUDIT, "f", {"options": {"log_raw": "false"}})],
    ],
    "vault-database-ttl": [{"defaultTtl": "1h", "maxTtl": "24h"}, {"defaultTtl": "3600", "maxTtl": "7200"}],
    "vault-database-statements": [
        sql(MSSQL),
        sql("CREATE USER '{{username}}' WITH PASSWORD '{{password}}' NOSUPERUSER;"),
        sql(base64.b64encode(UNTIL.encode()).decode()),
        sql("CREATE USER {{name}} PASSWORD = '{{password}}' DAYS_TO_EXPIRY = {{expiration}}"),
        sql(UNTIL, "-- never SUPERUSER"),
        sql(),
    ],
    "vault-database-allowed-roles": [{"allowedRoles": None}, {"path": "db", "mysqls": None}],
    "vault-database-root-password": [
        {"mysql": {"connectionUrl": "{{username}}:{{password}}@tcp(db:3306)/", "passwordWo": "w"}},
        {"oracle": {"connectionUrl": "{{username}}/{{password}}@//db:1521/app"}},
        {"postgresql": {"connectionUrl": "host=db password='{{password}}' user='{{username}}'"}},
        {"mssql": {"connectionUrl": "sqlserver://{{username}}:{{password}}@db:1433;database=app"}},
        {"postgresql": {"connectionUrl": "postgresql://db:5432/app", "password": None}},
        {"snowflake": {"connectionUrl": "{{username}}:{{password}}@account/db"}},
    ],
    "vault-database-root-rotation": [
        [connection(backend="/database/"), resource(ENDPOINT, "r", {"path": "/database/rotate-root/app/"})],
        [connection(postgresql={"connectionUrl": "postgres://db", "authType": "gcp_iam"})],
        [connection(postgresql=None, mongodbatlas={"privateKey": "k"})],
        [
            resource(DATABASE, "db", {"path": "db", "postgresqls": [{"name": "app"}], "description": "x"}),
            resource(ENDPOINT, "r", {"path": "db/rotate-root/app"}),
        ],
    ],
    "vault-kubernetes-bound": [
        {"boundServiceAccountNames": "app", "boundServiceAccountNamespaces": ["production", "staging"]},
    ],
    "vault-kubernetes-audience": [
        login("jwt", {"name": "a", "audiences": ["vault"]}),
        {
            "spec": {"provider": {"vault": {"auth": {"jwt": {"kubernetesServiceAccountToken": {}}}}}}
        },  # "vault" by default
        {"spec": {"provider": {"vault": {"auth": {"appRole": {"roleId": "x"}}}}}},
    ],
    "vault-kubernetes-token-ttl": [
        {"tokenMaxTtl": "1h"},
        {"tokenMaxTtl": "1h", "tokenTtl": UNKNOWN},
        {"tokenTtl": "15m", "tokenExplicitMaxTtl": "2h"},
        {"tokenTtl": 900.0, "tokenMaxTtl": "3600", "tokenPeriod": 0},
    ],
}
OPEN: dict[str, list[Any]] = {
    "vault-token-bounded": [{"policies": ["app"], "ttl": "1h", "period": UNKNOWN}],
    "vault-connection-tls": [{"address": "https://vault", "skipTlsVerify": UNKNOWN}],
    "vault-audit": [[resource(AUDIT, "file", {"options": {"log_raw": UNKNOWN}})]],
    "vault-database-statements": [sql(UNTIL, UNKNOWN)],
    "vault-database-allowed-roles": [{"allowedRoles": [UNKNOWN, "app"]}],
    "vault-database-root-rotation": [[connection(name=UNKNOWN)]],
    "vault-kubernetes-token-ttl": [
        {"tokenTtl": 900, "tokenMaxTtl": UNKNOWN},
        {"tokenTtl": UNKNOWN, "tokenMaxTtl": 86400},
    ],
}
