"""A web page to look at what was trained. viser is imported in `server`, when it is asked for."""
