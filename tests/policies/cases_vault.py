"""Cases of the rules about Vault."""

from __future__ import annotations

from tests.policies.kit import UNKNOWN, Case, resource

MOUNT = "vault:index/mount:Mount"
AUDIT = "vault:index/audit:Audit"
CONNECTION = "vault:database/secretBackendConnection:SecretBackendConnection"
ENDPOINT = "vault:generic/endpoint:Endpoint"
URL = "postgresql://{{username}}:{{password}}@db.example.com:5432/app"
CREATE = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'"
UNTIL = f"{CREATE} VALID UNTIL '{{{{expiration}}}}'"


def policy(path: str, *capabilities: str) -> dict[str, str]:
    listed = ", ".join(f'"{item}"' for item in capabilities)
    return {"policy": f'path "{path}" {{\n  capabilities = [{listed}]\n}}\n'}


def connection(**props: object) -> object:
    given = {"backend": "database", "name": "app", "postgresql": {"connectionUrl": URL}, **props}
    return resource(CONNECTION, "app", given)


CASES = (
    Case(
        rule="vault-policy-broad",
        bad=policy("*", "read"),
        good=policy("secret/data/production/payment-api", "read"),
        unknown={"policy": UNKNOWN},
        # two-first-names/vault-config policies.tf and many others: the policy "admin".
        wild=policy("*", "create", "read", "update", "delete", "list", "sudo"),
        source="github.com/two-first-names/vault-config policies.tf",
        more_bad=(
            policy("+/*", "read"),
            policy("secret/data/x", "read", "sudo"),
            policy("sys/raw/core", "read"),
            {"policy": 'path "*" { policy = "write" }'},
            {"policy": '{"path": {"*": {"capabilities": ["read"]}}}'},
            {"policy": '# path "a" {}\npath "*" {\n  allowed_parameters = { "x" = [] }\n  capabilities = ["read"]\n}'},
        ),
        more_good=(
            policy("*", "deny"),
            policy("secret/data/production/*", "read"),
            {"policy": '# path "*" { capabilities = ["sudo"] }\n'},
        ),
    ),
    Case(
        rule="vault-token-bounded",
        bad={"policies": ["root"], "ttl": "1h"},
        good={"policies": ["payment-api"], "ttl": "1h", "explicitMaxTtl": "4h"},
        unknown={"policies": UNKNOWN, "ttl": "1h"},
        # Boundary's credential stores are set up so: periodic, renewable, without an explicit maximum.
        wild={"policies": ["tfc-vault"], "noParent": True, "renewable": True, "period": "24h"},
        source='resource "vault_token" "example", searched for on GitHub',
        more_bad=({"policies": ["app"]}, {"policies": ["app"], "period": "1h"}, {"policies": ["app"], "ttl": "768h"}),
        more_good=({"policies": ["app"], "ttl": "24h", "renewable": False},),
    ),
    Case(
        rule="vault-connection-tls",
        bad={"address": "http://vault.example.com:8200"},
        good={"address": "https://vault.example.com:8200"},
        unknown={"address": UNKNOWN},
        # The address that most in-cluster examples use, as hashicorp/vault-helm has global.tlsDisable: true.
        wild={"address": "http://vault.vault.svc:8200"},
        source="github.com/hashicorp/vault-helm values.yaml, global.tlsDisable: true",
        more_bad=({"address": "https://vault.example.com:8200", "skipTlsVerify": "true"}, {"skipTlsVerify": True}),
        more_good=(
            {"address": "http://127.0.0.1:8200", "skipTlsVerify": True},
            {"address": "https://localhost:8200", "skipTlsVerify": True},
            {},
        ),
    ),
    Case(
        rule="vault-audit",
        bad=[resource(MOUNT, "kv", {"path": "secret", "type": "kv"})],
        good=[
            resource(MOUNT, "kv", {"path": "secret", "type": "kv"}),
            resource(AUDIT, "file", {"type": "file", "options": {"file_path": "/var/log/vault.log"}}),
        ],
        unknown=[resource(AUDIT, "file", {"type": "file", "options": UNKNOWN})],
        # nahsi-homelab/terraform postgres/vault.tf: a database mount, and no audit device in the stack.
        wild=[resource(MOUNT, "database", {"path": "postgres", "type": "database"})],
        source="github.com/nahsi-homelab/terraform postgres/vault.tf",
        more_bad=([resource(AUDIT, "file", {"type": "file", "options": {"log_raw": "true"}})],),
        more_good=([resource("vault:index/policy:Policy", "app", {"policy": ""})], []),
    ),
    Case(
        rule="vault-database-ttl",
        bad={"defaultTtl": 7200, "maxTtl": 3600},
        good={"defaultTtl": 3600, "maxTtl": 86400},
        unknown={"defaultTtl": UNKNOWN, "maxTtl": 3600},
        # AdrienneCohea/terraform-vault-database-integration postgresql.tf: a role without any TTL.
        wild={"backend": "database", "name": "app", "dbName": "app", "creationStatements": []},
        source="github.com/AdrienneCohea/terraform-vault-database-integration postgresql/postgresql.tf",
        more_bad=({"defaultTtl": 0, "maxTtl": 3600}, {"defaultTtl": 3600}, {"defaultTtl": 3600, "maxTtl": 2764800}),
        more_good=({"defaultTtl": 3600.0, "maxTtl": 3600.0},),
    ),
    Case(
        rule="vault-database-statements",
        bad={"creationStatements": [CREATE]},
        good={"creationStatements": [UNTIL, 'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{{name}}"']},
        unknown={"creationStatements": [UNKNOWN]},
        # Found in ten public repositories, also as a file of HashiCorp's own tutorials.
        wild={"creationStatements": [f"{CREATE} SUPERUSER VALID UNTIL '{{{{expiration}}}}'"]},
        source='"WITH SUPERUSER LOGIN PASSWORD", searched for on GitHub',
        more_bad=({"creationStatements": "CREATE USER \"{{name}}\" WITH PASSWORD '{{password}}'"},),
        more_good=(
            {"creationStatements": [f"{UNTIL} NOSUPERUSER"]},
            {"creationStatements": ["CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'"]},  # MySQL has no end
            {"creationStatements": ['{"db": "admin", "roles": [{"role": "readWrite"}]}']},  # MongoDB
        ),
    ),
    Case(
        rule="vault-database-allowed-roles",
        bad={"allowedRoles": ["*"]},
        good={"allowedRoles": ["app-readwrite"]},
        unknown={"allowedRoles": UNKNOWN},
        # Found in ten public repositories: `vault write database/config/postgres allowed_roles="*"`.
        wild={"backend": "database", "name": "postgres", "allowedRoles": ["*"], "postgresql": {"connectionUrl": URL}},
        source='allowed_roles="*", searched for on GitHub',
        more_bad=({"allowedRoles": ["app-*"]}, {"path": "db", "postgresqls": [{"name": "app", "allowedRoles": ["*"]}]}),
        more_good=({}, {"allowedRoles": []}, {"path": "db", "postgresqls": [{"name": "app", "allowedRoles": ["app"]}]}),
    ),
    Case(
        rule="vault-database-root-password",
        bad={"postgresql": {"connectionUrl": URL, "username": "vault", "password": "in-the-clear"}},
        good={
            "postgresql": {"connectionUrl": URL, "username": "vault", "passwordWo": "written", "passwordWoVersion": 1}
        },
        unknown={"postgresql": {"connectionUrl": UNKNOWN, "passwordWo": "written"}},
        # lukeb0t/boundary-sandbox vault_databases.tf: user name and password interpolated into the URL.
        wild={"postgresql": {"connectionUrl": "postgresql://postgres:hunter2@db:5432/postgres?sslmode=disable"}},
        source="github.com/lukeb0t/boundary-sandbox vaul-cs-module/vault_databases.tf",
        more_bad=(
            {"postgresql": {"connectionUrl": URL, "password": UNKNOWN}},
            {"mysqls": [{"name": "app", "password": "in-the-clear"}]},
            {"postgresql": {"connectionUrl": "host=db user=vault password=hunter2"}},
        ),
        more_good=({"postgresql": {"connectionUrl": "host=db user={{username}} password={{password}}"}},),
    ),
    Case(
        rule="vault-database-root-rotation",
        bad=[connection()],
        good=[connection(), resource(ENDPOINT, "rotate", {"path": "database/rotate-root/app", "dataJson": "{}"})],
        unknown=[connection(), resource(ENDPOINT, "rotate", {"path": UNKNOWN})],
        # nahsi-homelab/terraform postgres/vault.tf: no rotation anywhere.
        wild=[connection(name="postgres", allowedRoles=["admin"])],
        source="github.com/nahsi-homelab/terraform postgres/vault.tf",
        more_bad=([connection(), resource(ENDPOINT, "rotate", {"path": "database/rotate-root/other"})],),
        more_good=([connection(rotationPeriod=86400)], []),
    ),
    Case(
        rule="vault-kubernetes-bound",
        bad={"boundServiceAccountNames": ["*"], "boundServiceAccountNamespaces": ["production"]},
        good={"boundServiceAccountNames": ["payment-api"], "boundServiceAccountNamespaces": ["production"]},
        unknown={"boundServiceAccountNames": UNKNOWN, "boundServiceAccountNamespaces": ["production"]},
        # Found in ten public repositories at once, such as the role "external-secrets" of a GitOps starter.
        wild={
            "roleName": "external-secrets",
            "boundServiceAccountNames": ["external-secrets"],
            "boundServiceAccountNamespaces": ["*"],
            "tokenTtl": 3600,
        },
        source='bound_service_account_namespaces = ["*"], searched for on GitHub',
        more_bad=({"boundServiceAccountNames": ["app-*"], "boundServiceAccountNamespaces": ["a"]}, {}),
        more_good=({"boundServiceAccountNames": ["app"], "boundServiceAccountNamespaceSelector": "{}"},),
    ),
    Case(
        rule="vault-kubernetes-audience",
        bad={"roleName": "payment-api", "boundServiceAccountNames": ["payment-api"]},
        good={"roleName": "payment-api", "audience": "vault"},
        unknown={"audience": UNKNOWN},
        # Most of the roles found for the rule above have no audience either.
        wild={"roleName": "external-secrets", "tokenTtl": 3600, "tokenPolicies": ["external-secrets"]},
        source='bound_service_account_namespaces = ["*"], searched for on GitHub',
        more_bad=(
            {"spec": {"provider": {"vault": {"auth": {"kubernetes": {"serviceAccountRef": {"name": "payment-api"}}}}}}},
            {"spec": {"provider": {"auth": {"kubernetes": {"serviceAccountRef": {"name": "payment-api"}}}}}},
        ),
        more_good=(
            {"spec": {"provider": {"aws": {"auth": {"jwt": {"serviceAccountRef": {"name": "payment-api"}}}}}}},
            {
                "spec": {
                    "provider": {
                        "vault": {"auth": {"kubernetes": {"serviceAccountRef": {"name": "a", "audiences": ["vault"]}}}}
                    }
                }
            },
        ),
    ),
    Case(
        rule="vault-kubernetes-token-ttl",
        bad={"tokenTtl": 3600, "tokenMaxTtl": 2764800},
        good={"tokenTtl": 3600, "tokenMaxTtl": 3600},
        unknown={"tokenTtl": UNKNOWN, "tokenMaxTtl": 86400},
        # The role "vso-auth" of a tenant module: token_ttl of a day, no maximum.
        wild={"roleName": "tenant", "tokenTtl": 86400},
        source='alias_name_source = "serviceaccount_name" tenant module with token_ttl = 86400',
        more_bad=({"tokenTtl": 600, "tokenMaxTtl": 3600, "tokenPeriod": 600}, {}),
    ),
)
