"""What can go wrong with encrypted files.

    GitOpsError
    ├── PlaintextFound     a file holds in clear what must be encrypted
    ├── ControllerError    the sealed-secrets controller, or the cluster, refused or could not be reached
    │   └── CannotOpen     the controller has no key for it, or it was sealed for another place
    ├── BackupError        a backup cannot be written, read or trusted
    └── SopsCommandError   sops refused; the message holds its own words, never a value

Messages name the file or argument, what was expected and the fix. They never hold a secret's value.
"""


class GitOpsError(Exception):
    """The base of them all."""


class PlaintextFound(GitOpsError):
    """A file holds in clear what must be encrypted."""


class ControllerError(GitOpsError):
    """The controller or the cluster refused, or could not be reached."""


class CannotOpen(ControllerError):
    """The controller cannot open a sealed secret."""


class BackupError(GitOpsError):
    """A backup cannot be written, read or trusted."""


class SopsCommandError(GitOpsError):
    """sops refused."""
