"""Providers for the resource types that the stack uses, in-process or over gRPC."""
