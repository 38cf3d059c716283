"""SOPS: set a repository up, encrypt, edit, rotate, manage recipients, and find plaintext before it is committed."""
