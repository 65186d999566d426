"""Report: tables and figures, from records alone."""
