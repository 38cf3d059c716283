"""The real servers' binaries: where they come from and where they are kept."""
