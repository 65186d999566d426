"""What comes out of a trained scene: one-file models, stills, videos, point clouds, meshes."""
