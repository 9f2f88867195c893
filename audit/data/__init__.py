"""From a file to items, clusters, coins, splits and canaries."""
