"""Sealed Secrets: seal and verify files, re-encrypt a repository, back the sealing keys up and restore them."""
