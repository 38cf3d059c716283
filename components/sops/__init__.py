"""SOPS: files that are encrypted in git, read as Pulumi secrets from the first line."""
