"""One mistake in many spellings, and what looks like it and is none: External Secrets, Sealed Secrets, Kubernetes, Helm."""

from __future__ import annotations

import base64
from typing import Any

from policies.data import SECRET
from tests.policies.cases_kubernetes import (
    CREDS,
    EXTERNAL,
    FROM_SECRET,
    GENERATED,
    GENERATOR,
    ROLE,
    dynamic_stack,
    external,
    keyed,
    pod,
    reads,
    release,
    rules,
    store,
)
from tests.policies.kit import UNKNOWN, resource

PEM = "-----BEGIN " + "PRIVATE KEY-----\nMIIE"
V1BETA1 = "kubernetes:external-secrets.io/v1beta1:ExternalSecret"
DIGEST = "@sha256:" + "0" * 64


def env(name: str, value: Any) -> dict[str, Any]:
    return pod({"env": [None, {"name": name, "value": value}]})


def config(key: str, value: Any) -> dict[str, Any]:
    return {"data": {key: value}}


def generated(kind: str, **spec: Any) -> dict[str, Any]:
    reference = {"sourceRef": {"generatorRef": {"kind": kind, "name": "g"}}}
    return external({"dataFrom": [reference], **spec})


def find(**what: Any) -> dict[str, Any]:
    return external({"dataFrom": [{"find": what}]})


def regexes(*patterns: str) -> dict[str, Any]:
    return store({"aws": {}}, conditions=[{"namespaceRegexes": list(patterns)}])


