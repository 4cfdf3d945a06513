"""From any data set to shards of latents and text: `videojam data prepare`."""
