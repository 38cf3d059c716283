"""The rotation drill: rotate everything under load and count what fails. ``python -m rotation.drill``."""
