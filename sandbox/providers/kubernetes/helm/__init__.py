"""``kubernetes:helm.sh/v3:Release`` of the charts whose controllers the sandbox has.

Nothing renders charts here. For each known chart the objects are made that matter without a kubelet (namespace, service
account with its annotations, RBAC as the values scope it, CRDs, services), and the upstream controller runs as a host
process with that service account's own token. Values that only shape Pods are taken and have no effect; those that would
change what is installed, and cannot be honoured, are refused.
"""
