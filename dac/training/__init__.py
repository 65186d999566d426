"""Training: objectives, updates, the loop, and the phases on images."""
