"""Who can read what: the access map (static) and the proof (live)."""
