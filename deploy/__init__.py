"""Where Threshold runs: the local stack, and later the images and manifests."""
