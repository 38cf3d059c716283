"""What an application imports: connection pools and credential sources that survive rotation."""
