"""What lies on disk: whole files, sealed states, reading with bounds, provenance."""
