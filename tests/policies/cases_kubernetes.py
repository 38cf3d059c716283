"""Cases of the rules about External Secrets, Sealed Secrets, Kubernetes and Helm."""

from __future__ import annotations

from typing import Any

from tests.policies.kit import UNKNOWN, Case, resource

EXTERNAL = "kubernetes:external-secrets.io/v1:ExternalSecret"
GENERATOR = "kubernetes:generators.external-secrets.io/v1alpha1:VaultDynamicSecret"
ROLE = "vault:database/secretBackendRole:SecretBackendRole"
CREDS = "database/creds/app-readwrite"
GENERATED = {"sourceRef": {"generatorRef": {"kind": "VaultDynamicSecret", "name": "db-creds"}}}
IRSA = {"jwt": {"serviceAccountRef": {"name": "payment-api"}}}


def store(provider: Any, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "vault", "namespace": "production"}, "spec": {"provider": provider, **spec}}


def external(spec: Any, namespace: Any = "production") -> dict[str, Any]:
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {"name": "db-creds", "namespace": namespace},
        "spec": spec,
    }


def keyed(*keys: Any) -> dict[str, Any]:
    return external({"data": [{"secretKey": f"k{at}", "remoteRef": {"key": key}} for at, key in enumerate(keys)]})


def dynamic_stack(interval: Any, ttl: Any, path: Any = CREDS) -> list[Any]:
    return [
        resource(EXTERNAL, "secret", external({"refreshInterval": interval, "dataFrom": [GENERATED]})),
        resource(
            GENERATOR, "gen", {"metadata": {"name": "db-creds", "namespace": "production"}, "spec": {"path": path}}
        ),
        resource(ROLE, "role", {"backend": "database", "name": "app-readwrite", "defaultTtl": ttl}),
    ]


def release(chart: str, values: Any = None, **more: Any) -> dict[str, Any]:
    repo = {"repo": "https://charts.example.com"}
    return {"chart": chart, "version": "1.2.3", "repositoryOpts": repo, "values": values or {}, **more}


