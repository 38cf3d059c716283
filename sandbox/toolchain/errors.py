"""What can go wrong with the set-up.

ToolchainError
├── NotBuilt (also a FileNotFoundError)   a binary or a CRD folder is not there yet
├── LowDisk                               too little room for the build
├── RegistryUnreachable                   the module proxy or the package index does not answer
├── NoGo                                  no Go that is new enough
├── BuildFailed                           the compiler, or a download, failed; carries the end of its output
└── InstallFailed                         the Python packages could not be installed
"""

from __future__ import annotations


class ToolchainError(Exception):
    """Base of all errors of the set-up."""


class NotBuilt(ToolchainError, FileNotFoundError):
    """A binary or a folder of CRDs is not in the toolchain yet."""


class LowDisk(ToolchainError):
    """The disk that holds the cache has too little room."""


class RegistryUnreachable(ToolchainError):
    """A registry does not answer."""


class NoGo(ToolchainError):
    """There is no Go on this machine that is new enough."""


class BuildFailed(ToolchainError):
    """A binary could not be built."""


class InstallFailed(ToolchainError):
    """The Python packages could not be installed."""