VIOLATES: dict[str, list[Any]] = {
    "store-tls": [
        store({"akeyless": {"akeylessGWApiURL": "http://gw"}}),
        store({"infisical": {"hostAPI": "http://infisical/api"}}),
        store({"onepassword": {"connectHost": "http://connect:8080"}}),
        store({"kubernetes": {"server": {"url": "HTTP://k8s"}}}),
        store({"vault": {"server": "http://127.0.0.1.nip.io"}}),
        store({"server": "http://vault:8200", "path": "x"}),  # a generator's provider is Vault itself
    ],
    "store-static-login": [
        store({"akeyless": {"authSecretRef": {"kubernetesAuth": {"secretRef": {"name": "a"}}}}}),
        store({"infisical": {"auth": {"universalAuthCredentials": {"clientSecret": {"name": "a"}}}}}),
        store({"keepersecurity": {"authRef": {"name": "a"}}}),
        store({"github": {"auth": {"privateKey": {"name": "a"}}}}),
        store({"gitlab": {"auth": {"SecretRef": {"accessToken": {"name": "a"}}}}}),
        store({"akeyless": {"authSecretRef": {"secretRef": {"accessID": {"name": "a"}}}}}),
        store({"vault": {"auth": {"kubernetes": {"secretRef": {"name": "a"}}}}}),
        store({"vault": {"auth": {"userPass": {"secretRef": {"name": "a"}}}}}),
        store({"conjur": {"auth": {"apikey": {"apiKeyRef": {"name": "a"}}}}}),
        store({"auth": {"tokenSecretRef": {"name": "a", "key": "token"}}}),
    ],
    "cluster-store-conditions": [
        store({"aws": {}}, conditions=[]),
        store({"aws": {}}, conditions=None),
        store({"aws": {}}, conditions=[{"namespaceSelector": {}}]),
        store({"aws": {}}, conditions=[{"namespaceSelector": {"matchLabels": {}}}]),
        store({"aws": {}}, conditions=[{"namespaces": ["a"]}, {"namespaceRegexes": ["^.*"]}]),
        regexes("[a-z0-9-]+"),
        regexes(""),
        regexes("team-a", "(.*)"),
    ],
    "store-provider-allowed": [store({"vault": None, "gcpsm": {}}), store({"kubernetes": {}})],
    "external-secret-prefix": [
        external({"data": [{"remoteRef": {"key": "prod/x"}}, {"remoteRef": {"key": "production/x"}}]}),
        keyed("production"),
        keyed("../production/x"),
        find(path="staging/"),
        find(name={"regexp": "^production"}),
        find(tags={"team": "a"}),
    ],
    "external-secret-refreshed": [
        external({"refreshInterval": "0", "dataFrom": [{"extract": {"key": "aws/sts/deploy"}}]}),
        external({"refreshInterval": 0, "dataFrom": [{"extract": {"key": CREDS}}]}),
        external({"refreshInterval": "0h0m0s", "data": [{"remoteRef": {"key": f"/{CREDS}"}}]}),
        external({"refreshPolicy": "CreatedOnce", "refreshInterval": UNKNOWN, "dataFrom": [GENERATED]}),
        generated("ECRAuthorizationToken", refreshInterval="0"),
        generated("STSSessionToken", refreshPolicy="CreatedOnce"),
    ],
    "external-secret-before-lease-ends": [
        dynamic_stack(None, 3600),
        dynamic_stack("49m", "1h"),
        [
            resource(V1BETA1, "s", keyed(CREDS)),
            resource(ROLE, "r", {"backend": "/database/", "name": "app-readwrite", "maxTtl": 600}),
        ],
        [
            resource(EXTERNAL, "s", external({"refreshInterval": "30m", "dataFrom": [{"extract": {"key": CREDS}}]})),
            resource(
                ROLE, "r", {"backend": "database", "name": "app-readwrite", "defaultTtl": 7200.0, "maxTtl": 1800.0}
            ),
        ],
    ],
    "external-secret-one-lease": [
        external({"data": [{"remoteRef": {"key": CREDS}}], "dataFrom": [{"extract": {"key": CREDS}}]}),
        keyed("team/postgres/creds/app", "team/postgres/creds/app"),
    ],
    "operator-token-creation": [
        release("external-secrets", {"scopedNamespace": "production"}),
        release("external-secrets/external-secrets", {"rbac": {"serviceAccountTokenCreate": "true"}}),
        release("external-secrets", {"rbac": {"serviceAccountTokenCreate": True}}, valueYamlFiles=["x"]),
        release("external-secrets", None),
    ],
    "sealed-secret-scope": [{"metadata": {"annotations": {"sealedsecrets.bitnami.com/cluster-wide": True}}}],
    "sealing-key-renewal": [
        release("sealed-secrets", {"keyrenewperiod": 0}),
        release("bitnami/sealed-secrets", {"keyrenewperiod": "0s"}),
        release(
            "oci://registry-1.docker.io/bitnamicharts/sealed-secrets", {"commandArgs": ["--key-renew-period", "0"]}
        ),
        release("sealed-secrets", {"args": ["--update-status", "--key-renew-period=0h"]}),
        release("sealed-secrets", {"keyrenewperiod": "2161h"}),
    ],
    "raw-secret": [
        {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}},
        {"data": None, "stringData": {"a": UNKNOWN}},
        {"stringData": SECRET},
        {"data": {"a": SECRET}},
    ],
    "service-account-token-secret": [
        {
            "metadata": {"name": "x", "namespace": "kube-system"},
            "type": "kubernetes.io/service-account-token",
            "data": {},
        },
    ],
    "secret-in-environment": [
        {"spec": {"containers": [{"name": "a"}, {"env": [FROM_SECRET]}]}},
        {"template": {"spec": {"containers": [{"env": [FROM_SECRET]}]}}},
        pod({"envFrom": [{"prefix": "A_", "secretRef": {"name": "a", "optional": True}}]}),
        {"spec": {"template": {"spec": {"initContainers": [{"envFrom": [{"secretRef": {"name": "a"}}]}]}}}},
        env("DB_PASSWORD", "hunter2"),
        env("SMTP_PASS", "123456"),
        env("AWS_SECRET_ACCESS_KEY", "wJalrXUtn/K7MDENG/bPxRfi"),
        env("DATABASE_URL", "postgresql://app:" + "hunter2" + "@db/app"),
        env("API_TOKEN", SECRET),
    ],
    "secret-in-config-map": [
        config("DB_PASSWORD", "123456"),
        config("application.properties", "db.url=jdbc:x\ndb.password=hunter2\n"),
        config("config.yaml", "db:\n  user: app\n  password: 'hunter2'\n"),
        config("config.json", '{"db": {"password": "hunter2", "user": "app"}}'),
        config(".env", "export API_KEY=abcdef123\n"),
        config("connection", "Server=db;Database=app;User Id=app;Password=" + "hunter2;"),
        {"binaryData": {"key": base64.b64encode(PEM.encode()).decode()}},
        config("apiKey", "abc"),
        config("settings.py", "DEBUG = False\nSECRET_KEY = 'correct horse battery'\n"),
        config("DB_PASSWORD", SECRET),
        config("session.secret", "keyboard cat"),
        config("redis.conf", "maxmemory 1gb\nrequirepass " + "hunter2\n"),
        config(".npmrc", "//registry.npmjs.org/:_authToken=" + "npm_" + "a" * 36),
        config("url", "https://hooks.slack.com/services/" + "T0000000/B0000000/" + "x" * 24),
        config("key", "SG." + "a" * 22 + "." + "b" * 43),
    ],
    "rbac-every-secret": [
        rules(reads(verbs=["watch"], resourceNames=[])),
        rules(reads(apiGroups=["", "apps"], resources=["pods", "secrets"], verbs=["patch"])),
        rules(reads(verbs=["deletecollection"])),
        rules(reads(resources=["*"], apiGroups=["*"], verbs=["get"])),
        rules(reads(resourceNames=["a"]), reads(resourceNames=None)),
        rules(reads(verbs=["get", UNKNOWN])),
    ],
    "chart-pinned": [
        release("x", version="1.x"),
        release("x", version=">=1.2.3"),
        release("x", version="1.2"),
        release("x", version=""),
        release("oci://ghcr.io/a/b", version=None),
        release("http://charts.example.com/x-1.2.3.tgz", repositoryOpts=None),
        {"chart": "x", "version": "1.2.3", "fetchOpts": {"repo": "http://charts.example.com"}},
        {"chart": "x", "version": "1.2.3", "repositoryOpts": {"repo": "s3://bucket"}},
    ],
}
COMPLIES: dict[str, list[Any]] = {
    "store-tls": [
        store(
            {
                "vault": {
                    "server": "HTTPS://vault",
                    "auth": {"jwt": {"kubernetesServiceAccountToken": {"audiences": ["http://a"]}}},
                }
            }
        ),
        store({"fake": {"data": [{"key": "a", "value": "http://a"}]}}),
        store({"kubernetes": {"server": {"url": "https://kubernetes.default"}}}),
        store({"vault": {"server": "http://[::1]:8200"}}),
        {"spec": None},
    ],
    "store-static-login": [
        store({"akeyless": {"authSecretRef": {"kubernetesAuth": {"serviceAccountRef": {"name": "a"}}}}}),
        store(
            {"vault": {"tls": {"certSecretRef": {"name": "a"}}, "auth": {"jwt": {"serviceAccountRef": {"name": "a"}}}}}
        ),
        store({"vault": {"caProvider": {"type": "Secret", "secretRef": {"name": "a"}}}}),
        store({"vault": {"auth": {"tokenSecretRef": None}}}),
        store({"aws": {"auth": {"secretRef": {}}}}),
        store({"vault": {"server": UNKNOWN, "auth": {"kubernetes": {"role": UNKNOWN}}}}),
    ],
    "cluster-store-conditions": [
        regexes("^team-.*$"),
        regexes("("),
        store(
            {"aws": {}}, conditions=[{"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}]
        ),
    ],
    "store-provider-allowed": [store({"vault": {}, "gcpsm": None}), store({})],
    "external-secret-prefix": [
        find(path="production/"),
        find(name={"regexp": "^production/.*"}),
        external({"data": [{"remoteRef": {"key": "default/x"}}]}, None),
    ],
    "external-secret-refreshed": [
        external({"refreshInterval": "0", "data": [{"remoteRef": {"key": "team/sts/deploy"}}]}),
        generated("Password", refreshInterval="0"),
        generated("UUID", refreshPolicy="CreatedOnce"),
        external({"dataFrom": [GENERATED]}),
        external({"refreshInterval": None, "refreshPolicy": "Periodic", "dataFrom": [GENERATED]}),
        external({"refreshInterval": "0", "data": [{"remoteRef": {"key": "production/creds/db"}}]}),
        external({"refreshInterval": "0", "data": [{"remoteRef": {"key": "secret/data/creds/db"}}]}),
        external({"refreshPolicy": "CreatedOnce", "data": [{"remoteRef": {"key": "database/static-creds/app"}}]}),
    ],
    "external-secret-before-lease-ends": [
        dynamic_stack("48m", 3600),
        dynamic_stack("0", 3600),
        dynamic_stack("30m", 0),  # Vault's own default, 768 hours
        dynamic_stack("1h", "24h"),
        [
            resource(EXTERNAL, "s", keyed("production/creds/x")),
            resource(ROLE, "r", {"backend": "production", "name": "x"}),
        ],
        [resource(EXTERNAL, "s", external({"refreshInterval": UNKNOWN, "data": [{"remoteRef": {"key": "a/b"}}]}))],
        [resource(GENERATOR, "g", {"metadata": None, "spec": None})],
    ],
    "external-secret-one-lease": [
        keyed("production/creds/db", "production/creds/db"),  # one secret of that name, in KV or Secrets Manager
        keyed("secret/data/creds/db", "secret/data/creds/db"),
        keyed("database/static-creds/app", "database/static-creds/app"),
        keyed(CREDS, "database/creds/other"),
    ],
    "operator-token-creation": [
        release("external-secrets", {"rbac": {"serviceAccountTokenCreate": "false"}}),
        release("my-external-secrets", {}),
        {},
    ],
    "sealed-secret-scope": [
        {"metadata": {"annotations": {"sealedsecrets.bitnami.com/cluster-wide": "false"}}},
        {"metadata": {"annotations": None}, "spec": {"template": None}},
    ],
    "sealing-key-renewal": [
        release("sealed-secrets", {"keyrenewperiod": ""}),
        release("sealed-secrets", {"keyrenewperiod": "168h", "args": []}),
        release("sealed-secrets", {"args": ["--key-renew-period=720h0m0s"]}),
        release("sealed-secrets-web", {"keyrenewperiod": "0"}),
    ],
    "raw-secret": [{"data": {}, "stringData": None}, {"stringData": {"placeholder": ""}}],
    "secret-in-environment": [
        env("DB_PASSWORD_FILE", "/run/secrets/db"),
        env("SECRET_ARN", "arn:aws:secretsmanager:eu-central-1:1:secret:a"),
        env("DB_PASSWORD", "$(OTHER)"),
        env("DB_SECRET", "production/payment-api/db"),
        env("DB_PASSWORD", ""),
        env("MAX_TOKENS", "4096"),
        env("TOKENIZER", "cl100k_base"),
        env("LEVEL", UNKNOWN),
        pod({"env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
        pod({"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]}),
        {"spec": {"template": {"spec": {"containers": [{}], "volumes": [{"secret": {"secretName": "a"}}]}}}},
        {"spec": {"template": {"spec": {"containers": None, "initContainers": []}}}},
    ],
    "secret-in-config-map": [
        config("SECRET_NAME", "db-creds"),
        config("redis.conf", "requirepass ${REDIS_PASSWORD}\n# requirepass hunter2\n"),
        config("note", "npm_config_cache: see hooks.slack.com/services"),
        config("PASSWORD_MIN_LENGTH", "12"),
        config("ACCESS_TOKEN_LIFETIME", "15m"),
        config("TOKEN_SERVICE", "https://auth.example.com/token"),
        config(
            "config.yaml", "db:\n  password: ${DB_PASSWORD}\n  passwordFile: /run/secrets/db\n  secretName: db-creds\n"
        ),
        config("app.properties", "spring.datasource.password={{ password }}\ntoken.ttl=1h\n# password: changeme\n"),
        config("run.sh", 'PASSWORD=$(cat /run/secrets/db)\nTOKEN="$1"\nexport DB_PASSWORD=$DB_PASSWORD\n'),
        config("main.py", "password = args.password\ntoken = get_token()\n"),
        config("config.yaml", "tls:\n  secret: my-tls-secret\nbearer_token_file: /var/run/token\n"),
        config("url", "postgresql://app:<password>@db/app"),
        config("url", "https://example.com:443/a@b"),
        config("SECRET_BACKEND", "vault"),
        config("postgresql.conf", "password_encryption = scram-sha-256\nmax_connections = 100\n"),
        config(
            "values.yaml",
            "imagePullSecret: regcred\nauth:\n  existingSecret: db-creds\n  token_endpoint_auth_method: basic\n",
        ),
        config(
            "prometheus.yml", "authorization:\n  credentials_file: /etc/token\nbasic_auth:\n  password_file: /etc/pw\n"
        ),
        config("messages.properties", "login.password=Password\nlogin.token=Your token, please\n"),
        config("form.json", '{"type": "object", "password": "string", "label": {"password": "Password"}}'),
        config("my.cnf", "validate_password.length=8\nvalidate_password.policy=MEDIUM\n"),
        config("DB_PASSWORD", None),
        {"data": {"LEVEL": UNKNOWN}, "binaryData": {"logo": "iVBORw0KGgo="}},
    ],
    "rbac-every-secret": [
        rules(reads(resources=["secrets/status", "configmaps"])),
        rules(reads(apiGroups=["external-secrets.io"], resources=["*"])),
        rules(reads(apiGroups=["apps"], verbs=UNKNOWN)),
        rules({"nonResourceURLs": ["/metrics"], "verbs": ["get"]}),
        rules(reads(verbs=["create"])),
        {"rules": None},
    ],
    "chart-pinned": [
        release("x", version="v1.2.3-rc.1+build"),
        release("https://charts.example.com/x-1.2.3.tgz", version=None, repositoryOpts=None),
        release(f"oci://ghcr.io/a/b{DIGEST}", version=None, repositoryOpts=None),
        {"chart": "x", "fetchOpts": {"repo": "https://charts.example.com", "version": "1.2.3"}},
        {"chart": "x", "repo": "https://charts.example.com", "version": "1.2.3"},
        {"path": "./charts/x"},
        {"chart": "/abs/chart"},
    ],
}
OPEN: dict[str, list[Any]] = {
    "store-static-login": [store({"vault": UNKNOWN}), store({"vault": {"auth": {"appRole": UNKNOWN}}})],
    "cluster-store-conditions": [store({}, conditions=[{"namespaces": UNKNOWN}])],
    "external-secret-prefix": [external({"data": [UNKNOWN]}), find(path=UNKNOWN), external({"data": []}, UNKNOWN)],
    "external-secret-refreshed": [keyed(UNKNOWN)],
    "external-secret-before-lease-ends": [dynamic_stack(UNKNOWN, 3600), dynamic_stack("45m", UNKNOWN)],
    "operator-token-creation": [
        release("external-secrets", {}, valueYamlFiles=["x"]),
        release(UNKNOWN),
        release("external-secrets", UNKNOWN),
    ],
    "sealing-key-renewal": [
        release("sealed-secrets", {"args": [UNKNOWN]}),
        release("sealed-secrets", {}, valueYamlFiles=["x"]),
    ],
    "service-account-token-secret": [{"type": UNKNOWN, "data": {"a": "b"}}],
    "secret-in-environment": [env("DB_PASSWORD", UNKNOWN), pod(UNKNOWN), {"spec": UNKNOWN}, pod({"env": UNKNOWN})],
    "secret-in-config-map": [{"data": UNKNOWN}, config("LEVEL", SECRET)],
    "rbac-every-secret": [rules(UNKNOWN), rules(reads(verbs=UNKNOWN)), {"rules": UNKNOWN}],
    "chart-pinned": [release("x", repositoryOpts={"repo": UNKNOWN}), {}],
}
