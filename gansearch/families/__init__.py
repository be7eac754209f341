"""Model families: they connect a GAN to the interface in `family`."""
