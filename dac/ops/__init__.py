"""Differentiable operations on samples, planes and histograms."""
