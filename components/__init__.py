"""What ``pulumi up`` provisions: component resources that import Pulumi's SDKs and nothing else of the kit."""
