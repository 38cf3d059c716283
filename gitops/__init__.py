"""What a repository with encrypted files needs: commands for Sealed Secrets and for SOPS.

``python -m gitops sealed --help`` and ``python -m gitops sops --help`` list them.
"""
