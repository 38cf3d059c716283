"""SOPS: a file that is encrypted in git becomes a secret in Vault KV, and never a plain file.

``sops`` finds its key as always: SOPS_AGE_KEY_FILE, the AWS credential chain, or VAULT_ADDR with VAULT_TOKEN. The commands
for such files are in docs/sops.md.
"""

from pathlib import Path

import pulumi

from components.sops.sops_file import SopsFile
from components.vault.kv import VaultKv

config = pulumi.Config()
kv = VaultKv("kv", {})
file = SopsFile(
    "report-mailer",
    {
        "path": str(Path(config.require("repository")) / "secrets/dev/report-mailer.yaml"),
        "vault_kv": {"mount": kv.mount_path, "path": "dev/report-mailer"},
    },
)
pulumi.export("keys", file.values.apply(sorted))
