"""What a workload is and may read in Vault."""
