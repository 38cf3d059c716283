"""How a secret reaches a namespace of the cluster."""
