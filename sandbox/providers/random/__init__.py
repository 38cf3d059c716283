"""The random provider: passwords, strings, identifiers, drawn from the operating system's generator."""

from sandbox.providers.random.provider import RandomProvider

__all__ = ["RandomProvider"]
