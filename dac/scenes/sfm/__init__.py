"""Structure from motion, and triangulation from known cameras."""
