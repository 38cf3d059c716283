"""A cloud that fits a laptop: real servers, providers and a deployment engine, on loopback only."""
