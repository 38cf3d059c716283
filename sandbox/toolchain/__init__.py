"""The real servers' binaries and the Python packages: where they come from, how they get there, where they are kept."""
