"""Radiance fields behind one small protocol."""
