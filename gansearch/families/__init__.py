"""The model families: what knows both a GAN and the seam in `family`."""