def pod(container: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


def rules(*found: Any) -> dict[str, Any]:
    return {"metadata": {"name": "role"}, "rules": list(found)}


def reads(**more: Any) -> dict[str, Any]:
    return {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"], **more}


FROM_SECRET = {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db-creds", "key": "password"}}}
CASES = (
    Case(
        rule="store-tls",
        bad=store({"vault": {"server": "http://vault.example.com:8200"}}),
        good=store({"vault": {"server": "https://vault.example.com:8200"}}),
        unknown=store({"vault": {"server": UNKNOWN}}),
        # The server of the operator's own Vault guide and of many copies of it.
        wild=store(
            {"vault": {"server": "http://vault.vault.svc.cluster.local:8200", "path": "secret", "version": "v2"}}
        ),
        source="external-secrets.io, HashiCorp Vault provider; copied into many repositories",
        more_bad=(store({"webhook": {"url": "HTTP://hooks.example.com"}}), store({"conjur": {"url": "http://conjur"}})),
        more_good=(store({"vault": {"server": "http://127.0.0.1:8200"}}), store({"aws": {"region": "eu-central-1"}})),
    ),
    Case(
        rule="store-static-login",
        bad=store({"vault": {"auth": {"appRole": {"secretRef": {"name": "approle", "key": "secret-id"}}}}}),
        good=store({"vault": {"auth": {"kubernetes": {"serviceAccountRef": {"name": "payment-api"}}}}}),
        unknown=store({"vault": {"auth": UNKNOWN}}),
        # external-secrets/external-secrets docs/snippets/vault-token-store.yaml
        wild=store(
            {
                "vault": {
                    "auth": {"tokenSecretRef": {"name": "my-secret", "namespace": "secret-admin", "key": "vault-token"}}
                }
            }
        ),
        source="github.com/external-secrets/external-secrets docs/snippets/vault-token-store.yaml",
        more_bad=(store({"aws": {"auth": {"secretRef": {"accessKeyIDSecretRef": {"name": "aws"}}}}}),),
        more_good=(store({"aws": {"auth": IRSA}}),),
    ),
    Case(
        rule="cluster-store-conditions",
        bad=store({"aws": {}}),
        good=store({"aws": {}}, conditions=[{"namespaces": ["production"]}]),
        unknown=store({"aws": {}}, conditions=UNKNOWN),
        # Nynra/k3s-eks chart/templates/cluster-secret-store.yaml.tpl has no conditions, as the operator's own guide.
        wild=store({"vault": {"server": "https://vault", "path": "secret", "version": "v2"}}),
        source="github.com/Nynra/k3s-eks chart/templates/cluster-secret-store.yaml.tpl",
        more_bad=(store({}, conditions=[{}]), store({}, conditions=[{"namespaceRegexes": [".*"]}])),
        more_good=(store({}, conditions=[{"namespaceSelector": {"matchLabels": {"team": "payments"}}}]),),
    ),
    Case(
        rule="store-provider-allowed",
        bad=store({"fake": {"data": []}}),
        good=store({"aws": {"service": "SecretsManager"}}),
        unknown=store(UNKNOWN),
        # The operator's guide for tests uses the fake provider, whose values stand in the store itself.
        wild=store({"fake": {"data": [{"key": "/foo/bar", "value": "HELLO1", "version": "v1"}]}}),
        source="external-secrets.io, fake provider",
    ),
    Case(
        rule="external-secret-prefix",
        bad=keyed("staging/payment-api"),
        good=keyed("production/payment-api", "/production/other"),
        unknown=keyed(UNKNOWN),
        # koskev/k8s argocd/applications/default/chhoto-url/secret.jsonnet: a key without any prefix.
        wild=external({"refreshInterval": "1h", "dataFrom": [{"extract": {"key": "chhoto"}}]}, "default"),
        source="github.com/koskev/k8s argocd/applications/default/chhoto-url/secret.jsonnet",
        more_bad=(keyed("productionish/x"), external({"dataFrom": [{"find": {"name": {"regexp": ".*"}}}]})),
        more_good=(
            keyed("arn:aws:secretsmanager:eu-central-1:111122223333:secret:production/payment-api-AbCdEf"),
            external({"dataFrom": [GENERATED]}),
        ),
    ),
    Case(
        rule="external-secret-refreshed",
        bad=external({"refreshInterval": "0", "dataFrom": [GENERATED]}),
        good=external({"refreshInterval": "45m", "dataFrom": [GENERATED]}),
        unknown=external({"refreshInterval": UNKNOWN, "dataFrom": [GENERATED]}),
        # What the ExternalSecret reference says of 0, "fetch and create it once", put on a dynamic path.
        wild=external({"refreshInterval": "0s", "data": [{"secretKey": "password", "remoteRef": {"key": CREDS}}]}),
        source="external-secrets.io API reference: refreshInterval may be set to zero to fetch and create it once",
        more_bad=(external({"refreshPolicy": "CreatedOnce", "dataFrom": [GENERATED]}),),
        more_good=(external({"refreshInterval": "0", "data": [{"remoteRef": {"key": "production/static"}}]}),),
    ),
    Case(
        rule="external-secret-before-lease-ends",
        bad=dynamic_stack("55m", 3600),
        good=dynamic_stack("45m", 3600),
        unknown=dynamic_stack("45m", 3600, path=UNKNOWN),
        # The operator's default interval of 1h on the 1h of the role in Vault's own tutorials.
        wild=dynamic_stack("1h", 3600),
        source="external-secrets.io default refreshInterval 1h; developer.hashicorp.com default_ttl=1h",
        more_bad=(
            dynamic_stack("2h", 3600, path=f"/{CREDS}/"),
            [resource(EXTERNAL, "secret", keyed(CREDS)), dynamic_stack("1m", 3600)[2]],
        ),
        more_good=([], dynamic_stack("2h", 3600, path="database/creds/another")),
    ),
    Case(
        rule="external-secret-one-lease",
        bad=keyed(CREDS, f"/{CREDS}"),
        good=external({"dataFrom": [GENERATED]}),
        unknown=keyed(UNKNOWN, CREDS),
        # The pair that the project started from: user name and password by two references.
        wild=external(
            {
                "data": [
                    {"secretKey": "username", "remoteRef": {"key": CREDS, "property": "username"}},
                    {"secretKey": "password", "remoteRef": {"key": CREDS, "property": "password"}},
                ]
            }
        ),
        source="the common pattern of two remoteRefs to database/creds",
        more_good=(keyed("production/app", "production/app"),),
    ),
    Case(
        rule="external-secrets-api-version",
        bad={**external({}), "apiVersion": "external-secrets.io/v1alpha1"},
        good=external({}),
        unknown={**external({}), "apiVersion": UNKNOWN},
        # mojaloop/iac-modules certman-extsecret.yaml.tpl, and most pages that were written before 0.17.
        wild={**external({}), "apiVersion": "external-secrets.io/v1beta1"},
        source="github.com/mojaloop/iac-modules terraform/gitops/generate-files/templates/certmanager",
        more_good=(
            {"apiVersion": "external-secrets.io/v1alpha1", "kind": "PushSecret"},
            {"apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "VaultDynamicSecret"},
        ),
    ),
    Case(
        rule="operator-token-creation",
        bad=release("external-secrets", {"rbac": {"serviceAccountTokenCreate": True}}),
        good=release("external-secrets", {"rbac": {"serviceAccountTokenCreate": False}}),
        unknown=release("external-secrets", {"rbac": UNKNOWN}),
        # The chart's default, as isaacambi/devops-complete terraform/external-secrets.tf installs it: no values at all.
        wild=release("external-secrets"),
        source="github.com/external-secrets/external-secrets chart default; isaacambi/devops-complete",
        more_good=(
            release("another"),
            release("external-secrets", {"scopedNamespace": "production", "scopedRBAC": True}),
            release("oci://ghcr.io/external-secrets/charts/external-secrets", {"rbac": {"create": False}}),
        ),
    ),
    Case(
        rule="sealed-secret-scope",
        bad={
            "metadata": {"name": "x"},
            "spec": {"template": {"metadata": {"annotations": {"sealedsecrets.bitnami.com/cluster-wide": "true"}}}},
        },
        good={"metadata": {"name": "x", "annotations": {}}, "spec": {"encryptedData": {"A": "AgB"}}},
        unknown={"metadata": {"annotations": UNKNOWN}},
        # charts that template a SealedSecret from values, to be installed into any namespace.
        wild={"metadata": {"name": "app", "annotations": {"sealedsecrets.bitnami.com/cluster-wide": "true"}}},
        source="found in ten public repositories; HAT-Here-And-There/here-and-there-kubernetes seals so",
        more_good=({"metadata": {"annotations": {"sealedsecrets.bitnami.com/namespace-wide": "true"}}},),
    ),
    Case(
        rule="sealing-key-renewal",
        bad=release("sealed-secrets", {"keyrenewperiod": "0"}),
        good=release("sealed-secrets", {"keyrenewperiod": "720h"}),
        unknown=release("sealed-secrets", {"keyrenewperiod": UNKNOWN}),
        # Found in ten public repositories; one of them tells how its only certificate expired.
        wild=release("sealed-secrets", {"args": ["--key-renew-period=0"]}),
        source='"--key-renew-period=0", searched for on GitHub',
        more_bad=(release("sealed-secrets", {"keyrenewperiod": "8760h"}),),
        more_good=(release("sealed-secrets"), release("another", {"keyrenewperiod": "0"})),
    ),
    Case(
        rule="raw-secret",
        bad={"metadata": {"name": "x"}, "stringData": {"password": "hunter2"}},
        good={"metadata": {"name": "x"}, "type": "Opaque"},
        unknown={"metadata": {"name": "x"}, "data": UNKNOWN},
        # kloudlite/kloudlite charts/kloudlite-agent/templates/secrets/cluster-identity-secret.yml.tpl
        wild={"metadata": {"name": "identity"}, "stringData": {"CLUSTER_TOKEN": "from-the-values"}},
        source="github.com/kloudlite/kloudlite charts/kloudlite-agent/templates/secrets",
        more_bad=({"data": {"a": "Yg=="}},),
        more_good=({"type": "kubernetes.io/service-account-token", "data": {"extra": "Yg=="}},),
    ),
    Case(
        rule="service-account-token-secret",
        bad={"metadata": {"name": "x"}, "type": "kubernetes.io/service-account-token"},
        good={"metadata": {"name": "x"}, "type": "Opaque"},
        unknown={"metadata": {"name": "x"}, "type": UNKNOWN},
        # fazhong/bevel platforms/hyperledger-fabric/configuration/roles/k8_component/templates/vault_auth.tpl
        wild={
            "metadata": {"name": "vault-auth", "annotations": {"kubernetes.io/service-account.name": "vault-auth"}},
            "type": "kubernetes.io/service-account-token",
        },
        source="github.com/fazhong/bevel platforms/hyperledger-fabric/.../vault_auth.tpl",
    ),
    Case(
        rule="secret-in-environment",
        bad=pod({"env": [FROM_SECRET]}),
        good=pod({"env": [{"name": "LEVEL", "value": "info"}], "volumeMounts": [{"name": "db"}]}),
        unknown=pod({"env": [{"name": "X", "valueFrom": UNKNOWN}]}),
        # The official postgres image's way of its password, in nearly every manifest of it.
        wild=pod(
            {"name": "postgres", "env": [{"name": "POSTGRES_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "pg"}}}]}
        ),
        source="manifests of the official postgres image",
        more_bad=(
            pod({"envFrom": [{"secretRef": {"name": "app"}}]}),
            {"spec": {"initContainers": [{"env": [FROM_SECRET]}]}},
            {"spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"env": [FROM_SECRET]}]}}}}}},
        ),
        more_good=(pod({"envFrom": [{"configMapRef": {"name": "app"}}]}),),
    ),
    Case(
        rule="secret-in-config-map",
        bad={"data": {"DB_PASSWORD": "hunter2"}},
        good={
            "data": {
                "DB_HOST": "db.example.com",
                "PASSWORD_FILE": "/secrets/db",
                "TOKEN_TTL": "1h",
                "API_KEY": "${API_KEY}",
            }
        },
        unknown={"data": {"DB_PASSWORD": UNKNOWN}},
        # PostgreSQL tutorials keep POSTGRES_PASSWORD next to POSTGRES_DB in a ConfigMap.
        wild={"data": {"POSTGRES_DB": "postgresdb", "POSTGRES_USER": "admin", "POSTGRES_PASSWORD": "psltest"}},
        source='"POSTGRES_PASSWORD: psltest", searched for on GitHub',
        more_bad=(
            {"data": {"url": "postgresql://app:" + "hunter2" + "@db/app"}},
            {"data": {"key.pem": "-----BEGIN " + "RSA PRIVATE KEY-----\nMII"}},
            {"data": {"x": "AKIA" + "ABCDEFGHIJKLMNOP"}},
        ),
        more_good=({"data": {"url": "postgresql://{{username}}:{{password}}@db/app"}}, {"data": {}}),
    ),
    Case(
        rule="rbac-every-secret",
        bad=rules({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}),
        good=rules(reads(resourceNames=["db-creds"])),
        unknown=rules(reads(resourceNames=UNKNOWN)),
        # ack-secret-manager's chart: a ClusterRole that reads and writes every secret.
        wild=rules(
            {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "list", "watch", "update"]}
        ),
        source="ack-secret-manager charts, templates/rbac.yaml",
        more_bad=(rules(reads(verbs=["get"])),),
        more_good=(
            rules(reads(verbs=["create"])),
            rules(reads(apiGroups=["apps"])),
            rules(
                {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"], "resourceNames": ["a"]}
            ),
        ),
    ),
    Case(
        rule="chart-pinned",
        bad=release("external-secrets", version="~> 0.10.5"),
        good=release("external-secrets"),
        unknown=release("external-secrets", version=UNKNOWN),
        # Cloudhaven-IDP/Infrastructure platform/pi-cluster/operators/external-secrets.tf: the version is commented out.
        wild={"chart": "external-secrets", "repositoryOpts": {"repo": "https://charts.external-secrets.io"}},
        source="github.com/Cloudhaven-IDP/Infrastructure platform/pi-cluster/operators/external-secrets.tf",
        more_bad=(
            release("x", repositoryOpts={"repo": "http://charts.example.com"}),
            release("repo/x", repositoryOpts=None),
            release("x", version="latest"),
        ),
        more_good=(
            {"chart": "./charts/local"},
            {"chart": "oci://ghcr.io/external-secrets/charts/external-secrets", "version": "2.9.0"},
        ),
    ),
)
